package chaos

import (
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// texts is a transaction whose BEGIN and COMMIT are statements.
func (w *worker) texts() {
	t := w.trial("transaction of texts")
	exec := func(class class, text string) Meaning {
		c := w.call(w.ctx, class, "as text: %.40s", text)
		_, err := w.conn.ExecContext(w.ctx, text)
		return w.judge(c, err)
	}
	if exec(aBegin, "BEGIN").Kind != None {
		return
	}
	for range 2 {
		if exec(inside, t.mark()+" "+inTransaction).Kind != None {
			exec(aRollback, "ROLLBACK")
			return
		}
	}
	t.fate = exec(aCommit, "COMMIT").Fate
}

// locks locks rows, in a transaction and without one.
func (w *worker) locks(through db) {
	if w.rand.IntN(3) > 0 {
		w.transfer(w.ctx, through)
		return
	}
	var balance int64
	c := w.call(w.ctx, aWrite, "a locking read")
	w.judge(c, through.QueryRowContext(w.ctx, "SELECT balance FROM fp_accounts WHERE id = ? FOR UPDATE", 1+w.rand.IntN(ledger.Accounts)).Scan(&balance))
}

// temporary makes a temporary table, uses and drops it. If it is lost that is said once, and
// the session is a clean one then.
func (w *worker) temporary() {
	steps := []string{
		"CREATE TEMPORARY TABLE " + temporaryTable + " (n BIGINT NOT NULL)",
		"INSERT INTO " + temporaryTable + " (n) VALUES (1), (2), (3)",
		"SELECT COUNT(*) FROM " + temporaryTable,
		"DROP TEMPORARY TABLE " + temporaryTable,
	}
	for n, text := range steps {
		class := stateful
		if n == 0 {
			class = aWrite
		}
		c := w.call(w.ctx, class, "%.40s", text)
		var err error
		count := int64(3)
		if n == 2 {
			err = w.conn.QueryRowContext(w.ctx, text).Scan(&count)
		} else {
			_, err = w.conn.ExecContext(w.ctx, text)
		}
		m := w.judge(c, err)
		switch {
		case count != 3:
			w.violation("%s: a temporary table of 3 rows has %d", w.name(), count)
		case m.Kind == None:
		case m.Kind == FromServer, m.Kind == OutcomeUnknown:
			w.renew() // whether the table is there is not known
			return
		default:
			if m.Kind != StateLost {
				return
			}
			w.cleanSession()
			return
		}
		if w.rand.IntN(3) == 0 {
			w.breathe(w.ctx)
		}
	}
}

// cleanSession checks what comes after lost state.
func (w *worker) cleanSession() {
	c := w.call(w.ctx, aRead, "read on a session that lost its state")
	var count int64
	w.judge(c, w.conn.QueryRowContext(w.ctx, "SELECT COUNT(*) FROM fp_numbers").Scan(&count))
}

// renew takes another session, and lets nobody have the old one.
func (w *worker) renew() {
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = w.conn.Close()
	w.conn = nil
	w.connect()
}

// insertIDs asks for the number of the row that was inserted last.
func (w *worker) insertIDs() {
	t := w.trial("write, then LAST_INSERT_ID()")
	c := w.call(w.ctx, aWrite, "insert")
	result, err := w.conn.ExecContext(w.ctx, t.mark())
	m := w.judge(c, err)
	if t.fate = m.Fate; m.Kind != None {
		return
	}
	want, err := result.LastInsertId()
	if err != nil {
		w.violation("%s: %v", w.name(), err)
		return
	}
	var got int64
	c = w.call(w.ctx, aQuestion, "LAST_INSERT_ID()")
	m = w.judge(c, w.conn.QueryRowContext(w.ctx, "SELECT LAST_INSERT_ID()").Scan(&got))
	if m.Kind == None && got != want {
		w.violation("%s: LAST_INSERT_ID() is %d, the row's number %d", w.name(), got, want)
	}
}

// variables sets what goes with the session wherever it goes.
func (w *worker) variables() {
	const setUser, setSystem = "SET @fp_x = %d", "SET SESSION lock_wait_timeout = %d"
	set, get := setUser, "SELECT @fp_x"
	if w.rand.IntN(2) == 0 {
		set, get = setSystem, "SELECT @@lock_wait_timeout"
	}
	want := 100 + w.rand.Int64N(1000)
	c := w.call(w.ctx, stateful, "%s", fmt.Sprintf(set, want))
	if _, err := w.conn.ExecContext(w.ctx, fmt.Sprintf(set, want)); w.judge(c, err).Kind != None {
		return
	}
	for range 2 {
		w.breathe(w.ctx)
		var got sql.NullInt64
		c := w.call(w.ctx, stateful, "%s", get)
		m := w.judge(c, w.conn.QueryRowContext(w.ctx, get).Scan(&got))
		if m.Kind != None {
			return
		}
		if got.Int64 != want {
			w.violation("%s: %s is %d, was set to %d", w.name(), get, got.Int64, want)
		}
	}
}

// idempotent writes what may be written twice.
func (w *worker) idempotent() {
	t := w.trial("idempotent write")
	t.twice = true
	c := w.call(w.ctx, aWrite, "an idempotent write")
	c.twice = true
	_, err := w.subject.DB.ExecContext(w.rig.Idempotent(w.ctx), t.mark()+" "+mayRepeat)
	m := w.judge(c, err)
	if t.fate = m.Fate; m.Kind == OutcomeUnknown && w.plan.Driver.BorrowTimeout >= longTimeout {
		w.violation("%s: in doubt though it may be executed twice: %v", w.name(), err)
	}
}

// once does what is not to be tried again.
func (w *worker) once() {
	ctx := w.rig.Once(w.ctx)
	c := w.call(ctx, aRead, "read without retry")
	c.once = true
	var balance int64
	w.judge(c, w.subject.DB.QueryRowContext(ctx, readBalance, 1+w.rand.IntN(ledger.Accounts)).Scan(&balance))
	t := w.trial("write without retry")
	c = w.call(ctx, aWrite, "write without retry")
	c.once = true
	_, err := w.subject.DB.ExecContext(ctx, t.mark())
	t.fate = w.judge(c, err).Fate
}

// newSession is a session for one read and one write.
func (w *worker) newSession() {
	c := w.call(w.ctx, aBegin, "get a session")
	conn, err := w.subject.DB.Conn(w.ctx)
	if w.judge(c, err).Kind != None {
		return
	}
	defer conn.Close()
	w.readOne(w.ctx, conn)
	w.write(w.ctx, conn)
}
