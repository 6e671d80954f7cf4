package driver

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// rig is a simulated cluster over a scripted server, with our driver in front, in a
// synctest bubble.
type rig struct {
	*testing.T
	sim    *aurorasim.Cluster
	script *fakemysql.Script
	c      *Connector
	db     *sql.DB
}

// statements that the rig's server knows, beside what every server knows.
const (
	selectRows = "SELECT n FROM numbers" // 1, 2, 3
	selectOne  = "SELECT n FROM one"     // 1
	insert     = "INSERT INTO t VALUES (1)"
	update     = "UPDATE t SET a = 1"
	selectLock = "SELECT n FROM one FOR UPDATE"
)

// bubble runs a test in a synctest bubble with a cluster of three instances. params are
// added to the DSN.
func bubble(t *testing.T, params string, test func(r *rig)) {
	t.Helper()
	bubbleWith(t, params, []Option{WithLogger(slog.New(slog.DiscardHandler))}, test)
}

func bubbleWith(t *testing.T, params string, opts []Option, test func(r *rig)) {
	t.Helper()
	bubbleOver(t, aurorasim.Config{}, params, opts, test)
}

// bubbleOver is bubbleWith over a cluster that is not as the others.
func bubbleOver(t *testing.T, cluster aurorasim.Config, params string, opts []Option, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		script := rigScript()
		server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "secret"}, Handler: script})
		defer server.Close()
		cluster.Upstream, cluster.Network = aurorasim.FakeServer(server), aurorasim.Memory
		sim, err := aurorasim.Start(t.Context(), cluster)
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		cfg, err := ParseDSN("u:secret@tcp(" + sim.Endpoint() + ")/shop?" + params)
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewConnector(cfg, append(opts, WithDialer(sim.DialContext))...)
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{T: t, sim: sim, script: script, c: c, db: sql.OpenDB(c)}
		defer r.balanced()
		defer r.db.Close()
		if err := r.db.PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(r)
	})
}

// rigScript is what the rig's server knows.
func rigScript() *fakemysql.Script {
	script := fakemysql.NewScript()
	numbers := func(n ...int64) fakemysql.Result {
		r := fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}}
		for _, n := range n {
			r.Rows = append(r.Rows, []any{n})
		}
		return r
	}
	one := numbers(1)
	script.OnPrefix("SHOW GLOBAL VARIABLES", func(context.Context, fakemysql.Call) fakemysql.Reply {
		return fakemysql.Rows([]fakemysql.Column{fakemysql.Text("Variable_name"), fakemysql.Text("Value")}, []any{"version", "8.0.39"})
	})
	script.On(selectOne, one).On(selectLock, one).On("SELECT n FROM one WHERE n = ?", one).On(insert).On(update)
	script.On("INSERT INTO t VALUES (?)").On("CREATE TEMPORARY TABLE x (n INT)").On("SELECT LAST_INSERT_ID()", one).On("SELECT ROW_COUNT()", one)
	script.On(selectRows, numbers(1, 2, 3))
	return script
}

// balanced checks what must hold after every scenario.
func (r *rig) balanced() {
	r.Helper()
	g := r.c.Stats().Gate
	if g.Entered != g.Drained+g.TimedOut+g.Cancelled+g.Refused || g.Waiting != 0 {
		r.Errorf("the gate's counters do not add up: %+v", g)
	}
	if n := r.c.Stats().MonitorConnections; n != 0 {
		r.Errorf("%d connections of the monitor are left", n)
	}
}

// failover kills the writer; the next one is promoted a second later.
func (r *rig) failover(kind aurorasim.Kind) {
	r.Helper()
	if err := r.sim.Failover(r.Context(), aurorasim.Failover{Kind: kind, PromoteAfter: time.Second, RestartAfter: time.Second}); err != nil {
		r.Fatal(err)
	}
}

// background runs a failover while the test goes on.
func (r *rig) background(kind aurorasim.Kind) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.failover(kind)
	}()
	synctest.Wait()
	return func() { <-done }
}

// rows runs a query and returns what it delivered.
func (r *rig) rows(ctx context.Context, q queryer, query string, args ...any) (numbers []int, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return numbers, err
		}
		numbers = append(numbers, n)
	}
	return numbers, rows.Err()
}

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (r *rig) exec(q queryer, query string, args ...any) error {
	_, err := q.ExecContext(r.Context(), query, args...)
	return err
}

// must fails the test on an error.
func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// wants checks an error's kind and outcome, and what must hold for every error.
func (r *rig) wants(err, kind error, outcome failover.Outcome) {
	r.Helper()
	var fe *failover.Error
	switch {
	case !errors.Is(err, kind):
		r.Errorf("got %v, want %v", err, kind)
	case !errors.As(err, &fe):
		r.Errorf("%T is no *failover.Error", err)
	case fe.Outcome != outcome:
		r.Errorf("outcome %s, want %s: %v", fe.Outcome, outcome, err)
	case strings.Contains(err.Error(), "secret"):
		r.Errorf("password in %v", err)
	}
}

// reached is how often a statement went to the server.
func (r *rig) reached(statement string) int { return r.sim.Count(aurorasim.SQL(statement)) }
