package topology

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRecall: after a standstill all are asked at once, over fresh connections, and nobody is
// suspected. Polls are so far apart that nothing else could have found out.
func TestRecall(t *testing.T) {
	const far = 24 * time.Hour
	for name, run := range map[string]func(t *testing.T, c *cluster, w *watched){
		"all is as it was": func(t *testing.T, c *cluster, w *watched) {
			before := w.Snapshot().Lookup("b").LagSeen
			pass(time.Second)
			w.Recall()
			if w.Snapshot().Lookup("b").LagKnown {
				t.Error("the old lag counts before anybody was asked")
			}
			synctest.Wait()
			w.expect(t, "epoch 1: a writer up, b reader up, c reader up")
			if in := w.Snapshot().Lookup("b"); !in.LagKnown || !in.LagSeen.After(before) {
				t.Errorf("%+v", in)
			}
			for _, id := range []string{"a", "b", "c"} {
				want := 1
				if id == "a" {
					want = 2
				}
				if n := c.look(id).dials; n != want {
					t.Errorf("%d dials to %s", n, id)
				}
			}
		},
		"the connection of the monitor was forgotten": func(t *testing.T, c *cluster, w *watched) {
			c.set("a", stuck)
			before := time.Now()
			w.Recall()
			synctest.Wait()
			if in := w.Snapshot().Lookup("b"); !in.LagKnown || !in.LagSeen.Equal(before) {
				t.Errorf("nobody could be asked: %+v", in)
			}
			w.expect(t, "epoch 1: a writer up, b reader up, c reader up")
		},
		"another is the writer": func(t *testing.T, c *cluster, w *watched) {
			c.promote("b")
			c.rejoin("a")
			w.Recall()
			pass(w.cfg.IntervalFast) // if the new one was heard first it must say so again
			if s := w.Snapshot(); s.Writer() == nil || s.Writer().ID != "b" || s.Lookup("a").Role != Reader {
				t.Error(s)
			}
		},
		"another is the writer, and the old one a black hole": func(t *testing.T, c *cluster, w *watched) {
			c.set("a", silent)
			pass(time.Second)
			c.promote("c")
			w.Recall()
			pass(w.cfg.Timeout + w.cfg.IntervalFast) // so long the old one has to contradict
			if writer := w.Snapshot().Writer(); writer == nil || writer.ID != "c" {
				t.Error(w.Snapshot())
			}
		},
		"a question was under way": func(t *testing.T, c *cluster, w *watched) {
			c.set("a", stuck)
			pass(far + far/10) // the poll hangs, as if its answer had been lost in the standstill
			c.do("a", func(s *server) { s.mode = healthy })
			w.Recall()
			pass(time.Second)
			w.expect(t, "epoch 1: a writer up, b reader up, c reader up")
			if events := w.told(); len(events) != 0 {
				t.Error(events)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster("a", "b", "c")
			bubble(t, c, Config{Interval: far}, func(t *testing.T, w *watched) {
				w.discover(t)
				pass(time.Minute)
				w.steady(t, "a")
				w.told()
				run(t, c, w)
				pass(2 * time.Second)
				w.steady(t, w.Snapshot().Writer().ID)
			})
		})
	}
	t.Run("before the first connection", func(t *testing.T) {
		bubble(t, newCluster("a"), Config{}, func(t *testing.T, w *watched) {
			w.Recall()
			w.discover(t)
			w.expect(t, "epoch 1: a writer up")
		})
	})
}
