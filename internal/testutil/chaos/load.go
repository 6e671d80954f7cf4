package chaos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// db is what statements go through: a *sql.DB or *sql.Conn.
type db interface {
	runner
	ledger.Beginner
}

// runner executes statements: a *sql.DB, *sql.Conn or *sql.Tx.
type runner interface {
	ledger.Execer
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// do does once what a kind of session does.
func (w *worker) do(kind Kind) {
	if w.conn == nil && (kind == Texts || kind == Temporary || kind == Abandons || kind == Cancels || kind == InsertIDs || kind == Variables || kind == Mixed) {
		if w.connect(); w.conn == nil {
			return
		}
	}
	var through db = w.subject.DB
	if w.kind == Mixed && w.conn != nil {
		through = w.conn
	}
	switch kind {
	case Reads:
		w.readOne(w.ctx, through)
	case Scans:
		w.scan(w.ctx, through)
	case Statements:
		w.statements()
	case Writes:
		w.write(w.ctx, through)
	case Transfers:
		w.transfer(w.ctx, through)
	case Savepoints:
		w.savepoints(through)
	case Stubborn:
		w.stubborn(through)
	case ReadOnly:
		w.readOnly(through)
	case Texts:
		w.texts()
	case Locks:
		w.locks(through)
	case Temporary:
		w.temporary()
	case Cancels:
		w.cancels()
	case Abandons:
		w.abandons()
	case InsertIDs:
		w.insertIDs()
	case Variables:
		w.variables()
	case Idempotent:
		w.idempotent()
	case Once:
		w.once()
	case Mixed:
		w.do([]Kind{Reads, Scans, Writes, Transfers, Savepoints, ReadOnly, Texts, Locks, Temporary, Abandons, InsertIDs, Variables}[w.rand.IntN(12)])
	case NewConns:
		w.newSession()
	}
}

// readOne reads a balance.
func (w *worker) readOne(ctx context.Context, through runner) {
	id := 1 + w.rand.IntN(ledger.Accounts)
	var balance int64
	c := w.call(ctx, aRead, "read an account")
	var err error
	if w.rand.IntN(2) == 0 {
		err = through.QueryRowContext(ctx, fmt.Sprintf("SELECT balance FROM fp_accounts WHERE id = %d", id)).Scan(&balance)
	} else {
		err = through.QueryRowContext(ctx, readBalance, id).Scan(&balance)
	}
	if errors.Is(err, sql.ErrNoRows) {
		w.violation("%s: account %d is not there", w.name(), id)
		err = nil
	}
	w.judge(c, err)
}

// scan reads many rows, perhaps slowly, perhaps not all.
func (w *worker) scan(ctx context.Context, through runner) {
	from, pace, enough := w.rand.IntN(3), time.Duration(0), numbers
	if w.rand.IntN(2) == 0 {
		pace = time.Duration(w.rand.Int64N(int64(breath)))
	}
	if w.rand.IntN(4) == 0 {
		enough = w.rand.IntN(numbers)
	}
	c := w.call(ctx, aRead, "read many rows")
	var rows *sql.Rows
	var err error
	if w.rand.IntN(2) == 0 {
		rows, err = through.QueryContext(ctx, fmt.Sprintf("SELECT n FROM fp_numbers WHERE n > %d ORDER BY n", from))
	} else {
		rows, err = through.QueryContext(ctx, "SELECT n FROM fp_numbers WHERE n > ? ORDER BY n", from)
	}
	if err != nil {
		w.judge(c, err)
		return
	}
	defer rows.Close()
	next := from
	for len := 0; len < enough && rows.Next(); len++ {
		var n int
		if err = rows.Scan(&n); err != nil {
			break
		}
		if next++; n != next {
			w.violation("%s: row %d of a result is %d", w.name(), next, n)
			return
		}
		c.rows++
		sleep(ctx, pace)
	}
	if err == nil {
		err = rows.Err()
	}
	if err == nil && enough == numbers && next != numbers {
		w.violation("%s: a result ended with row %d of %d, without an error", w.name(), next, numbers)
	}
	if closing := rows.Close(); err == nil {
		err = closing
	}
	c.slack = pace // it may have slept when its context ended
	w.judge(c, err)
}

// statements uses what was prepared before.
func (w *worker) statements() {
	if w.read == nil || w.add == nil {
		return
	}
	var balance int64
	c := w.call(w.ctx, aRead, "a prepared read")
	w.judge(c, w.read.QueryRowContext(w.ctx, 1+w.rand.IntN(ledger.Accounts)).Scan(&balance))
	t := w.trial("a prepared write")
	t.mark()
	c = w.call(w.ctx, aWrite, "a prepared write")
	_, err := w.add.ExecContext(w.ctx, t.id, 1)
	t.fate = w.judge(c, err).Fate
}

// write writes a number of the ledger or a mark.
func (w *worker) write(ctx context.Context, through ledger.Execer) Meaning {
	c := w.call(ctx, aWrite, "write")
	if w.rand.IntN(2) == 0 {
		worker, seq := w.ledger.Take()
		_, err := through.ExecContext(ctx, ledger.InsertEntry, worker, seq)
		m := w.judge(c, err)
		w.ledger.Report(seq, m.Fate)
		return m
	}
	t := w.trial("write")
	_, err := through.ExecContext(ctx, t.mark())
	m := w.judge(c, err)
	t.fate = m.Fate
	return m
}

// begin begins a transaction.
func (w *worker) begin(ctx context.Context, through ledger.Beginner, opts *sql.TxOptions) *sql.Tx {
	c := w.call(ctx, aBegin, "BEGIN")
	tx, err := through.BeginTx(ctx, opts)
	if m := w.judge(c, err); m.Kind != None {
		return nil
	}
	return tx
}

// inside executes a statement of a transaction. False says that it failed, and that the
// transaction is rolled back.
func (w *worker) inside(ctx context.Context, tx *sql.Tx, text string, args ...any) bool {
	c := w.call(ctx, inside, "in a transaction: %.40s", text)
	_, err := tx.ExecContext(ctx, text, args...)
	if w.judge(c, err).Kind == None {
		return true
	}
	w.rollback(ctx, tx)
	return false
}

func (w *worker) rollback(ctx context.Context, tx *sql.Tx) {
	c := w.call(ctx, aRollback, "ROLLBACK")
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		w.judge(c, err)
	}
}

func (w *worker) commit(ctx context.Context, tx *sql.Tx) Meaning {
	c := w.call(ctx, aCommit, "COMMIT")
	return w.judge(c, tx.Commit())
}

// transfer moves money.
func (w *worker) transfer(ctx context.Context, through ledger.Beginner) {
	seq, steps := w.ledger.TakeTransfer()
	fate := ledger.NotExecuted
	defer func() { w.ledger.Report(seq, fate) }()
	tx := w.begin(ctx, through, nil)
	if tx == nil {
		return
	}
	lock := w.kind == Locks
	for _, step := range steps {
		if lock && len(step.Args) == 2 {
			var balance int64
			c := w.call(ctx, inside, "lock a row")
			if w.judge(c, tx.QueryRowContext(ctx, "SELECT balance FROM fp_accounts WHERE id = ? FOR UPDATE", step.Args[1]).Scan(&balance)).Kind != None {
				w.rollback(ctx, tx)
				return
			}
		}
		if !w.inside(ctx, tx, step.Query, step.Args...) {
			return
		}
		if w.rand.IntN(4) == 0 {
			w.breathe(ctx)
		}
	}
	if w.rand.IntN(10) == 0 {
		w.rollback(ctx, tx)
		return
	}
	fate = w.commit(ctx, tx).Fate
}

// savepoints takes a part of a transaction back.
func (w *worker) savepoints(through ledger.Beginner) {
	t := w.trial("transaction with a savepoint")
	tx := w.begin(w.ctx, through, nil)
	if tx == nil {
		return
	}
	if !w.inside(w.ctx, tx, t.mark()) || !w.inside(w.ctx, tx, "SAVEPOINT half") || !w.inside(w.ctx, tx, t.mark()) {
		return
	}
	if w.rand.IntN(2) == 0 {
		if !w.inside(w.ctx, tx, "ROLLBACK TO SAVEPOINT half") {
			return
		}
		t.back(1)
	}
	if !w.inside(w.ctx, tx, t.mark()) {
		return
	}
	t.fate = w.commit(w.ctx, tx).Fate
}

// stubborn goes on with a transaction whatever happens. Once it is lost, all of it must
// be.
func (w *worker) stubborn(through ledger.Beginner) {
	t := w.trial("stubborn transaction")
	tx := w.begin(w.ctx, through, nil)
	if tx == nil {
		return
	}
	lost := false
	for n := range 4 {
		c := w.call(w.ctx, inside, "stubborn statement %d", n+1)
		var err error
		if n == 2 {
			var count int64
			err = tx.QueryRowContext(w.ctx, "SELECT COUNT(*) FROM fp_numbers "+inTransaction).Scan(&count)
		} else {
			_, err = tx.ExecContext(w.ctx, t.mark())
		}
		m := w.judge(c, err)
		switch {
		case lost && m.Kind != TransactionLost:
			w.violation("%s: a transaction that was lost goes on: %v", w.name(), err)
		case m.Kind == FromServer: // who goes on now does not know what it is in
			w.rollback(w.ctx, tx)
			return
		case m.Kind != None && m.Kind != TransactionLost && n != 2:
			t.back(len(t.steps) - 1) // it was not executed, and the transaction lives
		}
		lost = lost || m.Kind == TransactionLost
		if w.rand.IntN(3) == 0 && !w.isCalm(c.start) {
			// Nobody waits for its locks, but for its connection, perhaps.
			sleep(w.ctx, time.Duration(w.rand.Int64N(int64(min(w.plan.Pause, time.Second)))))
		}
		w.breathe(w.ctx)
	}
	if w.rand.IntN(3) == 0 {
		w.rollback(w.ctx, tx)
		return
	}
	m := w.commit(w.ctx, tx)
	if lost && m.Kind != TransactionLost {
		w.violation("%s: a transaction that was lost could be committed: %s", w.name(), m.Kind)
	}
	t.fate = m.Fate
}

// readOnly reads in a transaction.
func (w *worker) readOnly(through ledger.Beginner) {
	tx := w.begin(w.ctx, through, &sql.TxOptions{ReadOnly: true})
	if tx == nil {
		return
	}
	for range 2 {
		var count int64
		c := w.call(w.ctx, inside, "read in a read-only transaction")
		if w.judge(c, tx.QueryRowContext(w.ctx, "SELECT COUNT(*) FROM fp_numbers "+inTransaction).Scan(&count)).Kind != None {
			w.rollback(w.ctx, tx)
			return
		}
		if count != numbers {
			w.violation("%s: %d rows are %d", w.name(), numbers, count)
		}
	}
	w.commit(w.ctx, tx)
}
