package driver

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// drain begins to drain an instance.
func (r *rig) drain(instance string) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- r.c.Drain(r.Context(), instance) }()
	synctest.Wait()
	return func() error { return <-done }
}

// later runs a statement in the background.
func later(f func() error) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	synctest.Wait()
	return func() error { return <-done }
}

func TestDrain(t *testing.T) {
	for name, test := range map[string]struct {
		params string
		f      func(r *rig)
	}{
		"a planned switchover without an error": {"", func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			r.must(r.exec(r.db, insert)) // leaves an idle backend
			drained := r.drain("instance-1")
			if w := r.c.Snapshot().Writer(); w != nil {
				r.Errorf("%s is to be drained", w.ID)
			}
			if open := r.sim.Instance("instance-1").Stats().Open; open != 2 {
				r.Errorf("%d connections, want the transaction's and the monitor's", open)
			}
			write := later(func() error { return r.exec(r.db, update) })
			r.must(r.read(r.db)())
			if got := r.instanceOf(selectOne); got == "instance-1" {
				r.Error("a read went to the drained instance")
			}
			begun := later(func() error { _, err := r.db.BeginTx(r.Context(), nil); return err })
			time.Sleep(5 * time.Second)
			r.must(r.exec(tx, update))
			r.must(tx.Commit())
			r.must(drained())
			synctest.Wait() // until the instance has noticed
			if n := r.sim.Instance("instance-1").Stats().Open; n > 1 {
				r.Errorf("%d connections are left", n)
			}
			r.must(r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Switchover, PromoteAfter: time.Second, RestartAfter: time.Second}))
			r.must(write())
			r.must(begun())
			if s := r.c.Stats(); s.Statements.OutcomeUnknown+s.Statements.TransactionLost != 0 {
				r.Errorf("statements: %+v", s.Statements)
			}
			time.Sleep(10 * time.Second)
			if s := r.c.Snapshot(); s.Writer().ID != "instance-2" || s.Lookup("instance-1").Drained {
				r.Errorf("in the end: %s", s)
			}
			if i := r.c.Stats().Incidents; len(i) != 1 || i[0].Trigger != "drained" || i[0].Statements.Waited != 2 {
				r.Errorf("incidents: %v", i)
			}
		}},
		"a reader": {"fpReadYourWrites=0", func(r *rig) {
			r.must(r.drain("instance-3")())
			r.must(r.exec(r.db, insert))
			r.without(func() {
				for range 20 {
					r.takes(0, r.read(r.db))
					if got := r.instanceOf(selectOne); got != "instance-2" {
						r.Errorf("went to %s", got)
					}
				}
			})
			r.must(r.c.Undrain("instance-3"))
			if strings.Contains(r.c.Snapshot().String(), "drained") {
				r.Errorf("in the end: %s", r.c.Snapshot())
			}
		}},
		"never mind": {"", func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "CREATE TEMPORARY TABLE x (n INT)"))
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			err = r.c.Drain(ctx, "instance-1")
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 backends are out, 1 in transactions, 1 pinned") {
				r.Errorf("got %v", err)
			}
			write := later(func() error { return r.exec(r.db, insert) })
			time.Sleep(time.Second)
			if r.c.Stats().Gate.Waiting != 1 {
				r.Error("a write does not wait")
			}
			r.must(r.c.Undrain("instance-1"))
			r.must(write())
			r.must(r.exec(conn, insert)) // both are where they were
			r.must(tx.Commit())
			if s := r.c.Stats().Statements; s.StateLost+s.TransactionLost != 0 {
				r.Errorf("lost: %+v", s)
			}
		}},
		"it dies before it is empty": {"", func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			drained := r.drain("instance-1")
			r.failover(aurorasim.Kill)
			r.wants(r.exec(tx, update), failover.ErrTransactionLost, failover.NotExecuted)
			r.must(tx.Rollback())
			r.must(drained())
			r.must(r.exec(r.db, insert))
			time.Sleep(10 * time.Second)
			if s := r.c.Snapshot(); s.Lookup("instance-1").Drained {
				r.Errorf("in the end: %s", s)
			}
		}},
		"its role goes while a transaction is open": {"", func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			drained := r.drain("instance-1")
			r.must(r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true}))
			r.must(drained())
			_, err = r.rows(r.Context(), tx, selectOne) // which a reader would answer
			r.wants(err, failover.ErrTransactionLost, failover.NotExecuted)
			r.must(tx.Rollback())
		}},
		"one backend per session": {"fpPoolMode=session", func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, insert))
			drained := r.drain("instance-1")
			write := later(func() error { return r.exec(conn, insert) })
			r.must(drained())
			r.must(r.c.Undrain("instance-1"))
			r.must(write())
		}},
		"before the first statement, and none such": {"", func(r *rig) {
			c, err := NewConnector(r.c.cluster.cfg, WithDialer(r.sim.DialContext), WithLogger(slog.New(slog.DiscardHandler)))
			r.must(err)
			defer c.Close()
			r.must(c.Drain(r.Context(), "instance-2"))
			if !c.Snapshot().Lookup("instance-2").Drained {
				r.Errorf("got %s", c.Snapshot())
			}
			for _, f := range []func() error{
				func() error { return c.Drain(r.Context(), "instance-9") }, func() error { return c.Undrain("instance-9") },
			} {
				if err := f(); err == nil || !strings.Contains(err.Error(), "instance-9 is no instance of the cluster: epoch") {
					r.Errorf("got %v", err)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.params, test.f) })
	}
}
