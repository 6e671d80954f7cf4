package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

func simConfig(sim *aurorasim.Cluster, s *mysqld.Server, database string) *Config {
	cfg := NewConfig()
	cfg.MySQL.User, cfg.MySQL.Passwd, cfg.MySQL.Net, cfg.MySQL.DBName = s.User, s.Password, "tcp", database
	cfg.Hosts = []string{sim.Endpoint()}
	return cfg
}

// fateOf believes what our errors say.
func fateOf(err error) ledger.Fate {
	if err == nil {
		return ledger.Acknowledged
	}
	if fe, ok := errors.AsType[*failover.Error](err); ok && fe.Outcome == failover.NotExecuted {
		return ledger.NotExecuted
	}
	return ledger.Unknown
}

// workload is 32 goroutines at work on a driver: half of them read, as text and prepared, a
// quarter writes, a quarter transfers in transactions. Half of those that read have sessions of
// their own, which never write.
type workload struct {
	db, readers *sql.DB
	ledger      *ledger.Ledger

	mu          sync.Mutex
	reads       int
	readErrors  []error
	writeErrors []error
	writes      []time.Time // succeeded, in the failover under way

	longest [kinds][]time.Duration // each goroutine's longest operation in it
	stalls  [kinds][]time.Duration // those of all failovers
	firsts  []time.Duration        // first writes after promotions
}

// reading and writing are the kinds of operations that are measured apart.
const (
	reading = iota
	mixed   // reading in sessions that write, too
	writing
	kinds
)

// start lets the load run until stop is called, which waits for it.
func (w *workload) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	w.longest = [kinds][]time.Duration{reading: make([]time.Duration, 8), mixed: make([]time.Duration, 8), writing: make([]time.Duration, 16)}
	var started [kinds]int
	work := func(kind int, f func(ctx context.Context) error) {
		me := started[kind]
		started[kind]++
		wg.Go(func() {
			for ctx.Err() == nil {
				opCtx, done := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
				start := time.Now()
				err := f(opCtx)
				done()
				w.done(kind, me, time.Since(start), err)
				time.Sleep(time.Millisecond) // a program does something else, too
			}
		})
	}
	for i := range 8 {
		work(reading, func(ctx context.Context) error { return w.read(ctx, w.readers, i) })
		work(mixed, func(ctx context.Context) error { return w.read(ctx, w.db, i+8) })
	}
	for range 8 {
		work(writing, func(ctx context.Context) error {
			err := w.ledger.Write(ctx, w.db)
			if err == nil {
				w.mu.Lock()
				w.writes = append(w.writes, time.Now())
				w.mu.Unlock()
			}
			return err
		})
		work(writing, func(ctx context.Context) error { return w.ledger.Transfer(ctx, w.db) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// read reads as text or through a prepared statement.
func (w *workload) read(ctx context.Context, db *sql.DB, i int) error {
	var balance int64
	if i%2 == 0 {
		return db.QueryRowContext(ctx, fmt.Sprintf("SELECT balance FROM fp_accounts WHERE id = %d", i+1)).Scan(&balance)
	}
	return db.QueryRowContext(ctx, "SELECT balance FROM fp_accounts WHERE id = ?", i+1).Scan(&balance)
}

func (w *workload) done(kind, me int, took time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest[kind][me] = max(w.longest[kind][me], took)
	if kind != writing {
		w.reads++
		if err != nil {
			w.readErrors = append(w.readErrors, err)
		}
	} else if err != nil {
		w.writeErrors = append(w.writeErrors, err)
	}
}

// fault lets something happen under load and measures what it does to it, until writes go on
// after the promotion that it led to, or after its end if there was none.
func (w *workload) fault(t *testing.T, sim *aurorasim.Cluster, happen func() error) {
	t.Helper()
	w.until(t, "writes succeed", func() bool { return len(w.writes) > 0 })
	w.mu.Lock()
	w.writes = nil
	for kind := range w.longest {
		clear(w.longest[kind])
	}
	w.mu.Unlock()
	before := sim.PromotedAt()
	if err := happen(); err != nil {
		t.Fatal(err)
	}
	since, promoted := time.Now(), sim.PromotedAt()
	if promoted != before {
		since = promoted
	}
	first := -1
	w.until(t, "writes go on", func() bool {
		first = slices.IndexFunc(w.writes, since.Before)
		return first >= 0
	})
	if err := sim.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	for kind := range w.longest {
		w.stalls[kind] = append(w.stalls[kind], w.longest[kind]...)
	}
	if promoted != before {
		w.firsts = append(w.firsts, w.writes[first].Sub(promoted))
	}
}

// until waits for something that the workload will see.
func (w *workload) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		w.mu.Lock()
		ok := condition()
		w.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// percentiles is p50 / p99 / max.
func percentiles(d []time.Duration) string {
	if len(d) == 0 {
		return "–"
	}
	d = slices.Sorted(slices.Values(d))
	at := func(p int) time.Duration { return d[min(len(d)-1, len(d)*p/100)].Round(time.Millisecond) }
	return fmt.Sprintf("%s / %s / %s", at(50), at(99), at(100))
}
