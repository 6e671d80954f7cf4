package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// board is the scoreboard: a table that is drawn anew on a terminal, one line a second
// elsewhere.
type board struct {
	out      io.Writer
	stages   []*stage
	start    time.Time
	terminal bool

	mu    sync.Mutex
	lines int // of the table on the terminal, to be drawn over
	last  []int
}

func newBoard(out *os.File, stages []*stage) *board {
	info, err := out.Stat()
	return &board{
		out: out, stages: stages, start: time.Now(), last: make([]int, len(stages)),
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}
}

// announce says what happens next.
func (b *board) announce(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = 0
	fmt.Fprintf(b.out, "%6.1fs  == %s\n", time.Since(b.start).Seconds(), what)
}

// run shows the state of things once a second.
func (b *board) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.show()
		}
	}
}

func (b *board) show() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.terminal && b.lines > 0 {
		fmt.Fprintf(b.out, "\x1b[%dA\x1b[J", b.lines)
	}
	if !b.terminal {
		var parts []string
		for i, s := range b.stages {
			parts = append(parts, s.name+": "+b.state(i, s))
		}
		fmt.Fprintf(b.out, "%6.1fs  %s\n", time.Since(b.start).Seconds(), strings.Join(parts, " | "))
		return
	}
	for i, s := range b.stages {
		fmt.Fprintf(b.out, "%6.1fs  %-14s %s\n", time.Since(b.start).Seconds(), s.name, b.state(i, s))
	}
	b.lines = len(b.stages)
}

// state is a load's state in words.
func (b *board) state(i int, s *stage) string {
	operations := s.load.operations()
	rate := operations - b.last[i]
	b.last[i] = operations
	total, list := s.load.errorsOf(textRead, preparedRead, write, transfer)
	text := fmt.Sprintf("%5d ops/s, %2d connections", rate, s.connections())
	if total > 0 {
		text += fmt.Sprintf(", %d errors (%s)", total, list)
	}
	return text
}

// connections is how many network connections the stage's driver holds.
func (s *stage) connections() int {
	if s.ours == nil {
		return s.db.Stats().OpenConnections
	}
	stats := s.ours.Stats()
	n := stats.MonitorConnections
	for _, in := range stats.Pool.Instances {
		n += in.Open
	}
	return n
}

// conclude prints the table and the ledgers' verdicts.
func (b *board) conclude(ctx context.Context) (ok bool, err error) {
	ok = true
	fmt.Fprintln(b.out)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	row := func(title string, cell func(s *stage) string) {
		fmt.Fprint(w, title)
		for _, s := range b.stages {
			fmt.Fprint(w, "\t", cell(s))
		}
		fmt.Fprintln(w)
	}
	row("", func(s *stage) string { return s.name })
	for k := range works {
		row(k.String(), func(s *stage) string { return fmt.Sprint(s.load.done[k]) })
		row("  errors", func(s *stage) string {
			total, list := s.load.errorsOf(k)
			if list != "" {
				list = ": " + list
			}
			return fmt.Sprint(total, list)
		})
		row("  longest", func(s *stage) string { return s.load.longest[k].Round(time.Millisecond).String() })
	}
	for i := range b.stages[0].load.phases {
		row(b.stages[0].load.phases[i].name, func(*stage) string { return "" })
		row("  longest operation", func(s *stage) string { return s.load.phases[i].longest.Round(time.Millisecond).String() })
		row("  first write after promotion", func(s *stage) string {
			if first := s.load.phases[i].firstWrite; first >= 0 {
				return first.Round(time.Millisecond).String()
			}
			return "none"
		})
		row("  errors", func(s *stage) string { return fmt.Sprint(s.load.phases[i].errors) })
	}
	if err := w.Flush(); err != nil {
		return false, err
	}
	for _, s := range b.stages {
		verdict, err := s.ledger.Judge(ctx, s.judge)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(b.out, "\nledger of %s: %s\n", s.name, verdict)
		if s.ours == nil {
			continue
		}
		ok = ok && verdict.OK()
		if n, list := s.load.errorsOf(textRead, preparedRead); n > 0 {
			fmt.Fprintf(b.out, "FAILED: %d reads had errors: %s\n", n, list)
			ok = false
		}
	}
	return ok, nil
}
