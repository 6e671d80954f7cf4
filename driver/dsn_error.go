package driver

import (
	"errors"
	"fmt"
	"strings"
)

// dsnError says what is wrong with a DSN or a Config and how to write it right.
//
// Whatever it quotes of the input is in key, given and detail, so that
// [withhold] can take it out again: problem is our own text.
type dsnError struct {
	key     string // the parameter, "" if it is not about one
	foreign bool   // key is the input's own text, not a name that we know
	given   string // the value, "" if there is none to quote
	problem string
	detail  string // the wrapped driver's words, or several values; may be ""
}

// maxQuoted is how many characters of a value an error quotes.
const maxQuoted = 80

func (e *dsnError) Error() string {
	var b strings.Builder
	b.WriteString("failoverproxy: ")
	switch {
	case e.key == "":
	case e.foreign && strings.ContainsFunc(e.key, notInName), len(e.key) > maxQuoted:
		fmt.Fprintf(&b, "%.*q: ", maxQuoted, e.key)
	default:
		b.WriteString(e.key + ": ")
	}
	if e.given != "" {
		fmt.Fprintf(&b, "%.*q: ", maxQuoted, e.given)
	}
	b.WriteString(e.problem)
	if e.detail != "" {
		b.WriteString(": " + e.detail)
	}
	return b.String()
}

// notInName reports what a parameter's name does not have, so that it is quoted.
func notInName(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// withhold takes all that err quotes of the input out of it if always is set or
// if secret, when there is one, shows in it.
func withhold(err error, secret string, always bool) error {
	e, ok := errors.AsType[*dsnError](err)
	if !ok {
		return err
	}
	shows := func(s string) bool {
		if len(secret) < 4 {
			return secret != "" && s == secret // as a part it is found in every text
		}
		return strings.Contains(s, secret)
	}
	if !always && !shows(e.given) && !shows(e.detail) && (!e.foreign || !shows(e.key)) {
		return e
	}
	c := *e
	c.given, c.detail = "", ""
	if c.foreign {
		c.key = "a parameter of the DSN"
		c.foreign = false
	}
	return &c
}

// nearest returns the one of names that s is most likely a misspelling of, by
// edit distance without regard to case. names must not be empty.
func nearest(s string, names []string) string {
	// The distance of a longer text says nothing and costs time.
	s = strings.ToLower(s[:min(len(s), 64)])
	best, least := names[0], -1
	for _, name := range names {
		if d := editDistance(s, strings.ToLower(name)); least < 0 || d < least {
			best, least = name, d
		}
	}
	return best
}

// editDistance is the number of bytes to insert, delete, replace or swap with
// their neighbour to make b of a (optimal string alignment).
func editDistance(a, b string) int {
	before := make([]int, len(b)+1) // the row before last
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// orList writes "a, b or c".
func orList(words []string) string {
	n := len(words)
	if n < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
}
