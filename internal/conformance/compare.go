package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Difference is a test that passed with the plain driver and did not with ours.
type Difference struct {
	Suite, Server, Test string
	Ours                Outcome
	Why                 string // the first line that the test wrote
}

func (d Difference) String() string {
	outcome := string(d.Ours)
	if outcome == "" {
		outcome = "did not end"
	}
	return fmt.Sprintf("%s: %s: %s", d.Test, outcome, d.Why)
}

// compare returns the differences, in the order of the tests' names. A test that is one
// only because of its subtests is left out.
func compare(suite, server string, plain, ours Results) []Difference {
	var all []Difference
	for _, test := range slices.Sorted(maps.Keys(plain.Tests)) {
		if plain.Tests[test].Outcome != "pass" {
			continue
		}
		d := Difference{Suite: suite, Server: server, Test: test}
		if t := ours.Tests[test]; t != nil {
			d.Ours, d.Why = t.Outcome, firstLine(t.Output)
		}
		if d.Ours != "pass" {
			all = append(all, d)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(d Difference) bool {
		return slices.ContainsFunc(all, func(o Difference) bool { return strings.HasPrefix(o.Test, d.Test+"/") })
	})
}

// firstLine is the first line that tells something: testify's begins with two headings.
func firstLine(lines []string) string {
	for i, line := range lines {
		if _, message, ok := strings.Cut(line, "Error:"); ok && i > 0 && strings.TrimSpace(message) != "" {
			return strings.Join(strings.Fields(message), " ")
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

// acceptance is a line of testdata/differences.txt.
type acceptance struct {
	suite, server, test string // server may be "*"
	used                bool
}

func (a *acceptance) fits(d Difference) bool {
	return a.suite == d.Suite && a.test == d.Test && (a.server == "*" || a.server == d.Server)
}

// acceptances are the differences that are meant to be.
type acceptances []*acceptance

// parseAcceptances reads lines of a suite, a server or "*", a test and a reason. Empty
// lines and those that begin with # are comments.
func parseAcceptances(text string) (acceptances, error) {
	var all acceptances
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 4 {
			return nil, fmt.Errorf("%q is no suite, server, test and reason", line)
		}
		all = append(all, &acceptance{suite: fields[0], server: fields[1], test: fields[2]})
	}
	return all, nil
}

// unaccepted returns those of the differences that are not accepted.
func (all acceptances) unaccepted(differences []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(differences), func(d Difference) bool {
		i := slices.IndexFunc(all, func(a *acceptance) bool { return a.fits(d) })
		if i >= 0 {
			all[i].used = true
		}
		return i >= 0
	})
}

// stale returns the acceptances that nothing needed though their suite ran on their
// server. ran holds suite and server, with a space between.
func (all acceptances) stale(ran map[string]bool) []string {
	var stale []string
	for _, a := range all {
		// One for every server is judged when the suite ran on both.
		judged := ran[a.suite+" "+a.server] || a.server == "*" && ran[a.suite+" mariadb"] && ran[a.suite+" mysql"]
		if judged && !a.used {
			stale = append(stale, a.suite+" "+a.server+" "+a.test)
		}
	}
	return stale
}
