package topology

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// at is the status table's time n.
func at(n int) time.Time { return time.Unix(int64(n), 0) }

// line is one line of a scenario.
type line struct {
	number int
	words  []string
}

func (l line) numeric(t *testing.T, i int) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(l.words[i][1:], 10, 64)
	if err != nil {
		t.Fatalf("line %d: %v", l.number, err)
	}
	return n
}

func (l line) observation(t *testing.T) observation {
	t.Helper()
	o := observation{id: l.words[1], addr: l.words[1] + ":3306", ticket: l.numeric(t, 2)}
	switch l.words[0] {
	case "answer":
		o.kind = answered
		o.report = Report{ID: l.words[1], Role: map[string]Role{"writer": Writer, "reader": Reader}[l.words[3]]}
		if len(l.words) > 4 {
			for _, w := range l.words[5:] {
				name, stamp, _ := strings.Cut(w, "@")
				n, err := strconv.Atoi(stamp)
				if err != nil {
					t.Fatalf("line %d: %v", l.number, err)
				}
				id, writer := strings.CutSuffix(name, "*")
				o.report.Members = append(o.report.Members, Member{ID: id, Addr: id + ":3306", Writer: writer, Updated: at(n)})
			}
		}
	case "fail":
		o.kind = failed
	case "suspect":
		o.kind, o.epoch = suspected, l.numeric(t, 3)
	default:
		t.Fatalf("line %d: %q", l.number, l.words[0])
	}
	return o
}

func TestScenarios(t *testing.T) {
	f, err := os.Open("testdata/scenarios.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scenarios := make(map[string][]line)
	name, number := "", 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number++
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "scenario":
			name = strings.TrimPrefix(lines.Text(), "scenario ")
		default:
			scenarios[name] = append(scenarios[name], line{number, words})
		}
	}
	if len(scenarios) < 20 {
		t.Fatalf("only %d scenarios", len(scenarios))
	}
	for name, lines := range scenarios {
		t.Run(name, func(t *testing.T) { play(t, lines) })
	}
}

func play(t *testing.T, lines []line) {
	s, events := first("test", nil), []Event(nil)
	for _, l := range lines {
		rest := strings.Join(l.words[1:], " ")
		switch l.words[0] {
		case "members":
			var members []Member
			for _, id := range l.words[1:] {
				members = append(members, Member{ID: id, Addr: id + ":3306"})
			}
			s = first("test", members)
		case "=":
			if got := s.String(); got != rest {
				t.Fatalf("line %d:\n got %s\nwant %s", l.number, got, rest)
			}
		case "!":
			var told []string
			for _, e := range events {
				told = append(told, e.String())
			}
			if got := strings.Join(told, ", "); got != rest {
				t.Fatalf("line %d:\n got %s\nwant %s", l.number, got, rest)
			}
		default:
			before := *s
			before.Instances = slices.Clone(s.Instances)
			next, ev := step(s, l.observation(t))
			if !slices.Equal(s.Instances, before.Instances) || s.Epoch != before.Epoch {
				t.Fatalf("line %d: the old snapshot was changed", l.number)
			}
			s, events = next, ev
		}
	}
}

// TestInvariants throws random observations at the state machine.
func TestInvariants(t *testing.T) {
	ids := []string{"a", "b", "c"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := first("test", nil)
		var script []string
		for n := range 60 {
			o := observation{kind: observationKind(r.IntN(3)), ticket: uint64(max(0, n-r.IntN(4))), epoch: uint64(r.IntN(int(s.Epoch) + 1))}
			o.id = ids[r.IntN(len(ids))]
			o.addr = o.id + ":3306"
			if o.kind == answered {
				o.report = Report{ID: o.id, Role: Role(r.IntN(3))}
				for _, id := range ids {
					if r.IntN(5) > 0 {
						o.report.Members = append(o.report.Members, Member{ID: id, Addr: id + ":3306", Writer: r.IntN(3) == 0, Updated: at(n - r.IntN(5))})
					}
				}
			}
			script = append(script, fmt.Sprintf("%+v", o))
			next, _ := step(s, o)
			if complaint := compare(s, next); complaint != "" {
				t.Fatalf("seed %d: %s\n%s\nfrom %s\nto   %s", seed, complaint, script[len(script)-1], s, next)
			}
			s = next
		}
	}
}

func compare(old, next *Snapshot) string {
	writers := 0
	for _, in := range next.Instances {
		if in.Role == Writer {
			writers++
		}
		if in.Since > next.Epoch {
			return "an instance changed in an epoch to come"
		}
	}
	changed := reigning(old) != reigning(next) || !slices.EqualFunc(old.Instances, next.Instances, sameMember)
	switch {
	case writers > 1:
		return "several writers"
	case old != next && next.Version != old.Version+1:
		return "version does not count"
	case changed != (next.Epoch == old.Epoch+1) || !changed && next.Epoch != old.Epoch:
		return "epoch does not count changes of writer and membership"
	case !slices.IsSortedFunc(next.Instances, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) }):
		return "not sorted"
	}
	if w := next.Writer(); w != nil && (w.Role != Writer || w.State != StateUp) {
		return "unusable writer"
	}
	return ""
}
