package driver

import (
	"cmp"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

var (
	failovers = flag.Int("failovers", 1, "how often each scenario of TestScenarios happens")
	plainToo  = flag.Bool("plain", false, "run TestScenarios with the plain driver, too")
)

// scenario is something that happens to a cluster under load.
type scenario struct {
	name      string
	instances int // 0 = 3
	happen    func(ctx context.Context, a *act) error
	ours      bool // means nothing to the plain driver
}

// act is what a scenario has to do with.
type act struct {
	*aurorasim.Cluster
	c *Connector // nil for the plain driver
}

// outages are short here: what is measured is what the driver adds to them.
const (
	shortOutage  = 500 * time.Millisecond
	shortRestart = 200 * time.Millisecond
	// thawAfter lets a frozen instance's end come after its silence was noticed.
	thawAfter = 3500 * time.Millisecond
)

var scenarios = []scenario{
	{name: "kill", happen: func(ctx context.Context, a *act) error {
		return a.Failover(ctx, aurorasim.Failover{PromoteAfter: shortOutage, RestartAfter: shortRestart})
	}},
	{name: "switchover, connections closed", happen: func(ctx context.Context, a *act) error {
		return a.Failover(ctx, aurorasim.Failover{Kind: aurorasim.Switchover, PromoteAfter: shortOutage, RestartAfter: shortRestart})
	}},
	{name: "switchover, goodbye first", happen: func(ctx context.Context, a *act) error {
		a.Writer().Goodbye(1053, "Server shutdown in progress")
		return a.Failover(ctx, aurorasim.Failover{Kind: aurorasim.Switchover, PromoteAfter: shortOutage, RestartAfter: shortRestart})
	}},
	{name: "switchover, writer becomes read-only", happen: func(ctx context.Context, a *act) error {
		return a.Failover(ctx, aurorasim.Failover{Kind: aurorasim.Switchover, PromoteAfter: shortOutage, KeepConnections: true})
	}},
	{name: "switchover after Drain", ours: true, happen: func(ctx context.Context, a *act) error {
		if err := a.c.Drain(ctx, a.c.Snapshot().Writer().ID); err != nil {
			return err
		}
		return a.Failover(ctx, aurorasim.Failover{Kind: aurorasim.Switchover, PromoteAfter: shortOutage, RestartAfter: shortRestart})
	}},
	{name: "frozen", happen: func(ctx context.Context, a *act) error {
		return a.Failover(ctx, aurorasim.Failover{Kind: aurorasim.Frozen, PromoteAfter: shortOutage, RestartAfter: thawAfter})
	}},
	{name: "frozen without a failover", happen: func(ctx context.Context, a *act) error {
		f := a.Writer().Freeze()
		defer f.Clear()
		return pause(ctx, 1500*time.Millisecond)
	}},
	{name: "kill, the promoted one restarts", happen: func(ctx context.Context, a *act) error {
		return a.Failover(ctx, aurorasim.Failover{PromoteAfter: shortOutage, RestartAfter: shortRestart, DropPromoted: true})
	}},
	{name: "kill, stale views, slow DNS", happen: func(ctx context.Context, a *act) error {
		return a.Failover(ctx, aurorasim.Failover{PromoteAfter: shortOutage, RestartAfter: shortRestart, StaleViews: time.Second, DNSAfter: 2 * time.Second})
	}},
	{name: "kill, the old writer is back and believes that it is the writer", happen: func(ctx context.Context, a *act) error {
		return a.Failover(ctx, aurorasim.Failover{PromoteAfter: shortOutage, RestartAfter: shortRestart, BelievesWriter: time.Second})
	}},
	{name: "kill, a reader is dead, too", happen: func(ctx context.Context, a *act) error {
		reader := a.Readers()[0]
		if err := reader.Crash(ctx); err != nil {
			return err
		}
		err := a.Failover(ctx, aurorasim.Failover{PromoteAfter: shortOutage, RestartAfter: shortRestart})
		if err != nil {
			return err
		}
		return reader.Return()
	}},
	{name: "a failover in the failover", happen: func(ctx context.Context, a *act) error {
		if err := a.Failover(ctx, aurorasim.Failover{PromoteAfter: shortOutage, RestartAfter: shortRestart}); err != nil {
			return err
		}
		return a.Failover(ctx, aurorasim.Failover{PromoteAfter: shortOutage, RestartAfter: shortRestart})
	}},
	{name: "one instance: crash and restart in place", instances: 1, happen: func(ctx context.Context, a *act) error {
		w := a.Writer()
		if err := w.Crash(ctx); err != nil {
			return err
		}
		if err := pause(ctx, shortOutage); err != nil {
			return err
		}
		if err := w.Return(); err != nil {
			return err
		}
		return a.Promote(ctx, w.ID)
	}},
	{name: "black hole", happen: func(ctx context.Context, a *act) error {
		w := a.Writer()
		f := w.BlackHole()
		w.ResetConnections()
		defer f.Clear()
		return pause(ctx, shortOutage)
	}},
	{name: "accepts and stays silent", happen: func(ctx context.Context, a *act) error {
		w := a.Writer()
		f := w.AcceptSilent()
		w.ResetConnections()
		defer f.Clear()
		return pause(ctx, shortOutage)
	}},
	{name: "all connections reset, no failover", happen: func(ctx context.Context, a *act) error {
		a.Writer().ResetConnections()
		return pause(ctx, 50*time.Millisecond)
	}},
	{name: "too many connections", happen: func(ctx context.Context, a *act) error {
		w := a.Writer()
		f := w.TooManyConnections()
		w.ResetConnections()
		defer f.Clear()
		return pause(ctx, shortOutage)
	}},
	{name: "a reader dies", happen: func(ctx context.Context, a *act) error {
		reader := a.Readers()[0]
		if err := reader.Crash(ctx); err != nil {
			return err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		return reader.Return()
	}},
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestScenarios lets a simulated Aurora over real servers get into all kinds of trouble under
// load. No read may have an error and the ledger must be kept. With -v it prints a table.
//
//	go test ./driver -run TestScenarios -v -failovers 10 -plain
func TestScenarios(t *testing.T) {
	var mu sync.Mutex
	var table []string
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		for _, sc := range scenarios {
			t.Run(sc.name, func(t *testing.T) {
				row := play(t, s, database, sc, false)
				if *plainToo && !sc.ours {
					row += "\n" + play(t, s, database, sc, true)
				}
				mu.Lock()
				defer mu.Unlock()
				table = append(table, row)
			})
		}
	})
	t.Log("\n| server | scenario | driver | reads | read errors | write errors | in doubt | transactions lost | ledger | stall of reads, p50 / p99 / max | of reads by sessions that write | stall of writes, p50 / p99 / max | first write, p50 / p99 / max |")
	for _, row := range table {
		t.Log("\n" + row)
	}
}

// play runs a scenario and returns its row of the table.
func play(t *testing.T, s *mysqld.Server, database string, sc scenario, plain bool) string {
	t.Helper()
	sim := simulate(t, s, database, aurorasim.Config{DiscardLog: true, Instances: cmp.Or(sc.instances, 3)})
	defer sim.Close()
	a := &act{Cluster: sim}
	w := &workload{ledger: ledger.New()}
	cfg := simConfig(sim, s, database)
	if plain {
		// As its users are told to set it up for Aurora.
		cfg.MySQL.Addr, cfg.MySQL.DialFunc, cfg.MySQL.RejectReadOnly = sim.Endpoint(), sim.DialContext, true
		cfg.MySQL.Timeout, cfg.MySQL.ReadTimeout, cfg.MySQL.Logger = 2*time.Second, 10*time.Second, &mysql.NopLogger{}
		connector, err := mysql.NewConnector(cfg.MySQL)
		if err != nil {
			t.Fatal(err)
		}
		w.db, w.readers = sql.OpenDB(connector), sql.OpenDB(connector)
	} else {
		w.ledger = ledger.New(ledger.WithClassifier(fateOf))
		var err error
		if a.c, err = NewConnector(cfg, WithDialer(sim.DialContext), WithLogger(slog.New(slog.DiscardHandler))); err != nil {
			t.Fatal(err)
		}
		w.db, w.readers = sql.OpenDB(a.c), sql.OpenDB(a.c)
	}
	defer w.db.Close()
	defer w.readers.Close()
	if err := w.ledger.Setup(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	stop := w.start(t.Context())
	for range *failovers {
		w.fault(t, sim, func() error { return sc.happen(t.Context(), a) })
	}
	stop()
	verdict, err := w.ledger.Judge(context.WithoutCancel(t.Context()), w.db)
	if err != nil {
		t.Fatal(err)
	}
	name, kept, lost := "plain", "kept", "–"
	if !verdict.OK() {
		kept = "VIOLATED"
	}
	if !plain {
		name, lost = "ours", fmt.Sprint(a.c.Stats().Statements.TransactionLost)
		judge(t, a.c, w, verdict)
	}
	return fmt.Sprintf("| %s | %s | %s | %d | %d | %d | %d | %s | %s | %s | %s | %s | %s |", s.Flavor, sc.name, name, w.reads, len(w.readErrors), len(w.writeErrors),
		verdict.InDoubt, lost, kept, percentiles(w.stalls[reading]), percentiles(w.stalls[mixed]), percentiles(w.stalls[writing]), percentiles(w.firsts))
}

// judge checks what must hold after every scenario.
func judge(t *testing.T, c *Connector, w *workload, verdict ledger.Verdict) {
	t.Helper()
	if !verdict.OK() || len(w.readErrors) > 0 {
		t.Errorf("ledger %s\nread errors: %v", verdict, w.readErrors)
	}
	stats := c.Stats()
	if g := stats.Gate; g.Entered != g.Drained || g.Waiting != 0 {
		t.Errorf("gate: %+v", g)
	}
	eventually(t, "the monitor has one connection", func() bool { return c.Stats().MonitorConnections == 1 })
	if s := stats.Statements; uint64(len(w.writeErrors)) != s.OutcomeUnknown+s.TransactionLost {
		t.Errorf("%d writes and transfers failed, counted are %+v: %v", len(w.writeErrors), s, w.writeErrors)
	}
}
