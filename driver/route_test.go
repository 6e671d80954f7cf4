package driver

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/topology"
)

// went fails the test if a statement did not go last to an instance of that role.
func (r *rig) went(statement, role string) {
	r.Helper()
	got := readerRole
	if in := r.instanceOf(statement); in == r.sim.Writer().ID {
		got = writerRole
	} else if in == "" {
		got = "nobody"
	}
	if got != role {
		r.Errorf("%s went to the %s, want %s", statement, got, role)
	}
}

// readsOn fails the test if a read does not go to an instance of that role.
func (r *rig) readsOn(ctx context.Context, q queryer, role string) {
	r.Helper()
	if _, err := r.rows(ctx, q, selectOne); err != nil {
		r.Error(err)
	}
	r.went(selectOne, role)
}

// refused fails the test if a statement was sent, or if its error does not say what to do.
func (r *rig) refused(q queryer, statement, advice string) {
	r.Helper()
	r.refusedWith(r.Context(), q, statement, advice)
}

func (r *rig) refusedWith(ctx context.Context, q queryer, statement, advice string) {
	r.Helper()
	before := len(r.sim.Seen(statement))
	_, err := q.ExecContext(ctx, statement)
	r.wants(err, failover.ErrReadOnlyTarget, failover.NotExecuted)
	if err != nil && !strings.Contains(err.Error(), advice) {
		r.Errorf("%v does not say %q", err, advice)
	}
	if len(r.sim.Seen(statement)) != before {
		r.Errorf("%s was sent", statement)
	}
}

func (r *rig) session() *sql.Conn {
	r.Helper()
	conn, err := r.db.Conn(r.Context())
	r.must(err)
	r.Cleanup(func() { conn.Close() })
	return conn
}

// lags sets the lag of all readers, and waits until it is known.
func (r *rig) lags(d time.Duration) {
	for _, in := range r.sim.Readers() {
		in.Lag(d)
	}
	time.Sleep(6 * time.Second)
}

const (
	setNow        = "SET @x = NOW()" // a pin
	readOnlyBegin = "START TRANSACTION READ ONLY"
	hintedOne     = hintReader + " " + selectOne
	hintedInsert  = hintReader + " " + insert
)

// TestRouting: which statements go to readers.
func TestRouting(t *testing.T) {
	onReader := func(r *rig) context.Context { return WithTarget(r.Context(), topology.Reader) }
	onWriter := func(r *rig) context.Context { return WithTarget(r.Context(), topology.Writer) }
	for name, test := range map[string]struct {
		params string
		f      func(r *rig)
	}{
		"by default everything is the writer's": {"", func(r *rig) {
			for range 10 {
				r.readsOn(r.Context(), r.db, writerRole)
			}
			tx, err := r.db.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
			r.must(err)
			r.readsOn(r.Context(), tx, writerRole)
			r.must(tx.Commit())
		}},
		"auto: reads": {"fpTarget=auto", func(r *rig) {
			for range 10 {
				r.readsOn(r.Context(), r.db, readerRole)
			}
			st, err := r.db.PrepareContext(r.Context(), "SELECT n FROM one WHERE n = ?")
			r.must(err)
			defer st.Close()
			var n int
			r.must(st.QueryRowContext(r.Context(), 1).Scan(&n))
			r.went("SELECT n FROM one WHERE n = ?", readerRole)
			_, err = r.rows(r.Context(), r.db, selectLock)
			r.must(err)
			r.went(selectLock, writerRole)
		}},
		"auto: a session that reads and writes": {"fpTarget=auto", func(r *rig) {
			conn := r.session()
			for range 3 {
				r.readsOn(r.Context(), conn, readerRole)
				r.must(r.exec(conn, insert))
				r.went(insert, writerRole)
				r.readsOn(r.Context(), conn, writerRole)
				time.Sleep(time.Second)
			}
			r.readsOn(r.Context(), conn, readerRole)
		}},
		"auto: transactions": {"fpTarget=auto", func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.readsOn(r.Context(), tx, writerRole)
			r.must(r.exec(tx, insert))
			r.must(tx.Commit())
			time.Sleep(time.Second)
			tx, err = r.db.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
			r.must(err)
			r.readsOn(r.Context(), tx, readerRole)
			r.must(tx.Commit())
			r.readsOn(r.Context(), r.db, readerRole) // a read-only transaction wrote nothing
			conn := r.session()
			r.must(r.exec(conn, "BEGIN"))
			r.readsOn(r.Context(), conn, writerRole)
			r.must(r.exec(conn, "COMMIT"))
			time.Sleep(time.Second)
			r.must(r.exec(conn, readOnlyBegin))
			r.went(readOnlyBegin, readerRole)
			r.readsOn(r.Context(), conn, readerRole)
			r.must(r.exec(conn, "COMMIT"))
			r.must(r.exec(conn, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
			r.must(r.exec(conn, readOnlyBegin))
			r.went(readOnlyBegin, writerRole) // which knows what the SET was for
			r.must(r.exec(conn, "ROLLBACK"))
		}},
		"auto: a write in a read-only transaction is the server's to refuse": {"fpTarget=auto", func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
			r.must(err)
			r.readsOn(r.Context(), tx, readerRole)
			err = r.exec(tx, insert)
			if !failover.ReadOnly(err) || errors.Is(err, failover.ErrTransactionLost) {
				r.Errorf("got %v", err)
			}
			r.readsOn(r.Context(), tx, readerRole) // it goes on
			r.must(tx.Commit())
			r.must(r.exec(r.db, insert))
		}},
		"auto: a transaction that a reader has lost with another role": {"fpTarget=auto", func(r *rig) {
			for _, end := range []string{"read", "commit"} {
				tx, err := r.db.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
				r.must(err)
				r.readsOn(r.Context(), tx, readerRole)
				match := aurorasim.SQL(selectOne)
				if end == "commit" {
					match = aurorasim.Commits
				}
				fault := r.sim.Instance(r.instanceOf(selectOne)).ErrorThenClose(1290, "the transaction is gone", match)
				if end == "read" {
					r.wants(r.read(tx)(), failover.ErrTransactionLost, failover.NotExecuted)
					r.must(tx.Rollback())
				} else {
					r.wants(tx.Commit(), failover.ErrTransactionLost, failover.NotExecuted)
				}
				if fault.Hits() != 1 {
					r.Errorf("%s: refused %d times", end, fault.Hits())
				}
			}
		}},
		"auto: what is pinned stays with the writer": {"fpTarget=auto", func(r *rig) {
			conn := r.session()
			r.must(r.exec(conn, "CREATE TEMPORARY TABLE x (n INT)"))
			time.Sleep(time.Second)
			r.readsOn(r.Context(), conn, writerRole)
		}},
		"auto: sessions without autocommit": {"fpTarget=auto", func(r *rig) {
			conn := r.session()
			r.must(r.exec(conn, "SET autocommit = 0"))
			time.Sleep(time.Second)
			for range 3 {
				r.readsOn(r.Context(), conn, writerRole)
				r.must(r.exec(conn, "COMMIT"))
				time.Sleep(time.Second)
			}
			if n := r.sim.Count(func(s aurorasim.Statement) bool {
				return s.Instance != r.sim.Writer().ID && strings.Contains(s.SQL, "autocommit")
			}); n != 0 {
				r.Errorf("readers were asked %d times", n)
			}
			r.must(r.exec(conn, "SET autocommit = 1"))
			time.Sleep(time.Second)
			r.readsOn(r.Context(), conn, readerRole)
		}},
		"auto: read your writes": {"fpTarget=auto", func(r *rig) {
			ctx := WithReadYourWrites(r.Context())
			one, other := r.session(), r.session()
			r.lags(time.Second / 2)
			_, err := one.ExecContext(ctx, insert)
			r.must(err)
			for range 7 { // 250ms + 500ms
				start := time.Now()
				r.readsOn(r.Context(), one, writerRole)
				r.readsOn(ctx, other, writerRole)
				r.readsOn(r.Context(), other, readerRole)
				if took := time.Since(start); took > 0 {
					r.Errorf("waited %s", took)
				}
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond)
			r.readsOn(r.Context(), one, readerRole)
			r.readsOn(ctx, other, readerRole)
		}},
		"auto: read your writes, when readers are all that reads may go to": {"fpTarget=auto&fpWriterIsReader=never&fpReadFallback=off", func(r *rig) {
			conn := r.session()
			r.must(r.exec(conn, insert))
			r.readsOn(r.Context(), conn, writerRole)
			tx, err := conn.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
			r.must(err)
			r.readsOn(r.Context(), tx, writerRole)
			r.must(tx.Commit())
		}},
		"auto: questions about the last statement": {"fpTarget=auto", func(r *rig) {
			r.script.On("SELECT FOUND_ROWS()")
			r.script.On("INSERT INTO t SELECT FOUND_ROWS()")
			conn := r.session()
			for _, first := range []string{selectOne, insert} {
				if first == insert {
					r.must(r.exec(conn, first))
				} else {
					r.readsOn(r.Context(), conn, readerRole)
				}
				question := map[string]string{selectOne: "SELECT FOUND_ROWS()", insert: "SELECT ROW_COUNT()"}[first]
				_, err := r.rows(r.Context(), conn, question)
				r.must(err)
				if r.instanceOf(question) != r.instanceOf(first) {
					r.Errorf("%s was asked elsewhere", question)
				}
				time.Sleep(time.Second)
			}
			r.readsOn(r.Context(), conn, readerRole)
			// A write cannot have an answer that is on a reader.
			if err := r.exec(conn, "INSERT INTO t SELECT FOUND_ROWS()"); !errors.Is(err, ErrAnswerGone) || len(r.sim.Seen("INSERT INTO t SELECT FOUND_ROWS()")) != 0 {
				r.Errorf("got %v", err)
			}
		}},
		"auto: a reader refuses what looked like a read": {"fpTarget=auto", func(r *rig) {
			for i, ctx := range []context.Context{r.Context(), failover.WithoutRetry(r.Context())} {
				conn := r.session()
				for _, in := range r.sim.Readers() {
					defer in.ErrorThenClose(1290, "a view's function writes", aurorasim.SQL(selectOne)).Clear()
				}
				before := len(r.sim.Seen(selectOne))
				r.readsOn(ctx, conn, writerRole)
				if n := len(r.sim.Seen(selectOne)) - before; n != 2 {
					r.Errorf("%d: sent %d times", i, n)
				}
				_, err := r.rows(r.Context(), conn, selectRows)
				r.must(err)
				r.went(selectRows, writerRole) // it wrote
			}
			for _, in := range r.c.Snapshot().Instances {
				if in.State != topology.StateUp {
					r.Errorf("%s is %s", in.ID, in.State)
				}
			}
		}},
		"reader": {"fpTarget=reader", func(r *rig) {
			conn := r.session()
			for range 3 {
				r.readsOn(r.Context(), r.db, readerRole)
			}
			for _, statement := range []string{insert, update, selectLock, "CREATE TEMPORARY TABLE x (n INT)", "CALL p()", "SELECT db.f()"} {
				r.refused(r.db, statement, "fpTarget is reader: use")
				r.refused(conn, statement, hintWriter)
			}
			r.readsOn(r.Context(), conn, readerRole) // a refused write is none
			r.must(r.exec(conn, "SET @x = 7, sql_mode = 'ANSI'"))
			r.must(r.exec(conn, "USE other"))
			tx, err := conn.BeginTx(r.Context(), nil)
			r.must(err)
			r.readsOn(r.Context(), tx, readerRole)
			r.refused(tx, insert, "fpTarget is reader: use")
			r.readsOn(r.Context(), tx, readerRole)
			r.must(tx.Commit())
			r.must(r.db.PingContext(r.Context()))
			_, err = conn.ExecContext(onWriter(r), insert)
			r.must(err)
			r.went(insert, writerRole)
			r.must(r.exec(conn, hintWriter+insert))
			r.went(hintWriter+insert, writerRole)
		}},
		"a context's target": {"", func(r *rig) {
			conn := r.session()
			r.readsOn(onReader(r), conn, readerRole)
			r.readsOn(r.Context(), conn, writerRole)
			r.readsOn(WithTarget(onReader(r), topology.Unknown), conn, writerRole)
			r.refusedWith(onReader(r), conn, insert, "driver.WithTarget")
			tx, err := conn.BeginTx(onReader(r), nil)
			r.must(err)
			r.readsOn(r.Context(), tx, readerRole)
			r.refused(tx, insert, "begun for readers")
			r.must(tx.Rollback())
			r.must(r.exec(conn, insert))
			tx, err = conn.BeginTx(r.Context(), nil)
			r.must(err)
			r.readsOn(onReader(r), tx, writerRole) // a transaction is where it is
			r.refusedWith(onReader(r), tx, insert, "driver.WithTarget")
			r.must(r.exec(tx, insert))
			r.must(tx.Commit())
		}},
		"a context's target against auto": {"fpTarget=auto", func(r *rig) {
			r.readsOn(onWriter(r), r.db, writerRole)
			r.readsOn(r.Context(), r.db, readerRole)
			r.without(func() {
				r.takes(promotion, func() error { _, err := r.rows(onWriter(r), r.db, selectOne); return err })
			})
		}},
		"a hint": {"", func(r *rig) {
			const quoted, late = "SELECT '" + hintReader + "'", "SELECT n FROM one " + hintReader
			for _, text := range []string{hintedOne, quoted, late} {
				_, err := r.rows(r.Context(), r.db, text)
				r.must(err)
			}
			r.went(hintedOne, readerRole)
			r.went(quoted, writerRole)
			r.went(late, writerRole)
			_, err := r.rows(onWriter(r), r.db, hintedOne)
			r.must(err)
			r.went(hintedOne, readerRole) // it is nearer to the statement than its context
			r.refused(r.db, hintedInsert, hintReader)
			st, err := r.db.PrepareContext(r.Context(), hintedOne)
			r.must(err)
			defer st.Close()
			r.went(hintedOne, readerRole)
			var n int
			r.must(st.QueryRowContext(r.Context()).Scan(&n))
			r.went(hintedOne, readerRole)
		}},
		"state goes along": {"", func(r *rig) {
			conn := r.session()
			r.must(r.exec(conn, "SET @x = 'mine'"))
			r.readsOn(onReader(r), conn, readerRole)
			on := make(map[string]bool)
			for _, s := range r.sim.Relays(func(s aurorasim.Statement) bool { return strings.Contains(s.SQL, "'mine'") }) {
				on[s.Instance] = true
			}
			if !on[r.instanceOf(selectOne)] || !on[r.sim.Writer().ID] {
				r.Errorf("the variable is on %v", on)
			}
		}},
		"what is pinned to a reader does not write": {"", func(r *rig) {
			conn := r.session()
			_, err := conn.ExecContext(onReader(r), setNow)
			r.must(err)
			r.went(setNow, readerRole)
			r.refused(conn, insert, "user variable")
			r.must(conn.Close())
			r.db.SetMaxIdleConns(1)
			r.must(r.exec(r.db, insert)) // nobody gets that session
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.params, func(r *rig) { prepareRouting(r); test.f(r) }) })
	}
}

// prepareRouting teaches the server what the tests of routing ask it.
func prepareRouting(r *rig) {
	one := fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{int64(1)}}}
	for _, text := range []string{hintedOne, "SELECT '" + hintReader + "'", "SELECT n FROM one " + hintReader} {
		r.script.On(text, one)
	}
	r.script.On(hintWriter + insert)
}
