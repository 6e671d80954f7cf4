package ledger

import (
	"fmt"
	"strings"
)

// Verdict is what the database says of a ledger's truth. Findings are in the order of
// their numbers.
type Verdict struct {
	Acknowledged int // writes and transfers that were acknowledged
	NotExecuted  int // that were said not to have been executed
	InDoubt      int // of which nobody said
	InDoubtDone  int // of those in doubt, how many were executed

	Missing  []string // acknowledged, and not there
	Doubled  []string // there more than once
	Phantom  []string // there, and said not to have been executed, or never written
	Altered  []string // there, but not as they were written
	Balances []string // accounts that are not what their transfers make them

	Doubtful []string // those in doubt, each with what became of it; no violation

	Err error // why the database could not be read: then nothing of the above says anything
}

// OK reports whether the driver told the truth.
func (v Verdict) OK() bool {
	return v.Err == nil && len(v.Missing)+len(v.Doubled)+len(v.Phantom)+len(v.Altered)+len(v.Balances) == 0
}

// String is the report: one line of counters, and one for each kind of finding, and for
// those in doubt, with the first few of them.
func (v Verdict) String() string {
	if v.Err != nil {
		return "not judged: " + v.Err.Error()
	}
	var b strings.Builder
	word := "kept"
	if !v.OK() {
		word = "VIOLATED"
	}
	fmt.Fprintf(&b, "%s: %d acknowledged, %d not executed, %d in doubt (%d of them were executed)", word, v.Acknowledged, v.NotExecuted, v.InDoubt, v.InDoubtDone)
	for _, finding := range []struct {
		what string
		list []string
	}{
		{"acknowledged but missing", v.Missing},
		{"executed more than once", v.Doubled},
		{"there though it should not be", v.Phantom},
		{"there, but not as it was written", v.Altered},
		{"wrong balances", v.Balances},
		{"in doubt", v.Doubtful},
	} {
		if len(finding.list) == 0 {
			continue
		}
		const shown = 5
		fmt.Fprintf(&b, "\n  %s: %d (%s", finding.what, len(finding.list), strings.Join(finding.list[:min(shown, len(finding.list))], ", "))
		if len(finding.list) > shown {
			b.WriteString(", …")
		}
		b.WriteString(")")
	}
	return b.String()
}
