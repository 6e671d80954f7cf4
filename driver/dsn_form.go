package driver

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// form is one way to write values of a type in a DSN. parse accepts what format
// writes, and more; parse(format(v)) is v for every valid v.
type form[T any] struct {
	want   string   // for messages, to follow "want"
	words  []string // all accepted words, for an enumeration
	parse  func(s string) (T, bool)
	format func(v T) string
	valid  func(v T) bool // range of a value that has the form; nil: all
}

// enum accepts one of words, in their case.
func enum(words ...string) form[string] {
	valid := func(s string) bool { return slices.Contains(words, s) }
	return form[string]{
		want:   orList(words),
		words:  words,
		parse:  func(s string) (string, bool) { return s, valid(s) },
		format: verbatim,
		valid:  valid,
	}
}

// text accepts everything.
func text() form[string] {
	return form[string]{
		want:   "a text",
		parse:  func(s string) (string, bool) { return s, true },
		format: verbatim,
	}
}

// pattern accepts a host name with one "?". What is left of it beside the "?" is
// checked with the hosts, whose network it shares.
func pattern() form[string] {
	valid := func(s string) bool {
		return strings.Count(s, "?") == 1 && !strings.ContainsFunc(s, notInHost)
	}
	return form[string]{
		want:   "a host name with exactly one ? in place of the instance's id, such as ?.abc123.us-east-1.rds.amazonaws.com or ?.abc123.us-east-1.rds.amazonaws.com:3306",
		parse:  func(s string) (string, bool) { return s, valid(s) },
		format: verbatim,
		valid:  valid,
	}
}

// tableName accepts what needs no quotes in SQL, with or without a schema.
func tableName() form[string] {
	valid := func(s string) bool {
		parts := strings.Split(s, ".")
		return len(parts) <= 2 && !slices.ContainsFunc(parts, func(p string) bool {
			return p == "" || strings.ContainsFunc(p, func(r rune) bool {
				return r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
			})
		})
	}
	return form[string]{
		want:   "a table's name such as commits or app.commits",
		parse:  func(s string) (string, bool) { return s, valid(s) },
		format: verbatim,
		valid:  valid,
	}
}

func verbatim(s string) string { return s }

// onOff accepts what the wrapped driver accepts as a bool, and on and off.
func onOff() form[bool] {
	return form[bool]{
		want: "on or off",
		parse: func(s string) (bool, bool) {
			switch s {
			case "on", "ON", "On", "1", "true", "TRUE", "True":
				return true, true
			case "off", "OFF", "Off", "0", "false", "FALSE", "False":
				return false, true
			}
			return false, false
		},
		format: func(v bool) string {
			if v {
				return "on"
			}
			return "off"
		},
	}
}

// duration accepts what time.ParseDuration does, from least up.
func duration(least time.Duration) form[time.Duration] {
	want := "a duration such as 5s or 250ms"
	if least > 0 {
		want += ", at least " + formatDuration(least)
	} else {
		want += ", or 0"
	}
	return form[time.Duration]{
		want: want,
		parse: func(s string) (time.Duration, bool) {
			d, err := time.ParseDuration(s)
			return d, err == nil
		},
		format: formatDuration,
		valid:  func(d time.Duration) bool { return d >= least },
	}
}

// durationOrOff is a duration of at least least, or 0, which is off.
func durationOrOff(least time.Duration) form[time.Duration] {
	f := duration(least)
	f.want += ", or 0"
	f.valid = func(d time.Duration) bool { return d == 0 || d >= least }
	return f
}

// formatDuration writes 5m where Duration.String writes 5m0s.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// number accepts decimal digits from least to most.
func number(least, most int) form[int] {
	return form[int]{
		want:   fmt.Sprintf("a number from %d to %d", least, most),
		parse:  parseNumber,
		format: strconv.Itoa,
		valid:  func(n int) bool { return least <= n && n <= most },
	}
}

// parseNumber wants digits only: no sign, no space, no underscore.
func parseNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

// autoOr is f with the word auto for 0.
func autoOr(f form[int]) form[int] {
	parse, valid := f.parse, f.valid
	f.want += ", or auto"
	f.parse = func(s string) (int, bool) {
		if s == "auto" {
			return 0, true
		}
		n, ok := parse(s)
		return n, ok && n != 0
	}
	f.format = func(n int) string {
		if n == 0 {
			return "auto"
		}
		return strconv.Itoa(n)
	}
	f.valid = func(n int) bool { return n == 0 || valid(n) }
	return f
}

// size accepts a number from least to most or a percentage from leastPercent to
// 100. With most 0, the number is 0 or off.
func size(least, most, leastPercent int) form[Size] {
	want := fmt.Sprintf("a number from %d to %d, or a percentage such as 60%%", least, most)
	if most == 0 {
		want = "a percentage such as 60%, or off"
	}
	return form[Size]{
		want: want,
		parse: func(s string) (Size, bool) {
			if most == 0 && s == "off" {
				return 0, true
			}
			digits, percent := strings.CutSuffix(s, "%")
			n, ok := parseNumber(digits)
			switch {
			case !ok || percent && n > 100:
				return 0, false
			case percent:
				return Percent(n), true
			}
			return Size(n), n < int(percentage)
		},
		format: Size.String,
		valid: func(s Size) bool {
			if s.IsPercent() {
				return Percent(leastPercent) <= s && s <= Percent(100)
			}
			return Size(least) <= s && s <= Size(most)
		},
	}
}

// byteUnits are the suffixes of byteCount, largest first.
var byteUnits = []struct {
	suffix string
	shift  uint
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"", 0}}

// byteCount accepts a number of bytes, KiB, MiB or GiB, up to 1024 GiB.
func byteCount() form[int64] {
	const most = 1 << 40
	return form[int64]{
		want: "a number of bytes such as 65536, 64KiB or 1MiB",
		parse: func(s string) (int64, bool) {
			for _, u := range byteUnits {
				digits, ok := strings.CutSuffix(s, u.suffix)
				if !ok {
					continue
				}
				n, err := strconv.ParseUint(digits, 10, 63)
				return int64(n << u.shift), err == nil && n <= most>>u.shift
			}
			return 0, false
		},
		format: func(n int64) string {
			for _, u := range byteUnits {
				if n != 0 && n%(1<<u.shift) == 0 {
					return strconv.FormatInt(n>>u.shift, 10) + u.suffix
				}
			}
			return "0"
		},
		valid: func(n int64) bool { return 0 <= n && n <= most },
	}
}

// weights accepts instance-2:3,*:1, unless that leaves a share to nobody. An id
// may contain colons, as addresses do, but no comma.
func weights() form[map[string]int] {
	const most = 1_000_000
	return form[map[string]int]{
		want: "weights by instance such as instance-2:3,*:1, not all of them 0",
		parse: func(s string) (map[string]int, bool) {
			m := make(map[string]int)
			for part := range strings.SplitSeq(s, ",") {
				colon := strings.LastIndexByte(part, ':')
				if colon < 1 {
					return nil, false
				}
				n, ok := parseNumber(part[colon+1:])
				if _, twice := m[part[:colon]]; twice || !ok {
					return nil, false
				}
				m[part[:colon]] = n
			}
			return m, true
		},
		format: func(m map[string]int) string {
			parts := make([]string, 0, len(m))
			for _, id := range slices.Sorted(maps.Keys(m)) {
				parts = append(parts, id+":"+strconv.Itoa(m[id]))
			}
			return strings.Join(parts, ",")
		},
		valid: func(m map[string]int) bool {
			sum := 0
			if _, ok := m["*"]; !ok {
				sum = 1 // the others'
			}
			for id, n := range m {
				if id == "" || strings.Contains(id, ",") || n < 0 || n > most {
					return false
				}
				sum += n
			}
			return sum > 0
		},
	}
}
