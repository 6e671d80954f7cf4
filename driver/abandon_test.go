package driver

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// TestCancelledTransactionRunsNothing: database/sql finds out by and by that a transaction's
// context has ended. What the program sends in it until then must not run, least of all in
// autocommit; what it asks of its sql.Conn goes on.
func TestCancelledTransactionRunsNothing(t *testing.T) {
	statements := map[string]func(tx *sql.Tx, st *sql.Stmt) error{
		"exec":  func(tx *sql.Tx, _ *sql.Stmt) error { _, err := tx.Exec(update); return err },
		"query": func(tx *sql.Tx, _ *sql.Stmt) error { return tx.QueryRow(selectLock).Scan(new(int)) },
		"prepare": func(tx *sql.Tx, _ *sql.Stmt) error {
			st, err := tx.Prepare(update)
			if err == nil {
				st.Close()
			}
			return err
		},
		"prepared": func(_ *sql.Tx, st *sql.Stmt) error { _, err := st.Exec(); return err },
	}
	for name, statement := range statements {
		t.Run(name, func(t *testing.T) {
			bubble(t, "", func(r *rig) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				tx, err := r.db.BeginTx(ctx, nil)
				r.must(err)
				r.must(r.exec(tx, insert))
				st, err := tx.Prepare(update)
				r.must(err)
				defer st.Close()
				r.sim.ResetLog()
				cancel()
				err = statement(tx, st)
				closed := name == "prepared" && err != nil // by database/sql, with an error that it does not export
				if !closed && !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrTxDone) {
					r.Errorf("%v", err)
				}
				if err := tx.Commit(); !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrTxDone) {
					r.Errorf("Commit: %v", err)
				}
				synctest.Wait()
				if n, all := r.reached("ROLLBACK"), r.sim.Count(func(s aurorasim.Statement) bool { return s.SQL != "" }); n != 1 || all != 1 {
					r.Errorf("%d rollbacks, and %d statements in all", n, all)
				}
				r.must(r.exec(r.db, update))
			})
		})
	}
	t.Run("sql.Conn", func(t *testing.T) {
		bubble(t, "", func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			tx, err := conn.BeginTx(ctx, nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			cancel()
			next, err := conn.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(next, update))
			r.must(next.Commit())
			synctest.Wait()
			r.must(r.exec(conn, update))
			if rolledBack, committed := r.reached("ROLLBACK"), r.reached("COMMIT"); rolledBack != 1 || committed != 1 {
				r.Errorf("%d rollbacks, %d commits", rolledBack, committed)
			}
		})
	})
}

// TestCommitRefused: a transaction that the server neither commits nor rolls back ends
// with its connection: whoever gets the session next is not in it.
func TestCommitRefused(t *testing.T) {
	bubble(t, "fpPoolSize=1", func(r *rig) {
		r.script.OnFunc("COMMIT", func(context.Context, fakemysql.Call) fakemysql.Reply {
			return fakemysql.Fail(1317, "70100", "Query execution was interrupted")
		})
		tx, err := r.db.BeginTx(r.Context(), nil)
		r.must(err)
		r.must(r.exec(tx, insert))
		if n, _ := failover.Number(tx.Commit()); n != 1317 {
			r.Errorf("got %d", n)
		}
		if in := r.c.Stats().Pool.Instances[0]; in.InTx != 0 {
			r.Errorf("the next one is in the transaction: %+v", in)
		}
		r.must(r.exec(r.db, update))
	})
}

// TestLostTransactionEndsByQuery: some programs run every text for its rows.
func TestLostTransactionEndsByQuery(t *testing.T) {
	bubble(t, "", func(r *rig) {
		conn, err := r.db.Conn(r.Context())
		r.must(err)
		defer conn.Close()
		r.must(r.exec(conn, "BEGIN"))
		r.must(r.exec(conn, insert))
		r.failover(aurorasim.Kill)
		r.wants(r.exec(conn, update), failover.ErrTransactionLost, failover.NotExecuted)
		_, err = r.rows(r.Context(), conn, "ROLLBACK")
		r.wants(err, failover.ErrTransactionLost, failover.NotExecuted)
		r.must(r.exec(conn, update))
	})
}
