package ledger_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// inserts matches the writes of single numbers.
var inserts = aurorasim.Contains("INTO fp_ledger")

// The plain driver tells the truth, though not much of it.
func TestAcquitted(t *testing.T) {
	everywhere(t, func(t *testing.T, c *court) {
		c.sim.Writer().SwallowAnswer(inserts)
		c.sim.Writer().SwallowCommitAnswer()
		lost := c.sim.Writer().ErrorThenClose(1053, "shutdown", aurorasim.Contains("INTO fp_transfers"))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 25 {
					_ = c.Write(t.Context(), c.db)
					_ = c.Transfer(t.Context(), c.db)
				}
			})
		}
		wg.Wait()
		v := c.judge(t)
		if !v.OK() || v.Acknowledged != 400-3 || v.InDoubt != 2 || v.InDoubtDone != 2 || v.NotExecuted != 1 || lost.Hits() != 1 {
			t.Error(v)
		}
	})
}

// What is wrong in the database is found there, whoever did it.
func TestFindings(t *testing.T) {
	for name, test := range map[string]struct {
		crime func(t *testing.T, c *court)
		words string
	}{
		"an acknowledged write that is lost": {func(t *testing.T, c *court) {
			for range 3 {
				if err := c.Write(t.Context(), c.db); err != nil {
					t.Fatal(err)
				}
			}
			c.exec(t, "DELETE FROM fp_ledger WHERE seq = 2")
		}, "acknowledged but missing: 1 (write 2)"},
		"a write that was said not to have been executed": {func(t *testing.T, c *court) {
			worker, seq := c.Take()
			c.exec(t, ledger.InsertEntry, worker, seq)
			c.Report(seq, ledger.NotExecuted)
		}, "there though it should not be: 1 (write 1)"},
		"a write that nobody made": {func(t *testing.T, c *court) {
			c.exec(t, ledger.InsertEntry, 1, 99)
		}, "write 99, which nobody made"},
		"a transfer that is done twice": {func(t *testing.T, c *court) {
			if err := c.Transfer(t.Context(), c.db); err != nil {
				t.Fatal(err)
			}
			c.exec(t, ledger.InsertTransfer, 1, 1, 1, 2, 0)
		}, "executed more than once: 1 (transfer 1)"},
		"a credit of nobody": {func(t *testing.T, c *court) {
			c.exec(t, ledger.Credit, 7, 3)
		}, "account 3 has 1007, not 1000"},
		"an account that is gone": {func(t *testing.T, c *court) {
			c.exec(t, "DELETE FROM fp_accounts WHERE id = 5")
		}, "account 5 is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			c := convene(t)
			test.crime(t, c)
			v := c.judge(t)
			if v.OK() || !strings.Contains(v.String(), "VIOLATED") || !strings.Contains(v.String(), test.words) {
				t.Errorf("want %q in the report: %s", test.words, v)
			}
		})
	}
}

// A load that writes in its own way has the numbers and the steps.
func TestOwnWrites(t *testing.T) {
	c := convene(t)
	worker, first := c.Take()
	c.exec(t, ledger.InsertEntry, worker, first)
	c.Report(first, ledger.Acknowledged)
	second, steps := c.TakeTransfer()
	tx, err := c.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if _, err := tx.ExecContext(t.Context(), step.Query, step.Args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	c.Report(second, ledger.Acknowledged)
	c.Take()                         // and never written
	c.Report(99, ledger.NotExecuted) // and never taken
	if v := c.judge(t); !v.OK() || v.Acknowledged != 2 || v.InDoubt != 1 || v.InDoubtDone != 0 || v.NotExecuted != 0 {
		t.Error(v)
	}
}

// Two ledgers in one database do not take each other's writes for wrong.
func TestTwoWorkers(t *testing.T) {
	c := convene(t)
	other := ledger.New(ledger.WithWorker(2))
	for _, l := range []*ledger.Ledger{c.Ledger, other} {
		for range 3 {
			if err := errors.Join(l.Write(t.Context(), c.db), l.Transfer(t.Context(), c.db)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range []*ledger.Ledger{c.Ledger, other} {
		if v, err := l.Judge(t.Context(), c.db); err != nil || !v.OK() || v.Acknowledged != 6 {
			t.Error(v, err)
		}
	}
	c.exec(t, "DELETE FROM fp_ledger WHERE worker = 2")
	if v := c.judge(t); !v.OK() {
		t.Error(v)
	}
	if v, err := other.Judge(t.Context(), c.db); err != nil || v.OK() {
		t.Error(v, err)
	}
}

// A database that cannot be read acquits nobody.
func TestUnreadable(t *testing.T) {
	c := convene(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := c.Judge(ctx, c.db); err == nil || v.OK() || !strings.Contains(v.String(), "not judged") {
		t.Error(v, err)
	}
	c.exec(t, "DROP TABLE fp_transfers")
	if v, err := c.Judge(t.Context(), c.db); err == nil || v.OK() {
		t.Error(v, err)
	}
}
