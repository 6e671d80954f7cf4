package topology

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDiscoverErrors(t *testing.T) {
	a, b := "a"+domain, "b"+domain
	c := newCluster("a", "b")
	bubble(t, c, Config{Seeds: []string{a, b, "nowhere:3306"}}, func(t *testing.T, w *watched) {
		c.set("a", refusing)
		c.set("b", refusing)
		_, err := w.Discover(t.Context())
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "failoverproxy: cannot connect to "+a+": connection refused; cannot connect to "+b, "nowhere:3306: no such host")
		if !errors.Is(err, errRefused) {
			t.Errorf("%v does not lead to its causes", err)
		}
		synctest.Wait()
		if w.Snapshot() != nil || w.Connections() != 0 {
			t.Error("a failed Discover left something behind")
		}
		pass(time.Minute)
		if n := len(c.dials()); n != 3 {
			t.Errorf("%d dials after a failed Discover", n)
		}
		c.set("b", healthy)
		w.discover(t)
		w.expect(t, "epoch 1: a unknown down, b reader up")
		c.promote("b")
		pass(100 * time.Millisecond)
		w.expect(t, "epoch 2: a reader down, b writer up")
	})
}

func TestDiscoverIsOneFlight(t *testing.T) {
	c := newCluster("a")
	c.servers["a"+domain].delay = time.Second
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() {
				ctx := t.Context()
				if i%2 == 0 { // some lose patience, which is nothing to the others
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
					defer cancel()
				}
				s, err := w.Discover(ctx)
				if i%2 == 0 && (!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), endpoint)) {
					t.Errorf("impatient: %v, %v", s, err)
				}
				if i%2 == 1 && (err != nil || s.Writer().ID != "a") {
					t.Errorf("patient: %v, %v", s, err)
				}
			})
		}
		calls.Wait()
		if n := len(c.dials()); n != 1 {
			t.Errorf("%d dials", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if s, err := w.Discover(ctx); err != nil || s == nil {
			t.Errorf("with a snapshot at hand: %v, %v", s, err)
		}
	})
}

func TestDiscoverCancelled(t *testing.T) {
	c := newCluster("a")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		c.set("a", silent)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := w.Discover(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want the context's own error", err)
		}
		begin := time.Now()
		_, err := w.Discover(t.Context())
		if err == nil {
			t.Fatal("no error from a black hole")
		}
		contains(t, err.Error(), "no answer within 10s", endpoint)
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("took %s", d)
		}
	})
}

func TestDiscoverStagger(t *testing.T) {
	a, b, cc := "a"+domain, "b"+domain, "c"+domain
	c := newCluster("a", "b", "c")
	bubble(t, c, Config{Seeds: []string{a, b, cc}}, func(t *testing.T, w *watched) {
		c.set("a", silent)
		begin := time.Now()
		w.discover(t)
		if d := time.Since(begin); d != stagger {
			t.Errorf("took %s, want the head start of the first host", d)
		}
		if d := c.dials()[:2]; !slices.Equal(d, []string{a, b}) {
			t.Errorf("dialled %q", d)
		}
		pass(1001 * time.Millisecond)
		w.expect(t, "epoch 1: a unknown down, b reader up, c reader up")
	})
}

func TestDiscoverThroughAReader(t *testing.T) {
	c := newCluster("a", "b")
	c.names[endpoint] = "b" + domain // an old DNS entry
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		s := w.discover(t)
		if s.Writer() != nil {
			t.Errorf("a writer that was not asked: %s", s)
		}
		w.expect(t, "epoch 2: a writer up, b reader up")
		w.steady(t, "a")
	})
}

func TestAutoDecides(t *testing.T) {
	for name, tc := range map[string]struct {
		mode     mode
		plain    bool
		seed     string // "" is the cluster endpoint
		provider string
		log      []string
		warnings int
	}{
		"cluster endpoint":     {provider: "aurora", log: []string{"aurora: its endpoint has the form of Aurora's, and it lists its instances as Aurora does"}},
		"instance endpoint":    {seed: "a" + domain, provider: "aurora", log: []string{"aurora: server is Aurora 3.08.2"}},
		"MariaDB":              {plain: true, provider: "static", log: []string{"static: server is 10.11.6-MariaDB, which has no aurora_version"}},
		"view denied":          {mode: forbidden, provider: "static", log: []string{"SELECT command denied", "GRANT PROCESS", "replica_host_status"}, warnings: 1},
		"view missing":         {mode: viewless, provider: "static", log: []string{"unknown table", "replica_host_status"}, warnings: 1},
		"view denied, explain": {mode: forbidden, provider: "static", log: []string{"but its instances cannot be listed"}, warnings: 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster("a")
			c.plain = tc.plain
			c.servers["a"+domain].mode = tc.mode
			bubble(t, c, Config{Seeds: []string{cmp.Or(tc.seed, endpoint)}}, func(t *testing.T, w *watched) {
				s := w.discover(t)
				if s.Provider != tc.provider || s.Writer() == nil {
					t.Errorf("%s: %s", s.Provider, s)
				}
				pass(time.Minute)
				contains(t, w.log(), tc.log...)
				if n := strings.Count(w.log(), "level=WARN"); n != tc.warnings {
					t.Errorf("%d warnings, want %d:\n%s", n, tc.warnings, w.log())
				}
				if n := strings.Count(w.log(), "topology chosen"); n != 1 {
					t.Errorf("said %d times what was chosen", n)
				}
				var chosen int
				for _, text := range w.told() {
					if strings.HasPrefix(text, "topology chosen: "+tc.provider) {
						chosen++
					}
				}
				if chosen != 1 {
					t.Errorf("%d events of the choice", chosen)
				}
			})
		})
	}
}

func TestAuroraWithoutTheViewIsAnError(t *testing.T) {
	for m, want := range map[mode][]string{
		forbidden: {"the user may not read information_schema.replica_host_status", "GRANT PROCESS", "fpTopology=static"},
		viewless:  {"there is no information_schema.replica_host_status", "fpTopology=static"},
	} {
		c := newCluster("a")
		c.servers["a"+domain].mode = m
		t.Run(want[0], func(t *testing.T) {
			bubble(t, c, Config{Provider: "aurora"}, func(t *testing.T, w *watched) {
				_, err := w.Discover(t.Context())
				if err == nil {
					t.Fatal("no error")
				}
				contains(t, err.Error(), append(want, endpoint)...)
				c.set("a", healthy) // a later fix works
				w.discover(t)
				w.expect(t, "epoch 1: a writer up")
			})
		})
	}
}

func TestAuroraUnderAnotherName(t *testing.T) {
	c := newCluster("a")
	c.names["db.example.com:3306"] = "a" + domain
	seeds := []string{"db.example.com:3306"}
	t.Run("pattern cannot be derived", func(t *testing.T) {
		bubble(t, c, Config{Seeds: seeds}, func(t *testing.T, w *watched) {
			_, err := w.Discover(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			contains(t, err.Error(), "set fpInstanceHost", "db.example.com:3306")
		})
	})
	t.Run("wrong pattern", func(t *testing.T) {
		bubble(t, c, Config{Seeds: seeds, InstanceHost: "?.example.org"}, func(t *testing.T, w *watched) {
			s := w.discover(t)
			if s.Writer().Addr != "a.example.org:3306" {
				t.Errorf("%+v", s.Writer())
			}
			w.Suspect("a", 1, ReasonConnect) // as the pool finds
			w.expect(t, "epoch 2: a writer down")
			pass(time.Second) // that the name of the DSN still leads there does not make it usable
			w.expect(t, "epoch 2: a writer down")
			contains(t, w.log(), "no such host", "no probe has reached its address a.example.org:3306 yet, which fpInstanceHost makes")
		})
	})
}

func TestHostileIDs(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	hostile := []string{"b.evil.example", "b'; DROP", "b\nlevel=ERROR", `b"`, long, "", "-b", "b-", "a@evil", "x/../y", "é"}
	c := newCluster("a", "b")
	for _, id := range hostile {
		c.extra = append(c.extra, []driver.Value{[]byte(id), []byte("s"), []byte("2000-01-01 00:00:00"), nil, nil})
	}
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		w.discover(t)
		w.expect(t, "epoch 1: a writer up, b reader up")
		pass(time.Minute)
		if n := strings.Count(w.log(), "cannot be host names"); n != 1 {
			t.Errorf("%d warnings:\n%s", n, w.log())
		}
		for _, text := range append(w.told(), w.log(), strings.Join(c.dials(), " ")) {
			for _, bad := range []string{"evil", "DROP", "xxxxxxxx", "level=ERROR", "é"} {
				if strings.Contains(text, bad) {
					t.Errorf("%q was used or written: %.200s", bad, text)
				}
			}
		}
	})
}

func TestHostileServerID(t *testing.T) {
	c := newCluster("a\nlevel=ERROR")
	bubble(t, c, Config{}, func(t *testing.T, w *watched) {
		_, err := w.Discover(t.Context())
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "an impossible id of 13 bytes")
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("written raw: %q", err)
		}
	})
}

// TestStaticBarred: a host of the DSN that never lets the monitor in is asked less and less often, and
// the writer no more often for it.
func TestStaticBarred(t *testing.T) {
	c := newCluster("a", "b")
	c.server("b").mode = busy
	bubble(t, c, Config{Provider: "static", Seeds: []string{"a" + domain, "b" + domain}}, func(t *testing.T, w *watched) {
		w.discover(t)
		pass(5 * time.Minute)
		if asked, dialled := len(c.look("a").queries), c.look("b").dials; asked > 70 || dialled > 70 {
			t.Errorf("the writer was asked %d times, the other one dialled %d times", asked, dialled)
		}
		w.steady(t, "a")
		c.set("b", healthy)
		pass(11 * time.Second)
		w.expect(t, "epoch 1: a"+domain+" writer up, b"+domain+" reader up")
	})
}
