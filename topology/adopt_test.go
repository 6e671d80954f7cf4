package topology

import (
	"context"
	"testing"
	"time"
)

// TestWriterKilledAtTheStart: the writer dies while the connection of the discovery is given away,
// so that the one which the monitor makes for itself comes to nothing.
func TestWriterKilledAtTheStart(t *testing.T) {
	c := newCluster("a", "b")
	const name = "db.example.com:3306" // nothing that a deployment could belong to
	c.names[name] = "a" + domain
	var w *watched
	cfg := Config{Seeds: []string{name}, InstanceHost: "?" + domain}
	cfg.Adopt = func(_ context.Context, conn Conn, _ Found) bool {
		_ = conn.Close()
		c.set("a", refusing)
		w.Suspect("a", 1, ReasonConnectionLost)
		return true
	}
	bubble(t, c, cfg, func(t *testing.T, watched *watched) {
		w = watched
		w.discover(t)
		pass(w.cfg.IntervalFast)
		w.expect(t, "epoch 2: a writer down, b reader up")
		c.promote("b")
		pass(time.Second)
		w.expect(t, "epoch 3: a reader down, b writer up")
		w.steady(t, "b")
	})
}
