package driver

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/topology"
)

// TestReadersOut: what is meant for readers when there is none, or when the one that is in use
// dies.
func TestReadersOut(t *testing.T) {
	readOnly := func(r *rig) *sql.Tx {
		tx, err := r.db.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
		r.must(err)
		return tx
	}
	for name, test := range map[string]struct {
		params string
		f      func(r *rig)
	}{
		"the writer takes the reads": {"fpTarget=auto", func(r *rig) {
			r.lags(time.Minute)
			r.takes(0, r.read(r.db))
			r.readsOn(r.Context(), r.db, writerRole)
			tx := readOnly(r)
			r.readsOn(r.Context(), tx, writerRole)
			r.must(tx.Commit())
			r.lags(0)
			r.readsOn(r.Context(), r.db, readerRole)
		}},
		"the writer takes what was directed to readers": {"fpTarget=reader", func(r *rig) {
			r.lags(time.Minute)
			r.readsOn(r.Context(), r.db, writerRole)
			r.refused(r.db, insert, "fpTarget is reader: use") // all the same
			tx, err := r.db.BeginTx(WithTarget(r.Context(), topology.Reader), nil)
			r.must(err)
			_, err = tx.ExecContext(WithTarget(r.Context(), topology.Writer), insert)
			r.wants(err, failover.ErrReadOnlyTarget, failover.NotExecuted)
			r.must(tx.Rollback())
			if n := len(r.sim.Seen(insert)); n != 0 {
				r.Errorf("%d writes", n)
			}
		}},
		"never": {"fpTarget=auto&fpWriterIsReader=never", func(r *rig) {
			r.lags(time.Minute)
			time.AfterFunc(3*time.Second, func() {
				r.sim.Instance("instance-3").Lag(0)
				suspect(r.c, "instance-3") // and somebody asks
			})
			r.takes(3*time.Second, r.read(r.db))
			r.went(selectOne, readerRole)
			r.must(r.exec(r.db, insert)) // is not concerned
		}},
		"never, and none comes back": {"fpTarget=reader&fpWriterIsReader=never&fpFailoverTimeout=4s", func(r *rig) {
			r.lags(time.Minute)
			start := time.Now()
			_, err := r.rows(r.Context(), r.db, selectOne)
			r.wants(err, failover.ErrGateTimeout, failover.NotExecuted)
			if took := time.Since(start); took != 4*time.Second {
				r.Errorf("took %s", took)
			}
			_, err = r.rows(failover.WithoutRetry(r.Context()), r.db, selectOne)
			r.wants(err, failover.ErrUnavailable, failover.NotExecuted)
		}},
		"always": {"fpTarget=auto&fpWriterIsReader=always", func(r *rig) {
			const n = 300
			for range n {
				r.must(r.read(r.db)())
			}
			byWriter := 0
			for _, s := range r.sim.Seen(selectOne) {
				if s.Instance == r.sim.Writer().ID {
					byWriter++
				}
			}
			if byWriter < n/6 || byWriter > n/2 { // a third
				r.Errorf("the writer answered %d of %d", byWriter, n)
			}
		}},
		"no writer is no matter": {"fpTarget=auto&fpReadFallback=off", func(r *rig) {
			r.without(func() {
				r.takes(0, r.read(r.db))
				tx := readOnly(r)
				r.takes(0, r.read(tx))
				r.must(tx.Commit())
			})
		}},
		"neither": {"fpTarget=auto", func(r *rig) {
			r.lags(time.Minute)
			r.without(func() {
				r.takes(promotion, r.read(r.db))
			})
		}},
		"the reader dies while it answers": {"fpTarget=auto", func(r *rig) {
			for _, in := range r.sim.Readers() {
				in.SwallowAnswer(aurorasim.SQL(selectOne))
			}
			for range 10 {
				start := time.Now()
				r.must(r.read(r.db)())
				if took := time.Since(start); took > 500*time.Millisecond {
					r.Errorf("took %s", took)
				}
			}
			if r.c.Stats().Statements.Retried < 1 {
				r.Error("nothing was tried again")
			}
		}},
		"all readers crash": {"fpTarget=auto", func(r *rig) {
			conn := r.session()
			r.readsOn(r.Context(), conn, readerRole)
			tx, fresh := readOnly(r), readOnly(r)
			r.must(r.read(tx)())
			for _, in := range r.sim.Readers() {
				r.must(in.Crash(r.Context()))
			}
			r.takes(0, r.read(conn))
			r.went(selectOne, writerRole)
			r.takes(0, r.read(fresh)) // it had answered nothing
			r.went(selectOne, writerRole)
			r.must(fresh.Commit())
			r.wants(r.read(tx)(), failover.ErrTransactionLost, failover.NotExecuted)
			r.must(tx.Rollback())
			r.must(r.sim.Instance("instance-3").Return())
			time.Sleep(10 * time.Second)
			r.readsOn(r.Context(), conn, readerRole)
		}},
		"a transaction that answered nothing begins on another reader": {"fpTarget=auto&fpWriterIsReader=never", func(r *rig) {
			for range 5 {
				tx := readOnly(r)
				last := r.sim.Relays(func(s aurorasim.Statement) bool { return s.SQL == readOnlyBegin })
				dead := r.sim.Instance(last[len(last)-1].Instance)
				r.must(dead.Crash(r.Context()))
				r.takes(0, r.read(tx))
				if got := r.instanceOf(selectOne); got == dead.ID || got == r.sim.Writer().ID {
					r.Errorf("went on on %s", got)
				}
				r.must(tx.Commit())
				r.must(dead.Return())
				time.Sleep(10 * time.Second)
			}
		}},
		"a reader that accepts nobody": {"fpTarget=auto", func(r *rig) {
			r.sim.Instance("instance-2").BlackHole()
			for range 5 {
				start := time.Now()
				r.must(r.read(r.db)())
				if took := time.Since(start); took > 2500*time.Millisecond {
					r.Errorf("took %s", took)
				}
			}
		}},
		"a reader becomes the writer under a session": {"fpTarget=auto", func(r *rig) {
			conn := r.session()
			r.readsOn(r.Context(), conn, readerRole)
			wait := r.background(aurorasim.Kill)
			r.takes(0, r.read(conn))
			wait()
			r.must(r.exec(conn, insert))
			r.went(insert, writerRole)
			time.Sleep(10 * time.Second)
			r.readsOn(r.Context(), conn, readerRole)
		}},
		"a transaction on the reader that becomes the writer": {"", func(r *rig) {
			tx, err := r.db.BeginTx(WithTarget(r.Context(), topology.Reader), nil)
			r.must(err)
			r.must(r.read(tx)())
			on := r.instanceOf(selectOne)
			r.must(r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Kill, To: on, PromoteAfter: time.Second, RestartAfter: time.Second}))
			time.Sleep(time.Second)
			if err := r.exec(tx, insert); !errors.Is(err, failover.ErrReadOnlyTarget) && !errors.Is(err, failover.ErrTransactionLost) {
				r.Errorf("got %v", err)
			}
			_ = tx.Rollback()
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.params, test.f) })
	}
}
