package driver

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// meter counts how many are at something at a time.
type meter struct{ now, most atomic.Int64 }

func (m *meter) enter() {
	n := m.now.Add(1)
	for most := m.most.Load(); n > most && !m.most.CompareAndSwap(most, n); most = m.most.Load() {
	}
}

func (m *meter) leave() { m.now.Add(-1) }

// TestGateDrain: a thousand statements wait. When there is a writer again they do not fall
// upon it all at once, and they go in the order in which they came, more or less.
func TestGateDrain(t *testing.T) {
	const waiting, size, concurrency = 1000, 25, 10
	var dials, executing meter
	slow := func(sim *aurorasim.Cluster) func(ctx context.Context, network, addr string) (net.Conn, error) {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.enter()
			defer dials.leave()
			time.Sleep(5 * time.Millisecond)
			return sim.DialContext(ctx, network, addr)
		}
	}
	bubble(t, "", func(r *rig) {
		cfg := r.c.cluster.cfg.Clone()
		cfg.ProbeInterval, cfg.StallTimeout = time.Hour, time.Hour
		c, err := NewConnector(cfg, WithDialer(slow(r.sim)), WithLogger(slog.New(slog.DiscardHandler)))
		r.must(err)
		db := sql.OpenDB(c)
		defer db.Close()
		var mu sync.Mutex
		var order []int64
		r.script.OnFunc("INSERT INTO t VALUES (?)", func(_ context.Context, call fakemysql.Call) fakemysql.Reply {
			executing.enter()
			defer executing.leave()
			time.Sleep(2 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			order = append(order, call.Args[0].(int64))
			return fakemysql.OK(1, 0)
		})
		r.must(r.exec(db, insert))
		done := r.background(aurorasim.Kill)
		r.must(r.read(db)()) // it is known
		var statements sync.WaitGroup
		for i := range waiting {
			statements.Go(func() {
				_, err := db.ExecContext(r.Context(), "INSERT INTO t VALUES (?)", i)
				r.must(err)
			})
			synctest.Wait()
		}
		if g := c.Stats().Gate; g.Waiting != waiting {
			r.Errorf("gate: %+v", g)
		}
		dials.most.Store(0)
		done()
		statements.Wait()
		if n := dials.most.Load(); n > concurrency+2 || n < concurrency/2 { // and the monitor's to the two others
			r.Errorf("%d dials at once", n)
		}
		if n := executing.most.Load(); n > size || n < size/2 {
			r.Errorf("%d statements at once", n)
		}
		if len(order) != waiting {
			r.Fatalf("%d statements", len(order))
		}
		most := 0.0
		for at, n := range order {
			most = max(most, math.Abs(float64(int64(at)-n)))
		}
		if most > waiting/5 {
			r.Errorf("a statement was overtaken by %v others", most)
		}
		if g := c.Stats().Gate; g.Entered != g.Drained || g.Waiting != 0 {
			r.Errorf("gate: %+v", g)
		}
		r.Logf("%d dials, %d statements at once; overtaken by %v at most", dials.most.Load(), executing.most.Load(), most)
	})
}

// TestGateLeave: whoever's context ends while he waits is gone at that moment, and everything
// else that ends a wait is counted as what it is.
func TestGateLeave(t *testing.T) {
	for name, test := range map[string]struct {
		params string
		f      func(r *rig)
	}{
		"cancelled and late ones": {"", func(r *rig) {
			done := r.background(aurorasim.Kill)
			var statements sync.WaitGroup
			for i := range 100 {
				statements.Go(func() {
					after := time.Duration(i) * 9 * time.Millisecond
					ctx, cancel := context.WithTimeout(r.Context(), after)
					want := context.DeadlineExceeded
					defer cancel()
					if i%2 == 0 {
						ctx, cancel = context.WithCancel(r.Context())
						time.AfterFunc(after, cancel)
						want = context.Canceled
					}
					start := time.Now()
					_, err := r.db.ExecContext(ctx, insert)
					if took := time.Since(start); !errors.Is(err, want) || took != after {
						r.Errorf("got %v after %s, want %s", err, took, after)
					}
				})
			}
			statements.Wait()
			done()
			if n := r.reached(insert); n != 0 {
				r.Errorf("%d were executed", n)
			}
			if g := r.c.Stats().Gate; g.Waiting != 0 || g.Cancelled == 0 {
				r.Errorf("gate: %+v", g)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.params, test.f) })
	}
}
