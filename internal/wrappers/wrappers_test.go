package wrappers

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/XSAM/otelsql"
	"github.com/go-sql-driver/mysql"
	"github.com/ngrok/sqlmw"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server, and what a program has to reach it.
type rig struct {
	*testing.T
	server *fakemysql.Server
	cfg    *mysql.Config
	spans  *tracetest.SpanRecorder
	traces *sdktrace.TracerProvider
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, spans: tracetest.NewSpanRecorder(), cfg: mysql.NewConfig()}
	r.server = fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Databases: []string{"shop"}, Handler: minidb.New()})
	t.Cleanup(r.server.Close)
	addr, err := r.server.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))
	r.cfg.User, r.cfg.Passwd, r.cfg.Net, r.cfg.Addr, r.cfg.DBName = "app", "secret", "tcp", addr.String(), "shop"
	return r
}

// plain is a connector of the wrapped driver's.
func (r *rig) plain(opts ...mysql.Option) sqldriver.Connector {
	r.Helper()
	cfg := r.cfg.Clone()
	err := cfg.Apply(opts...)
	c, connectorErr := mysql.NewConnector(cfg)
	if err := errors.Join(err, connectorErr); err != nil {
		r.Fatal(err)
	}
	return c
}

// ours is failoverproxy's, from a DSN's own parts.
func (r *rig) ours(opts ...driver.Option) *driver.Connector {
	r.Helper()
	cfg := driver.NewConfig()
	cfg.MySQL = r.cfg.Clone()
	c, err := driver.NewConnector(cfg, append(opts, quiet())...)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func (r *rig) otel() []otelsql.Option {
	return []otelsql.Option{otelsql.WithTracerProvider(r.traces), otelsql.WithAttributes(attribute.String("pool", "orders"))}
}

func (r *rig) pool(c sqldriver.Connector) *sql.DB {
	db := sql.OpenDB(c)
	r.Cleanup(func() { db.Close() })
	return db
}

func quiet() driver.Option { return driver.WithLogger(slog.New(slog.DiscardHandler)) }

// use runs some of everything.
func (r *rig) use(db *sql.DB) {
	r.Helper()
	ctx := r.Context()
	exec := func(query string, args ...any) {
		r.Helper()
		if _, err := db.ExecContext(ctx, query, args...); err != nil {
			r.Fatalf("%s: %v", query, err)
		}
	}
	exec("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY AUTO_INCREMENT, n INT)")
	exec("INSERT INTO t (n) VALUES (?)", 1)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		r.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO t (n) VALUES (2)"); err != nil {
		r.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		r.Fatal(err)
	}
	var n int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM t").Scan(&n); err != nil || n != 2 {
		r.Fatalf("%d rows, %v", n, err)
	}
	exec("DROP TABLE t")
}

// statements counts the spans of a statement.
func (r *rig) statements(query string) (n int) {
	for _, s := range r.spans.Ended() {
		for _, a := range s.Attributes() {
			if (a.Key == "db.statement" || a.Key == "db.query.text") && a.Value.AsString() == query {
				n++
			}
		}
	}
	return n
}

// TestOtelsqlAround: otelsql around ours has a span for each statement, and there is no other.
func TestOtelsqlAround(t *testing.T) {
	for name, open := range map[string]func(r *rig) *sql.DB{
		"connector": func(r *rig) *sql.DB { return otelsql.OpenDB(r.ours(), r.otel()...) },
		"wrapped connector": func(r *rig) *sql.DB {
			c, err := driver.WrapConnector(r.plain(), quiet())
			if err != nil {
				r.Fatal(err)
			}
			return otelsql.OpenDB(c, r.otel()...)
		},
		"driver": func(r *rig) *sql.DB {
			db, err := otelsql.Open(driver.Name, r.cfg.FormatDSN(), r.otel()...)
			if err != nil {
				r.Fatal(err)
			}
			return db
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			db := open(r)
			defer db.Close()
			r.use(db)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			var n int
			if err := db.QueryRowContext(ctx, "SELECT SLEEP(5)").Scan(&n); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			for _, query := range []string{"INSERT INTO t (n) VALUES (2)", "SELECT COUNT(*) FROM t", "SELECT SLEEP(5)"} {
				if n := r.statements(query); n != 1 {
					t.Errorf("%d spans of %s", n, query)
				}
			}
			for _, s := range r.spans.Ended() {
				if !strings.HasPrefix(s.InstrumentationScope().Name, "github.com/XSAM/otelsql") {
					t.Errorf("a span of %s: %s", s.InstrumentationScope().Name, s.Name())
				}
			}
			if _, err := driver.Wrap(db); err == nil || !strings.Contains(err.Error(), "failoverproxy's already") {
				t.Errorf("wrapped twice: %v", err)
			}
		})
	}
}

// TestWrapOtelsql: a pool of otelsql's is seen through, or makes its connections itself where it has
// callbacks.
func TestWrapOtelsql(t *testing.T) {
	r := newRig(t)
	for _, pool := range []*sql.DB{otelsql.OpenDB(r.plain(), r.otel()...), r.otelOpen()} {
		defer pool.Close()
		pool.SetMaxOpenConns(5)
		var seen *driver.Config
		db, err := driver.Wrap(pool, quiet(), driver.WithConfig(func(c *driver.Config) { seen = c.Clone() }))
		if err != nil {
			t.Fatal(err)
		}
		r.use(db)
		db.Close()
		if seen.MySQL.Addr != r.cfg.Addr || seen.PoolSize != 5 || pool.Stats().OpenConnections != 0 || len(r.spans.Ended()) != 0 {
			t.Errorf("%s; %+v; %d spans", seen, pool.Stats(), len(r.spans.Ended()))
		}
	}
	var calls atomic.Int64
	before := mysql.BeforeConnect(func(context.Context, *mysql.Config) error { calls.Add(1); return nil })
	pool := otelsql.OpenDB(r.plain(before), r.otel()...)
	defer pool.Close()
	db, err := driver.Wrap(pool, quiet())
	if err != nil {
		t.Fatal(err)
	}
	r.use(db)
	if calls.Load() == 0 || pool.Stats().InUse == 0 {
		t.Errorf("%d calls, %+v", calls.Load(), pool.Stats())
	}
	db.Close()
	if err := pool.PingContext(t.Context()); err != nil || pool.Stats().InUse != 0 {
		t.Errorf("%v, %+v", err, pool.Stats())
	}
	if n := r.statements("SELECT COUNT(*) FROM t"); n != 0 {
		t.Errorf("%d spans of a statement that did not go through otelsql", n)
	}
}

func (r *rig) otelOpen() *sql.DB {
	db, err := otelsql.Open("mysql", r.cfg.FormatDSN(), r.otel()...)
	if err != nil {
		r.Fatal(err)
	}
	return db
}

// counting is an interceptor of statements.
type counting struct {
	sqlmw.NullInterceptor
	queries *atomic.Int64
}

func (c counting) ConnQueryContext(ctx context.Context, conn sqldriver.QueryerContext, query string, args []sqldriver.NamedValue) (context.Context, sqldriver.Rows, error) {
	c.queries.Add(1)
	return c.NullInterceptor.ConnQueryContext(ctx, conn, query, args)
}

// held is a driver of one connector, which the program keeps and closes: sqlmw's hide that they could.
type held struct{ sqldriver.Connector }

func (h held) Open(string) (sqldriver.Conn, error)               { return h.Connect(context.Background()) }
func (h held) OpenConnector(string) (sqldriver.Connector, error) { return h.Connector, nil }

// TestSqlmw: around ours it sees each statement; a pool that was made through it hides what it
// has, and is refused by name.
func TestSqlmw(t *testing.T) {
	r := newRig(t)
	around := func(d sqldriver.Driver, dsn string) (*sql.DB, *atomic.Int64) {
		t.Helper()
		seen := new(atomic.Int64)
		c, err := sqlmw.Driver(d, counting{queries: seen}).(sqldriver.DriverContext).OpenConnector(dsn)
		if err != nil {
			t.Fatal(err)
		}
		return r.pool(c), seen
	}
	ours := r.ours()
	defer ours.Close()
	db, seen := around(held{ours}, "")
	r.use(db)
	if n := seen.Load(); n != 1 {
		t.Errorf("%d queries were seen", n)
	}
	for want, d := range map[string]sqldriver.Driver{
		"sqlmw.wrappedConn": mysql.MySQLDriver{},
		"of sqlmw.":         held{ours},
	} {
		pool, _ := around(d, r.cfg.FormatDSN())
		if _, err := driver.Wrap(pool); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want %q", err, want)
		}
		if s := pool.Stats(); s.InUse != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// cloud is a driver as that of Cloud SQL's connector: it has no connectors, and its connections are
// go-sql-driver's.
type cloud struct{ opened *atomic.Int64 }

func (c cloud) Open(dsn string) (sqldriver.Conn, error) {
	c.opened.Add(1)
	return mysql.MySQLDriver{}.Open(dsn)
}

func TestWrapCloud(t *testing.T) {
	r := newRig(t)
	d := cloud{opened: new(atomic.Int64)}
	sql.Register("cloud", d)
	pool, err := sql.Open("cloud", r.cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	db, err := driver.Wrap(pool, quiet())
	if err != nil {
		t.Fatal(err)
	}
	r.use(db)
	db.Close()
	if n := d.opened.Load(); n < 2 { // to look, and the one that finds the cluster and is for statements then
		t.Errorf("it made %d connections", n)
	}
	db, err = driver.Wrap(pool, quiet(), driver.WithConfig(func(c *driver.Config) { c.MySQL = r.cfg.Clone() }))
	if err != nil {
		t.Fatal(err)
	}
	n := d.opened.Load()
	r.use(db)
	db.Close()
	if got := d.opened.Load(); got != n {
		t.Errorf("it made %d connections though a configuration was given", got-n)
	}
}
