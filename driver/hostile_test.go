package driver

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// TestHostileRows: a table of instances with names that are none leads nobody astray. They
// are not dialled, not even resolved, and no log has them as they came.
func TestHostileRows(t *testing.T) {
	const canary = "EVIL"
	hostile := []string{
		canary + "'; DROP TABLE t; --", canary + "\"\nlevel=ERROR msg=forged", canary + "\r\n\x1b[31m", strings.Repeat(canary, 2500),
		canary + ".example.com", canary + ".example.com:3306/", "x@" + canary, "../" + canary, canary + "?", canary + "%00", "\u202e" + canary, "-" + canary, "",
	}
	bubble(t, "", func(r *rig) {
		r.sim.ForgeRows(hostile...)
		var mu sync.Mutex
		var dialled []string
		var log bytes.Buffer
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			dialled = append(dialled, addr)
			mu.Unlock()
			return r.sim.DialContext(ctx, network, addr)
		}
		cfg, err := ParseDSN("u:secret@tcp(" + r.sim.Endpoint() + ")/shop")
		r.must(err)
		c, err := NewConnector(cfg, WithDialer(dial), WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		r.must(err)
		p := &rig{T: r.T, sim: r.sim, script: r.script, c: c, db: sql.OpenDB(c)}
		p.must(p.exec(p.db, insert))
		p.failover(aurorasim.Kill) // so that everybody is asked who is on the list
		p.must(p.exec(p.db, insert))
		time.Sleep(time.Minute)
		if s := c.Snapshot(); len(s.Instances) != 3 || strings.Contains(s.String(), canary) {
			r.Errorf("%.300s", s)
		}
		p.must(p.db.Close())
		for _, addr := range dialled {
			if strings.Contains(addr, canary) || !strings.HasSuffix(addr, ".us-east-1.rds.amazonaws.com:3306") {
				r.Errorf("dialled %.100q", addr)
			}
		}
		if text := log.String(); strings.Contains(text, canary) || strings.Contains(text, "forged") || strings.Count(text, "cannot be host names") != 1 {
			r.Errorf("logged %.2000s", text)
		}
	})
}
