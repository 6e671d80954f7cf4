package conformance

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// row is what became of one suite on one server.
type row struct {
	suite, server       string
	plain, ours         int // tests that passed
	failed, ran         int // with the plain driver
	differences         []Difference
	plainTook, oursTook time.Duration
}

// table formats rows: numbers first, and the differences below each.
func table(rows []row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "suite\tserver\ttests\tfailed plain\tpassed plain\tpassed ours\tdifferences\ttime plain\ttime ours")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%v\t%v\n", r.suite, r.server, r.ran, r.failed, r.plain, r.ours, len(r.differences),
			r.plainTook.Round(100*time.Millisecond), r.oursTook.Round(100*time.Millisecond))
	}
	_ = w.Flush() // into memory
	for _, r := range rows {
		for _, d := range r.differences {
			fmt.Fprintf(&b, "%s on %s: %v\n", r.suite, r.server, d)
		}
	}
	return b.String()
}
