package chaos

import (
	"reflect"
	"testing"
)

// TestGenerate makes many plans: each is what its seed says, JSON holds all of it, and
// together they do everything that there is.
func TestGenerate(t *testing.T) {
	acts, kinds, aimed := make(map[Act]int), make(map[Kind]int), make(map[Aim]int)
	for seed := range uint64(3000) {
		o := Options{Real: seed%4 == 0}
		p := o.Generate(seed)
		if again := o.Generate(seed); !reflect.DeepEqual(p, again) {
			t.Fatalf("seed %d makes two plans:\n%s\n%s", seed, p, again)
		}
		if read, err := Parse(p.JSON()); err != nil || !reflect.DeepEqual(p, read) {
			t.Fatalf("%v: %s became\n%s", err, p, read)
		}
		for i, s := range p.Steps {
			acts[s.Act]++
			aimed[s.Aim]++
			if i > 0 && s.At < p.Steps[i-1].At {
				t.Errorf("seed %d is not in the order of times:\n%s", seed, p)
			}
		}
		for _, l := range p.Load {
			kinds[l.Kind]++
		}
		if n := p.sessions(); n < 1 || n > 200 {
			t.Errorf("seed %d has %d sessions", seed, n)
		}
	}
	for _, act := range []Act{
		Refuse, BlackHole, AcceptSilent, Freeze, TooMany, Delay, NoName, WrongName, DenyView, HoldView, BelieveWriter,
		Mute, MuteAfter, Crash, AllDown, Cut, Swallow, Error, ErrorAfter, Reset, Close, Goodbye, Failover,
	} {
		if acts[act] == 0 {
			t.Errorf("no plan does %q", act)
		}
	}
	for _, kind := range Kinds {
		if kinds[kind] == 0 {
			t.Errorf("nobody does %q", kind)
		}
	}
	for _, aim := range aims {
		if aimed[aim] == 0 {
			t.Errorf("nothing is aimed at %q", aim)
		}
	}
}
