package driver

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

var failovers = flag.Int("failovers", 1, "failovers of each kind in TestRealFailovers")

// TestRealFailovers lets a simulated Aurora over real servers fail over under load:
// 32 sessions that read, write and transfer. No read may have an error and the ledger
// must be kept. With -v it prints what was measured.
//
//	go test ./driver -run TestRealFailovers -v -failovers 20
func TestRealFailovers(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		for _, kind := range []aurorasim.Kind{aurorasim.Kill, aurorasim.Switchover, aurorasim.Frozen} {
			t.Run(kind.String(), func(t *testing.T) {
				upstream, err := aurorasim.Server(s.DSN(database))
				if err != nil {
					t.Fatal(err)
				}
				sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: upstream, DiscardLog: true})
				if err != nil {
					t.Fatal(err)
				}
				defer sim.Close()
				c, err := NewConnector(simConfig(sim, s, database), WithDialer(sim.DialContext), WithLogger(slog.New(slog.DiscardHandler)))
				if err != nil {
					t.Fatal(err)
				}
				w := &workload{db: sql.OpenDB(c), ledger: ledger.New(ledger.WithClassifier(fateOf))}
				defer w.db.Close()
				if err := w.ledger.Setup(t.Context(), w.db); err != nil {
					t.Fatal(err)
				}
				w.run(t, sim, kind)
				stats := c.Stats()
				verdict, err := w.ledger.Judge(context.WithoutCancel(t.Context()), w.db)
				if err != nil {
					t.Fatal(err)
				}
				if !verdict.OK() || len(w.readErrors) > 0 {
					t.Errorf("ledger %s\nread errors: %v", verdict, w.readErrors)
				}
				if g := stats.Gate; g.Entered != g.Drained || g.Waiting != 0 {
					t.Errorf("gate: %+v", g)
				}
				if stats.MonitorConnections != 1 {
					t.Errorf("%d connections of the monitor", stats.MonitorConnections)
				}
				t.Logf("%d failovers; %d reads, 0 errors; longest operation %s; first write after promotion %s; ledger %s; transactions lost %d",
					*failovers, w.reads, percentiles(w.stalls), percentiles(w.firsts), verdict, stats.Statements.TransactionLost)
			})
		}
	})
}

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

// workload is 32 sessions at work.
type workload struct {
	db     *sql.DB
	ledger *ledger.Ledger

	mu         sync.Mutex
	reads      int
	readErrors []error
	longest    time.Duration // operation in the failover under way
	writes     []time.Time   // succeeded since the failover began
	stalls     []time.Duration
	firsts     []time.Duration
}

func (w *workload) run(t *testing.T, sim *aurorasim.Cluster, kind aurorasim.Kind) {
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	work := func(f func(ctx context.Context) error) {
		wg.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				err := f(context.WithoutCancel(ctx))
				w.done(time.Since(start), err)
				time.Sleep(time.Millisecond) // a program does something else, too
			}
		})
	}
	for i := range 8 {
		work(func(ctx context.Context) error { return w.read(ctx, i) })
		work(func(ctx context.Context) error { return w.read(ctx, i+8) })
		work(func(ctx context.Context) error {
			err := w.ledger.Write(ctx, w.db)
			if err == nil {
				w.wrote(time.Now())
			}
			return err
		})
		work(func(ctx context.Context) error { return w.ledger.Transfer(ctx, w.db) })
	}
	for range *failovers {
		w.until(t, "writes succeed", func() bool { return len(w.writes) > 0 })
		w.mu.Lock()
		w.longest, w.writes = 0, nil
		w.mu.Unlock()
		const outage = 500 * time.Millisecond
		restart := 200 * time.Millisecond
		if kind == aurorasim.Frozen {
			restart = 3500 * time.Millisecond // or its end would be noticed, not its silence
		}
		if err := sim.Failover(ctx, aurorasim.Failover{Kind: kind, PromoteAfter: outage, RestartAfter: restart}); err != nil {
			t.Fatal(err)
		}
		promoted, first := sim.PromotedAt(), -1
		w.until(t, "writes go on", func() bool {
			first = slices.IndexFunc(w.writes, promoted.Before)
			return first >= 0
		})
		if err := sim.Settled(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		w.mu.Lock()
		w.stalls = append(w.stalls, w.longest)
		w.firsts = append(w.firsts, w.writes[first].Sub(promoted))
		w.mu.Unlock()
	}
}

// read reads as text or through a prepared statement.
func (w *workload) read(ctx context.Context, i int) error {
	var balance int64
	var err error
	if i%2 == 0 {
		err = w.db.QueryRowContext(ctx, fmt.Sprintf("SELECT balance FROM fp_accounts WHERE id = %d", i+1)).Scan(&balance)
	} else {
		err = w.db.QueryRowContext(ctx, "SELECT balance FROM fp_accounts WHERE id = ?", i+1).Scan(&balance)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reads++; err != nil {
		w.readErrors = append(w.readErrors, err)
	}
	return err
}

func (w *workload) done(took time.Duration, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest = max(w.longest, took)
}

func (w *workload) wrote(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, at)
}

// until waits for something that the workload will see.
func (w *workload) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
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
		return "none"
	}
	d = slices.Sorted(slices.Values(d))
	at := func(p int) time.Duration { return d[min(len(d)-1, len(d)*p/100)].Round(time.Millisecond) }
	return fmt.Sprintf("%s / %s / %s", at(50), at(99), at(100))
}
