package backend

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// guarded is a backend over a fake server, in a bubble; stop is its Config.Stop.
func guarded(t *testing.T, stop func(ctx context.Context, b *Backend, s *fakemysql.Server) error, test func(t *testing.T, b *Backend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := fakemysql.New(fakemysql.Config{Handler: fakemysql.NewScript().On("INSERT")})
		defer server.Close()
		my := mysql.NewConfig()
		my.User, my.Net = "u", "tcp"
		b, err := NewDialer(Config{
			MySQL: my, Dial: server.Dial, Logger: &mysql.NopLogger{},
			Stop: func(ctx context.Context, b *Backend) error { return stop(ctx, b, server) },
		}).Connect(t.Context(), "i-1:3306")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		test(t, b)
	})
}

func kill(_ context.Context, b *Backend, s *fakemysql.Server) error {
	s.Kill(b.ThreadID(), true)
	return nil
}

// statement runs one under ctx, as the driver does.
func statement(ctx context.Context, t *testing.T, b *Backend, query string) (stopped bool, err error) {
	t.Helper()
	inner, err := b.Begin(ctx)
	if err != nil {
		return false, err
	}
	_, err = b.ExecContext(inner, query, nil)
	return b.End(), err
}

func TestGuard(t *testing.T) {
	type ending struct {
		stopped, failed, cut bool
		after                time.Duration
	}
	const patience = 10 * time.Millisecond
	for name, test := range map[string]struct {
		stop  func(ctx context.Context, b *Backend, s *fakemysql.Server) error
		query string
		want  ending
	}{
		"a statement that ends before": {kill, "INSERT", ending{}},
		"a statement that is stopped":  {kill, "SELECT SLEEP(30)", ending{stopped: true, after: patience}},
		"Stop fails": {func(context.Context, *Backend, *fakemysql.Server) error {
			return errors.New("no")
		}, "SELECT SLEEP(30)", ending{true, true, true, patience}},
		"Stop takes for ever": {func(ctx context.Context, _ *Backend, _ *fakemysql.Server) error {
			<-ctx.Done()
			return ctx.Err()
		}, "SELECT SLEEP(30)", ending{true, true, true, patience + DefaultStopLimit}},
		"Stop helps nothing": {func(context.Context, *Backend, *fakemysql.Server) error {
			return nil
		}, "SELECT SLEEP(30)", ending{true, true, true, patience + DefaultStopLimit}},
		"the statement ends while Stop is under way": {func(_ context.Context, b *Backend, s *fakemysql.Server) error {
			s.Kill(b.ThreadID(), true)
			time.Sleep(50 * time.Millisecond) // End must wait: a KILL may still be on its way
			return nil
		}, "SELECT SLEEP(30)", ending{stopped: true, after: patience + 50*time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			guarded(t, test.stop, func(t *testing.T, b *Backend) {
				for range 2 { // the guard is used again
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					start := time.Now()
					stopped, err := statement(ctx, t, b, test.query)
					got := ending{stopped, err != nil, b.IsCut(), time.Since(start)}
					if cancel(); got != test.want {
						t.Errorf("%+v, want %+v: %v", got, test.want, err)
					}
					if got.cut {
						return
					}
					time.Sleep(time.Second) // no limit of the last one is left
				}
				if b.IsCut() {
					t.Error("cut")
				}
			})
		})
	}
}

func TestGuardOfEndedContext(t *testing.T) {
	guarded(t, kill, func(t *testing.T, b *Backend) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Begin(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if sent, _ := b.Progress(); sent || b.End() {
			t.Error("something began")
		}
	})
}

func TestGuardWithoutStop(t *testing.T) {
	_, d := serve(t, nil)
	b := connect(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if inner, err := b.Begin(ctx); inner != ctx || err != nil {
		t.Error("the wrapped driver does not get the context")
	}
	if b.End() {
		t.Error("stopped")
	}
}

func TestCloseWhileWatching(t *testing.T) {
	for name, cancelled := range map[string]bool{"running": false, "being stopped": true} {
		t.Run(name, func(t *testing.T) {
			var stops atomic.Int64
			guarded(t, func(ctx context.Context, _ *Backend, _ *fakemysql.Server) error {
				stops.Add(1)
				<-ctx.Done()
				return ctx.Err()
			}, func(t *testing.T, b *Backend) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if _, err := b.Begin(ctx); err != nil {
					t.Fatal(err)
				}
				if cancelled {
					cancel()
					synctest.Wait()
				}
				start := time.Now()
				_ = b.Close()
				_ = b.Close()
				want := map[bool]time.Duration{true: DefaultStopLimit}[cancelled]
				if took := time.Since(start); took != want || (stops.Load() == 1) != cancelled {
					t.Errorf("took %s, want %s; %d stops", took, want, stops.Load())
				}
			})
		})
	}
}

func TestGuardAllocates(t *testing.T) {
	_, d := serve(t, func(c *Config) { c.Stop = func(context.Context, *Backend) error { return nil } })
	b := connect(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, ctx := range map[string]context.Context{"cannot end": context.Background(), "can end": ctx} {
		allocs := testing.AllocsPerRun(200, func() {
			if _, err := b.Begin(ctx); err != nil {
				t.Fatal(err)
			}
			b.End()
		})
		if t.Logf("a context that %s: %v allocations", name, allocs); allocs != 0 {
			t.Errorf("a context that %s: %v allocations", name, allocs)
		}
	}
}
