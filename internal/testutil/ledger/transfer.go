package ledger

import (
	"context"
	"math/rand/v2"
)

// The statements of a transfer, between START TRANSACTION and COMMIT.
const (
	Debit          = "UPDATE fp_accounts SET balance = balance - ? WHERE id = ?"
	Credit         = "UPDATE fp_accounts SET balance = balance + ? WHERE id = ?"
	InsertTransfer = "INSERT INTO fp_transfers (worker, seq, src, dst, amount) VALUES (?, ?, ?, ?, ?)"
)

// largest is the largest amount of a transfer. Amounts from so wide a range do not make
// up for each other when several transactions go wrong, and tell which one did.
const largest = 1_000_000

// move is money on its way from one account to another.
type move struct{ src, dst, amount int64 }

// Step is one statement of a transfer with its arguments.
type Step struct {
	Query string
	Args  []any
}

// TakeTransfer returns the number of a transfer of a random amount between two random
// accounts, and the steps of its transaction. Its fate is unknown until
// [Ledger.Report].
func (l *Ledger) TakeTransfer() (seq int64, steps []Step) {
	m := move{src: 1 + rand.Int64N(Accounts), amount: 1 + rand.Int64N(largest)}
	m.dst = 1 + (m.src+rand.Int64N(Accounts-1))%Accounts
	seq = l.take(entry{transfer: true, move: m})
	steps = []Step{
		{Debit, []any{m.amount, m.src}},
		{Credit, []any{m.amount, m.dst}},
		{InsertTransfer, []any{l.worker, seq, m.src, m.dst, m.amount}},
	}
	if m.dst < m.src {
		// In the order of the ids, so that no two transfers wait for each other.
		steps[0], steps[1] = steps[1], steps[0]
	}
	return seq, steps
}

// Transfer moves a random amount between two random accounts, in a transaction that
// writes a number, too, and notes what it was told.
func (l *Ledger) Transfer(ctx context.Context, db Beginner) error {
	seq, steps := l.TakeTransfer()
	committing, err := transact(ctx, db, steps)
	if committing {
		l.Report(seq, l.classify(err))
	} else {
		l.Report(seq, NotExecuted) // nothing of a transaction stays without its COMMIT
	}
	return err
}

// transact runs a transaction; committing says whether COMMIT was asked for.
func transact(ctx context.Context, db Beginner, steps []Step) (committing bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	for _, step := range steps {
		if _, err := tx.ExecContext(ctx, step.Query, step.Args...); err != nil {
			// Its error would say no more than this one.
			_ = tx.Rollback()
			return false, err
		}
	}
	return true, tx.Commit()
}
