package chaos

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// database/sql watches contexts with goroutines of its own, which wait for mutexes while
// a statement is under way: in synctest's time nothing moves then. So there the sessions of
// this file are the driver's, without database/sql.

// session is what a driver's connection must be.
type session interface {
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnBeginTx
}

// directly calls f with the driver's own session.
func (w *worker) directly(f func(s session)) {
	err := w.conn.Raw(func(dc any) error {
		s, ok := dc.(session)
		if !ok {
			return fmt.Errorf("%T is no session", dc)
		}
		f(s)
		return nil
	})
	if err != nil {
		w.violation("%s: %v", w.name(), err)
	}
}

// cancels does something whose context ends at a random moment.
func (w *worker) cancels() {
	d := time.Duration(w.rand.Int64N(int64(30 * time.Millisecond)))
	switch w.rand.IntN(3) {
	case 0:
		d = 0
	case 1:
		d = time.Duration(w.rand.Int64N(int64(3 * time.Second)))
	}
	if !w.rig.Virtual {
		d = min(d, 300*time.Millisecond)
	}
	ctx, cancel := ending(w.ctx, d, w.rand.IntN(2) == 0)
	defer cancel()
	switch w.rand.IntN(6) {
	case 0:
		w.directly(func(s session) { w.cancelledScan(ctx, s) })
	case 1, 2:
		w.write(ctx, w.conn)
	case 3:
		w.slow(ctx)
	case 4:
		w.directly(func(s session) { w.cancelledTransaction(ctx, s) })
	case 5:
		if w.rig.Virtual {
			w.write(ctx, w.subject.DB)
			return
		}
		if w.rand.IntN(2) == 0 {
			w.transfer(ctx, w.subject.DB)
		} else {
			w.scan(ctx, w.subject.DB)
		}
	}
}

// slow is a statement that has to be stopped on the server.
func (w *worker) slow(ctx context.Context) {
	c := w.call(ctx, aWrite, "a slow statement")
	_, err := w.conn.ExecContext(ctx, "DO SLEEP(0.2)")
	w.judge(c, err)
}

// cancelledScan reads rows until the context ends.
func (w *worker) cancelledScan(ctx context.Context, s session) {
	c := w.call(ctx, aRead, "read rows until the context ends")
	rows, err := s.QueryContext(ctx, "SELECT n FROM fp_numbers WHERE n > 0 ORDER BY n", nil)
	if err != nil {
		w.judge(c, err)
		return
	}
	values := make([]driver.Value, len(rows.Columns()))
	for err = rows.Next(values); err == nil; err = rows.Next(values) {
		if c.rows++; fmt.Sprint(values[0]) != fmt.Sprint(c.rows) {
			w.violation("%s: row %d of a result is %v", w.name(), c.rows, values[0])
		}
	}
	if errors.Is(err, io.EOF) {
		if err = nil; c.rows != numbers {
			w.violation("%s: a result ended with row %d of %d, without an error", w.name(), c.rows, numbers)
		}
	}
	if closing := rows.Close(); err == nil {
		err = closing
	}
	w.judge(c, err)
}

// cancelledTransaction is a transaction whose context may end at any time.
func (w *worker) cancelledTransaction(ctx context.Context, s session) {
	t := w.trial("cancelled transaction")
	c := w.call(ctx, aBegin, "BEGIN")
	tx, err := s.BeginTx(ctx, driver.TxOptions{})
	if w.judge(c, err).Kind != None {
		return
	}
	for range 2 {
		failed := ctx.Err() != nil // database/sql does not ask the driver then
		if !failed {
			c := w.call(ctx, inside, "in a transaction to be cancelled")
			_, err := s.ExecContext(ctx, t.mark(), nil)
			failed = w.judge(c, err).Kind != None
		}
		if failed {
			c := w.call(w.ctx, aRollback, "ROLLBACK")
			w.judge(c, tx.Rollback())
			return
		}
	}
	c = w.call(w.ctx, aCommit, "COMMIT")
	m := w.judge(c, tx.Commit())
	t.fate = m.Fate
}

// abandons lets a transaction's context end, and goes on with the session: what comes then
// is none of the transaction. Until it is rolled back the driver cannot know that, and may refuse with
// that context's error what it surely does not execute.
func (w *worker) abandons() {
	w.directly(func(s session) {
		t := w.trial("abandoned transaction")
		ctx, cancel := ending(w.ctx, time.Duration(w.rand.Int64N(int64(3*breath))), false)
		defer cancel()
		c := w.call(ctx, aBegin, "BEGIN")
		tx, err := s.BeginTx(ctx, driver.TxOptions{})
		if w.judge(c, err).Kind != None {
			return
		}
		for range 3 {
			if ctx.Err() != nil {
				break // database/sql does not ask the driver then
			}
			c := w.call(ctx, inside, "in a transaction to be abandoned")
			_, err := s.ExecContext(ctx, t.mark(), nil)
			if w.judge(c, err).Kind != None {
				break
			}
			w.breathe(ctx)
		}
		cancel()
		alone := w.trial("write after an abandoned transaction")
		c = w.call(w.ctx, aWrite, "a write after an abandoned transaction")
		if _, err = s.ExecContext(w.ctx, alone.mark(), nil); errors.Is(err, ctx.Err()) {
			alone.fate = ledger.NotExecuted
		} else {
			alone.fate = w.judge(c, err).Fate
		}
		c = w.call(w.ctx, aRollback, "ROLLBACK of an abandoned transaction")
		w.judge(c, tx.Rollback())
		after := w.trial("write after an abandoned transaction was rolled back")
		c = w.call(w.ctx, aWrite, "a write after an abandoned transaction was rolled back")
		_, err = s.ExecContext(w.ctx, after.mark(), nil)
		after.fate = w.judge(c, err).Fate
	})
}
