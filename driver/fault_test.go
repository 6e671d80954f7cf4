package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// TestFaults goes through the table of failover semantics, row by row.
func TestFaults(t *testing.T) {
	for name, test := range map[string]func(r *rig){
		"a read whose answer is lost is executed again": func(r *rig) {
			f := r.sim.Writer().SwallowAnswer(aurorasim.SQL(selectRows))
			got, err := r.rows(r.Context(), r.db, selectRows)
			if err != nil || !slices.Equal(got, []int{1, 2, 3}) || f.Hits() != 1 {
				r.Errorf("got %v, %v; %d hits", got, err, f.Hits())
			}
		},
		"a read that is cut before its first row is executed again": func(r *rig) {
			f := r.sim.Writer().CutAfter(2, aurorasim.SQL(selectRows))
			got, err := r.rows(r.Context(), r.db, selectRows)
			if err != nil || !slices.Equal(got, []int{1, 2, 3}) || f.Hits() != 1 {
				r.Errorf("got %v, %v; %d hits", got, err, f.Hits())
			}
		},
		"a read that meets a shutdown is executed again": func(r *rig) {
			r.sim.Writer().ErrorThenClose(1053, "Server shutdown in progress", aurorasim.SQL(selectRows))
			got, err := r.rows(r.Context(), r.db, selectRows)
			if err != nil || !slices.Equal(got, []int{1, 2, 3}) {
				r.Errorf("got %v, %v", got, err)
			}
		},
		"a read that is cut after a row is interrupted": func(r *rig) {
			r.sim.Writer().CutAfter(3, aurorasim.SQL(selectRows))
			got, err := r.rows(r.Context(), r.db, selectRows)
			r.wants(err, failover.ErrResultInterrupted, failover.Unknown)
			if !slices.Equal(got, []int{1}) {
				r.Errorf("got %v", got)
			}
			if n := r.reached(selectRows); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"a locking read is no plain read": func(r *rig) {
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(selectLock))
			_, err := r.rows(r.Context(), r.db, selectLock)
			r.wants(err, failover.ErrOutcomeUnknown, failover.Unknown)
		},
		"a write whose answer is lost is in doubt and never run again": func(r *rig) {
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(insert))
			err := r.exec(r.db, insert)
			r.wants(err, failover.ErrOutcomeUnknown, failover.Unknown)
			if errors.Is(err, driver.ErrBadConn) {
				r.Error("database/sql would run it again")
			}
			if n := r.reached(insert); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"what may be several statements is not executed again when one is refused": func(r *rig) {
			for _, text := range []string{"CALL p()", "EXECUTE p", "INSERT INTO t VALUES (1); " + update} {
				n := 0
				r.script.OnFunc(text, func(context.Context, fakemysql.Call) fakemysql.Reply {
					if n++; n == 1 {
						return fakemysql.Fail(1290, "HY000", "read-only since its first INSERT")
					}
					return fakemysql.OK(1, 0)
				})
				r.wants(r.exec(r.db, text), failover.ErrOutcomeUnknown, failover.Unknown)
				tx, err := r.db.BeginTx(r.Context(), nil)
				r.must(err)
				n = 0
				r.wants(r.exec(tx, text), failover.ErrOutcomeUnknown, failover.Unknown) // it may have committed
				r.must(tx.Rollback())
				if n != 1 {
					r.Errorf("%s: executed %d times", text, n)
				}
			}
		},
		"a deadlock ends a transaction without autocommit, too": func(r *rig) {
			r.script.OnFunc("UPDATE t SET a = 2", func(_ context.Context, call fakemysql.Call) fakemysql.Reply {
				call.End()
				return fakemysql.Fail(1213, "40001", "deadlock")
			})
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "SET autocommit = 0"))
			tx, err := conn.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			if err := r.exec(tx, "UPDATE t SET a = 2"); err == nil {
				r.Error("no error")
			}
			r.wants(r.exec(tx, update), failover.ErrTransactionLost, failover.NotExecuted)
			r.wants(tx.Commit(), failover.ErrTransactionLost, failover.NotExecuted)
			if n := r.reached(update); n != 0 {
				r.Errorf("executed %d times", n)
			}
		},
		"an idempotent write whose answer is lost is run again": func(r *rig) {
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(insert))
			_, err := r.db.ExecContext(failover.WithIdempotent(r.Context()), insert)
			r.must(err)
			if n := r.reached(insert); n != 2 {
				r.Errorf("executed %d times", n)
			}
		},
		"a write to a server that became read-only waits and lands once": func(r *rig) {
			wait := r.background(aurorasim.Switchover)
			r.must(r.exec(r.db, insert))
			wait()
			if n := r.reached(insert); n != 1 {
				r.Errorf("executed %d times", n)
			}
			if r.c.Snapshot().Writer().ID == "instance-1" {
				r.Error("no failover")
			}
		},
		"a write while there is no writer waits and lands once": func(r *rig) {
			wait := r.background(aurorasim.Kill)
			start := time.Now()
			r.must(r.exec(r.db, insert))
			if waited := time.Since(start); waited > 1200*time.Millisecond {
				r.Errorf("waited %s for a promotion after 1s", waited)
			}
			wait()
			if n := r.reached(insert); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"a write on a frozen writer is in doubt; what comes after the silence was noticed waits": func(r *rig) {
			wait := r.background(aurorasim.Frozen)
			start := time.Now()
			err := r.exec(r.db, insert)
			r.wants(err, failover.ErrOutcomeUnknown, failover.Unknown)
			if took := time.Since(start); took > 3500*time.Millisecond {
				r.Errorf("noticed after %s", took)
			}
			wait()
			r.must(r.exec(r.db, update))
		},
		"an idempotent write that was sent before it waited in vain": func(r *rig) {
			writer := r.sim.Writer()
			writer.SwallowAnswer(aurorasim.SQL(insert))
			ctx, cancel := context.WithTimeout(failover.WithIdempotent(r.Context()), time.Hour)
			defer cancel()
			writer.Refuse()
			_, err := r.db.ExecContext(ctx, insert)
			r.wants(err, failover.ErrGateTimeout, failover.Unknown)
			if n := r.reached(insert); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"BEGIN is done again": func(r *rig) {
			r.sim.Writer().SwallowAnswer(aurorasim.SQL("START TRANSACTION"))
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			r.must(tx.Commit())
			if n := r.reached(insert); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"a transaction whose connection is lost stays lost to its end": func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(update))
			r.wants(r.exec(tx, update), failover.ErrTransactionLost, failover.NotExecuted)
			r.wants(r.exec(tx, insert), failover.ErrTransactionLost, failover.NotExecuted)
			_, err = r.rows(r.Context(), tx, selectOne)
			r.wants(err, failover.ErrTransactionLost, failover.NotExecuted)
			_, err = tx.PrepareContext(r.Context(), selectOne)
			r.wants(err, failover.ErrTransactionLost, failover.NotExecuted)
			r.must(tx.Rollback())
			if n := r.reached(insert); n != 1 {
				r.Errorf("%d times: something of the transaction ran outside of it", n)
			}
			r.must(r.exec(r.db, insert))
		},
		"a transaction that is rolled back is not lost": func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			r.sim.Writer().ResetConnections()
			r.must(tx.Rollback())
			if n := r.c.Stats().Statements.TransactionLost; n != 0 {
				r.Errorf("%d counted as lost", n)
			}
		},
		"a lost transaction cannot be committed": func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			r.sim.Writer().ResetConnections()
			r.wants(tx.Commit(), failover.ErrTransactionLost, failover.NotExecuted)
			if n := r.reached("COMMIT"); n != 0 {
				r.Errorf("%d commits", n)
			}
		},
		"a COMMIT whose answer is lost is in doubt": func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			r.sim.Writer().SwallowCommitAnswer()
			r.wants(tx.Commit(), failover.ErrOutcomeUnknown, failover.Unknown)
			if n := r.reached("COMMIT"); n != 1 {
				r.Errorf("%d commits", n)
			}
		},
		"a transaction as text": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "BEGIN"))
			r.must(r.exec(conn, insert))
			r.sim.Writer().ResetConnections()
			r.wants(r.exec(conn, update), failover.ErrTransactionLost, failover.NotExecuted)
			r.wants(r.exec(conn, update), failover.ErrTransactionLost, failover.NotExecuted)
			r.must(r.exec(conn, "ROLLBACK"))
			r.must(r.exec(conn, update))
			r.must(r.exec(conn, "BEGIN"))
			r.must(r.exec(conn, insert))
			r.sim.Writer().SwallowCommitAnswer()
			r.wants(r.exec(conn, "COMMIT"), failover.ErrOutcomeUnknown, failover.Unknown)
			r.must(r.exec(conn, update))
			if n := r.reached(update); n != 2 {
				r.Errorf("update ran %d times", n)
			}
		},
		"a COMMIT as text that was never sent": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "BEGIN"))
			r.must(r.exec(conn, insert))
			r.sim.Writer().ResetConnections()
			r.wants(r.exec(conn, "COMMIT"), failover.ErrTransactionLost, failover.NotExecuted)
			r.must(r.exec(conn, update)) // it is over
		},
		"an idle session notices nothing": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, insert))
			r.failover(aurorasim.Kill)
			r.must(r.exec(conn, insert))
			r.must(r.exec(r.db, insert))
		},
		"a session that loses a temporary table is told once": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "CREATE TEMPORARY TABLE x (n INT)"))
			r.failover(aurorasim.Kill)
			err = r.exec(conn, insert)
			r.wants(err, failover.ErrSessionStateLost, failover.NotExecuted)
			var fe *failover.Error
			if errors.As(err, &fe) && fe.Detail != "temporary table" {
				r.Errorf("detail %q", fe.Detail)
			}
			r.must(r.exec(conn, insert))
		},
		"a pinned session in database/sql's pool is replaced": func(r *rig) {
			r.db.SetMaxOpenConns(1)
			r.must(r.exec(r.db, "CREATE TEMPORARY TABLE x (n INT)"))
			r.failover(aurorasim.Kill)
			time.Sleep(10 * time.Second) // in a bubble a dead idle connection shows at the next poll only
			r.must(r.exec(r.db, insert))
		},
		"prepared statements outlive their backend": func(r *rig) {
			st, err := r.db.PrepareContext(r.Context(), "SELECT n FROM one WHERE n = ?")
			r.must(err)
			defer st.Close()
			for _, kind := range []aurorasim.Kind{aurorasim.Kill, aurorasim.Switchover, aurorasim.Frozen} {
				wait := r.background(kind)
				var n int
				r.must(st.QueryRowContext(r.Context(), 1).Scan(&n))
				wait()
				time.Sleep(10 * time.Second)
			}
		},
		"a cancel is no fault of an instance": func(r *rig) {
			before := r.c.Snapshot().Epoch
			delay := r.sim.Writer().Delay(time.Minute, aurorasim.SQL(selectOne))
			ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := r.rows(ctx, r.db, selectOne); !errors.Is(err, context.DeadlineExceeded) {
				r.Errorf("got %v", err)
			}
			delay.Clear()
			if s := r.c.Snapshot(); s.Writer() == nil || s.Epoch != before || r.reached(selectOne) > 1 {
				r.Errorf("%s, executed %d times", s, r.reached(selectOne))
			}
			if _, err := r.rows(r.Context(), r.db, selectOne); err != nil {
				r.Error(err)
			}
		},
		"a cancelled transaction is rolled back": func(r *rig) {
			ctx, cancel := context.WithCancel(r.Context())
			tx, err := r.db.BeginTx(ctx, nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			cancel()
			synctest.Wait()
			if err := tx.Commit(); !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrTxDone) {
				r.Errorf("got %v", err)
			}
			if n := r.reached("COMMIT"); n != 0 {
				r.Error("committed")
			}
		},
		"a long query on a healthy instance is never harmed": func(r *rig) {
			r.sim.Writer().Delay(30*time.Second, aurorasim.SQL(selectOne))
			start := time.Now()
			if _, err := r.rows(r.Context(), r.db, selectOne); err != nil {
				r.Error(err)
			}
			if took := time.Since(start); took < 30*time.Second || took > 31*time.Second || r.reached(selectOne) != 1 {
				r.Errorf("took %s, executed %d times", took, r.reached(selectOne))
			}
		},
		"not to be retried": func(r *rig) {
			ctx := failover.WithoutRetry(r.Context())
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(selectOne))
			_, err := r.rows(ctx, r.db, selectOne)
			r.wants(err, failover.ErrUnavailable, failover.Unknown)
			wait := r.background(aurorasim.Kill)
			_, err = r.db.ExecContext(ctx, insert)
			r.wants(err, failover.ErrUnavailable, failover.NotExecuted)
			wait()
		},
		"no room for a connection: waits for it": func(r *rig) {
			f := r.sim.Writer().TooManyConnections()
			conns := make([]*sql.Conn, 3) // hold what is connected
			for i := range conns {
				var err error
				if i == 0 {
					conns[i], err = r.db.Conn(r.Context())
					r.must(err)
					defer conns[i].Close()
					r.must(r.exec(conns[i], "BEGIN"))
				}
			}
			time.AfterFunc(2*time.Second, f.Clear)
			start := time.Now()
			r.must(r.exec(r.db, insert))
			if took := time.Since(start); took < 2*time.Second || took > 3*time.Second {
				r.Errorf("took %s", took)
			}
			if s := r.c.Snapshot(); s.Epoch != 1 {
				r.Errorf("a full server is no failover: %s", s)
			}
		},
		"a question about the last statement finds its answer, or is told that it went": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, insert))
			if got, err := r.rows(r.Context(), conn, "SELECT ROW_COUNT()"); err != nil || len(got) != 1 {
				r.Errorf("got %v, %v", got, err)
			}
			if _, err := r.rows(r.Context(), r.db, "SELECT ROW_COUNT()"); !errors.Is(err, ErrAnswerGone) {
				r.Errorf("a session that did nothing got another's answer: %v", err)
			}
			r.must(r.exec(conn, insert))
			others := make([]*sql.Tx, 25) // take every lease there is
			for i := range others {
				others[i], err = r.db.BeginTx(r.Context(), nil)
				r.must(err)
			}
			if _, err := r.rows(r.Context(), conn, "SELECT ROW_COUNT()"); !errors.Is(err, ErrAnswerGone) {
				r.Errorf("the lease was taken, and the answer: %v", err)
			}
			for _, tx := range others {
				r.must(tx.Rollback())
			}
		},
		"a server that restarted and kept its connections has rolled back": func(r *rig) {
			r.script.OnPrefix("DELETE", func(_ context.Context, call fakemysql.Call) fakemysql.Reply {
				call.End()
				return fakemysql.Fail(1105, "HY000", "The last transaction was aborted due to Zero Downtime Restart. Please retry.")
			})
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "BEGIN"))
			if err := r.exec(conn, "DELETE FROM t"); failoverNumber(err) != 1105 {
				r.Errorf("got %v", err)
			}
			for _, in := range r.c.Stats().Pool.Instances {
				if in.InTx != 0 {
					r.Error("the session still takes itself to be in a transaction")
				}
			}
		},
		"an error of the statement's own is nobody's fault": func(r *rig) {
			if err := r.exec(r.db, "NONSENSE"); failoverNumber(err) != 1064 {
				r.Errorf("got %v", err)
			}
			if s := r.c.Stats(); s.Statements.Retried != 0 || s.Gate.Entered != 0 {
				r.Errorf("%+v", s)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, "", test) })
	}
}

func failoverNumber(err error) uint16 {
	number, _ := failover.Number(err)
	return number
}

// TestGateLimits goes through what ends a wait for a writer that does not come.
func TestGateLimits(t *testing.T) {
	for name, test := range map[string]struct {
		params string
		run    func(r *rig)
	}{
		"fpFailoverTimeout": {"fpFailoverTimeout=5s", func(r *rig) {
			start := time.Now()
			err := r.exec(r.db, insert)
			r.wants(err, failover.ErrGateTimeout, failover.NotExecuted)
			if took := time.Since(start); took < 5*time.Second || took > 5100*time.Millisecond {
				r.Errorf("took %s", took)
			}
		}},
		"the context's deadline": {"", func(r *rig) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			if _, err := r.db.ExecContext(ctx, insert); !errors.Is(err, context.DeadlineExceeded) {
				r.Errorf("got %v", err)
			}
		}},
		"fpGateSize": {"fpGateSize=2&fpFailoverTimeout=3s", func(r *rig) {
			errs := make(chan error)
			for range 3 {
				go func() { errs <- r.exec(r.db, insert) }()
				synctest.Wait()
			}
			r.wants(<-errs, failover.ErrGateFull, failover.NotExecuted)
			r.wants(<-errs, failover.ErrGateTimeout, failover.NotExecuted)
			r.wants(<-errs, failover.ErrGateTimeout, failover.NotExecuted)
		}},
		"closing": {"", func(r *rig) {
			errs := make(chan error)
			go func() { errs <- r.exec(r.db, insert) }()
			synctest.Wait()
			r.must(r.c.Close())
			r.wants(<-errs, failover.ErrClosed, failover.NotExecuted)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, test.params, func(r *rig) {
				ctx, cancel := context.WithCancel(r.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					if err := r.sim.Failover(ctx, aurorasim.Failover{Kind: aurorasim.Kill, PromoteAfter: time.Hour}); err == nil {
						r.Error("promoted")
					}
				}()
				synctest.Wait()
				test.run(r)
				cancel()
				<-done
			})
		})
	}
}
