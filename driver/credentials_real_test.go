package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/topology"
)

// envRotation is for how long TestRotation rotates passwords, each 2s; otherwise it is short.
const envRotation = "FP_ROTATION"

// secretStore is a provider whose secret somebody replaces.
type secretStore struct {
	now      atomic.Pointer[[2]string]
	validity time.Duration
}

func (s *secretStore) put(user, password string) { s.now.Store(&[2]string{user, password}) }

func (s *secretStore) Credentials(context.Context, topology.Instance) (string, string, time.Time, error) {
	now := s.now.Load()
	return now[0], now[1], time.Now().Add(s.validity), nil
}

// rotation replaces the passwords of a server's users under load.
type rotation struct {
	*testing.T
	server *mysqld.Server
	db     string
	name   string
	store  *secretStore
	next   func(r *rotation, n int) error // puts the n-th secret into force

	statements, errors, rotations atomic.Int64
}

// exec runs statements as root.
func (r *rotation) exec(statements ...string) error { return r.server.Exec(r.Context(), statements...) }

func (r *rotation) create(user, password string) error {
	return r.exec(fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s'", user, password), fmt.Sprintf("GRANT ALL ON %s.* TO %s@'%%'", r.db, user))
}

func (r *rotation) user(n int) string     { return fmt.Sprintf("%s_%d", r.name, n) }
func (r *rotation) password(n int) string { return fmt.Sprintf("%s-pass-%d", r.name, n) }

// rotations by how they are done. In each of them provider and server change at different times.
var rotationStyles = map[string]func(r *rotation, n int) error{
	"one user, server first": func(r *rotation, n int) error {
		if err := r.exec(fmt.Sprintf("ALTER USER %s@'%%' IDENTIFIED BY '%s'", r.user(0), r.password(n))); err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		r.store.put(r.user(0), r.password(n))
		return nil
	},
	"one user, provider first": func(r *rotation, n int) error {
		r.store.put(r.user(0), r.password(n))
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		return r.exec(fmt.Sprintf("ALTER USER %s@'%%' IDENTIFIED BY '%s'", r.user(0), r.password(n)))
	},
	"one user, both passwords": func(r *rotation, n int) error {
		err := r.exec(fmt.Sprintf("ALTER USER %s@'%%' IDENTIFIED BY '%s' RETAIN CURRENT PASSWORD", r.user(0), r.password(n)))
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		r.store.put(r.user(0), r.password(n))
		return err
	},
	"two users": func(r *rotation, n int) error {
		err := r.exec(fmt.Sprintf("ALTER USER %s@'%%' IDENTIFIED BY '%s'", r.user(n%2), r.password(n)))
		r.store.put(r.user(n%2), r.password(n))
		return err
	},
}

// TestRotation: passwords change while statements, transactions and cancels go on, over
// connections that live for a moment only. Nobody must notice.
func TestRotation(t *testing.T) {
	long, every := 3*time.Second, 500*time.Millisecond
	if text := os.Getenv(envRotation); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		every = 2 * time.Second
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		var all sync.WaitGroup
		i := 0
		for name, next := range rotationStyles {
			if i++; name == "one user, both passwords" && s.Flavor != mysqld.FlavorMySQL {
				continue // MariaDB has no such thing
			}
			r := &rotation{T: t, server: s, db: database, name: fmt.Sprintf("%s_%d", database, i), store: &secretStore{validity: 3 * every}, next: next}
			all.Go(func() {
				r.run(name, long, every)
			})
		}
		all.Wait()
	})
}

func (r *rotation) run(name string, long, every time.Duration) {
	for i := range 2 {
		if err := r.create(r.user(i), r.password(0)); err != nil {
			r.Error(err)
			return
		}
	}
	defer func() {
		_ = r.server.Exec(context.WithoutCancel(r.Context()), "DROP USER "+r.user(0), "DROP USER "+r.user(1))
	}()
	r.store.put(r.user(0), r.password(0))
	cfg := NewConfig()
	cfg.Hosts, cfg.MySQL.DBName, cfg.Topology = []string{r.server.Addr()}, r.db, "static"
	cfg.PoolSize, cfg.PoolMaxIdle, cfg.PoolMaxLifetime = 8, 0, 200*time.Millisecond
	c, err := NewConnector(cfg, WithCredentials(r.store), WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		r.Error(err)
		return
	}
	db := sql.OpenDB(c)
	defer db.Close()
	table := "t_" + r.name
	r.do(func() error { return ignore(db.ExecContext(r.Context(), "CREATE TABLE "+table+" (n INT)")) })
	old, err := db.BeginTx(r.Context(), nil)
	if err != nil {
		r.Error(err)
		return
	}
	r.do(func() error { return ignore(old.ExecContext(r.Context(), "INSERT INTO "+table+" VALUES (0)")) })

	ctx, stop := context.WithTimeout(r.Context(), long)
	defer stop()
	var load sync.WaitGroup
	for i := range 6 {
		load.Go(func() {
			for ctx.Err() == nil {
				r.do(r.work(db, table, i))
			}
		})
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ctx.Err() == nil; n++ {
		select {
		case <-tick.C:
			if err := r.next(r, n); err != nil && ctx.Err() == nil {
				r.Error(err)
			}
			r.rotations.Add(1)
		case <-ctx.Done():
		}
	}
	load.Wait()
	r.do(func() error { return ignore(old.ExecContext(r.Context(), "INSERT INTO "+table+" VALUES (1)")) }) // as old as all that
	r.do(old.Commit)
	got := c.Stats()
	r.Logf("%s: %d rotations, %d statements, %d errors, %d connections, %+v, %+v", name, r.rotations.Load(), r.statements.Load(),
		r.errors.Load(), got.Pool.Instances[0].Dials, got.Credentials, got.Cancels)
	if n := r.rotations.Load(); n < 3 || uint64(n) > got.Pool.Instances[0].Dials {
		r.Errorf("%s: %d rotations, %d connections: nothing was tried", name, n, got.Pool.Instances[0].Dials)
	}
}

// work is what one session does in turn.
func (r *rotation) work(db *sql.DB, table string, i int) func() error {
	switch i % 3 {
	case 0:
		return func() error { return ignore(db.ExecContext(r.Context(), "INSERT INTO "+table+" VALUES (1)")) }
	case 1:
		return func() error {
			tx, err := db.BeginTx(r.Context(), nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			var n int
			if err := tx.QueryRowContext(r.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
				return err
			}
			return tx.Commit()
		}
	}
	return func() error {
		ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
		defer cancel()
		var n int
		if err := db.QueryRowContext(ctx, "SELECT SLEEP(5)").Scan(&n); !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("a cancelled statement: %w", err)
		}
		return nil
	}
}

// do runs and counts a statement.
func (r *rotation) do(f func() error) {
	err := f()
	r.statements.Add(1)
	if err != nil && r.Context().Err() == nil {
		r.errors.Add(1)
		r.Errorf("%s: %v", r.name, err)
	}
}

func ignore(_ sql.Result, err error) error { return err }

// TestKillAcrossUsers: a statement is stopped by the user that it runs as, though others are
// used for new connections.
func TestKillAcrossUsers(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		r := &rotation{T: t, server: s, db: database, name: "k_" + database, store: &secretStore{validity: time.Hour}}
		for i := range 2 {
			if err := r.create(r.user(i), r.password(i)); err != nil {
				t.Fatal(err)
			}
		}
		defer func() { _ = s.Exec(context.WithoutCancel(t.Context()), "DROP USER "+r.user(0), "DROP USER "+r.user(1)) }()
		t.Run("both are let in", func(t *testing.T) {
			c, first, second := r.twoUsers(t)
			for name, conn := range map[string]*sql.Conn{"the old user": first, "the new one": second} {
				if err := stopped(t, conn); err != nil {
					t.Errorf("%s: the connection is lost: %v", name, err)
				}
			}
			if k := c.Stats().Cancels; k.Killed < 2 || k.Failed != 0 {
				t.Errorf("%+v", k)
			}
		})
		t.Run("the old one is not", func(t *testing.T) {
			c, first, second := r.twoUsers(t)
			if err := s.Exec(t.Context(), "ALTER USER "+r.user(0)+"@'%' ACCOUNT LOCK"); err != nil {
				t.Fatal(err)
			}
			// The new one may not stop it, so the connection is closed.
			if err := stopped(t, first); !errors.Is(err, failover.ErrSessionStateLost) {
				t.Errorf("got %v", err)
			}
			if err := stopped(t, second); err != nil {
				t.Error(err)
			}
			if k := c.Stats().Cancels; k.Failed != 1 || k.Connections != 2 {
				t.Errorf("%+v", k)
			}
		})
	})
}

// twoUsers makes a session with a backend of the first user, and one with a backend of the second,
// who is the present one.
func (r *rotation) twoUsers(t *testing.T) (c *Connector, first, second *sql.Conn) {
	t.Helper()
	r.store.put(r.user(0), r.password(0))
	cfg := NewConfig()
	cfg.Hosts, cfg.MySQL.DBName, cfg.Topology = []string{r.server.Addr()}, r.db, "static"
	c, err := NewConnector(cfg, WithCredentials(r.store), WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() { db.Close() })
	pinned := func(user string) *sql.Conn {
		conn, err := db.Conn(t.Context())
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			_, err = conn.ExecContext(t.Context(), "CREATE TEMPORARY TABLE mine (n INT)")
		}
		var who string
		if err == nil {
			err = conn.QueryRowContext(t.Context(), "SELECT SUBSTRING_INDEX(USER(), '@', 1)").Scan(&who)
		}
		if err != nil || who != user {
			t.Fatalf("%s, %v, want %s", who, err, user)
		}
		return conn
	}
	first = pinned(r.user(0))
	r.store.put(r.user(1), r.password(1))
	c.cluster.credentials.account(r.server.Addr()).last.late = time.Unix(1, 0) // as if it were about to expire
	return c, first, pinned(r.user(1))
}

// stopped cancels a statement and returns what the session's next one says.
func stopped(t *testing.T, conn *sql.Conn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var n int
	start := time.Now()
	if err := conn.QueryRowContext(ctx, "SELECT SLEEP(5)").Scan(&n); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 50*time.Millisecond+loaded {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	return conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM mine").Scan(&n)
}
