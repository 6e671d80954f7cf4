package program

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// A seed makes one program, valid whatever the options, with steps of every kind.
func TestGenerate(t *testing.T) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		p := Generate(7, 20_000, flavor)
		if again := Generate(7, 20_000, flavor); !reflect.DeepEqual(p, again) {
			t.Error("two programs of one seed")
		}
		if other := Generate(8, 20_000, flavor); reflect.DeepEqual(p.Steps[:50], other.Steps[:50]) {
			t.Error("one program of two seeds")
		}
		if !p.valid() {
			t.Error("the program is not valid")
		}
		n := p.Coverage()
		for k := range Kind(numberOfKinds) {
			if n[k] == 0 && (k != KindSequence || flavor == mysqld.FlavorMariaDB) {
				t.Errorf("%s: no step is about %s", flavor, k)
			}
		}
		t.Logf("%s: %v", flavor, n)
	}
	for _, o := range []Options{{Sessions: 3}, {Held: 1}, {EndByClose: true}, {Sessions: 15, Held: 4, Omit: []Kind{KindCall, KindQuestion}}} {
		p := o.Generate(1, 5000, mysqld.FlavorMySQL)
		if !p.valid() {
			t.Errorf("%+v: the program is not valid", o)
		}
		for _, k := range o.Omit {
			if p.Coverage()[k] > 0 && k != KindQuestion { // some other kinds end with one
				t.Errorf("%+v: %s is not omitted", o, k)
			}
		}
	}
}

// What is left is what matters, groups are whole, and nobody holds too much.
func TestShrink(t *testing.T) {
	p := Program{held: 1}
	for i := range 200 {
		p.Steps = append(p.Steps, Step{Session: i % 5, Text: fmt.Sprint(i)})
	}
	p.Steps[20].Group, p.Steps[40].Group = 1, 1
	p.Steps[60].Takes = []string{"tx"}
	p.Steps[70].Ends = []string{"tx"} // of the same session
	p.Steps[81].Takes = []string{"tx"}
	has := func(p Program, text string) bool {
		return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Text == text })
	}
	small := Shrink(t.Context(), p, func(c Program) bool {
		if !c.valid() {
			t.Error("not valid")
		}
		if has(c, "20") != has(c, "40") {
			t.Error("a group is torn")
		}
		return has(c, "40") && has(c, "60") && has(c, "81") && has(c, "199")
	})
	var left []string
	for _, s := range small.Steps {
		left = append(left, s.Text)
	}
	if want := []string{"20", "40", "60", "70", "81", "199"}; !slices.Equal(left, want) {
		t.Errorf("left is %v, not %v", left, want)
	}
}

// An answer may be gone where another session could have taken it, and nowhere else.
func TestExcuse(t *testing.T) {
	do := func(session int) Step { return Step{Session: session, Text: "do", Kind: KindRead} }
	insert := func(session int) Step {
		return Step{Session: session, Text: "INSERT INTO d.t (k) VALUES (1)", Kind: KindInsert}
	}
	ask := func(session int, a Asks) Step {
		return Step{Session: session, Text: "ask", Asks: a, Kind: KindQuestion}
	}
	for i, c := range []struct {
		steps   []Step
		excused bool // the last one
	}{
		{[]Step{do(1), do(0)}, false},
		{[]Step{do(0), ask(0, AsksPrevious)}, false},
		{[]Step{do(0), do(1), ask(0, AsksPrevious)}, true},
		{[]Step{do(0), do(1), ask(0, AsksPrevious), ask(0, AsksPrevious)}, true},
		{[]Step{do(1), do(0), ask(0, AsksPrevious), ask(0, AsksPrevious)}, false},
		{[]Step{insert(0), do(0), ask(0, AsksID)}, false},
		{[]Step{insert(0), do(1), do(0), ask(0, AsksID)}, true},
		{[]Step{do(1), insert(0), do(0), ask(0, AsksID)}, false},
		{[]Step{ask(0, AsksID)}, true},
		{[]Step{do(0), {Session: 0, Act: ActClose}, ask(0, AsksPrevious)}, true},
	} {
		p := Program{Steps: c.steps}
		last := len(c.steps) - 1
		want, got := make(Transcript, len(c.steps)), make(Transcript, len(c.steps))
		got[last] = gone
		if d := p.Compare(want, got); d == nil != c.excused {
			t.Errorf("case %d: %v", i, d)
		}
	}
	p := Program{Steps: []Step{do(0), ask(0, AsksID), do(1), ask(0, AsksPrevious), ask(0, AsksPrevious)}}
	want := Transcript{"ok", "7", "ok", "none", "none"}
	if d := p.Compare(want, Transcript{"ok", gone, "ok", "error", "none"}); d != nil {
		t.Errorf("after a question that was not executed: %v", d)
	}
	if d := p.Compare(want, Transcript{"ok", gone, "ok", "none", "error"}); d == nil {
		t.Error("after one that was: no difference")
	}
}
