package topology

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestListen checks what a silent instance is taken for, and when.
func TestListen(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(c *cluster)
		want map[time.Duration]string // at this time after the silence was noticed
	}{
		"it answers": {func(*cluster) {}, map[time.Duration]string{0: "epoch 1: a writer up, b reader up"}},
		"it answers slowly": {func(c *cluster) { c.do("a", func(s *server) { s.delay = 200 * time.Millisecond }) }, map[time.Duration]string{
			600 * time.Millisecond: "epoch 1: a writer up, b reader up",
		}},
		"it is full": {func(c *cluster) { c.set("a", busy) }, map[time.Duration]string{2 * time.Second: "epoch 1: a writer up, b reader up"}},
		"it is dead": {func(c *cluster) { c.set("a", silent) }, map[time.Duration]string{
			499 * time.Millisecond: "epoch 1: a writer up, b reader up",
			501 * time.Millisecond: "epoch 1: a writer suspect, b reader up",
			999 * time.Millisecond: "epoch 1: a writer suspect, b reader up",
			time.Second:            "epoch 2: a writer down, b reader up",
		}},
		"it is dead, and another one was promoted": {func(c *cluster) { c.set("a", silent); c.promote("b") }, map[time.Duration]string{
			501 * time.Millisecond: "epoch 2: a reader suspect, b writer up",
			time.Second:            "epoch 2: a reader down, b writer up",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			// Of its own, as the probe comes on top of the monitor's own connection.
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
				test.set(c)
				begin := time.Now()
				for range 5 { // more of the same is one probe
					m.Silence("a", 1)
				}
				for _, at := range slices.Sorted(maps.Keys(test.want)) {
					time.Sleep(at - time.Since(begin))
					synctest.Wait()
					if got := m.Snapshot().String(); got != test.want[at] {
						t.Errorf("after %s: %s, want %s", at, got, test.want[at])
					}
				}
				if n := c.look("a").most; n > 2 {
					t.Errorf("%d connections at a time", n)
				}
				m.Close()
				m.Silence("a", 1)
				if n := m.Connections(); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}
