package chaos

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// TestPlainDriver judges the driver that ours wraps, which promises nothing: what it does
// to programs must be convicted. Where nothing happens there is nothing to convict.
func TestPlainDriver(t *testing.T) {
	p := Plan{
		Instances: 3, Pause: 20e6, Load: []Load{{Reads, 2}, {Writes, 2}, {Transfers, 2}, {Savepoints, 1}, {InsertIDs, 1}},
		Driver: Driver{PoolSize: 10, GateSize: 10000, FailoverTimeout: longTimeout, BorrowTimeout: longTimeout, ProbeInterval: 1e9, ProbeTimeout: 3e8, StallTimeout: 1e9},
	}
	for name, test := range map[string]struct {
		steps []Step
		ok    bool
	}{
		"calm":      {nil, true},
		"reset":     {[]Step{{At: 1e8, Act: Reset, On: "writer"}, {At: 1e8, Act: Swallow, On: "writer", Aim: AtRead}}, false},
		"shutdown":  {[]Step{{At: 1e8, Act: Error, On: "writer", Aim: AtRead, N: 1053}}, false},
		"failover":  {[]Step{{At: 1e8, Act: Failover, Failover: &aurorasim.Failover{PromoteAfter: 1e9}}}, false},
		"read-only": {[]Step{{At: 1e8, Act: Failover, Failover: &aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := p
			p.Steps = test.steps
			synctest.Test(t, func(t *testing.T) {
				report, err := plainRig().Run(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				if report.OK() != test.ok {
					t.Errorf("%s%v", report, report.Counts)
				}
			})
		})
	}
}

// plainRig is the wrapped driver on the cluster's endpoint.
func plainRig() Rig {
	same := func(ctx context.Context) context.Context { return ctx }
	return Rig{
		User: "u", Password: "secret", Database: "shop", Virtual: true, Network: aurorasim.Memory, Idempotent: same, Once: same,
		Upstream: func() (aurorasim.Upstream, error) { return aurorasim.Fake(), nil },
		Open: func(_ Plan, sim *aurorasim.Cluster, _ func(string, []string)) (Subject, error) {
			cfg := mysql.NewConfig()
			cfg.User, cfg.Passwd, cfg.DBName, cfg.Net, cfg.Addr = "u", "secret", "shop", "tcp", sim.Endpoint()
			cfg.DialFunc, cfg.Logger = sim.DialContext, &mysql.NopLogger{}
			c, err := mysql.NewConnector(cfg)
			if err != nil {
				return Subject{}, err
			}
			return Subject{DB: sql.OpenDB(c), Check: func(_, _ bool) []string { return nil }}, nil
		},
		Explain: func(err error) Meaning {
			if me, ok := errors.AsType[*mysql.MySQLError](err); ok {
				return Meaning{Kind: FromServer, Fate: ledger.NotExecuted, Number: me.Number}
			}
			return Meaning{}
		},
	}
}
