package driver

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/pool"
)

// promptly is within what a caller must have ctx.Err() after the end of its context.
// Bubbles check promptly itself; real servers get what a loaded machine adds.
const (
	promptly = 100 * time.Millisecond
	loaded   = 400 * time.Millisecond
)

// unhurried gives a KILL all the time that it needs: a loaded server may take longer than there is by
// default before the connection is closed. That it is then, and in time, bubbles check.
func unhurried(o *options) { o.stopLimit = 4 * time.Second }

// stage is our driver over a real server, and another way to look at that server.
type stage struct {
	*testing.T
	c    *Connector
	db   *sql.DB
	root *sql.DB       // the wrapped driver's
	soon time.Duration // within that a cancel returns

	mu        sync.Mutex
	latencies []time.Duration
}

func newStage(t *testing.T, s *mysqld.Server, database, params string, opts ...Option) *stage {
	t.Helper()
	cfg, err := ParseDSN(s.DSN(database) + "?fpTopology=static&" + params)
	if err != nil {
		t.Fatal(err)
	}
	return stageOf(t, s, database, cfg, opts...)
}

func stageOf(t *testing.T, s *mysqld.Server, database string, cfg *Config, opts ...Option) *stage {
	t.Helper()
	c, err := NewConnector(cfg, append(opts, WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		t.Fatal(err)
	}
	root, err := sql.Open("mysql", s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	st := &stage{T: t, c: c, db: sql.OpenDB(c), root: root, soon: cmp.Or(o.stopLimit, loaded)}
	t.Cleanup(func() {
		st.db.Close()
		rows, err := root.QueryContext(context.Background(), "SELECT id FROM information_schema.processlist WHERE command <> 'Sleep' AND id <> CONNECTION_ID() AND db = ?", database)
		for err == nil && rows.Next() { // what tests have left running
			var id int64
			if rows.Scan(&id) == nil {
				_, _ = root.ExecContext(context.Background(), fmt.Sprintf("KILL %d", id))
			}
		}
		root.Close()
	})
	root.SetMaxOpenConns(3)
	for _, q := range []string{
		"CREATE TABLE IF NOT EXISTS n (n INT)", "CREATE TABLE IF NOT EXISTS w (id INT PRIMARY KEY, v INT)",
		"REPLACE INTO w VALUES (1, 0)", "DELETE FROM n",
		"INSERT INTO n SELECT a.d + 10*b.d + 100*c.d FROM " + digits("a") + ", " + digits("b") + ", " + digits("c"),
	} {
		st.asRoot(q)
	}
	return st
}

func digits(name string) string {
	return "(SELECT 0 d" + strings.Repeat(" UNION ALL SELECT 1", 9) + ") " + name
}

func (st *stage) asRoot(query string) {
	st.Helper()
	if _, err := st.root.ExecContext(context.Background(), query); err != nil {
		st.Fatalf("%s: %v", query, err)
	}
}

func (st *stage) number(db *sql.DB, query string) (n int64) {
	st.Helper()
	if err := db.QueryRowContext(context.Background(), query).Scan(&n); err != nil {
		st.Fatalf("%s: %v", query, err)
	}
	return n
}

// runs is how many statements run that contain mark.
func (st *stage) runs(mark string) int {
	st.Helper()
	return int(st.number(st.root, "SELECT COUNT(*) FROM information_schema.processlist WHERE command <> 'Sleep' AND info LIKE '%"+mark+"%' AND id <> CONNECTION_ID()"))
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	within(t, 5*time.Second, what, condition)
}

func within(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("never: %s", what)
			return
		}
	}
}

func (st *stage) pool() pool.InstanceStats { return st.c.Stats().Pool.Instances[0] }

// cancel runs f, ends its context as soon as ready says so, and checks what f returns.
func (st *stage) cancel(ready func() bool, f func(ctx context.Context) error) {
	st.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	var returned time.Time
	go func() {
		err := f(ctx)
		returned = time.Now()
		done <- err
	}()
	eventually(st.T, "the statement runs", ready)
	at := time.Now()
	cancel()
	select {
	case err := <-done:
		took := returned.Sub(at)
		st.mu.Lock()
		st.latencies = append(st.latencies, took)
		st.mu.Unlock()
		if !errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			st.Errorf("got %v, want context.Canceled", err)
		}
		if took > st.soon {
			st.Errorf("returned %s after the cancel", took)
		}
	case <-time.After(5 * time.Second):
		st.Fatal("hangs 5s after the cancel")
	}
}

func scan(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, query string, args ...any,
) error {
	var v any
	return q.QueryRowContext(ctx, query, args...).Scan(&v)
}

func percentiles10(d []time.Duration) string {
	d = slices.Sorted(slices.Values(d))
	if len(d) == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %s p99 %s max %s", d[len(d)/2], d[len(d)*99/100], d[len(d)-1])
}

func scanInto(ctx context.Context, c *sql.Conn, query string, to any) error {
	return c.QueryRowContext(ctx, query).Scan(to)
}

// simulate starts a simulated cluster over a real server; the caller closes it.
func simulate(t *testing.T, s *mysqld.Server, database string, cfg aurorasim.Config) *aurorasim.Cluster {
	t.Helper()
	upstream, err := aurorasim.Server(s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Upstream = upstream
	sim, err := aurorasim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// simStage puts a simulated network between our driver and the server.
func simStage(t *testing.T, s *mysqld.Server, database string) (*stage, *aurorasim.Cluster) {
	t.Helper()
	sim := simulate(t, s, database, aurorasim.Config{Plain: true, Instances: 1})
	t.Cleanup(func() { sim.Close() })
	cfg := simConfig(sim, s, database)
	cfg.Topology, cfg.PoolSize, cfg.StallTimeout, cfg.ProbeInterval = "static", 1, time.Minute, time.Minute
	return stageOf(t, s, database, cfg, WithDialer(sim.DialContext)), sim
}
