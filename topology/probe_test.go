package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestProbe(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		if err := w.Probe(t.Context(), "a"); err == nil {
			t.Error("no error before Discover")
		}
		w.discover(t)
		before := w.Snapshot().Lookup("b").Verified
		if err := w.Probe(t.Context(), "b"); err != nil {
			t.Error(err)
		}
		if w.Snapshot().Lookup("b").Verified <= before {
			t.Error("the answer was not taken note of")
		}
		w.expect(t, "epoch 1: a writer up, b reader up")
		if n := c.look("b").dials; n != 1 {
			t.Errorf("%d dials, want a fresh connection", n)
		}
		w.steady(t, "a")

		c.set("b", silent)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := w.Probe(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		w.expect(t, "epoch 1: a writer up, b reader up") // the caller's own limit says nothing
		begin := time.Now()
		if err := w.Probe(t.Context(), "b"); err == nil {
			t.Error("no error from a black hole")
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("took %s", d)
		}
		if s := w.Snapshot(); s.Lookup("b").State != StateDown {
			t.Errorf("after Probe failed: %s", s)
		}
		if err := w.Probe(t.Context(), "nobody"); err == nil {
			t.Error("no error for an instance that is not there")
		}
		w.Close()
		if err := w.Probe(t.Context(), "a"); err == nil {
			t.Error("no error after Close")
		}
	})
}

func TestProbeOfTheWriter(t *testing.T) {
	// The silence detector probes while the monitor's own connection is open, too.
	c := newCluster("a", "b")
	synctest.Test(t, func(t *testing.T) {
		c.changed = make(chan struct{})
		m, err := NewMonitor(Config{Seeds: []string{endpoint}, Dial: c.dial, Explain: explain, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if _, err := m.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.set("a", busy)
		if err := m.Probe(t.Context(), "a"); err != nil {
			t.Errorf("too many connections is a sign of life: %v", err)
		}
		if m.Snapshot().Writer() == nil {
			t.Errorf("%s", m.Snapshot())
		}
		c.set("a", stuck)
		if err := m.Probe(t.Context(), "a"); err != nil || m.Snapshot().Writer() == nil {
			t.Errorf("%v: a fresh connection works: %s", err, m.Snapshot())
		}
		c.set("a", refusing)
		if err := m.Probe(t.Context(), "a"); !errors.Is(err, errRefused) || m.Snapshot().Writer() != nil {
			t.Errorf("%v: %s", err, m.Snapshot())
		}
	})
}

func TestServerThatAnswersIsNotDead(t *testing.T) {
	for name, m := range map[string]mode{"too many connections": busy, "the grant was revoked": forbidden} {
		t.Run(name, func(t *testing.T) {
			c := newCluster("a", "b")
			bubble(t, c, Config{Provider: "aurora"}, func(t *testing.T, w *watched) {
				w.discover(t)
				w.told()
				c.do("a", func(s *server) { s.mode = m })
				w.Suspect("a", 1, ReasonConnect)
				before := c.look("a").dials
				pass(20 * time.Second)
				w.expect(t, "epoch 1: a writer suspect, b reader up")
				if n := c.look("a").dials - before; n > 25 {
					t.Errorf("%d logins in 20 s at a server that refuses them", n)
				}
				if n := strings.Count(w.log(), "level=WARN") - strings.Count(w.log(), "writer lost"); n != 1 {
					t.Errorf("%d warnings, want one:\n%s", n, w.log())
				}
				contains(t, w.log(), "answers, but not the monitor")
				c.set("a", healthy)
				pass(6 * time.Second)
				w.expect(t, "epoch 1: a writer up, b reader up")
			})
		})
	}
}

func TestSteadyPollRefused(t *testing.T) {
	// The steady connection is lost and the server is full: that is no failover.
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		c.set("a", refusing) // resets
		pass(100 * time.Millisecond)
		c.set("a", busy)
		c.do("a", func(*server) {})
		pass(30 * time.Second)
		w.expect(t, "epoch 1: a writer up, b reader up")
		c.set("a", healthy)
		pass(12 * time.Second)
		w.steady(t, "a")
	})
}

func TestVerify(t *testing.T) {
	c := newCluster("a", "b")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		if _, err := w.Verify(t.Context(), nil, "a", Writer); err != nil {
			t.Errorf("before Discover: %v", err)
		}
		w.discover(t)
		conn, err := c.dial(t.Context(), "b"+domain)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, tc := range []struct {
			id   string
			role Role
			want string
		}{
			{"b", Reader, ""},
			{"b", Writer, "wanted b as writer, found b as reader"},
			{"a", Writer, "wanted a as writer, found b as reader"},
			{"zz", Reader, "zz is no instance of the cluster any more"},
		} {
			_, err := w.Verify(t.Context(), conn, tc.id, tc.role)
			if tc.want == "" {
				if err != nil {
					t.Errorf("%s as %s: %v", tc.id, tc.role, err)
				}
				continue
			}
			if !errors.Is(err, ErrIdentity) {
				t.Errorf("%s as %s: %v", tc.id, tc.role, err)
				continue
			}
			contains(t, err.Error(), tc.want)
		}
	})
}

func TestCloseDuringEverything(t *testing.T) {
	for name, during := range map[string]func(t *testing.T, c *cluster, w *watched){
		"nothing": func(*testing.T, *cluster, *watched) {},
		"discovery": func(t *testing.T, c *cluster, w *watched) {
			c.set("a", silent)
			go w.Discover(t.Context())
		},
		"steady": func(t *testing.T, _ *cluster, w *watched) { w.discover(t) },
		"steady poll": func(t *testing.T, c *cluster, w *watched) {
			w.discover(t)
			c.set("a", silent)
			pass(5600 * time.Millisecond)
		},
		"fast polling": func(t *testing.T, c *cluster, w *watched) {
			w.discover(t)
			c.set("a", silent)
			c.do("b", func(s *server) { s.delay = 50 * time.Millisecond })
			w.Suspect("a", 1, ReasonSilence)
			pass(230 * time.Millisecond)
		},
		"probe": func(t *testing.T, c *cluster, w *watched) {
			w.discover(t)
			c.set("b", silent)
			go w.Probe(t.Context(), "b")
		},
		"news": func(t *testing.T, c *cluster, w *watched) {
			w.discover(t)
			c.set("a", refusing)
			w.Suspect("a", 1, ReasonConnectionLost)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster("a", "b")
			bubble(t, c, Config{}, func(t *testing.T, w *watched) {
				during(t, c, w)
				synctest.Wait()
				begin := time.Now()
				var closing sync.WaitGroup
				for range 3 {
					closing.Go(w.Close)
				}
				closing.Wait()
				if d := time.Since(begin); d != 0 {
					t.Errorf("Close took %s", d)
				}
				if _, err := w.Discover(t.Context()); err == nil && name != "nothing" && w.Snapshot() == nil {
					t.Error("Discover works after Close")
				}
				w.Suspect("a", 9, ReasonConnectionLost)
				dials := len(c.dials())
				pass(time.Minute)
				if n := len(c.dials()); n != dials {
					t.Errorf("%d dials after Close", n-dials)
				}
			})
		})
	}
}

func TestHooksInOrderUnderLoad(t *testing.T) {
	// Real goroutines, for the race detector: many report, some look, one closes.
	c := newCluster("a", "b", "c")
	var mu sync.Mutex
	var last *Snapshot
	m, err := NewMonitor(Config{
		Seeds: []string{endpoint}, Dial: c.dial, Explain: explain, Interval: 2 * time.Millisecond, IntervalFast: time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
		Hooks: Hooks{SnapshotChanged: func(old, new *Snapshot, _ []Event) {
			mu.Lock()
			defer mu.Unlock()
			if last != nil && (old.Version != last.Version || new.Version != cmpVersion(old, new) || new.Epoch < old.Epoch) {
				t.Errorf("%d, %d after %d", old.Version, new.Version, last.Version)
			}
			last = new
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	var load sync.WaitGroup
	for i := range 8 {
		load.Go(func() {
			for n := range 300 {
				s := m.Snapshot()
				id := string(rune('a' + (i+n)%3))
				m.Suspect(id, s.Epoch, Reason(n%5))
				if w := m.Snapshot().Writer(); w != nil && w.Role != Writer {
					t.Errorf("%+v", w)
				}
				if n%50 == i {
					_ = m.Probe(t.Context(), id)
				}
				if n%100 == 99 {
					c.set(id, []mode{refusing, healthy}[n/100%2])
				}
			}
		})
	}
	load.Wait()
	m.Close()
	m.Close()
}

func TestHotPathAllocatesNothing(t *testing.T) {
	m, err := NewMonitor(Config{Seeds: []string{"a"}, Dial: func(context.Context, string) (Conn, error) { return nil, errRefused }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := first("test", nil)
	for i := range 16 {
		id := fmt.Sprintf("i%02d", i)
		s, _ = step(s, observation{kind: answered, addr: id, ticket: uint64(i + 1), report: Report{ID: id, Role: Writer - Role(min(i, 1))}})
	}
	m.snapshot.Store(s)
	if n := testing.AllocsPerRun(100, func() {
		s := m.Snapshot()
		if s.Writer() == nil || s.Lookup("i00") == nil {
			t.Fatal(s)
		}
		m.Suspect("i00", 0, ReasonConnectionLost) // of an old epoch
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
