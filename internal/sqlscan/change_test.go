package sqlscan

import (
	"fmt"
	"strings"
	"testing"
)

// TestChanges compares what is said of a text with testdata/changes.txt: behind the =>
// one change after the other, separated by semicolons.
func TestChanges(t *testing.T) {
	golden(t, "changes.txt", 40, func(text, want string) {
		var got []string
		for _, c := range Changes(text, 0) {
			got = append(got, c.describe())
		}
		if g := strings.Join(got, "; "); g != want {
			t.Errorf("%s\n got %s\nwant %s", text, g, want)
		}
	})
}

func (c Change) describe() string {
	s := c.Effect.String()
	if c.Ends {
		s = "end of " + s
	}
	if c.Name != "" {
		s += " " + strings.ReplaceAll(c.Name, "\x00", "/")
	}
	if c.Param > 0 {
		s += fmt.Sprintf(" ?%d", c.Param)
	}
	if c.Value != "" {
		s += " = " + c.Value
	}
	if c.Alone {
		s += " alone"
	}
	if c.Stays {
		s += " stays"
	}
	return s
}

func TestSeveralRows(t *testing.T) {
	for text, want := range map[string]bool{
		"INSERT INTO t (a, b) VALUES (1, f(2, 3))":                            false,
		"INSERT INTO t VALUES (1), (2)":                                       true,
		"INSERT INTO t SELECT * FROM u":                                       true,
		"REPLACE INTO t SET a = 1, b = (2), c = 3":                            false,
		"INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = (a + 1), b = 2": true,
		"LOAD DATA INFILE 'x' INTO TABLE t":                                   true,
		"INSERT INTO t VALUES ('), (')":                                       false,
		"INSERT INTO t VALUES ('":                                             true,
	} {
		if got := SeveralRows(text, 0); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}
