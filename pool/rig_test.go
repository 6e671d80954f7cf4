package pool

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// rig is a pool over one fake server, in a synctest bubble.
type rig struct {
	*testing.T
	*Pool
	server  *fakemysql.Server
	silent  chan string
	delay   time.Duration // of each connect
	answer  time.Duration // of LAST_INSERT_ID()
	far     sync.Map      // time.Duration of the way there and back, by address
	dialing atomic.Int64
	most    atomic.Int64 // connects at a time
}

var writer = Member{ID: "i-1", Addr: "i-1:3306", Role: "writer"}

func bubble(t *testing.T, cfg Config, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, silent: make(chan string, 10)}
		script := fakemysql.NewScript().OnFunc("SELECT LAST_INSERT_ID()", func(context.Context, fakemysql.Call) fakemysql.Reply {
			time.Sleep(r.answer)
			return fakemysql.Rows([]fakemysql.Column{fakemysql.Int("id")}, []any{int64(7)})
		})
		script.On("SELECT LAST_INSERT_ID(), @@session.sql_mode", fakemysql.Result{
			Columns: []fakemysql.Column{fakemysql.Int("id"), fakemysql.Text("mode")}, Rows: [][]any{{int64(0), "ANSI"}},
		})
		r.server = fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "p"}, Handler: script})
		defer r.server.Close()
		my := mysql.NewConfig()
		my.User, my.Passwd, my.Net = "u", "p", "tcp"
		dialer := backend.NewDialer(backend.Config{MySQL: my, Dial: r.dial, Logger: &mysql.NopLogger{}})
		cfg.Connect = func(ctx context.Context, m Member) (*backend.Backend, error) {
			n := r.dialing.Add(1)
			defer r.dialing.Add(-1)
			for most := r.most.Load(); n > most && !r.most.CompareAndSwap(most, n); most = r.most.Load() {
			}
			if r.delay > 0 { // a timer that has run out at once crashes go 1.26 with -race now and then, in a bubble
				select {
				case <-time.After(r.delay):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return dialer.Connect(ctx, m.Addr)
		}
		cfg.Silent = func(m Member) { r.silent <- m.ID }
		r.Pool = New(cfg)
		r.Apply(1, []Member{writer})
		test(r)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Close(ctx, true); err != nil {
			r.Errorf("Close: %v", err)
		}
		synctest.Wait()
		if n := len(r.server.Conns()); n != 0 {
			r.Errorf("%d connections are left", n)
		}
	})
}

// dial connects to an address that may be far away.
func (r *rig) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := r.server.Dial(ctx, network, addr)
	return &distant{conn, func() {
		if d, ok := r.far.Load(addr); ok {
			time.Sleep(d.(time.Duration))
		}
	}}, err
}

type distant struct {
	net.Conn
	travel func()
}

func (d *distant) Write(p []byte) (int, error) {
	d.travel()
	return d.Conn.Write(p)
}

func (r *rig) instance() *Instance { return r.Instance(writer.ID, writer.Role) }

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Error(err)
	}
}

// borrow gives a session a backend.
func (r *rig) borrow() *Session {
	r.Helper()
	s := &Session{}
	if err := s.Borrow(r.Context(), r.instance(), "SELECT 1"); err != nil {
		r.Fatal(err)
	}
	return s
}

func (r *rig) stats() InstanceStats { return r.Stats().Instances[0] }
