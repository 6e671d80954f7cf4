package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// work is a kind of operation.
type work int

const (
	textRead work = iota
	preparedRead
	write
	transfer
	works
)

func (w work) String() string {
	return [...]string{"reads", "prepared reads", "writes", "transfers"}[w]
}

// load runs operations on one driver and counts what happens to them.
type load struct {
	db     *sql.DB
	ledger *ledger.Ledger

	mu      sync.Mutex
	done    [works]int
	failed  [works]map[string]int
	longest [works]time.Duration
	writes  []time.Time // when writes succeeded
	phase   outcome     // of the failover under way
	phases  []outcome
}

// outcome is what a load saw of one failover.
type outcome struct {
	name       string
	promotedAt time.Time
	firstWrite time.Duration // after the promotion
	longest    time.Duration // operation
	errors     int
}

func newLoad(db *sql.DB, l *ledger.Ledger) *load {
	ld := &load{db: db, ledger: l}
	for w := range ld.failed {
		ld.failed[w] = make(map[string]int)
	}
	return ld
}

const readQuery = "SELECT balance FROM fp_accounts WHERE id = ?"

// run works until ctx ends, and lets what has begun finish.
func (l *load) run(ctx context.Context, o options) {
	var wg sync.WaitGroup
	for i := range o.workers {
		wg.Go(func() {
			query := fmt.Sprintf("SELECT balance FROM fp_accounts WHERE id = %d", i+1)
			l.repeat(ctx, o, textRead, func(ctx context.Context) error {
				var balance int64
				return l.db.QueryRowContext(ctx, query).Scan(&balance)
			})
		})
		wg.Go(func() { l.prepared(ctx, o, i) })
		wg.Go(func() {
			l.repeat(ctx, o, write, func(ctx context.Context) error { return l.ledger.Write(ctx, l.db) })
		})
		wg.Go(func() {
			l.repeat(ctx, o, transfer, func(ctx context.Context) error { return l.ledger.Transfer(ctx, l.db) })
		})
	}
	wg.Wait()
}

// prepared reads through a statement that is prepared once, as programs do.
func (l *load) prepared(ctx context.Context, o options, i int) {
	var st *sql.Stmt
	defer func() {
		if st != nil {
			st.Close()
		}
	}()
	l.repeat(ctx, o, preparedRead, func(ctx context.Context) (err error) {
		if st == nil {
			st, err = l.db.PrepareContext(ctx, readQuery) //nolint:sqlclosecheck // closed above, at the load's end
			if err != nil {
				return err
			}
		}
		var balance int64
		return st.QueryRowContext(ctx, i+1).Scan(&balance)
	})
}

// repeat does one kind of work over and over.
func (l *load) repeat(ctx context.Context, o options, w work, f func(ctx context.Context) error) {
	for ctx.Err() == nil {
		// An operation that has begun may finish: only the drill's end is near, not the program's.
		opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.timeout)
		start := time.Now()
		err := f(opCtx)
		cancel()
		l.note(w, time.Since(start), err)
		if err != nil {
			sleep(ctx, 50*time.Millisecond) // as a program that retries would
		} else {
			sleep(ctx, 5*time.Millisecond)
		}
	}
}

func (l *load) note(w work, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest[w] = max(l.longest[w], took)
	l.phase.longest = max(l.phase.longest, took)
	if err != nil {
		l.failed[w][name(err)]++
		l.phase.errors++
		return
	}
	l.done[w]++
	if w == write {
		l.writes = append(l.writes, time.Now())
	}
}

// name is an error's kind, without what changes from one to the next.
func name(err error) string {
	if fe, ok := errors.AsType[*failover.Error](err); ok {
		return fe.Kind.Error()
	}
	if me, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return fmt.Sprintf("error %d", me.Number)
	}
	switch text := err.Error(); {
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case strings.Contains(text, "refused"):
		return "connection refused"
	case strings.Contains(text, "reset"):
		return "connection reset"
	default:
		return text
	}
}

// promoted notes when the failover under way got its new writer.
func (l *load) promoted(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase.promotedAt = at
}

// closePhase ends the phase of a failover.
func (l *load) closePhase(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase.name = name
	l.phase.firstWrite = -1
	if i := slices.IndexFunc(l.writes, l.phase.promotedAt.Before); i >= 0 && !l.phase.promotedAt.IsZero() {
		l.phase.firstWrite = l.writes[i].Sub(l.phase.promotedAt)
	}
	l.phases = append(l.phases, l.phase)
	l.phase = outcome{}
}

// errorsOf lists the errors of some kinds of work, most frequent first.
func (l *load) errorsOf(kinds ...work) (total int, list string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := make(map[string]int)
	for _, w := range kinds {
		for name, n := range l.failed[w] {
			sum[name] += n
			total += n
		}
	}
	names := slices.SortedFunc(maps.Keys(sum), func(a, b string) int {
		return cmp.Or(cmp.Compare(sum[b], sum[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%d %s", sum[n], n))
	}
	return total, strings.Join(parts, ", ")
}

func (l *load) operations() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, done := range l.done {
		n += done
	}
	return n
}
