package driver

import (
	"bytes"
	"database/sql"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestAuto: what auto decides on a server as it is and on a simulated Aurora over it,
// with which questions, and how many connections the monitor needs then.
func TestAuto(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		for _, test := range []struct {
			plain bool
			want  string
		}{{true, "static"}, {false, "aurora"}} {
			t.Run(test.want, func(t *testing.T) {
				sim := simulate(t, s, database, aurorasim.Config{Plain: test.plain})
				defer sim.Close()
				var log bytes.Buffer
				c, err := NewConnector(simConfig(sim, s, database), WithDialer(sim.DialContext), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				if err != nil {
					t.Fatal(err)
				}
				db := sql.OpenDB(c)
				defer db.Close()
				for range 3 {
					if err := db.PingContext(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if got := c.Snapshot().Provider; got != test.want {
					t.Errorf("decided for %s", got)
				}
				if n := sim.Count(aurorasim.Contains("SHOW GLOBAL VARIABLES")); n != 1 {
					t.Errorf("%d questions to decide", n)
				}
				if n := c.Stats().MonitorConnections; n != 1 {
					t.Errorf("%d connections of the monitor", n)
				}
				var asked []string
				for _, r := range sim.Relays(nil) {
					if r.SQL != "" {
						asked = append(asked, r.SQL)
					}
				}
				db.Close()
				if n := strings.Count(log.String(), "topology chosen"); n != 1 {
					t.Errorf("said %d times what it chose:\n%s", n, log.String())
				}
				t.Logf("%s; asked:\n  %s", c.Snapshot(), strings.Join(asked, "\n  "))
			})
		}
	})
}

// TestAutoDeployments: what auto decides on deployments of RDS, in one line and by one question.
func TestAutoDeployments(t *testing.T) {
	for name, tc := range map[string]struct {
		config aurorasim.Config
		want   string // in the log
		warns  int
	}{
		"aurora":                     {aurorasim.Config{}, "aurora: server is Aurora 3.08.2", 0},
		"Multi-AZ instance":          {aurorasim.Config{Deployment: aurorasim.MultiAZInstance, Instances: 2}, "dns: server is 8.0.39-fake (minidb) on RDS by itself", 0},
		"Multi-AZ cluster":           {aurorasim.Config{Deployment: aurorasim.MultiAZCluster}, "multiAZCluster: server is 8.0.39 (Source distribution) on RDS and has a report_host", 0},
		"Multi-AZ cluster, no grant": {aurorasim.Config{Deployment: aurorasim.MultiAZCluster, Denied: []string{"u"}}, "dns: server is 8.0.39 (Source distribution) on RDS", 1},
		"Multi-AZ cluster, no table": {aurorasim.Config{Deployment: aurorasim.MultiAZCluster, NoView: true}, "dns: server is 8.0.39 (Source distribution) on RDS", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.config.Upstream, tc.config.Network = aurorasim.Fake(), aurorasim.Memory
				sim, err := aurorasim.Start(t.Context(), tc.config)
				if err != nil {
					t.Fatal(err)
				}
				defer sim.Close()
				cfg, err := ParseDSN("u:secret@tcp(" + sim.Endpoint() + ")/shop")
				if err != nil {
					t.Fatal(err)
				}
				var log bytes.Buffer
				c, err := NewConnector(cfg, WithDialer(sim.DialContext), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				if err != nil {
					t.Fatal(err)
				}
				db := sql.OpenDB(c)
				defer db.Close()
				if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (a INT)"); err != nil {
					t.Fatal(err)
				}
				if n := sim.Count(aurorasim.Contains("SHOW GLOBAL VARIABLES")); n != 1 {
					t.Errorf("%d questions to decide", n)
				}
				db.Close()
				lines := strings.Count(log.String(), "level=INFO msg=\"failoverproxy: topology chosen\"")
				if lines != 1 || !strings.Contains(log.String(), tc.want) || strings.Count(log.String(), "level=WARN") != tc.warns {
					t.Errorf("it said\n%s", log.String())
				}
			})
		})
	}
}
