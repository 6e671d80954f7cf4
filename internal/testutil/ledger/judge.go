package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
)

// Judge compares the database to what the load was told. The load must be over, and
// every transaction of it ended. The error is also the verdict's, which is not OK then.
func (l *Ledger) Judge(ctx context.Context, db Beginner) (Verdict, error) {
	l.mu.Lock()
	entries := slices.Clone(l.entries)
	l.mu.Unlock()
	books, err := read(ctx, db, l.worker)
	if err != nil {
		err = fmt.Errorf("ledger: %w", err)
		return Verdict{Err: err}, err
	}
	return compare(entries, books), nil
}

// books is what the database holds.
type books struct {
	writes    map[int64]int     // how often each number of this ledger is there
	transfers map[int64][]move  // those of this ledger by number
	moved     map[int64]int64   // what all transfers, of whichever ledger, add to each account
	accounts  map[int64][]int64 // balances; several would be a broken primary key
}

// read reads all tables in one transaction, so that what is written meanwhile, by
// another ledger, is in all of them or in none.
func read(ctx context.Context, db Beginner, worker int64) (books, error) {
	b := books{
		writes: make(map[int64]int), transfers: make(map[int64][]move),
		moved: make(map[int64]int64), accounts: make(map[int64][]int64),
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return b, err
	}
	defer func() { _ = tx.Rollback() }()
	err = each(ctx, tx, "SELECT worker, seq FROM fp_ledger", 2, func(row []int64) {
		if row[0] == worker {
			b.writes[row[1]]++
		}
	})
	if err != nil {
		return b, err
	}
	err = each(ctx, tx, "SELECT worker, seq, src, dst, amount FROM fp_transfers", 5, func(row []int64) {
		m := move{src: row[2], dst: row[3], amount: row[4]}
		b.moved[m.src] -= m.amount
		b.moved[m.dst] += m.amount
		if row[0] == worker {
			b.transfers[row[1]] = append(b.transfers[row[1]], m)
		}
	})
	if err != nil {
		return b, err
	}
	return b, each(ctx, tx, "SELECT id, balance FROM fp_accounts", 2, func(row []int64) {
		b.accounts[row[0]] = append(b.accounts[row[0]], row[1])
	})
}

// each calls f with every row of a query for whole numbers.
func each(ctx context.Context, tx *sql.Tx, query string, columns int, f func(row []int64)) error {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	row, into := make([]int64, columns), make([]any, columns)
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		f(row)
	}
	return rows.Err()
}

// compare is the judgement itself.
func compare(entries []entry, b books) Verdict {
	var v Verdict
	for i, e := range entries {
		seq := int64(i) + 1
		if !e.transfer {
			v.judge(fmt.Sprintf("write %d", seq), e.fate, b.writes[seq])
			continue
		}
		what := fmt.Sprintf("transfer %d", seq)
		v.judge(what, e.fate, len(b.transfers[seq]))
		for _, m := range b.transfers[seq] {
			if m != e.move {
				v.Altered = append(v.Altered, fmt.Sprintf("%s is %v, not %v", what, m, e.move))
			}
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(b.writes)) {
		if seq < 1 || seq > int64(len(entries)) || entries[seq-1].transfer {
			v.stranger("write", seq)
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(b.transfers)) {
		if seq < 1 || seq > int64(len(entries)) || !entries[seq-1].transfer {
			v.stranger("transfer", seq)
		}
	}
	v.balances(entries, b)
	return v
}

// judge compares one write's fate to how often it is there.
func (v *Verdict) judge(what string, fate Fate, times int) {
	switch {
	case times > 2:
		v.Doubled = append(v.Doubled, fmt.Sprintf("%s: %d times", what, times))
	case times == 2:
		v.Doubled = append(v.Doubled, what)
	}
	switch fate {
	case Acknowledged:
		v.Acknowledged++
		if times == 0 {
			v.Missing = append(v.Missing, what)
		}
	case NotExecuted:
		v.NotExecuted++
		if times > 0 {
			v.Phantom = append(v.Phantom, what)
		}
	default:
		v.InDoubt++
		v.InDoubtDone += min(times, 1)
		became := "not executed"
		if times > 0 {
			became = "executed"
		}
		v.Doubtful = append(v.Doubtful, what+": "+became)
	}
}

func (v *Verdict) stranger(what string, seq int64) {
	v.Phantom = append(v.Phantom, fmt.Sprintf("%s %d, which nobody made", what, seq))
}

// balances compares the accounts to what the transfers that are there make them.
func (v *Verdict) balances(entries []entry, b books) {
	var sum int64
	for id := range int64(Accounts) {
		id++
		want := InitialBalance + b.moved[id]
		balances := b.accounts[id]
		if len(balances) == 0 {
			v.Balances = append(v.Balances, fmt.Sprintf("account %d is gone", id))
		}
		for _, balance := range balances {
			sum += balance
			if balance != want {
				v.Balances = append(v.Balances, fmt.Sprintf("account %d has %d, not %d%s", id, balance, want, suspect(entries, b, id, balance-want)))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.accounts)) {
		if id < 1 || id > Accounts {
			v.Balances = append(v.Balances, fmt.Sprintf("account %d is one too many", id))
		}
	}
	if sum != Accounts*InitialBalance {
		v.Balances = append(v.Balances, fmt.Sprintf("the sum of all is %d, not %d", sum, Accounts*InitialBalance))
	}
}

// suspect names the transfer that explains what an account has too much or too little,
// if there is one.
func suspect(entries []entry, b books, id, excess int64) string {
	for i, e := range entries {
		if !e.transfer {
			continue
		}
		seq := int64(i) + 1
		there := len(b.transfers[seq]) > 0
		switch m := e.move; {
		case !there && m.dst == id && m.amount == excess:
			return fmt.Sprintf(": transfer %d is not there, but its credit is", seq)
		case !there && m.src == id && m.amount == -excess:
			return fmt.Sprintf(": transfer %d is not there, but its debit is", seq)
		case there && m.dst == id && m.amount == -excess:
			return fmt.Sprintf(": transfer %d is there without its credit", seq)
		case there && m.src == id && m.amount == excess:
			return fmt.Sprintf(": transfer %d is there without its debit", seq)
		}
	}
	return ""
}

// String is for the report.
func (m move) String() string { return fmt.Sprintf("%d from %d to %d", m.amount, m.src, m.dst) }
