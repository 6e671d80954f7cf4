package driver

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
	"github.com/failoverproxy/failoverproxy/pool"
)

// fake is our driver before a scripted server, in a bubble.
type fake struct {
	*testing.T
	script *fakemysql.Script
	server *fakemysql.Server
	c      *Connector
	db     *sql.DB
	hang   atomic.Bool // dials never end
}

func fakeBubble(t *testing.T, params string, test func(f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{T: t, script: fakemysql.NewScript()}
		one := fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{int64(1)}}}
		f.script.OnPrefix("SELECT CONCAT(@@hostname", func(context.Context, fakemysql.Call) fakemysql.Reply {
			return fakemysql.Rows([]fakemysql.Column{fakemysql.Text("s")}, []any{"fake"})
		})
		f.script.OnPrefix("SELECT @@global.read_only", func(context.Context, fakemysql.Call) fakemysql.Reply {
			return fakemysql.Rows([]fakemysql.Column{fakemysql.Int("a"), fakemysql.Int("b")}, []any{int64(0), int64(0)})
		})
		f.script.On("SELECT n FROM one", one).On("INSERT INTO t VALUES (1)", fakemysql.Result{Affected: 1, InsertID: 7}).On("SELECT LAST_INSERT_ID()", one)
		f.script.OnFunc("BROKEN", func(context.Context, fakemysql.Call) fakemysql.Reply {
			return fakemysql.Fail(1062, "23000", "duplicate")
		})
		f.server = fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "secret"}, Handler: f.script})
		defer f.server.Close()
		cfg, err := ParseDSN("u:secret@tcp(db.example.com:3306)/shop?fpTopology=static&" + params)
		if err != nil {
			t.Fatal(err)
		}
		f.c, err = NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)), WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			if f.hang.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return f.server.Dial(ctx, network, addr)
		}))
		if err != nil {
			t.Fatal(err)
		}
		f.db = sql.OpenDB(f.c)
		defer f.db.Close()
		test(f)
	})
}

func (f *fake) pool() pool.InstanceStats { return f.c.Stats().Pool.Instances[0] }

func (f *fake) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fake) conn() *sql.Conn {
	f.Helper()
	c, err := f.db.Conn(f.Context())
	f.must(err)
	f.Cleanup(func() { c.Close() })
	return c
}

// promptly runs g under a context of 50 ms.
func (f *fake) promptly(what string, g func(ctx context.Context) error) {
	f.Helper()
	const limit = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(f.Context(), limit)
	defer cancel()
	start := time.Now()
	if f.server != nil { // or a bubble's time would go on for ever
		defer time.AfterFunc(time.Minute, func() { f.server.Close() }).Stop()
	}
	err := g(ctx)
	if late := time.Since(start) - limit; !errors.Is(err, context.DeadlineExceeded) || late < 0 || late > promptly {
		f.Errorf("%s: got %v, %s after the deadline", what, err, late)
	}
}

// TestCancelWhereverItWaits: a statement waits for other things than its own answer, too.
func TestCancelWhereverItWaits(t *testing.T) {
	query := func(db *sql.DB) func(ctx context.Context) error {
		return func(ctx context.Context) error { return scan(ctx, db, "SELECT n FROM one") }
	}
	mute := func(f *fake, match func(p *fakemysql.Packet) bool) {
		f.server.SetHooks(fakemysql.Hooks{Before: func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
			if p.From == fakemysql.FromClient && match(p) {
				return fakemysql.Drop
			}
			return fakemysql.Pass
		}})
	}
	for name, test := range map[string]func(f *fake){
		"for a slot": func(f *fake) {
			c := f.conn()
			tx, err := c.BeginTx(f.Context(), nil)
			f.must(err)
			f.promptly("query", query(f.db))
			f.must(tx.Commit())
			if p := f.pool(); p.Waiting != 0 || p.InUse != 1 && p.Kept != 0 {
				f.Errorf("%+v", p)
			}
			f.must(scan(f.Context(), f.db, "SELECT n FROM one"))
		},
		"for a dial": func(f *fake) {
			f.must(f.c.start(f.Context()))
			first, err := f.conn().BeginTx(f.Context(), nil) // has the connection that was made to find the cluster
			f.must(err)
			f.hang.Store(true)
			f.promptly("query", query(f.db))
			f.hang.Store(false)
			f.must(first.Commit())
		},
		"for the first dial": func(f *fake) {
			f.hang.Store(true)
			f.promptly("query", query(f.db))
			f.hang.Store(false)
		},
		"for a greeting": func(f *fake) {
			f.must(f.c.start(f.Context()))
			f.server.SetHooks(fakemysql.Hooks{Before: func(ctx context.Context, p *fakemysql.Packet) fakemysql.Verdict {
				fakemysql.Delay(ctx, time.Hour)
				return fakemysql.Drop
			}})
			f.promptly("query", query(f.db))
		},
		"for Ping": func(f *fake) {
			f.must(f.db.PingContext(f.Context()))
			mute(f, func(p *fakemysql.Packet) bool { return p.Command == wire.ComPing })
			f.promptly("ping", f.db.PingContext)
		},
		"for BEGIN": func(f *fake) {
			f.must(f.db.PingContext(f.Context()))
			mute(f, func(p *fakemysql.Packet) bool { return p.SQL == "START TRANSACTION" })
			f.promptly("begin", func(ctx context.Context) error {
				_, err := f.db.BeginTx(ctx, nil)
				return err
			})
		},
		"for a prepare": func(f *fake) {
			f.must(f.db.PingContext(f.Context()))
			mute(f, func(p *fakemysql.Packet) bool { return p.Command == wire.ComStmtPrepare })
			f.promptly("prepare", func(ctx context.Context) error {
				_, err := f.db.PrepareContext(ctx, "SELECT n FROM one")
				return err
			})
		},
		"for a prepare that nobody asked for": func(f *fake) {
			f.must(f.db.PingContext(f.Context()))
			mute(f, func(p *fakemysql.Packet) bool { return p.Command == wire.ComStmtPrepare })
			f.promptly("query", func(ctx context.Context) error { return scan(ctx, f.db, "SELECT n FROM one WHERE n = ?", 1) })
		},
		"for a variable that is brought along": func(f *fake) {
			c := f.conn()
			_, err := c.ExecContext(f.Context(), "SET sql_mode = 'ANSI'")
			f.must(err)
			f.must(scan(f.Context(), f.db, "SELECT n FROM one"))
			mute(f, func(p *fakemysql.Packet) bool {
				return strings.HasPrefix(p.SQL, "SET") || strings.Contains(p.SQL, "sql_mode")
			})
			f.promptly("query", func(ctx context.Context) error { return scan(ctx, c, "SELECT n FROM one") })
		},
		"for what another session owes": func(f *fake) {
			c := f.conn()
			_, err := c.ExecContext(f.Context(), "INSERT INTO t VALUES (1)")
			f.must(err)
			mute(f, func(p *fakemysql.Packet) bool { return strings.HasPrefix(p.SQL, "SELECT LAST_INSERT_ID()") })
			f.promptly("query", query(f.db))
		},
		"for the flags after an error": func(f *fake) {
			tx, err := f.db.BeginTx(f.Context(), nil)
			f.must(err)
			mute(f, func(p *fakemysql.Packet) bool { return p.Command == wire.ComPing })
			f.promptly("exec", func(ctx context.Context) error {
				_, err := tx.ExecContext(ctx, "BROKEN")
				if err != nil && ctx.Err() != nil {
					return ctx.Err() // 1062 would do, if only it came
				}
				return errors.Join(err, context.DeadlineExceeded, errors.New("came at once"))
			})
			f.server.SetHooks(fakemysql.Hooks{})
			_ = tx.Rollback()
		},
	} {
		t.Run(name, func(t *testing.T) {
			fakeBubble(t, "fpPoolSize=1&fpStallTimeout=0&fpProbeInterval=1h", test)
		})
	}
	t.Run("at the gate", func(t *testing.T) {
		bubble(t, "", func(r *rig) {
			wait := r.background(aurorasim.Kill)
			(&fake{T: r.T}).promptly("query", func(ctx context.Context) error { return r.exec2(ctx, insert) })
			wait()
		})
	})
}

func (r *rig) exec2(ctx context.Context, query string) error {
	_, err := r.db.ExecContext(ctx, query)
	return err
}

// fpSessionReset leaves nothing of one use of a session to the next.
func TestSessionResetForgetsEverything(t *testing.T) {
	bubble(t, "fpSessionReset=on", func(r *rig) {
		used, err := r.c.connect(r.Context())
		r.must(err)
		used.oneShot, used.readsOnly, used.blank, used.silent = "SET TRANSACTION READ ONLY\x00", true, true, true
		if !used.IsValid() || used.oneShot != "" || used.readsOnly || used.blank || used.silent {
			r.Errorf("%q, %t, %t, %t", used.oneShot, used.readsOnly, used.blank, used.silent)
		}
		r.must(used.Close())
	})
}
