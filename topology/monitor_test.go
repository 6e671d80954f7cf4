package topology

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// story records what the hooks told.
type story struct {
	mu     sync.Mutex
	events []EventKind
	last   *Snapshot
	broken string
}

func (s *story) hooks() Hooks {
	return Hooks{SnapshotChanged: func(old, new *Snapshot, events []Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.last != nil && old != s.last {
			s.broken = "a change was told out of order"
		}
		s.last = new
		for _, e := range events {
			s.events = append(s.events, e.Kind)
		}
	}}
}

func (s *story) told(kind EventKind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.events, kind)
}

// until waits in fake time, in small steps, for a condition; it returns how long it took.
func until(t *testing.T, what string, condition func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !condition() {
		if time.Since(start) > time.Minute {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
	}
	return time.Since(start)
}

func TestMonitor(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, c *cluster, m *Monitor, s *story){
		"steady: one connection, one question an interval": func(t *testing.T, c *cluster, m *Monitor, _ *story) {
			time.Sleep(time.Minute)
			if n := c.connections(); n != 1 || m.Connections() != 1 {
				t.Errorf("%d connections, %d by its own count", n, m.Connections())
			}
			if q := c.count(c.queries, auroraQuery); q < 11 || q > 16 {
				t.Errorf("%d polls in a minute", q)
			}
			if c.count(c.queries, autoQuery) != 1 {
				t.Errorf("%d questions to decide", c.count(c.queries, autoQuery))
			}
		},
		"killed and promoted": func(t *testing.T, c *cluster, m *Monitor, s *story) {
			c.change(func() { c.down["i-1"] = true; c.writer = "" })
			m.Suspect("i-1", 1, ReasonConnectionLost)
			if m.Snapshot().Writer() != nil {
				t.Error("the suspect is usable")
			}
			time.Sleep(3 * time.Second)
			c.change(func() { c.writer = "i-2" })
			took := until(t, "i-2 is the writer", func() bool { w := m.Snapshot().Writer(); return w != nil && w.ID == "i-2" })
			if took > 101*time.Millisecond {
				t.Errorf("took %s", took)
			}
			until(t, "the other connections are closed", func() bool { return c.connections() == 1 })
			for _, id := range []string{"i-2", "i-3"} {
				if most := c.count(c.most, id); most > 1 {
					t.Errorf("%d connections to %s at a time", most, id)
				}
			}
			if in := m.Snapshot().Lookup("i-1"); in.State != StateDown {
				t.Errorf("i-1 is %s", in.State)
			}
			c.change(func() { delete(c.down, "i-1") })
			until(t, "i-1 is back", func() bool { return m.Snapshot().Lookup("i-1").State == StateUp })
			if !s.told(WriterChanged) || !s.told(InstanceDown) || s.broken != "" {
				t.Errorf("told %v %s", s.events, s.broken)
			}
		},
		"a frozen instance delays nobody": func(t *testing.T, c *cluster, m *Monitor, _ *story) {
			c.change(func() { c.frozen["i-1"] = true; c.writer = "i-3" })
			m.Suspect("i-1", 1, ReasonSilence)
			took := until(t, "i-3 is the writer", func() bool { w := m.Snapshot().Writer(); return w != nil && w.ID == "i-3" })
			if took > 10*time.Millisecond {
				t.Errorf("took %s", took)
			}
			took = until(t, "i-1 is down", func() bool { return m.Snapshot().Lookup("i-1").State == StateDown })
			if took > time.Second+10*time.Millisecond {
				t.Errorf("took %s", took)
			}
		},
		"a dropped connection of the monitor's own is no failover": func(t *testing.T, c *cluster, m *Monitor, s *story) {
			c.change(func() { c.down["i-1"] = true }) // its connection notices at the next poll only
			c.change(func() { delete(c.down, "i-1") })
			before := c.count(c.dials, "i-1")
			c.change(func() { c.frozen["i-1"] = true })
			time.Sleep(5500 * time.Millisecond) // a poll begins and waits
			c.change(func() { delete(c.frozen, "i-1") })
			time.Sleep(20 * time.Second)
			if m.Snapshot().Epoch != 1 || s.told(WriterLost) {
				t.Errorf("%s, dials before %d, after %d", m.Snapshot(), before, c.count(c.dials, "i-1"))
			}
		},
		"a false alarm is over after one probe": func(t *testing.T, c *cluster, m *Monitor, _ *story) {
			m.Suspect("i-1", 1, ReasonConnectionLost)
			if took := until(t, "it is up", func() bool { return m.Snapshot().Writer() != nil }); took > 2*time.Millisecond {
				t.Errorf("took %s", took)
			}
			if m.Snapshot().Epoch != 1 {
				t.Error("epoch changed")
			}
			until(t, "one connection", func() bool { return c.connections() == 1 })
		},
		"a storm of suspicions is no storm of probes": func(t *testing.T, c *cluster, m *Monitor, _ *story) {
			c.change(func() { c.down["i-1"] = true; c.writer = "" })
			before := c.count(c.dials, "i-1")
			for range 1000 {
				m.Suspect("i-1", 1, ReasonConnect)
				time.Sleep(time.Millisecond)
			}
			if n := c.count(c.dials, "i-1") - before; n > 12 {
				t.Errorf("%d dials in a second", n)
			}
		},
		"a switchover without traffic is seen by the steady poll": func(t *testing.T, c *cluster, m *Monitor, _ *story) {
			c.change(func() { c.writer = "i-2" })
			took := until(t, "i-2 is the writer", func() bool { w := m.Snapshot().Writer(); return w != nil && w.ID == "i-2" })
			if took > 5600*time.Millisecond {
				t.Errorf("took %s", took)
			}
		},
		"verify": func(t *testing.T, c *cluster, m *Monitor, _ *story) {
			conn, err := c.dial(t.Context(), "i-2"+domain)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := m.Verify(t.Context(), conn, "i-2", Reader); err != nil {
				t.Error(err)
			}
			for id, role := range map[string]Role{"i-1": Writer, "i-2": Writer, "gone": Reader} {
				if err := m.Verify(t.Context(), conn, id, role); !errors.Is(err, ErrIdentity) {
					t.Errorf("%s as %s: %v", id, role, err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := newCluster(t), &story{}
				m := c.monitor(s.hooks())
				defer m.Close()
				if _, err := m.Discover(t.Context()); err != nil {
					t.Fatal(err)
				}
				if w := m.Snapshot().Writer(); w == nil || w.ID != "i-1" || w.Addr != "i-1"+domain {
					t.Fatalf("found %s", m.Snapshot())
				}
				synctest.Wait()
				test(t, c, m, s)
				m.Close()
				if n := c.connections(); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}

func TestDiscover(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, c *cluster){
		"through a reader": func(t *testing.T, c *cluster) {
			c.seeds[endpoint] = "i-3"
			m := c.monitor(Hooks{})
			defer m.Close()
			if s, err := m.Discover(t.Context()); err != nil || s.Writer() != nil {
				t.Fatal(s, err)
			}
			until(t, "the writer is found", func() bool { return m.Snapshot().Writer() != nil })
		},
		"refused, and fine the next time": func(t *testing.T, c *cluster) {
			c.down["i-1"] = true
			m := c.monitor(Hooks{})
			defer m.Close()
			if _, err := m.Discover(t.Context()); !errors.Is(err, errRefused) {
				t.Errorf("got %v", err)
			}
			c.change(func() { delete(c.down, "i-1") })
			if _, err := m.Discover(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"one attempt for all who ask, each within its own time": func(t *testing.T, c *cluster) {
			c.frozen["i-1"] = true
			m := c.monitor(Hooks{})
			defer m.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			for range 10 {
				if _, err := m.Discover(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			}
			if c.count(c.dials, "i-1") != 1 {
				t.Errorf("%d dials", c.count(c.dials, "i-1"))
			}
		},
		"no Aurora": func(t *testing.T, c *cluster) {
			c.aurora = false
			m := c.monitor(Hooks{})
			defer m.Close()
			s, err := m.Discover(t.Context())
			if err != nil || s.Provider != "static" || s.Writer() == nil || s.Writer().Addr != endpoint {
				t.Fatal(s, err)
			}
		},
		"Aurora whose table may not be read": func(t *testing.T, c *cluster) {
			c.denied = true
			m := c.monitor(Hooks{})
			defer m.Close()
			s, err := m.Discover(t.Context())
			if err != nil || s.Provider != "static" {
				t.Fatal(s, err)
			}
		},
		"closed": func(t *testing.T, c *cluster) {
			m := c.monitor(Hooks{})
			m.Close()
			m.Close()
			if _, err := m.Discover(t.Context()); err == nil {
				t.Error("no error")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newCluster(t)) })
		})
	}
}

func TestInstanceHost(t *testing.T) {
	for host, want := range map[string]string{
		"c.cluster-abc.eu-west-1.rds.amazonaws.com":        "?.abc.eu-west-1.rds.amazonaws.com",
		"c.cluster-ro-abc.eu-west-1.rds.amazonaws.com":     "?.abc.eu-west-1.rds.amazonaws.com",
		"c.cluster-custom-abc.eu-west-1.rds.amazonaws.com": "?.abc.eu-west-1.rds.amazonaws.com",
		"i.abc.eu-west-1.rds.amazonaws.com":                "?.abc.eu-west-1.rds.amazonaws.com",
		"c.cluster-abc.cn-north-1.rds.amazonaws.com.cn":    "?.abc.cn-north-1.rds.amazonaws.com.cn",
		"C.CLUSTER-ABC.eu-west-1.rds.amazonaws.com.":       "?.abc.eu-west-1.rds.amazonaws.com",
		"db.example.com": "",
		"127.0.0.1":      "",
		"c.cluster-abc.eu-west-1.rds.amazonaws.com.example.org": "",
	} {
		if got := instanceHost(host); got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

func TestHostileIDs(t *testing.T) {
	for _, id := range []string{"", "a b", "a.evil.example", "a'b", "a\nb", "a/b", "a:1", "?", string(make([]byte, 10000))} {
		if validID(id) {
			t.Errorf("%.20q is taken for an instance's id", id)
		}
	}
}
