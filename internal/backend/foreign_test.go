package backend

import (
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// TestForeign: on a connection that somebody else made, a backend asks for what it would have seen
// in the greeting, can be cut while a statement runs, and is given back once.
func TestForeign(t *testing.T) {
	for version, mariaDB := range map[string]bool{"10.11.6-MariaDB-0+deb12u1": true, "9.7.0": false} {
		synctest.Test(t, func(t *testing.T) {
			script := fakemysql.NewScript().On("SELECT VERSION(), CONNECTION_ID()", fakemysql.Result{
				Columns: []fakemysql.Column{fakemysql.Text("v"), fakemysql.Int("c")}, Rows: [][]any{{version, int64(7)}},
			})
			script.OnPrefix("SELECT SLEEP", func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
				<-ctx.Done()
				return fakemysql.Rows([]fakemysql.Column{fakemysql.Int("n")})
			})
			server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "secret"}, Handler: script})
			defer server.Close()
			cfg := mysql.NewConfig()
			cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DialFunc, cfg.Logger = "u", "secret", "tcp", "db:3306", server.Dial, &mysql.NopLogger{}
			released := 0
			var failure error
			d := NewDialer(Config{MySQL: cfg, Make: func(ctx context.Context, addr string) (driver.Conn, func() error, error) {
				if failure != nil {
					return nil, nil, failure
				}
				connector, err := mysql.NewConnector(cfg)
				if err != nil {
					return nil, nil, err
				}
				made, err := connector.Connect(ctx)
				return made, func() error { released++; return made.Close() }, err
			}})
			b, err := d.Connect(t.Context(), "elsewhere:3306")
			if err != nil {
				t.Fatal(err)
			}
			if b.MariaDB() != mariaDB || b.ThreadID() != 7 || b.RemoteAddr() != nil || b.Addr() != "elsewhere:3306" {
				t.Errorf("MariaDB %t, connection %d, %v, %s", b.MariaDB(), b.ThreadID(), b.RemoteAddr(), b.Addr())
			}
			ctx, err := b.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Second, b.Cut)
			start := time.Now()
			if _, err = b.QueryContext(ctx, "SELECT SLEEP(100)", nil); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
				t.Errorf("%v after %s", err, time.Since(start))
			}
			if !b.IsCut() || b.IsValid() {
				t.Error("it is in use still")
			}
			b.End()
			if err := b.Close(); err != nil || released != 1 {
				t.Errorf("%v; given back %d times", err, released)
			}
			failure = errors.New("no")
			if _, err := d.Connect(t.Context(), "elsewhere:3306"); !errors.Is(err, failure) {
				t.Error(err)
			}
			failure = nil
			script.On("SELECT VERSION(), CONNECTION_ID()", fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Text("v"), fakemysql.Text("c")}, Rows: [][]any{{version, "?"}}})
			if _, err := d.Connect(t.Context(), "elsewhere:3306"); err == nil || released != 2 {
				t.Errorf("%v; given back %d times", err, released)
			}
		})
	}
}

// TestForeignQuestions: what is asked in between, or has no context, ends with the connection, too.
func TestForeignQuestions(t *testing.T) {
	for name, ask := range map[string]func(b *Backend) error{
		"a question":               func(b *Backend) error { _, err := b.Ask(context.Background(), "SELECT 2"); return err },
		"a statement":              func(b *Backend) error { return b.Run(context.Background(), "SET @a = 1") },
		"a ping":                   func(b *Backend) error { return b.Ping(context.Background()) },
		"the end of a transaction": func(b *Backend) error { return b.Conclude("COMMIT", func() error { panic("it cannot be cut") }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := fakemysql.NewScript().On("SELECT VERSION(), CONNECTION_ID()", fakemysql.Result{
					Columns: []fakemysql.Column{fakemysql.Text("v"), fakemysql.Int("c")}, Rows: [][]any{{"9.7.0", int64(7)}},
				})
				server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "secret"}, Handler: script})
				defer server.Close()
				var frozen atomic.Bool
				cfg := mysql.NewConfig()
				cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = "u", "secret", "tcp", "db:3306", &mysql.NopLogger{}
				cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := server.Dial(ctx, network, addr)
					return &freezing{Conn: c, frozen: &frozen}, err
				}
				d := NewDialer(Config{MySQL: cfg, Make: func(ctx context.Context, _ string) (driver.Conn, func() error, error) {
					connector, err := mysql.NewConnector(cfg)
					if err != nil {
						return nil, nil, err
					}
					made, err := connector.Connect(ctx)
					return made, func() error { return made.Close() }, err
				}})
				b, err := d.Connect(t.Context(), "db:3306")
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				frozen.Store(true)
				time.AfterFunc(time.Second, b.Cut)
				time.AfterFunc(time.Hour, func() { b.Inner().Close() }) // the end of the test without a cut
				start := time.Now()
				if err := ask(b); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
					t.Errorf("%v after %s", err, time.Since(start))
				}
			})
		})
	}
}

// freezing swallows what is written while the server is frozen.
type freezing struct {
	net.Conn
	frozen *atomic.Bool
}

func (c *freezing) Write(p []byte) (int, error) {
	if c.frozen.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}
