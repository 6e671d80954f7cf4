package program

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

var every = flag.Bool("every", false, "run TestEveryVariable")

// The drivers of this file are wrong on purpose: the test of a test.

// inner is what the wrapped driver's connection offers.
type inner interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.Pinger
	driver.NamedValueChecker
}

// wrong is a connector whose sessions ask it which connection to use.
type wrong struct {
	connect func(ctx context.Context) (inner, error)
	open    func(w *wrong) (driver.Conn, error)
	close   func() error
}

func (w *wrong) Connect(context.Context) (driver.Conn, error) { return w.open(w) }
func (w *wrong) Driver() driver.Driver                        { return mysql.MySQLDriver{} }
func (w *wrong) Close() error                                 { return w.close() }

func (w *wrong) target(s *mysqld.Server) Target {
	t := plain(s)
	return Target{Timeout: 2 * time.Second, Open: func(p Program) (*sql.DB, error) {
		db, err := t.Open(p)
		if err != nil {
			return nil, err
		}
		// The plain pool's only use is to get connections from its driver.
		w.connect = func(ctx context.Context) (inner, error) {
			cfg, err := mysql.ParseDSN(s.DSN(p.Database()) + "?multiStatements=true")
			if err != nil {
				return nil, err
			}
			cfg.Logger = &mysql.NopLogger{}
			c, err := mysql.NewConnector(cfg)
			if err != nil {
				return nil, err
			}
			conn, err := c.Connect(ctx)
			if err != nil {
				return nil, err
			}
			return conn.(inner), nil
		}
		return sql.OpenDB(w), db.Close()
	}}
}

// careless shares three connections among all sessions and takes the next one for each
// statement outside of transactions, whatever its session has done before.
func careless(s *mysqld.Server) Target {
	var mu sync.Mutex
	var shared [3]inner
	next := 0
	pick := func(w *wrong) (inner, error) {
		mu.Lock()
		defer mu.Unlock()
		next = (next + 1) % len(shared)
		if c := shared[next]; c != nil && c.(driver.Validator).IsValid() {
			return c, nil
		}
		c, err := w.connect(context.Background())
		shared[next] = c
		return c, err
	}
	w := &wrong{
		open: func(w *wrong) (driver.Conn, error) { return &carelessConn{w: w, pick: pick}, nil },
		close: func() error {
			for i, c := range shared {
				if shared[i] = nil; c != nil {
					_ = c.Close()
				}
			}
			return nil
		},
	}
	return w.target(s)
}

type carelessConn struct {
	w     *wrong
	pick  func(w *wrong) (inner, error)
	bound inner // in a transaction
}

func (c *carelessConn) use() (inner, error) {
	if c.bound != nil {
		return c.bound, nil
	}
	return c.pick(c.w)
}

func (c *carelessConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	in, err := c.use()
	if err != nil {
		return nil, err
	}
	return in.ExecContext(ctx, text, args)
}

func (c *carelessConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	in, err := c.use()
	if err != nil {
		return nil, err
	}
	return in.QueryContext(ctx, text, args)
}

func (c *carelessConn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), text)
}

func (c *carelessConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	in, err := c.use()
	if err != nil {
		return nil, err
	}
	return in.PrepareContext(ctx, text)
}

func (c *carelessConn) Begin() (driver.Tx, error) { return nil, errors.New("not used") }

func (c *carelessConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	in, err := c.use()
	if err != nil {
		return nil, err
	}
	tx, err := in.BeginTx(ctx, o)
	if err == nil {
		c.bound = in
		tx = carelessTx{tx, c}
	}
	return tx, err
}

func (c *carelessConn) Close() error { return nil }

type carelessTx struct {
	driver.Tx
	conn *carelessConn
}

func (t carelessTx) Commit() error   { t.conn.bound = nil; return t.Tx.Commit() }
func (t carelessTx) Rollback() error { t.conn.bound = nil; return t.Tx.Rollback() }

// forgetful gives each session a connection of its own, on which one variable is set
// back before every few statements: as if the session came to another backend, and its
// driver did not know of that variable.
func forgetful(s *mysqld.Server, variable string) Target {
	w := &wrong{
		open: func(w *wrong) (driver.Conn, error) {
			c, err := w.connect(context.Background())
			return &forgetfulConn{inner: c, variable: variable}, err
		},
		close: func() error { return nil },
	}
	return w.target(s)
}

type forgetfulConn struct {
	inner
	variable string
	used     int
}

// delicate are texts whose answers depend on the statement right before them.
var delicate = regexp.MustCompile(`(?i)warning|error|diagnostics|found_rows|row_count|rand_seed|insert_id`)

func (c *forgetfulConn) forget(ctx context.Context, text string) {
	if c.used++; c.used%2 == 0 && !delicate.MatchString(text) {
		_, _ = c.inner.ExecContext(ctx, "SET SESSION "+c.variable+" = DEFAULT", nil)
	}
}

func (c *forgetfulConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	c.forget(ctx, text)
	return c.inner.ExecContext(ctx, text, args)
}

func (c *forgetfulConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	c.forget(ctx, text)
	return c.inner.QueryContext(ctx, text, args)
}

// A driver that shares connections without a thought is convicted at once, by a program
// of a few steps.
func TestCarelessDriverIsConvicted(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, _ string) {
		convict(t, s, careless(s), 3, 5)
	})
}

// Leaving out one variable is found out.
func TestForgetfulDriverIsConvicted(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, _ string) {
		for _, variable := range []string{"sql_mode", "lc_time_names"} {
			t.Run(variable, func(t *testing.T) { convict(t, s, forgetful(s, variable), 4, 10) })
		}
	})
}

// convict finds a program of 5000 steps that the target answers wrongly, and makes it
// small.
func convict(t *testing.T, s *mysqld.Server, wrong Target, tries uint64, small int) {
	t.Helper()
	r := Rig{Admin: admin(t, s), Want: plain(s), Got: wrong}
	for seed := range tries {
		p := Generate(1000+seed, 5000, s.Flavor)
		d, err := r.Compare(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if d == nil {
			continue
		}
		start, found := time.Now(), d.Step
		p, d = r.Shrink(t.Context(), p, d, 2*time.Minute) // seconds, unless the machine has other work
		t.Logf("found by step %d, made small in %s: %s\n%s", found, time.Since(start).Round(time.Millisecond), d, p)
		if len(p.Steps) > small {
			t.Errorf("the program has %d steps, not %d", len(p.Steps), small)
		}
		return
	}
	t.Errorf("acquitted")
}

// With -every it tells by which step a program of each variable's absence is found.
func TestEveryVariable(t *testing.T) {
	if !*every {
		t.Skip("takes minutes; -every runs it")
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, _ string) {
		g := &generator{mariadb: s.Flavor == mysqld.FlavorMariaDB}
		found := make(map[string]int)
		for _, v := range g.variables() {
			r := Rig{Admin: admin(t, s), Want: plain(s), Got: forgetful(s, v.name)}
			d, err := r.Compare(t.Context(), Generate(1, *statements, s.Flavor))
			if err != nil {
				t.Fatal(err)
			}
			if d == nil {
				t.Logf("%s is not missed in %d steps", v.name, *statements)
			} else {
				found[v.name] = d.Step
			}
		}
		t.Logf("%d of %d are missed: %v", len(found), len(g.variables()), found)
	})
}
