package topology

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDiscoverAndSteadyPoll(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		if w.Snapshot() != nil || len(c.dials()) != 0 {
			t.Fatal("something ran before Discover")
		}
		s := w.discover(t)
		w.expect(t, "epoch 1: a writer up, b reader up, c reader up")
		if b := s.Lookup("b"); !b.LagKnown || b.Lag != 12500*time.Microsecond || b.CPU != 3.25 || b.Addr != "b"+domain {
			t.Errorf("%+v", b)
		}
		if s.Provider != "aurora" || s.Writer().ID != "a" || s.LastWriter() != "a" || s.Writer().Verified == 0 {
			t.Errorf("%+v", s)
		}
		if got := c.look("a").queries; !slices.Equal(got, []string{auroraQuery}) {
			t.Errorf("discovery asked %q", got)
		}
		w.steady(t, "a")
		pass(10 * time.Minute)
		w.steady(t, "a")
		if n := len(c.dials()); n != 1 {
			t.Errorf("%d dials in ten quiet minutes: %q", n, c.dials())
		}
		if polls := len(c.look("a").at) - 1; polls < 109 || polls > 133 {
			t.Errorf("%d polls in ten minutes, want 120 ±10 %%", polls)
		}
		if n := c.look("a").looks; n < 10 || n > 11 {
			t.Errorf("%d looks for a blue/green deployment in ten minutes, want one a minute", n)
		}
		at := c.look("a").at[1:]
		if d1, d2 := at[1].Sub(at[0]), at[2].Sub(at[1]); d1 == d2 {
			t.Errorf("no jitter: %s, %s", d1, d2)
		}
		if s := w.Snapshot(); s.Epoch != 1 {
			t.Errorf("%s", s)
		}
		contains(t, w.log(), "topology chosen", "aurora: its endpoint has the form of Aurora's", "writer changed")
	})
}

func TestWriterKilled(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		pass(7 * time.Second)
		w.told()
		c.set("a", refusing)
		w.Suspect("a", 1, ReasonConnectionLost)
		if s := w.Snapshot(); s.Writer() != nil || s.Lookup("a").State != StateSuspect {
			t.Fatalf("usable after Suspect: %s", s)
		}
		w.expect(t, "epoch 2: a writer down, b reader up, c reader up")
		pass(3 * time.Second)
		if n := w.Connections(); n != 2 {
			t.Errorf("%d connections while there is no writer, want one for each that answers", n)
		}
		w.expect(t, "epoch 2: a writer down, b reader up, c reader up")
		c.promote("b")
		pass(100 * time.Millisecond)
		w.expect(t, "epoch 3: a reader down, b writer up, c reader up")
		w.steady(t, "b")
		got := w.told()
		if want := []string{
			"instance suspected: a (connection lost)", "writer lost: a", "instance down: a (connection refused)", "writer changed: b",
		}; !slices.Equal(got, want) {
			t.Errorf("events %q\nwant %q", got, want)
		}
		// The old writer is asked at the slow pace, and comes back as a reader.
		before := c.look("a").dials
		pass(30 * time.Second)
		if n := c.look("a").dials - before; n < 5 || n > 7 {
			t.Errorf("%d dials in 30 s to an instance that is down, want one every 5 s", n)
		}
		c.rejoin("a")
		pass(6 * time.Second)
		w.expect(t, "epoch 3: a reader up, b writer up, c reader up")
		w.steady(t, "b")
	})
}

func TestFastPolling(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("a", refusing)
		for range 50 { // many statements meet the fault: one flight
			w.Suspect("a", 1, ReasonConnectionLost)
			w.Suspect("a", 1, ReasonConnect)
		}
		pass(2 * time.Second)
		for _, id := range []string{"b", "c"} {
			if n := len(c.look(id).at); n < 20 || n > 22 {
				t.Errorf("%d polls of %s in 2 s, want one every 100 ms", n, id)
			}
			if n := c.look(id).dials; n != 1 {
				t.Errorf("%d dials to %s: its connection is to be kept while polling is fast", n, id)
			}
		}
		if n := c.look("a").dials; n < 20 || n > 23 {
			t.Errorf("%d dials to the dead writer in 2 s, want one every 100 ms", n)
		}
	})
}

func TestConnectionLostIsNoFailover(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		w.told()
		w.Suspect("a", 1, ReasonConnectionLost)
		if w.Snapshot().Writer() != nil {
			t.Fatal("a suspect is usable")
		}
		w.expect(t, "epoch 1: a writer up, b reader up") // at once: no time has passed
		if got := w.told(); !slices.Equal(got, []string{
			"instance suspected: a (connection lost)", "writer lost: a", "instance up: a", "writer back: a",
		}) {
			t.Errorf("events %q", got)
		}
		w.steady(t, "a")
	})
}

func TestMonitorConnectionDropped(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		w.told()
		// Reset between two polls, healthy again when asked.
		c.set("a", stuck)
		pass(20 * time.Second)
		w.expect(t, "epoch 1: a writer up, b reader up")
		if got := w.told(); len(got) != 0 {
			t.Errorf("events %q", got)
		}
		if n := c.look("a").dials; n != 2 {
			t.Errorf("%d dials, want a second one when the first connection was dead", n)
		}
		w.steady(t, "a")
	})
}

func TestSilence(t *testing.T) {
	for name, m := range map[string]mode{"frozen": silent, "established connections frozen": stuck} {
		t.Run(name, func(t *testing.T) {
			c := newCluster("a", "b", "c")
			bubble(t, c, Config{}, func(t *testing.T, w *watched) {
				w.discover(t)
				c.set("a", m)
				w.Suspect("a", 1, ReasonSilence)
				pass(990 * time.Millisecond)
				if n := len(c.look("b").at); n < 9 && m == silent {
					t.Errorf("%d polls of b: the frozen writer delays the others", n)
				}
				pass(20 * time.Millisecond)
				if m == stuck {
					w.expect(t, "epoch 1: a writer up, b reader up, c reader up")
					return
				}
				w.expect(t, "epoch 2: a writer down, b reader up, c reader up")
				c.promote("c")
				pass(100 * time.Millisecond)
				w.expect(t, "epoch 3: a reader down, b reader up, c writer up")
				pass(time.Second) // what was being asked of a
				w.steady(t, "c")
			})
		})
	}
}

func TestAnOldConnectionIsNoProof(t *testing.T) {
	// Nobody gets in any more, but the monitor's own connection still works.
	c := newCluster("a", "b")
	bubble(t, c, Config{Seeds: []string{"a" + domain}}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("a", barred)
		w.Suspect("a", 1, ReasonConnect)
		w.expect(t, "epoch 2: a writer down, b reader up")
	})
}

func TestDeadInstanceIsLeftAloneWhileOthersAreDoubted(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("c", refusing)
		w.Suspect("c", 1, ReasonConnect)
		pass(time.Second)
		before := c.look("c").dials
		for range 100 {
			w.Suspect("b", 1, ReasonConnectionLost)
			pass(100 * time.Millisecond)
		}
		if n := c.look("c").dials - before; n < 1 || n > 3 {
			t.Errorf("%d dials in 10 s to an instance that is down while there is a writer", n)
		}
	})
}

func TestPromotedWhileTheOldWriterHangs(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("a", silent)
		w.Suspect("a", 1, ReasonSilence)
		pass(350 * time.Millisecond)
		c.promote("b")
		pass(100 * time.Millisecond)
		w.expect(t, "epoch 2: a reader suspect, b writer up")
		pass(600 * time.Millisecond)
		w.expect(t, "epoch 2: a reader down, b writer up")
		w.steady(t, "b")
	})
}

func TestDoubtOvertakesAPollThatHangs(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("a", silent)
		for len(c.look("a").at) == 2 {
			pass(10 * time.Millisecond) // until the steady poll has begun and hangs
		}
		pass(500 * time.Millisecond)
		w.Suspect("a", 1, ReasonSilence)
		pass(1001 * time.Millisecond) // not the rest of that poll, and then some
		w.expect(t, "epoch 2: a writer down, b reader up")
	})
}

func TestSwitchoverWithoutTraffic(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.promote("b") // a stays, as a reader, and so do its connections
		pass(5600 * time.Millisecond)
		w.expect(t, "epoch 3: a reader up, b writer up, c reader up")
		w.steady(t, "b")
	})
}

func TestOldWriterBelievesItself(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("a", refusing)
		w.Suspect("a", 1, ReasonConnectionLost)
		pass(time.Second)
		c.promote("b")
		pass(100 * time.Millisecond)
		w.expect(t, "epoch 3: a reader down, b writer up, c reader up")
		c.do("a", func(s *server) { s.mode, s.believes, s.master = healthy, true, false })
		pass(6 * time.Second)
		w.expect(t, "epoch 3: a unknown up, b writer up, c reader up")
		for range 20 {
			w.Suspect("b", 3, ReasonConnectionLost) // all are asked, a among them
			pass(200 * time.Millisecond)
			w.expect(t, "epoch 3: a unknown up, b writer up, c reader up")
		}
		w.told()
		pass(time.Minute)
		if got := w.told(); len(got) != 0 {
			t.Errorf("events %q", got)
		}
		c.rejoin("a")
		pass(6 * time.Second)
		w.expect(t, "epoch 3: a reader up, b writer up, c reader up")
		w.steady(t, "b")
	})
}

func TestSingleInstanceRestarts(t *testing.T) {
	c := newCluster("a")
	bubble(t, c, Config{Seeds: []string{"a" + domain}}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("a", refusing)
		w.Suspect("a", 1, ReasonConnectionLost)
		pass(8 * time.Second)
		w.expect(t, "epoch 2: a writer down")
		c.set("a", healthy)
		pass(100 * time.Millisecond)
		w.expect(t, "epoch 3: a writer up")
		w.steady(t, "a")
	})
}

func TestReaderLostAndBack(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("c", silent)
		w.Suspect("c", 1, ReasonSilence)
		if w.Snapshot().Writer() == nil {
			t.Error("a reader's doubt took the writer")
		}
		pass(1001 * time.Millisecond)
		w.expect(t, "epoch 1: a writer up, b reader up, c reader down")
		pass(20 * time.Second)
		w.expect(t, "epoch 1: a writer up, b reader up, c reader down")
		c.set("c", healthy)
		pass(6 * time.Second)
		w.expect(t, "epoch 1: a writer up, b reader up, c reader up")
		w.steady(t, "a")
	})
}

func TestFlapping(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		for i := range 40 {
			c.set("a", []mode{refusing, silent}[i%2])
			w.Suspect("a", w.Snapshot().Epoch, Reason(i%5))
			pass(time.Duration(i%7) * 170 * time.Millisecond)
			c.set("a", healthy)
			pass(1200 * time.Millisecond)
			if s := w.Snapshot(); s.Writer() == nil || s.Writer().ID != "a" {
				t.Fatalf("round %d: %s", i, s)
			}
		}
		pass(10 * time.Second)
		w.steady(t, "a")
	})
}

func TestOldSuspicion(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.Suspect("a", 1, ReasonConnectionLost) // before Discover: nothing
		w.discover(t)
		c.set("a", refusing)
		w.Suspect("a", 1, ReasonConnectionLost)
		pass(time.Second)
		c.set("a", healthy)
		pass(time.Second)
		w.expect(t, "epoch 3: a writer up, b reader up")
		w.Suspect("a", 2, ReasonConnectionLost)
		w.Suspect("zz", 3, ReasonConnectionLost)
		if w.Snapshot().Writer() == nil {
			t.Error("a suspicion of an old epoch took the writer")
		}
	})
}

func TestClusterBackUnderOtherNames(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("a", refusing)
		c.set("b", refusing)
		w.Suspect("a", 1, ReasonConnectionLost)
		pass(2 * time.Minute)
		w.expect(t, "epoch 2: a writer down, b reader down")
		c.mu.Lock()
		c.server("a").gone, c.server("b").gone = true, true
		c.servers["x"+domain] = &server{id: "x", addr: "x" + domain, writer: true, master: true}
		c.servers["y"+domain] = &server{id: "y", addr: "y" + domain}
		c.names[endpoint] = "x" + domain
		c.mu.Unlock()
		pass(200 * time.Millisecond)
		w.expect(t, "epoch 3: x writer up, y reader up")
		w.steady(t, "x")
		w.Suspect("x", 3, ReasonConnect) // over its own address from here on
		w.expect(t, "epoch 3: x writer up, y reader up")
		w.steady(t, "x")
	})
}

func TestMembersComeAndGo(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.mu.Lock()
		c.servers["d"+domain] = &server{id: "d", addr: "d" + domain}
		c.server("b").gone = true
		c.mu.Unlock()
		pass(6 * time.Second)
		w.expect(t, "epoch 2: a writer up, d reader up")
		w.steady(t, "a")
	})
}

func TestStaticHosts(t *testing.T) {
	c := newCluster("a", "b", "c")
	c.plain = true
	c.servers["b"+domain].mode = refusing
	seeds := []string{"a" + domain, "b" + domain, "c" + domain, "a" + domain}
	bubble(t, c, Config{Seeds: seeds}, func(t *testing.T, w *watched) {
		w.discover(t)
		const a, b, cc = "a" + domain, "b" + domain, "c" + domain
		w.expect(t, "epoch 1: "+a+" writer up, "+b+" reader down, "+cc+" reader up")
		w.steady(t, "a")
		if q := c.look("a").queries; !slices.Equal(q, []string{autoQuery, readOnlyQuery}) {
			t.Errorf("discovery asked %q", q)
		}
		contains(t, w.log(), "static: server is 10.11.6-MariaDB, which has no aurora_version")
		c.set("b", healthy)
		pass(6 * time.Second)
		w.expect(t, "epoch 1: "+a+" writer up, "+b+" reader up, "+cc+" reader up")
		c.do("a", func(s *server) { s.readOnly = true }) // demoted by somebody
		pass(6 * time.Second)
		w.expect(t, "epoch 2: "+a+" reader up, "+b+" reader up, "+cc+" reader up")
		c.do("a", func(s *server) { s.readOnly = false })
		pass(100 * time.Millisecond)
		w.expect(t, "epoch 3: "+a+" writer up, "+b+" reader up, "+cc+" reader up")
		w.steady(t, "a")
	})
}

func TestStaticReadOnlyFromTheStart(t *testing.T) {
	c := newCluster("a")
	c.plain = true
	c.servers["a"+domain].readOnly = true
	bubble(t, c, Config{Provider: "static", Seeds: []string{"a" + domain}}, func(t *testing.T, w *watched) {
		s := w.discover(t)
		if s.Writer() == nil || !s.Writer().ReadOnly {
			t.Fatalf("%s", s)
		}
		w.Suspect("a"+domain, 1, ReasonReadOnly)
		synctest.Wait()
		if w.Snapshot().Writer() == nil {
			t.Error("its refusals are meant to reach the program")
		}
	})
}

// TestOnDemand: while all is well nothing is asked and there is no connection.
func TestOnDemand(t *testing.T) {
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{Interval: -1}, func(t *testing.T, w *watched) {
		w.discover(t)
		pass(24 * time.Hour)
		if n := len(c.dials()); n != 1 || w.Connections() != 0 {
			t.Errorf("%d dials on the first day, %d connections; want the discovery's alone", n, w.Connections())
		}
		quiet := func() {
			t.Helper()
			pass(time.Minute) // for what is still under way
			before := len(c.dials())
			pass(24 * time.Hour)
			if n := len(c.dials()) - before; n != 0 || w.Connections() != 0 {
				t.Errorf("%d dials, %d connections in a quiet day", n, w.Connections())
			}
		}
		quiet()
		c.set("a", refusing)
		w.Suspect("a", 1, ReasonConnectionLost)
		pass(time.Second)
		c.promote("b")
		pass(100 * time.Millisecond)
		w.expect(t, "epoch 3: a reader down, b writer up, c reader up")
		// One that is down is asked until it is back.
		pass(time.Minute)
		if n := w.Connections(); n != 0 {
			t.Errorf("%d connections", n)
		}
		c.rejoin("a")
		pass(11 * time.Second)
		w.expect(t, "epoch 3: a reader up, b writer up, c reader up")
		quiet()
		c.set("c", refusing)
		if err := w.Probe(t.Context(), "c"); err == nil {
			t.Error("c is there")
		}
		w.expect(t, "epoch 3: a reader up, b writer up, c reader down")
		pass(time.Minute)
		c.rejoin("c")
		pass(11 * time.Second)
		w.expect(t, "epoch 3: a reader up, b writer up, c reader up")
		w.Look()
		quiet()
		w.Recall()
		quiet()
		w.expect(t, "epoch 3: a reader up, b writer up, c reader up")
	})
}
