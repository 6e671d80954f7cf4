package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/chaos"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

// Environment variables that choose what TestChaos and TestRealChaos run.
const (
	envChaosSeed  = "FP_CHAOS_SEED"   // one plan, of this seed; or the first of several
	envChaosSeeds = "FP_CHAOS_SEEDS"  // how many in virtual time
	envChaosReal  = "FP_CHAOS_REAL"   // how many on each real server
	envChaosPlan  = "FP_CHAOS_PLAN"   // one plan as JSON
	envChaosSmall = "FP_CHAOS_SHRINK" // off: do not make a plan that fails smaller
)

// TestChaos lets everything go wrong in a simulated cluster in virtual time, under load,
// and judges what programs saw: see package chaos. A failure prints the seed and the smallest
// plan that was found.
//
//	FP_CHAOS_SEED=7 go test ./driver -run 'TestChaos$' -v
//	FP_CHAOS_SEEDS=10000 go test ./driver -run 'TestChaos$'
func TestChaos(t *testing.T) {
	c := chaotic{t: t, run: virtually, test: "TestChaos", atOnce: runtime.GOMAXPROCS(0)}
	c.plans(envChaosSeeds, 150, 400, 40*time.Second)
}

// TestRealChaos is TestChaos over real servers, where time passes.
//
//	FP_CHAOS_REAL=200 go test ./driver -run TestRealChaos
func TestRealChaos(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, _ string) {
		c := chaotic{t: t, test: "TestRealChaos", atOnce: 3 * runtime.GOMAXPROCS(0), options: chaos.Options{Real: true, Calls: 400}, run: func(t *testing.T, p chaos.Plan) chaos.Report {
			return really(t, s, p)
		}}
		c.plans(envChaosReal, 4, 12, 20*time.Second)
	})
}

// chaotic runs plans.
type chaotic struct {
	t       *testing.T
	test    string
	atOnce  int // plans
	options chaos.Options
	run     func(t *testing.T, p chaos.Plan) chaos.Report
}

// plans runs as many plans as the environment says, several at a time. If it says nothing it
// runs so many, or as many as there is time for, in CI or a third of that elsewhere: the race
// detector makes them five times as slow.
func (c chaotic) plans(variable string, count, inCI int, limit time.Duration) {
	if text := os.Getenv(envChaosPlan); text != "" {
		p, err := chaos.Parse(text)
		if err != nil {
			c.t.Fatal(err)
		}
		c.plan(p)
		return
	}
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		count = inCI
	} else {
		limit /= 3
	}
	first := fromEnv(c.t, envChaosSeed, 0)
	if first != 0 {
		count = 1
	}
	count = int(fromEnv(c.t, variable, uint64(count)))
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range c.atOnce {
		wg.Go(func() {
			for seed := range seeds {
				c.plan(c.options.Generate(seed))
			}
		})
	}
	start, asked := time.Now(), os.Getenv(variable) != ""
	n := uint64(0)
	for ; n < uint64(count) && (asked || time.Since(start) < limit); n++ {
		seeds <- max(first, 1) + n
	}
	close(seeds)
	wg.Wait()
	c.t.Logf("%d plans in %s", n, time.Since(start).Round(time.Millisecond))
}

func fromEnv(t *testing.T, variable string, otherwise uint64) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// plan runs one plan, and makes it smaller if it fails.
func (c chaotic) plan(p chaos.Plan) {
	c.t.Run(fmt.Sprint(p.Seed), func(t *testing.T) {
		report := c.run(t, p)
		if testing.Verbose() {
			t.Logf("%s\n%v, %v; ledger %s", p, report.Took, report.Counts, report.Verdict)
			if os.Getenv(envChaosPlan) != "" {
				t.Log(strings.Join(report.Log, "\n"))
			}
		}
		if report.OK() {
			return
		}
		t.Errorf("replay: %s=%d go test ./driver -run '%s$' -v\nfound: %s\n%s%s", envChaosSeed, p.Seed, c.test, report.Violations[0].Text, p, report)
		if os.Getenv(envChaosSmall) == "off" {
			return
		}
		const limit = 30 * time.Second
		start := time.Now()
		small := chaos.Shrink(p, func(q chaos.Plan) bool {
			for range 3 { // goroutines do not run in the same order each time
				if r := c.run(t, q); r.Like(report) {
					report = r
					return true
				}
			}
			return false
		}, func() bool { return time.Since(start) < limit })
		t.Errorf("made smaller: %s%s%s\nreplay: %s='%s' go test ./driver -run '%s$' -v",
			small, report, strings.Join(report.Log, "\n"), envChaosPlan, small.JSON(), c.test)
	})
}

// virtually runs a plan in a synctest bubble over the fake.
func virtually(t *testing.T, p chaos.Plan) (report chaos.Report) {
	t.Helper()
	rig := chaosRig("u", "secret", "shop")
	rig.Virtual, rig.Network = true, aurorasim.Memory
	rig.Upstream = func() (aurorasim.Upstream, error) { return aurorasim.Fake(), nil }
	synctest.Test(t, func(t *testing.T) {
		var err error
		if report, err = rig.Run(t.Context(), p); err != nil {
			report.Violations = append(report.Violations, chaos.Violation{Kind: "not judged", Text: err.Error()})
		}
	})
	return report
}

// really runs a plan over a real server, in a database of its own.
func really(t *testing.T, s *mysqld.Server, p chaos.Plan) chaos.Report {
	t.Helper()
	database := fmt.Sprintf("fp_chaos_%d_%d", p.Seed, time.Now().UnixNano())
	ctx := context.WithoutCancel(t.Context())
	if err := s.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Exec(ctx, "DROP DATABASE "+database); err != nil {
			t.Error(err)
		}
	}()
	rig := chaosRig(s.User, s.Password, database)
	rig.Upstream = func() (aurorasim.Upstream, error) { return aurorasim.Server(s.DSN(database)) }
	report, err := rig.Run(ctx, p)
	if err != nil {
		report.Violations = append(report.Violations, chaos.Violation{Kind: "not judged", Text: err.Error()})
	}
	return report
}

// chaosRig is what both have in common.
func chaosRig(user, password, database string) chaos.Rig {
	r := chaos.Rig{
		User: user, Password: password, Database: database,
		Explain: explain, Idempotent: failover.WithIdempotent, Once: failover.WithoutRetry,
	}
	r.Open = func(p chaos.Plan, sim *aurorasim.Cluster, seen func(writer string, readers []string)) (chaos.Subject, error) {
		cfg, err := ParseDSN("tcp(" + sim.Endpoint() + ")/?" + p.Driver.Params())
		if err != nil {
			return chaos.Subject{}, err
		}
		cfg.MySQL.User, cfg.MySQL.Passwd, cfg.MySQL.DBName = user, password, database
		c, err := NewConnector(cfg, WithDialer(sim.DialContext), WithLogger(slog.New(slog.DiscardHandler)),
			WithHooks(Hooks{SnapshotChanged: func(_, new *topology.Snapshot, _ []topology.Event) {
				writer, readers := "", []string(nil)
				for _, in := range new.Instances {
					if in.Role == topology.Reader {
						readers = append(readers, in.ID)
					}
				}
				if w := new.Writer(); w != nil {
					writer = w.ID
				}
				seen(writer, readers)
			}}))
		if err != nil {
			return chaos.Subject{}, err
		}
		return chaos.Subject{DB: sql.OpenDB(c), Check: func(idle, closed bool) []string { return invariants(c, p, idle, closed) }}, nil
	}
	return r
}

// invariants are what must hold of the counters at any time.
func invariants(c *Connector, p chaos.Plan, idle, closed bool) (broken []string) {
	complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	s := c.Stats()
	if g := s.Gate; g.Entered != g.Drained+g.TimedOut+g.Cancelled+g.Refused+uint64(g.Waiting) || idle && g.Waiting != 0 {
		complain("the gate's counters do not add up: %+v", g)
	}
	for _, in := range s.Pool.Instances {
		if in.InUse > in.Size || in.InUse < 0 {
			complain("more backends in use than there may be: %+v", in)
		}
		if idle && (in.Waiting != 0 || in.InTx != 0 || in.Pinned != 0 || in.InUse != 0 && !p.Driver.SessionMode) {
			complain("nothing is under way, and yet: %+v", in)
		}
	}
	if closed && s.MonitorConnections != 0 {
		complain("%d connections of the monitor are left", s.MonitorConnections)
	}
	if idle && !closed && s.MonitorConnections > 1 {
		complain("the monitor has %d connections when all is well", s.MonitorConnections)
	}
	return broken
}

// explain says what our errors mean.
func explain(err error) chaos.Meaning {
	for _, kind := range []struct {
		err  error
		kind chaos.ErrorKind
	}{
		{failover.ErrOutcomeUnknown, chaos.OutcomeUnknown},
		{failover.ErrTransactionLost, chaos.TransactionLost},
		{failover.ErrSessionStateLost, chaos.StateLost},
		{failover.ErrResultInterrupted, chaos.Interrupted},
		{failover.ErrUnavailable, chaos.Unavailable},
		{failover.ErrGateFull, chaos.GateFull},
		{failover.ErrGateTimeout, chaos.GateTimeout},
	} {
		if !errors.Is(err, kind.err) {
			continue
		}
		m := chaos.Meaning{Kind: kind.kind}
		fe, ok := errors.AsType[*failover.Error](err)
		if !ok || strings.Contains(err.Error(), "secret") {
			return chaos.Meaning{}
		}
		if fe.Outcome == failover.NotExecuted {
			m.Fate = ledger.NotExecuted
		}
		return m
	}
	switch {
	case errors.Is(err, pool.ErrBorrowTimeout):
		return chaos.Meaning{Kind: chaos.BorrowTimeout, Fate: ledger.NotExecuted}
	case errors.Is(err, ErrAnswerGone):
		return chaos.Meaning{Kind: chaos.AnswerGone, Fate: ledger.NotExecuted}
	case errors.Is(err, sql.ErrTxDone):
		return chaos.Meaning{Kind: chaos.WrongTransaction, Fate: ledger.NotExecuted}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return chaos.Meaning{Kind: chaos.ContextEnded}
	}
	if me, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return chaos.Meaning{Kind: chaos.FromServer, Fate: ledger.NotExecuted, Number: me.Number}
	}
	return chaos.Meaning{}
}
