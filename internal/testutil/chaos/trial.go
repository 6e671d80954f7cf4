package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// The load's own tables, beside the ledger's.
const (
	marksTable     = prefix + "marks"
	numbersTable   = prefix + "numbers"
	temporaryTable = prefix + "temporary"

	insertMark  = "INSERT INTO fp_marks (trial, step) VALUES (?, ?)"
	readBalance = "SELECT balance FROM fp_accounts WHERE id = ?"

	// numbers is how many rows fp_numbers has: 1, 2, 3, …
	numbers = 20
)

// trial is a transaction, or a write, whose marks must be there all or not at all.
type trial struct {
	id     int64
	steps  []int64 // that it leaves if it is executed
	fate   ledger.Fate
	twice  bool // it may be executed twice
	where  string
	number int64 // of the next step
}

// trial begins one. Its fate is not executed until somebody asks for it.
func (w *worker) trial(where string) *trial {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	t := &trial{id: int64(len(w.trials) + 1), fate: ledger.NotExecuted, where: w.name() + ": " + where}
	w.trials = append(w.trials, t)
	return t
}

// mark is the text of the trial's next mark. No other statement has this text.
func (t *trial) mark() string {
	t.number++
	t.steps = append(t.steps, t.number)
	return fmt.Sprintf("INSERT INTO fp_marks (trial, step) VALUES (%d, %d)", t.id, t.number)
}

// back forgets the steps since there were so many.
func (t *trial) back(steps int) { t.steps = t.steps[:steps] }

// setup makes the tables.
func (r *run) setup(ctx context.Context, db *sql.DB) error {
	if err := r.ledger.Setup(ctx, db); err != nil {
		return err
	}
	texts := []string{
		"DROP TABLE IF EXISTS " + marksTable,
		"DROP TABLE IF EXISTS " + numbersTable,
		"CREATE TABLE " + marksTable + " (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, trial BIGINT NOT NULL, step BIGINT NOT NULL)",
		"CREATE TABLE " + numbersTable + " (n BIGINT NOT NULL PRIMARY KEY)",
	}
	rows := make([]string, numbers)
	for n := range rows {
		rows[n] = fmt.Sprintf("(%d)", n+1)
	}
	for _, text := range append(texts, "INSERT INTO "+numbersTable+" (n) VALUES "+strings.Join(rows, ", ")) {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// judgeMarks compares the marks to what the load was told.
func (r *run) judgeMarks(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT trial, step FROM fp_marks ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	found := make(map[int64][]int64)
	for rows.Next() {
		var id, step int64
		if err := rows.Scan(&id, &step); err != nil {
			return err
		}
		found[id] = append(found[id], step)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	trials := r.trials
	r.mu.Unlock()
	for _, t := range trials {
		steps := found[t.id]
		delete(found, t.id)
		if t.twice && len(steps) > 1 {
			steps = slices.Compact(steps)
		}
		done := slices.Equal(steps, t.steps)
		switch {
		case t.fate == ledger.Acknowledged && !done,
			t.fate == ledger.NotExecuted && len(steps) > 0,
			t.fate == ledger.Unknown && len(steps) > 0 && !done:
			r.violation("trial %d (%s), %s: its steps are %v, those in the database %v", t.id, t.where, t.fate, t.steps, steps)
		}
	}
	for id, steps := range found {
		r.violation("marks of a trial %d that nobody made: %v", id, steps)
	}
	return nil
}
