package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// Fate is what a load was told of a write.
type Fate uint8

// The fates.
const (
	Unknown      Fate = iota // it may have been executed
	Acknowledged             // it was executed
	NotExecuted              // it was not
)

// String names the fate.
func (f Fate) String() string {
	switch f {
	case Acknowledged:
		return "acknowledged"
	case NotExecuted:
		return "not executed"
	default:
		return "unknown"
	}
}

// Accounts is the number of accounts, with the ids 1 to Accounts and InitialBalance
// each.
const (
	Accounts       = 50
	InitialBalance = 1000
)

// Execer writes: a *sql.DB, *sql.Conn or *sql.Tx.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Beginner begins transactions: a *sql.DB or *sql.Conn.
type Beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

// Ledger numbers writes and remembers their fates. It is safe for concurrent use.
type Ledger struct {
	worker   int64
	classify func(error) Fate

	mu      sync.Mutex
	entries []entry // that with number n at n-1
}

// entry is one numbered write: a row of its own, or a transfer.
type entry struct {
	fate     Fate
	transfer bool
	move     move
}

// Option changes a ledger.
type Option func(*Ledger)

// WithClassifier sets how errors are understood. Default: every error leaves the fate
// unknown. It must say Acknowledged of nil.
func WithClassifier(f func(error) Fate) Option { return func(l *Ledger) { l.classify = f } }

// WithWorker sets the number under which the ledger writes, for several ledgers in one
// database, of which one makes the tables. Default 1.
func WithWorker(n int64) Option { return func(l *Ledger) { l.worker = n } }

// New makes an empty ledger.
func New(opts ...Option) *Ledger {
	l := &Ledger{worker: 1, classify: func(err error) Fate {
		if err == nil {
			return Acknowledged
		}
		return Unknown
	}}
	for _, o := range opts {
		o(l)
	}
	return l
}

// setup makes the tables anew. There is no unique key on the numbers: a write that is
// done twice must show.
var setup = []string{
	"DROP TABLE IF EXISTS fp_ledger",
	"DROP TABLE IF EXISTS fp_accounts",
	"DROP TABLE IF EXISTS fp_transfers",
	"CREATE TABLE IF NOT EXISTS fp_ledger (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, worker BIGINT NOT NULL, seq BIGINT NOT NULL)",
	"CREATE TABLE IF NOT EXISTS fp_accounts (id BIGINT NOT NULL PRIMARY KEY, balance BIGINT NOT NULL)",
	"CREATE TABLE IF NOT EXISTS fp_transfers (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, worker BIGINT NOT NULL, seq BIGINT NOT NULL, " +
		"src BIGINT NOT NULL, dst BIGINT NOT NULL, amount BIGINT NOT NULL)",
}

// Setup makes the tables, empty, and opens the accounts.
func (l *Ledger) Setup(ctx context.Context, db Execer) error {
	for _, statement := range setup {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	for id := range Accounts {
		if _, err := db.ExecContext(ctx, "INSERT INTO fp_accounts (id, balance) VALUES (?, ?)", id+1, InitialBalance); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	return nil
}

// take numbers a write, whose fate is unknown so far.
func (l *Ledger) take(e entry) (seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	return int64(len(l.entries))
}

// Take returns the number of a write that is about to be done by [InsertEntry]. Its fate
// is unknown until [Ledger.Report].
func (l *Ledger) Take() (worker, seq int64) {
	return l.worker, l.take(entry{})
}

// Report notes the fate of a write or transfer. A number that was never taken is left
// alone.
func (l *Ledger) Report(seq int64, f Fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq >= 1 && seq <= int64(len(l.entries)) {
		l.entries[seq-1].fate = f
	}
}

// InsertEntry is the statement that writes a number: its arguments are what Take
// returned.
const InsertEntry = "INSERT INTO fp_ledger (worker, seq) VALUES (?, ?)"

// Write writes one number in autocommit, and notes what it was told.
func (l *Ledger) Write(ctx context.Context, db Execer) error {
	worker, seq := l.Take()
	_, err := db.ExecContext(ctx, InsertEntry, worker, seq)
	l.Report(seq, l.classify(err))
	return err
}
