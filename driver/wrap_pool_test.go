package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// one runs a query for one number.
func askNumber(t *testing.T, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, query string,
) (n sql.NullInt64) {
	t.Helper()
	if err := q.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return n
}

// TestWrapLimits: the limits of a pool are those of what comes of it.
func TestWrapLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLegacy(t, aurorasim.Config{})
		wrap := func(set func(db *sql.DB), pools ...*sql.DB) *Config {
			t.Helper()
			db := l.open(l.sim.Endpoint())
			set(db)
			var got *Config
			ours, err := Wrap(db, quiet(), WithReaders(pools...), WithConfig(func(c *Config) { got = c.Clone() }))
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			want := db.Stats().MaxOpenConnections
			for _, p := range pools {
				want += p.Stats().MaxOpenConnections
			}
			if n := ours.Stats().MaxOpenConnections; n != want {
				t.Errorf("%d sessions at once, want %d", n, want)
			}
			return got
		}
		usual := NewConfig()
		if c := wrap(func(*sql.DB) {}); c.PoolSize != usual.PoolSize || c.PoolMaxIdle != usual.PoolMaxIdle || c.PoolMaxLifetime != usual.PoolMaxLifetime || c.PoolIdleTimeout != usual.PoolIdleTimeout {
			t.Errorf("of a pool without limits %s", c)
		}
		c := wrap(func(db *sql.DB) {
			db.SetMaxOpenConns(7)
			db.SetMaxIdleConns(3)
			db.SetConnMaxLifetime(time.Minute)
			db.SetConnMaxIdleTime(time.Second)
		})
		if c.PoolSize != 7 || c.PoolMaxIdle != 3 || c.PoolMaxLifetime != time.Minute || c.PoolIdleTimeout != time.Second {
			t.Errorf("of a pool with limits %s", c)
		}
		if c := wrap(func(db *sql.DB) { db.SetMaxIdleConns(-1) }); c.PoolMaxIdle != 0 {
			t.Errorf("of a pool that keeps no idle connections %s", c)
		}
		reader := l.open(l.sim.ReaderEndpoint())
		reader.SetMaxOpenConns(9)
		if c := wrap(func(db *sql.DB) { db.SetMaxOpenConns(7) }, reader); c.PoolSize != 9 {
			t.Errorf("of two pools %s", c)
		}
	})
}

// TestWrapSharedLimit: connections that are taken from the program's pool count there, its own
// statements included, and those that the program has used are not among them.
func TestWrapSharedLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLegacy(t, aurorasim.Config{})
		db := l.pool(l.connector(l.sim.Endpoint()))
		db.SetMaxOpenConns(3)
		db.SetMaxIdleConns(3)
		var used []*sql.Conn
		for range 3 { // no room is left for a new one
			c, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.ExecContext(t.Context(), "SET @mine = 1"); err != nil {
				t.Fatal(err)
			}
			used = append(used, c)
		}
		for _, c := range used {
			c.Close()
		}
		ours, err := Wrap(db, quiet(), WithHooks(Hooks{IncidentEnded: func(i failover.Incident) { t.Errorf("the monitor had no connection: %s", i) }}))
		if err != nil {
			t.Fatal(err)
		}
		if n := ours.Stats().MaxOpenConnections; n != 1 {
			t.Errorf("%d sessions at once, and there is room for 1", n)
		}
		var working sync.WaitGroup
		for range 6 { // together longer than fpBorrowTimeout
			working.Go(func() {
				tx, err := ours.BeginTx(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer tx.Rollback()
				if n := askNumber(t, tx, "SELECT @mine"); n.Valid {
					t.Error("a variable of the program's was on a connection")
				}
				if s := db.Stats(); s.OpenConnections > 3 || s.InUse < 1 {
					t.Errorf("%d connections, %d of them in use", s.OpenConnections, s.InUse)
				}
				time.Sleep(9 * time.Second) // longer than fpProbeInterval
			})
		}
		working.Wait()
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
		if s := db.Stats(); s.InUse != 0 {
			t.Errorf("%d connections were not given back", s.InUse)
		}
		askNumber(t, db, "SELECT 1")
	})
}

// TestWrapLeavesTheOriginal: a pool goes on as it was, with what is on its connections, while ours
// is open and after it.
func TestWrapLeavesTheOriginal(t *testing.T) {
	for name, open := range map[string]func(l *legacy) *sql.DB{
		"found":  func(l *legacy) *sql.DB { return l.open(l.sim.Endpoint()) },
		"hidden": func(l *legacy) *sql.DB { return l.pool(l.connector(l.sim.Endpoint())) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLegacy(t, aurorasim.Config{})
				db := open(l)
				if _, err := db.ExecContext(t.Context(), "SET @mine = 1"); err != nil {
					t.Fatal(err)
				}
				ours, err := Wrap(db, quiet())
				if err != nil {
					t.Fatal(err)
				}
				if n := askNumber(t, ours, "SELECT @mine"); n.Valid {
					t.Error("ours has the program's connection")
				}
				if n := askNumber(t, db, "SELECT @mine"); n.Int64 != 1 {
					t.Error("the program's connection is another one")
				}
				if err := ours.Close(); err != nil {
					t.Error(err)
				}
				if n := askNumber(t, db, "SELECT @mine"); n.Int64 != 1 || db.Stats().InUse != 0 {
					t.Errorf("after ours was closed the pool is %+v", db.Stats())
				}
			})
		})
	}
}

// TestWrapOriginalClosed: without the pool that makes the connections there is no new one: statements
// fail in time, and ours can be closed.
func TestWrapOriginalClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLegacy(t, aurorasim.Config{})
		theirs := l.pool(l.connector(l.sim.Endpoint()))
		db, err := Wrap(theirs, quiet(), WithConfig(func(c *Config) { c.FailoverTimeout = 3 * time.Second }))
		if err != nil {
			t.Fatal(err)
		}
		askNumber(t, db, "SELECT 1")
		if err := theirs.Close(); err != nil {
			t.Error(err)
		}
		askNumber(t, db, "SELECT 1") // on the connection that is there
		time.Sleep(10 * time.Second)
		start := time.Now()
		var n int
		err = db.QueryRowContext(t.Context(), "SELECT 1").Scan(&n)
		if !errors.Is(err, failover.ErrGateTimeout) || time.Since(start) > 4*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

type closing struct {
	driver.Connector
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

// TestWithCloseWrapped: what was wrapped is closed, once, if that was asked for.
func TestWithCloseWrapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLegacy(t, aurorasim.Config{})
		c := &closing{Connector: raw{l.connector(l.sim.Endpoint())}}
		for _, close := range []func(ours *Connector) error{
			(*Connector).Close,
			func(ours *Connector) error { return ours.Shutdown(t.Context()) },
		} {
			c.closed = 0
			ours, err := WrapConnector(c, quiet(), WithCloseWrapped())
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(l.pool(ours).PingContext(t.Context()), close(ours), ours.Close()); err != nil || c.closed != 1 {
				t.Errorf("%v; the connector was closed %d times", err, c.closed)
			}
		}
		db := l.pool(c)
		ours, err := Wrap(db, quiet(), WithCloseWrapped())
		if err != nil {
			t.Fatal(err)
		}
		askNumber(t, ours, "SELECT 1")
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
		if err := db.PingContext(t.Context()); err == nil || db.Stats().OpenConnections != 0 {
			t.Errorf("the pool was not closed: %v, %+v", err, db.Stats())
		}
		c.closed = 0
		ours, err = Wrap(l.pool(c), quiet())
		if err != nil {
			t.Fatal(err)
		}
		if err := ours.Close(); err != nil || c.closed != 0 {
			t.Errorf("%v; closed %d times unasked", err, c.closed)
		}
	})
}

// TestWrapCancel: a statement on a connection that somebody else made is stopped over another one
// of those, and costs no connection unless the server does not stop it.
func TestWrapCancel(t *testing.T) {
	for name, tc := range map[string]struct {
		limit int
		kept  bool
		took  time.Duration
	}{
		"killed":      {0, true, time.Second},
		"with a KILL": {3, true, time.Second},
		"no room":     {2, false, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLegacy(t, aurorasim.Config{})
				theirs := l.pool(l.connector(l.sim.Endpoint()))
				theirs.SetMaxOpenConns(tc.limit)
				db, err := Wrap(theirs, quiet())
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				before := askNumber(t, db, "SELECT CONNECTION_ID()")
				for range 2 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					start := time.Now()
					var n int
					if err := db.QueryRowContext(ctx, "SELECT SLEEP(10)").Scan(&n); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != tc.took {
						t.Errorf("%v after %s", err, time.Since(start))
					}
					if after := askNumber(t, db, "SELECT CONNECTION_ID()"); (after == before) != tc.kept {
						t.Errorf("connection %d, it was %d", after.Int64, before.Int64)
					}
				}
				if s := theirs.Stats(); tc.limit > 0 && s.OpenConnections > tc.limit {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestWrapFrozenForLong: what is on its way to a writer that falls silent, and stays so, ends when the
// monitor has found out, though nobody's context ends and no network connection can be closed.
func TestWrapFrozenForLong(t *testing.T) {
	const back = 10 * time.Minute
	for name, run := range map[string]func(t *testing.T, db *sql.DB) (meet func() error, want error){
		"a statement of a session whose variable goes before": func(t *testing.T, db *sql.DB) (func() error, error) {
			conns := []*sql.Conn{nil, nil}
			for i := range conns {
				c, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				if _, err := c.ExecContext(t.Context(), fmt.Sprint("SET @mine = ", i)); err != nil {
					t.Fatal(err)
				}
				conns[i] = c
			}
			return func() error {
				if n := askNumber(t, conns[0], "SELECT @mine"); !n.Valid || n.Int64 != 0 {
					t.Errorf("the session's variable is %v", n)
				}
				return nil
			}, nil
		},
		"a statement": func(t *testing.T, db *sql.DB) (func() error, error) {
			askNumber(t, db, "SELECT 1")
			return func() error {
				askNumber(t, db, "SELECT 1")
				return nil
			}, nil
		},
		"COMMIT": func(t *testing.T, db *sql.DB) (func() error, error) {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			askNumber(t, tx, "SELECT 1")
			return tx.Commit, failover.ErrOutcomeUnknown
		},
		"ROLLBACK": func(t *testing.T, db *sql.DB) (func() error, error) {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			askNumber(t, tx, "SELECT 1")
			return tx.Rollback, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLegacy(t, aurorasim.Config{})
				c, err := WrapConnector(l.connector(l.sim.Endpoint()), quiet(), WithConfig(func(c *Config) { c.PoolSize = 1 }))
				if err != nil {
					t.Fatal(err)
				}
				db := l.pool(c)
				defer db.Close()
				meet, want := run(t, db)
				var script sync.WaitGroup
				script.Go(func() {
					if err := l.sim.Failover(t.Context(), aurorasim.Failover{Kind: aurorasim.Frozen, PromoteAfter: time.Second, RestartAfter: back, DNSAfter: 2 * time.Second}); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				start := time.Now()
				if err := meet(); !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				if took := time.Since(start); took > 10*time.Second { // fpProbeInterval + fpProbeTimeout, and the name
					t.Errorf("it took %s", took)
				}
				script.Wait()
			})
		})
	}
}
