package topology

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestChaos lets everything happen at once: slow answers, instances that die, freeze,
// come back and believe things, promotions, doubts. When it is over and the cluster is
// well, the monitor must find the writer soon and be quiet.
func TestChaos(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			c := newCluster("a", "b", "c")
			bubble(t, c, Config{}, func(t *testing.T, w *watched) {
				w.discover(t)
				slow := time.Duration(r.IntN(4)) * 500 * time.Millisecond
				c.mu.Lock()
				c.names[endpoint] = "nowhere" // seeds are asked beside instances when all are down
				c.stall = func() time.Duration { return rand.N(slow + 1) }
				c.noise = func() time.Duration { return rand.N(200*time.Millisecond) - 100*time.Millisecond }
				c.mu.Unlock()
				for range 30 {
					c.trouble(r)
					for range r.IntN(4) {
						s := w.Snapshot()
						w.Suspect([]string{"a", "b", "c"}[r.IntN(3)], s.Epoch-min(s.Epoch, uint64(r.IntN(3))), Reason(r.IntN(5)))
					}
					pass(time.Duration(r.IntN(3000)) * time.Millisecond)
				}
				c.calm(r)
				pass(13 * time.Second) // two polls and what was under way before
				s := w.Snapshot()
				if s.Writer() == nil || !c.look(s.Writer().ID).writer {
					t.Fatalf("in the end: %s", s)
				}
				w.steady(t, s.Writer().ID)
				for _, in := range s.Instances {
					if in.State != StateUp || in.Role == Unknown {
						t.Errorf("in the end: %s", s)
					}
				}
				w.told()
				pass(time.Minute)
				if got := w.told(); len(got) != 0 {
					t.Errorf("no quiet: %q", got)
				}
			})
		})
	}
}

// trouble does one thing to the cluster.
func (c *cluster) trouble(r *rand.Rand) {
	id := []string{"a", "b", "c"}[r.IntN(3)]
	switch r.IntN(6) {
	case 0:
		c.set(id, mode(r.IntN(int(busy)+1)))
	case 1:
		c.set(id, healthy)
	case 2:
		c.rejoin(id)
	case 3:
		c.promote(id)
	case 4:
		c.do(id, func(s *server) { s.mode, s.believes, s.master = healthy, true, false })
	case 5:
		if s := c.look(id); s.writer {
			c.set(id, []mode{refusing, silent}[r.IntN(2)])
		}
	}
}

// calm makes the cluster well.
func (c *cluster) calm(r *rand.Rand) {
	c.mu.Lock()
	c.stall, c.noise = nil, nil
	c.mu.Unlock()
	for _, id := range []string{"a", "b", "c"} {
		c.rejoin(id)
	}
	c.promote([]string{"a", "b", "c"}[r.IntN(3)])
}
