package driver

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// through is a pool of our driver whose connections are wrapped.
func (r *rig) through(wrap func(net.Conn) net.Conn) *sql.DB {
	r.Helper()
	cfg, err := ParseDSN("u:secret@tcp(" + r.sim.Endpoint() + ")/shop")
	r.must(err)
	c, err := NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)), WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := r.sim.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return wrap(conn), nil
	}))
	r.must(err)
	return sql.OpenDB(c)
}

// crossing is a connection on which a statement and the server's goodbye cross: the one is
// written while the other is on its way, so the kernel takes it and nobody reads it.
type crossing struct {
	net.Conn
	goodbye *atomic.Pointer[func()]
}

func (c crossing) Write(p []byte) (int, error) {
	if say := c.goodbye.Swap(nil); say != nil {
		(*say)()
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestGoodbyeCrosses lets a server say goodbye before it reads a statement that was sent.
func TestGoodbyeCrosses(t *testing.T) {
	for name, test := range map[string]func(r *rig, goodbye func()){
		"a write waits and lands once": func(r *rig, goodbye func()) {
			goodbye()
			r.must(r.exec(r.db, insert))
			if n := r.reached(insert); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"a prepared one, too": func(r *rig, goodbye func()) {
			st, err := r.db.PrepareContext(r.Context(), "INSERT INTO t VALUES (?)")
			r.must(err)
			defer st.Close()
			goodbye()
			_, err = st.ExecContext(r.Context(), 1)
			r.must(err)
			if n := r.reached("INSERT INTO t VALUES (?)"); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"a COMMIT surely did not happen": func(r *rig, goodbye func()) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			goodbye()
			r.wants(tx.Commit(), failover.ErrTransactionLost, failover.NotExecuted)
			if n := r.reached("COMMIT"); n != 0 {
				r.Errorf("%d commits", n)
			}
		},
		"an answer that is a goodbye leaves it in doubt": func(r *rig, _ func()) {
			r.sim.Writer().ErrorThenClose(1053, "Server shutdown in progress", aurorasim.SQL(insert))
			r.wants(r.exec(r.db, insert), failover.ErrOutcomeUnknown, failover.Unknown)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, "", func(r *rig) {
				var armed atomic.Pointer[func()]
				db := r.through(func(conn net.Conn) net.Conn { return crossing{conn, &armed} })
				defer db.Close()
				r.must(db.PingContext(r.Context()))
				r.db = db
				test(r, func() {
					say := func() { r.sim.Writer().Goodbye(1053, "Server shutdown in progress") }
					armed.Store(&say)
				})
			})
		})
	}
}

// last is a connection whose server says goodbye right behind its answer to a statement.
type last struct {
	net.Conn
	statement *atomic.Pointer[string] // to come, on any connection
	sent      atomic.Bool
}

func (l *last) Write(p []byte) (int, error) {
	if s := l.statement.Load(); s != nil && strings.Contains(string(p), *s) {
		l.statement.Store(nil)
		l.sent.Store(true)
	}
	return l.Conn.Write(p)
}

func (l *last) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 && l.sent.Load() {
		l.Conn.Close()
		n += copy(p[n:], "\x1c\x00\x00\x00\xff\xbf\x0f#HY000disconnected: unused")
	}
	return n, err
}

// TestGoodbyeBehindAnAnswer: what a statement leaves behind that succeeded is known to be lost if
// its connection ends with its answer, or goes along.
func TestGoodbyeBehindAnAnswer(t *testing.T) {
	for statement, check := range map[string]func(r *rig, conn *sql.Conn){
		"SET @x": func(r *rig, conn *sql.Conn) {
			r.must(r.exec(conn, "SET @x = LEFT('abc', 1)"))
			r.wants(r.exec(conn, insert), failover.ErrSessionStateLost, failover.NotExecuted)
		},
		"SET sql_select_limit": func(r *rig, conn *sql.Conn) {
			r.must(r.exec(conn, "SET sql_select_limit = 7"))
			r.must(r.exec(conn, insert))
			const set = "SET @`__failoverproxy_sql_select_limit` = @@session.sql_select_limit, @@session.sql_select_limit = 7"
			if n := r.reached(set); n != 1 {
				r.Errorf("the next connection was told %d times", n)
			}
		},
		insert: func(r *rig, conn *sql.Conn) {
			r.must(r.exec(conn, "BEGIN"))
			r.must(r.exec(conn, insert))
			r.wants(r.exec(conn, "COMMIT"), failover.ErrTransactionLost, failover.NotExecuted)
		},
	} {
		t.Run(statement, func(t *testing.T) {
			bubble(t, "", func(r *rig) {
				var armed atomic.Pointer[string]
				armed.Store(&statement)
				db := r.through(func(conn net.Conn) net.Conn { return &last{Conn: conn, statement: &armed} })
				defer db.Close()
				conn, err := db.Conn(r.Context())
				r.must(err)
				defer conn.Close()
				check(r, conn)
			})
		})
	}
}

// deaf is a connection without a file descriptor, so that a goodbye in its buffer is not
// found before a statement is sent.
type deaf struct{ net.Conn }

// TestRealGoodbye is a planned switchover over real servers and sockets, in which the old
// writer says goodbye to idle connections: autocommit writes that meet it have no error.
func TestRealGoodbye(t *testing.T) {
	const writers, rounds = 16, 3
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		sim := simulate(t, s, database, aurorasim.Config{DiscardLog: true})
		defer sim.Close()
		c, err := NewConnector(simConfig(sim, s, database), WithLogger(slog.New(slog.DiscardHandler)),
			WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := sim.DialContext(ctx, network, addr)
				return deaf{conn}, err
			}))
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		defer db.Close()
		book := ledger.New(ledger.WithClassifier(fateOf))
		if err := book.Setup(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		write := func() {
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					if err := book.Write(t.Context(), db); err != nil {
						t.Errorf("write: %v", err)
					}
				})
			}
			all.Wait()
		}
		goodbye := func() { sim.Writer().Goodbye(1053, "Server shutdown in progress") }
		for range rounds {
			write() // opens connections, and leaves them idle
			goodbye()
			write() // finds that the writer is there all the same
			if c.Stats().Statements.Retried == 0 {
				t.Error("no write met the goodbye")
			}
			epoch := c.Snapshot().Epoch
			goodbye()
			done := make(chan error)
			go func() {
				done <- sim.Failover(t.Context(), aurorasim.Failover{Kind: aurorasim.Switchover, PromoteAfter: 200 * time.Millisecond})
			}()
			var read sync.WaitGroup
			read.Go(func() { // finds out, and waits
				if err := db.PingContext(t.Context()); err != nil {
					t.Errorf("read: %v", err)
				}
			})
			// A write that the connector itself cuts off, because the writer is gone, is rightly in doubt.
			for now := c.Snapshot(); now.Writer() != nil && now.Epoch == epoch; now = c.Snapshot() {
				time.Sleep(time.Millisecond)
			}
			write()
			read.Wait()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if err := sim.Settled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		verdict, err := book.Judge(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		if stats := c.Stats().Statements; !verdict.OK() || stats.OutcomeUnknown != 0 {
			t.Errorf("ledger %s, %+v", verdict, stats)
		}
	})
}
