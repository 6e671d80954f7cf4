package ledger

import (
	"fmt"
	"strings"
	"testing"
)

// honest are books of a load that did two writes and two transfers, all of them there.
func honest() ([]entry, books) {
	a, b := move{src: 1, dst: 2, amount: 30}, move{src: 3, dst: 1, amount: 500}
	entries := []entry{{fate: Acknowledged}, {fate: Acknowledged, transfer: true, move: a}, {fate: Unknown}, {fate: Acknowledged, transfer: true, move: b}}
	found := books{
		writes:    map[int64]int{1: 1, 3: 1},
		transfers: map[int64][]move{2: {a}, 4: {b}},
		moved:     map[int64]int64{1: -30 + 500, 2: 30, 3: -500},
		accounts:  make(map[int64][]int64),
	}
	for id := range int64(Accounts) {
		found.accounts[id+1] = []int64{InitialBalance + found.moved[id+1]}
	}
	return entries, found
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(e []entry, b *books)
		report string // all of it but the counters and what is in doubt; "" = acquitted
	}{
		{"nothing wrong", func([]entry, *books) {}, ""},
		{"in doubt and absent", func(_ []entry, b *books) { delete(b.writes, 3) }, ""},
		{"in doubt and there twice", func(_ []entry, b *books) { b.writes[3] = 2 }, "executed more than once: 1 (write 3)"},
		{"there three times", func(_ []entry, b *books) { b.writes[1] = 3 }, "executed more than once: 1 (write 1: 3 times)"},
		{"acknowledged and absent", func(_ []entry, b *books) { delete(b.writes, 1) }, "acknowledged but missing: 1 (write 1)"},
		{"not executed and there", func(e []entry, _ *books) { e[0].fate = NotExecuted }, "there though it should not be: 1 (write 1)"},
		{
			"not executed and there twice", func(e []entry, b *books) { e[0].fate, b.writes[1] = NotExecuted, 2 },
			"executed more than once: 1 (write 1)|there though it should not be: 1 (write 1)",
		},
		{
			"nobody's number", func(_ []entry, b *books) { b.writes[5], b.writes[0] = 1, 1 },
			"there though it should not be: 2 (write 0, which nobody made, write 5, which nobody made)",
		},
		{
			"a transfer's number in the wrong table", func(_ []entry, b *books) { b.writes[2] = 1 },
			"there though it should not be: 1 (write 2, which nobody made)",
		},
		{
			"a write's number among the transfers", func(_ []entry, b *books) { b.transfers[1] = []move{{1, 2, 0}} },
			"there though it should not be: 1 (transfer 1, which nobody made)",
		},
		{
			"another amount", func(_ []entry, b *books) { b.transfers[2] = []move{{1, 2, 31}} },
			"there, but not as it was written: 1 (transfer 2 is 31 from 1 to 2, not 30 from 1 to 2)",
		},
		{
			"a debit too many", func(e []entry, b *books) { b.drop(2); b.accounts[1][0] -= 30 },
			"acknowledged but missing: 1 (transfer 2)|wrong balances: 2 (account 1 has 1470, not 1500: transfer 2 is not there, but its debit is, the sum of all is 49970, not 50000)",
		},
		{
			"a credit too many", func(e []entry, b *books) { b.drop(2); e[1].fate = NotExecuted; b.accounts[2][0] += 30 },
			"wrong balances: 2 (account 2 has 1030, not 1000: transfer 2 is not there, but its credit is, the sum of all is 50030, not 50000)",
		},
		{
			"a row without its updates", func(_ []entry, b *books) { b.accounts[1][0] += 30; b.accounts[2][0] -= 30 },
			"wrong balances: 2 (account 1 has 1500, not 1470: transfer 2 is there without its debit, account 2 has 1000, not 1030: transfer 2 is there without its credit)",
		},
		{
			"an account gone", func(_ []entry, b *books) { delete(b.accounts, 50) },
			"wrong balances: 2 (account 50 is gone, the sum of all is 49000, not 50000)",
		},
		{"an account too many", func(_ []entry, b *books) { b.accounts[51] = []int64{0} }, "wrong balances: 1 (account 51 is one too many)"},
		{
			"a balance too much for any transfer", func(_ []entry, b *books) { b.accounts[9][0]++; b.accounts[8][0]-- },
			"wrong balances: 2 (account 8 has 999, not 1000, account 9 has 1001, not 1000)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries, found := honest()
			c.change(entries, &found)
			v := compare(entries, found)
			_, findings, _ := strings.Cut(v.String(), "\n  ")
			// The third write is in doubt in all of these.
			lines := strings.Split(findings, "\n  ")
			doubt, lines := lines[len(lines)-1], lines[:len(lines)-1]
			if got := strings.Join(lines, "|"); got != c.report || v.OK() != (c.report == "") {
				t.Errorf("the report is\n%s\nnot\n%s", got, c.report)
			}
			became := "executed"
			if found.writes[3] == 0 {
				became = "not executed"
			}
			if want := "in doubt: 1 (write 3: " + became + ")"; doubt != want {
				t.Errorf("the report ends with %q, not %q", doubt, want)
			}
			if v.Acknowledged+v.InDoubt+v.NotExecuted != len(entries) {
				t.Errorf("counted %d, %d and %d", v.Acknowledged, v.InDoubt, v.NotExecuted)
			}
		})
	}
}

// drop takes a transfer out of the books, with all that it moved.
func (b *books) drop(seq int64) {
	for _, m := range b.transfers[seq] {
		b.moved[m.src] += m.amount
		b.moved[m.dst] -= m.amount
		b.accounts[m.src][0] += m.amount
		b.accounts[m.dst][0] -= m.amount
	}
	delete(b.transfers, seq)
}

func TestReportIsShort(t *testing.T) {
	var v Verdict
	for n := range 1000 {
		v.Missing = append(v.Missing, fmt.Sprintf("write %d", n+1))
	}
	if got := v.String(); !strings.HasSuffix(got, "missing: 1000 (write 1, write 2, write 3, write 4, write 5, …)") {
		t.Error(got)
	}
}

func TestTransfersMoveMoneyBetweenAccounts(t *testing.T) {
	l := New()
	for n := range int64(1000) {
		seq, steps := l.TakeTransfer()
		m := l.entries[n].move
		if seq != n+1 || m.src == m.dst || min(m.src, m.dst) < 1 || max(m.src, m.dst) > Accounts || m.amount < 1 {
			t.Fatalf("transfer %d moves %v", seq, m)
		}
		if len(steps) != 3 || steps[0].Args[1].(int64) > steps[1].Args[1].(int64) {
			t.Fatalf("the steps are %v", steps)
		}
	}
}
