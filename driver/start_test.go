package driver

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// newcomer is a program that has not connected yet, over a simulated cluster in a bubble.
type newcomer struct {
	*rig
	log *bytes.Buffer
}

// begin runs a test with such a program.
func begin(t *testing.T, params string, test func(b *newcomer)) {
	t.Helper()
	bubble(t, "", func(r *rig) {
		b := &newcomer{rig: &rig{T: r.T, sim: r.sim, script: r.script}, log: &bytes.Buffer{}}
		cfg, err := ParseDSN("u:secret@tcp(" + r.sim.Endpoint() + ")/shop?" + params)
		r.must(err)
		b.c, err = NewConnector(cfg, WithDialer(r.sim.DialContext), WithLogger(slog.New(slog.NewTextHandler(b.log, nil))))
		r.must(err)
		b.db = sql.OpenDB(b.c)
		defer b.balanced()
		defer b.db.Close()
		test(b)
	})
}

// clears ends a fault a little later.
func (b *newcomer) clears(after time.Duration, faults ...*aurorasim.Fault) {
	time.AfterFunc(after, func() {
		for _, f := range faults {
			f.Clear()
		}
	})
}

// TestStartInAFailover starts programs while the cluster cannot be reached: the first
// statement waits as later ones would.
func TestStartInAFailover(t *testing.T) {
	host := func(b *newcomer) string {
		host, _, _ := net.SplitHostPort(b.sim.Endpoint())
		return host
	}
	// first runs the first statement, which is to take between min and max.
	first := func(b *newcomer, atLeast, atMost time.Duration) {
		b.Helper()
		start := time.Now()
		b.must(b.exec(b.db, insert))
		if took := time.Since(start); took < atLeast || took > atMost {
			b.Errorf("took %s, want %s to %s", took, atLeast, atMost)
		}
	}
	// fails wants it to fail at that time.
	fails := func(b *newcomer, ctx context.Context, after time.Duration, parts ...string) error {
		b.Helper()
		start := time.Now()
		_, err := b.db.ExecContext(ctx, insert)
		if err == nil || time.Since(start) != after {
			b.Fatalf("%v after %s, want an error after %s", err, time.Since(start), after)
		}
		for _, part := range append(parts, "") {
			if !strings.Contains(err.Error(), part) {
				b.Errorf("%q is not in: %v", part, err)
			}
		}
		return err
	}
	for name, test := range map[string]struct {
		params string
		run    func(b *newcomer)
	}{
		"refused": {"", func(b *newcomer) {
			b.clears(8*time.Second, b.sim.Writer().Refuse())
			first(b, 8*time.Second, 9*time.Second)
			if n := strings.Count(b.log.String(), "cannot be reached yet"); n != 1 || !strings.Contains(b.log.String(), "refused") {
				b.Errorf("%d warnings:\n%s", n, b.log)
			}
		}},
		"black hole": {"", func(b *newcomer) {
			b.clears(15*time.Second, b.sim.Writer().BlackHole())
			first(b, 15*time.Second, 16*time.Second)
		}},
		"accepts and is silent": {"", func(b *newcomer) {
			b.clears(15*time.Second, b.sim.Writer().AcceptSilent())
			first(b, 15*time.Second, 16*time.Second)
		}},
		"no room": {"", func(b *newcomer) {
			b.clears(5*time.Second, b.sim.Writer().TooManyConnections())
			first(b, 5*time.Second, 6*time.Second)
		}},
		"reset in the middle of the first question": {"", func(b *newcomer) {
			b.sim.Writer().SwallowAnswer(aurorasim.Contains("SHOW GLOBAL VARIABLES"))
			first(b, 0, time.Second)
		}},
		"shutting down": {"", func(b *newcomer) {
			b.sim.Writer().ErrorThenClose(1053, "Server shutdown in progress", aurorasim.Contains("SHOW GLOBAL VARIABLES"))
			first(b, 0, time.Second)
		}},
		"killed, promoted after 3s, DNS after 5s": {"", func(b *newcomer) {
			var script sync.WaitGroup
			script.Go(func() {
				b.must(b.sim.Failover(b.Context(), aurorasim.Failover{PromoteAfter: 3 * time.Second, RestartAfter: time.Minute, DNSAfter: 2 * time.Second}))
			})
			synctest.Wait()
			first(b, 5*time.Second, 6*time.Second)
			script.Wait()
			if w := b.c.Snapshot().Writer(); w.ID != "instance-2" {
				b.Errorf("%s", b.c.Snapshot())
			}
		}},
		"through a reader, while there is no writer": {"", func(b *newcomer) {
			b.sim.SetDNS(host(b), "instance-3")
			var script sync.WaitGroup
			script.Go(func() {
				b.must(b.sim.Failover(b.Context(), aurorasim.Failover{PromoteAfter: 3 * time.Second, RestartAfter: time.Minute}))
			})
			synctest.Wait()
			first(b, 3*time.Second, 3200*time.Millisecond)
			script.Wait()
		}},
		"a hundred sessions": {"", func(b *newcomer) {
			b.clears(8*time.Second, b.sim.Writer().Refuse())
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() { first(b, 8*time.Second, 9*time.Second) })
			}
			all.Wait()
			if n := strings.Count(b.log.String(), "cannot be reached yet"); n != 1 {
				b.Errorf("%d warnings", n)
			}
		}},
		"fpFailoverTimeout": {"", func(b *newcomer) {
			b.sim.Writer().Refuse()
			err := fails(b, b.Context(), 30*time.Second, "refused", "fpFailoverTimeout")
			b.wants(err, failover.ErrGateTimeout, failover.NotExecuted)
		}},
		"fpFailoverTimeout, in silence": {"fpFailoverTimeout=7s", func(b *newcomer) {
			b.sim.Writer().AcceptSilent()
			err := fails(b, b.Context(), 7*time.Second, "no answer yet from sim.cluster-")
			b.wants(err, failover.ErrGateTimeout, failover.NotExecuted)
		}},
		"the context's deadline": {"", func(b *newcomer) {
			b.sim.Writer().Refuse()
			ctx, cancel := context.WithTimeout(b.Context(), 3*time.Second)
			defer cancel()
			if err := fails(b, ctx, 3*time.Second, "refused"); !errors.Is(err, context.DeadlineExceeded) {
				b.Errorf("got %v", err)
			}
		}},
		"cancelled": {"", func(b *newcomer) {
			b.sim.Writer().Refuse()
			ctx, cancel := context.WithCancel(b.Context())
			time.AfterFunc(time.Second, cancel)
			if err := fails(b, ctx, time.Second); err != context.Canceled { //nolint:errorlint // bare
				b.Errorf("got %v", err)
			}
		}},
		"not to be tried again": {"", func(b *newcomer) {
			b.sim.Writer().Refuse()
			fails(b, failover.WithoutRetry(b.Context()), 0, "refused")
		}},
		"closed meanwhile": {"", func(b *newcomer) {
			b.sim.Writer().Refuse()
			time.AfterFunc(3*time.Second, func() { b.must(b.c.Close()) })
			start := time.Now()
			b.wants(b.exec(b.db, insert), failover.ErrClosed, failover.NotExecuted)
			if took := time.Since(start); took > 4*time.Second {
				b.Errorf("took %s", took)
			}
		}},
		"a name that does not exist": {"", func(b *newcomer) {
			b.sim.NXDomain(host(b))
			fails(b, b.Context(), 0, "no such host", host(b))
		}},
		"no such user": {"", func(b *newcomer) {
			cfg, err := ParseDSN("u:wrong@tcp(" + b.sim.Endpoint() + ")/shop")
			b.must(err)
			c, err := NewConnector(cfg, WithDialer(b.sim.DialContext))
			b.must(err)
			b.must(b.db.Close())
			b.c, b.db = c, sql.OpenDB(c)
			fails(b, b.Context(), 0, "1045")
			b.must(b.db.Close())
		}},
	} {
		t.Run(name, func(t *testing.T) { begin(t, test.params, test.run) })
	}
}
