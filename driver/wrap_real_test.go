package driver

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestWrapOnServers: a program's pool over a real server is wrapped, its writer dies under load,
// and a statement is cancelled.
func TestWrapOnServers(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		for name, opts := range map[string]func(sim *aurorasim.Cluster) []Option{
			"found":  func(sim *aurorasim.Cluster) []Option { return []Option{quiet(), WithDialer(sim.DialContext)} },
			"hidden": func(*aurorasim.Cluster) []Option { return []Option{quiet()} },
		} {
			t.Run(name, func(t *testing.T) {
				sim := simulate(t, s, database, aurorasim.Config{})
				defer sim.Close()
				cfg := simConfig(sim, s, database).MySQL
				cfg.Addr, cfg.DialFunc, cfg.RejectReadOnly, cfg.Logger = sim.Endpoint(), sim.DialContext, true, &mysql.NopLogger{}
				connector, err := mysql.NewConnector(cfg)
				if err != nil {
					t.Fatal(err)
				}
				theirs := sql.OpenDB(connector)
				defer theirs.Close()
				theirs.SetMaxOpenConns(40)
				db, err := Wrap(theirs, opts(sim)...)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				w := &workload{ledger: ledger.New(ledger.WithClassifier(fateOf)), db: db, readers: db}
				if err := w.ledger.Setup(t.Context(), db); err != nil {
					t.Fatal(err)
				}
				stop := w.start(t.Context())
				w.fault(t, sim, func() error {
					return sim.Failover(t.Context(), aurorasim.Failover{PromoteAfter: shortOutage, RestartAfter: shortRestart, DNSAfter: shortRestart})
				})
				stop()
				verdict, err := w.ledger.Judge(context.WithoutCancel(t.Context()), db)
				if err != nil || !verdict.OK() || len(w.readErrors) > 0 {
					t.Errorf("ledger %s, %v\nread errors: %v", verdict, err, w.readErrors)
				}
				t.Logf("%s: %s; first write after the promotion %s; the program's pool: %+v", s.Flavor, verdict, percentiles(w.firsts), theirs.Stats())

				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				start := time.Now()
				if err := scan(ctx, db, "SELECT SLEEP(10)"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 200*time.Millisecond+loaded {
					t.Errorf("%v after %s", err, time.Since(start))
				}
				if err := errors.Join(theirs.PingContext(t.Context()), db.Close(), theirs.PingContext(t.Context())); err != nil || theirs.Stats().InUse != 0 {
					t.Errorf("%v; %+v", err, theirs.Stats())
				}
			})
		}
	})
}
