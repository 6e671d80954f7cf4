package topology

import (
	"testing"
	"testing/synctest"
	"time"
)

// forgets checks that the lag of an instance is known, and not any more within three polls of
// now, to the millisecond, and that the hooks were told.
func (w *watched) forgets(t *testing.T, id string) {
	t.Helper()
	synctest.Wait()
	in := w.Snapshot().Lookup(id)
	if in == nil || !in.LagKnown {
		t.Fatalf("from the start: %+v", in)
	}
	seen, version := in.LagSeen, w.Snapshot().Version
	life := 3 * w.cfg.Interval
	if age := time.Since(seen); age > life {
		t.Fatalf("the lag is known and %s old", age)
	}
	w.told()
	pass(time.Until(seen.Add(life)) - time.Millisecond)
	if in := w.Snapshot().Lookup(id); !in.LagKnown || !in.LagSeen.Equal(seen) {
		t.Errorf("before three polls: %+v", in)
	}
	pass(time.Millisecond)
	if in := w.Snapshot().Lookup(id); in.LagKnown || in.Lag != 0 || !in.LagSeen.Equal(seen) || in.State != StateUp {
		t.Errorf("after three polls: %+v", in)
	}
	if w.Snapshot().Version == version {
		t.Error("hooks were not told")
	}
}

// TestLagGetsOld: there is no answer any more, and nobody is suspected for that.
func TestLagGetsOld(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		pass(time.Minute)
		c.set("a", forbidden)
		w.forgets(t, "b")
		pass(time.Hour)
		if in := w.Snapshot().Lookup("b"); in.LagKnown {
			t.Errorf("%+v", in)
		}
		w.expect(t, "epoch 1: a writer up, b reader up")
		c.set("a", healthy)
		pass(11 * time.Second)
		if in := w.Snapshot().Lookup("b"); !in.LagKnown || time.Since(in.LagSeen) > 11*time.Second {
			t.Errorf("when it answers again: %+v", in)
		}
	})
}

// TestLagOfADeadReader: the writer answers and reads to us what it heard from the reader last.
func TestLagOfADeadReader(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		pass(time.Minute)
		c.set("b", silent)
		pass(6 * time.Second) // the longest time between two polls is 5.5 s, and the next one still has news of it
		w.forgets(t, "b")
		if in := w.Snapshot().Lookup("c"); !in.LagKnown {
			t.Errorf("the lag of the other one: %+v", in)
		}
	})
}

// TestLagsOfManyReplicas: while all is well no lag gets old, however many replicas there are.
func TestLagsOfManyReplicas(t *testing.T) {
	c, cfg := replicated("a", "b", "c", "d", "e", "f")
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		for range 600 {
			pass(time.Second)
			for _, in := range w.Snapshot().Instances {
				if in.Role == Reader && !in.LagKnown {
					t.Fatalf("%+v", in)
				}
			}
		}
		w.steady(t, "a")
		// One that can be asked no more, and does what it did otherwise.
		c.set("d", busy)
		w.forgets(t, c.look("d").addr)
	})
}

// TestLagWhileDrained: what an operator takes out of use here others write to still, so that readers
// fall behind as ever.
func TestLagWhileDrained(t *testing.T) {
	c, cfg := replicated("a", "b")
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		pass(time.Minute)
		c.set("b", busy) // it can be asked no more, and does what it did otherwise
		if err := w.Drain(c.look("a").addr); err != nil {
			t.Fatal(err)
		}
		w.forgets(t, c.look("b").addr)
	})
}
