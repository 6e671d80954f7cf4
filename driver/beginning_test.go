package driver

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// begins is how often a transaction was begun.
func (r *rig) begins() int {
	return r.sim.Count(aurorasim.SQL("START TRANSACTION")) + r.sim.Count(aurorasim.SQL("BEGIN")) + r.sim.Count(aurorasim.SQL("START TRANSACTION READ ONLY"))
}

// inTransactionOn checks that a statement was executed within a transaction of its connection.
func (r *rig) inTransaction(statement string) {
	r.Helper()
	seen := r.sim.Seen(statement)
	if len(seen) == 0 {
		r.Errorf("%s: never", statement)
		return
	}
	last := seen[len(seen)-1]
	open := false
	for _, relay := range r.sim.Relays(aurorasim.Any) {
		if relay.Conn != last.Conn || relay.Instance != last.Instance {
			continue
		}
		switch relay.SQL {
		case "BEGIN", "START TRANSACTION", "START TRANSACTION READ ONLY":
			open = true
		case "COMMIT", "ROLLBACK":
			open = false
		case statement:
			if !open {
				r.Errorf("%s ran outside of a transaction", statement)
			}
		}
	}
}

// TestFreshTransactions: a transaction that has answered nothing yet loses nothing.
func TestFreshTransactions(t *testing.T) {
	begin := func(r *rig, opts *sql.TxOptions) *sql.Tx {
		tx, err := r.db.BeginTx(r.Context(), opts)
		r.must(err)
		return tx
	}
	readOnly := &sql.TxOptions{ReadOnly: true}
	for name, test := range map[string]func(r *rig){
		"read-only, the connection was lost before its first statement": func(r *rig) {
			tx := begin(r, readOnly)
			r.sim.Writer().ResetConnections()
			r.must(r.read(tx)())
			r.inTransaction(selectOne)
			r.must(tx.Commit())
			if n := r.begins(); n != 2 {
				r.Errorf("begun %d times", n)
			}
		},
		"across a failover": func(r *rig) {
			tx := begin(r, readOnly)
			defer r.background(aurorasim.Kill)()
			r.must(r.read(tx)())
			r.inTransaction(selectOne)
			if got := r.instanceOf(selectOne); got != "instance-2" {
				r.Errorf("ran on %s", got)
			}
			r.must(tx.Commit())
		},
		"a write that was never sent": func(r *rig) {
			tx := begin(r, nil)
			defer r.background(aurorasim.Switchover)()
			r.must(r.exec(tx, insert))
			r.must(r.exec(tx, update))
			r.inTransaction(insert)
			r.inTransaction(update)
			r.must(tx.Commit())
			if n := r.reached(insert); n != 1 {
				r.Errorf("%d times", n)
			}
		},
		"a read whose answer was lost": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(selectOne))
			r.must(r.read(tx)())
			r.inTransaction(selectOne)
			r.must(tx.Commit())
		},
		"a read that was cut before its first row": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().CutAfter(2, aurorasim.SQL(selectRows))
			got, err := r.rows(r.Context(), tx, selectRows)
			r.must(err)
			if len(got) != 3 {
				r.Errorf("got %v", got)
			}
			r.inTransaction(selectRows)
			r.must(tx.Commit())
		},
		"a write whose answer was lost": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(insert))
			r.wants(r.exec(tx, insert), failover.ErrTransactionLost, failover.NotExecuted)
			r.wants(r.exec(tx, update), failover.ErrTransactionLost, failover.NotExecuted)
			if n := r.reached(insert) + r.reached(update); n != 1 {
				r.Errorf("%d statements", n)
			}
		},
		"a locking read whose answer was lost": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(selectLock))
			_, err := r.rows(r.Context(), tx, selectLock)
			r.wants(err, failover.ErrTransactionLost, failover.NotExecuted)
		},
		"a read that was cut after its first row": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().CutAfter(3, aurorasim.SQL(selectRows))
			_, err := r.rows(r.Context(), tx, selectRows)
			r.wants(err, failover.ErrTransactionLost, failover.NotExecuted)
			if n := r.reached(selectRows); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"not after its first answer": func(r *rig) {
			tx := begin(r, readOnly)
			r.must(r.read(tx)())
			r.sim.Writer().ResetConnections()
			r.wants(r.read(tx)(), failover.ErrTransactionLost, failover.NotExecuted)
			r.wants(tx.Commit(), failover.ErrTransactionLost, failover.NotExecuted)
		},
		"not after its first error": func(r *rig) {
			tx := begin(r, nil)
			if r.exec(tx, "NONSENSE") == nil {
				r.Error("no error")
			}
			r.sim.Writer().ResetConnections()
			r.wants(r.exec(tx, insert), failover.ErrTransactionLost, failover.NotExecuted)
		},
		"an empty one can be committed": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().ResetConnections()
			r.must(tx.Commit())
			tx = begin(r, nil)
			r.sim.Writer().SwallowCommitAnswer()
			r.must(tx.Commit())
			tx = begin(r, nil)
			r.sim.Writer().ResetConnections()
			r.must(tx.Rollback())
			r.must(r.exec(r.db, insert)) // outside
		},
		"the first statement's deadline comes while it waits": func(r *rig) {
			tx := begin(r, nil)
			done := r.background(aurorasim.Kill)
			ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := tx.ExecContext(ctx, insert); !errors.Is(err, context.DeadlineExceeded) {
				r.Errorf("got %v", err)
			}
			r.must(r.exec(tx, insert)) // it is a transaction still
			r.inTransaction(insert)
			r.must(tx.Commit())
			done()
			if n := r.reached(insert); n != 1 {
				r.Errorf("%d times", n)
			}
		},
		"the new connection is lost, too": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().ResetConnections()
			r.sim.Writer().SwallowAnswer(aurorasim.SQL("START TRANSACTION"))
			r.must(r.exec(tx, insert))
			r.inTransaction(insert)
			r.must(tx.Commit())
		},
		"BEGIN is refused": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().ResetConnections()
			r.script.OnPrefix("START TRANSACTION", func(context.Context, fakemysql.Call) fakemysql.Reply { return fakemysql.Fail(1105, "HY000", "no") })
			r.wants(r.exec(tx, insert), failover.ErrTransactionLost, failover.NotExecuted)
			r.wants(r.exec(tx, insert), failover.ErrTransactionLost, failover.NotExecuted)
			r.must(tx.Rollback())
			if n := r.reached(insert); n != 0 {
				r.Errorf("%d times", n)
			}
		},
		"as text": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "BEGIN"))
			defer r.background(aurorasim.Kill)()
			r.must(r.exec(conn, insert))
			r.inTransaction(insert)
			r.must(r.exec(conn, "COMMIT"))
			r.must(r.exec(conn, "BEGIN"))
			r.sim.Writer().ResetConnections()
			r.must(r.exec(conn, "ROLLBACK"))
			r.must(r.exec(conn, update))
		},
		"not if it has used up a SET TRANSACTION": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "SET TRANSACTION READ ONLY"))
			r.must(r.exec(conn, "BEGIN"))
			r.sim.Writer().ResetConnections()
			r.wants(r.read(conn)(), failover.ErrTransactionLost, failover.NotExecuted)
		},
		"not with what pins the session": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "CREATE TEMPORARY TABLE x (n INT)"))
			tx, err := conn.BeginTx(r.Context(), nil)
			r.must(err)
			r.sim.Writer().ResetConnections()
			r.wants(r.exec(tx, insert), failover.ErrTransactionLost, failover.NotExecuted)
			r.must(tx.Rollback())
			r.wants(r.exec(conn, insert), failover.ErrSessionStateLost, failover.NotExecuted)
		},
		"prepared in it only": func(r *rig) {
			tx := begin(r, nil)
			st, err := tx.PrepareContext(r.Context(), "INSERT INTO t VALUES (?)")
			r.must(err)
			defer st.Close()
			r.sim.Writer().ResetConnections()
			_, err = st.ExecContext(r.Context(), 1)
			r.must(err)
			r.must(tx.Commit())
		},
		"not as another one": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "BEGIN"))
			rows, err := conn.QueryContext(r.Context(), "START TRANSACTION READ ONLY")
			r.must(err)
			r.must(rows.Close())
			r.sim.Writer().ResetConnections()
			r.wants(r.read(conn)(), failover.ErrTransactionLost, failover.NotExecuted)
		},
		"the first statement's deadline comes while it begins again": func(r *rig) {
			tx := begin(r, nil)
			r.sim.Writer().ResetConnections()
			first := true
			r.script.OnPrefix("START TRANSACTION", func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
				if !first {
					return fakemysql.Reply{}
				}
				first = false
				<-ctx.Done()
				return fakemysql.Fail(1317, "70100", "Query execution was interrupted")
			})
			ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := tx.ExecContext(ctx, insert); !errors.Is(err, context.DeadlineExceeded) {
				r.Errorf("got %v", err)
			}
			r.must(r.exec(tx, insert))
			r.inTransaction(insert)
			r.must(tx.Commit())
		},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, "", test) })
	}
}

// TestLostTransactionsDoNotBegin: a transaction that was lost with its first statement is not
// what a later statement begins with.
func TestLostTransactionsDoNotBegin(t *testing.T) {
	bubble(t, "fpPoolMode=session", func(r *rig) {
		conn, err := r.db.Conn(r.Context())
		r.must(err)
		defer conn.Close()
		lose := func(q queryer) {
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(insert))
			r.wants(r.exec(q, insert), failover.ErrTransactionLost, failover.NotExecuted)
		}
		r.must(r.exec(conn, "BEGIN"))
		lose(conn)
		r.must(r.exec(conn, "ROLLBACK"))
		r.sim.Writer().ErrorThenClose(1290, "read-only", aurorasim.SQL(update))
		r.must(r.exec(conn, update))
		if n := r.begins(); n != 1 {
			r.Errorf("%d transactions, so %s is in one that nobody ends", n, update)
		}
		tx, err := conn.BeginTx(r.Context(), nil)
		r.must(err)
		lose(tx)
		r.must(tx.Rollback())
		r.sim.Writer().SwallowAnswer(aurorasim.SQL(selectOne))
		r.must(r.read(conn)())
	})
}
