package driver

import (
	"bytes"
	"database/sql"
	"log/slog"
	"os"
	"regexp"
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
				if n := sim.Count(aurorasim.Contains("'version_comment'")); n != questions(test.want) {
					t.Errorf("%d questions to decide", n)
				}
				eventually(t, "the monitor has its one connection", func() bool { return c.Stats().MonitorConnections == 1 })
				var asked []string
				for _, r := range sim.Relays(nil) {
					if r.SQL != "" {
						asked = append(asked, r.SQL)
					}
				}
				db.Close()
				documented(t, log.String())
				t.Logf("%s; asked:\n  %s", c.Snapshot(), strings.Join(asked, "\n  "))
			})
		}
	})
}

// questions is how many it takes to decide for a provider: an endpoint of Aurora's form is asked for
// its instances at once.
func questions(provider string) int {
	if provider == "aurora" {
		return 0
	}
	return 1
}

// TestAutoDeployments: what auto decides on deployments of RDS, in one line and by one question.
func TestAutoDeployments(t *testing.T) {
	for name, tc := range map[string]struct {
		config aurorasim.Config
		want   string // in the log
		warns  int
	}{
		"aurora":                     {aurorasim.Config{}, "aurora: its endpoint has the form of Aurora's", 0},
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
				if n := sim.Count(aurorasim.Contains("'version_comment'")); n != questions(c.Snapshot().Provider) {
					t.Errorf("%d questions to decide", n)
				}
				db.Close()
				documented(t, log.String())
				if !strings.Contains(log.String(), tc.want) || strings.Count(log.String(), "level=WARN") != tc.warns {
					t.Errorf("it said\n%s", log.String())
				}
			})
		})
	}
}

var (
	versions  = regexp.MustCompile(`\d+\.\d+\.\d+[\w.+-]*( \([^)]*\))?`)
	groupUUID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
)

// documented checks that a log says once what auto has decided, and in the words of
// docs/topologies.md, whatever the version.
func documented(t *testing.T, log string) {
	t.Helper()
	docs, err := os.ReadFile("../docs/topologies.md")
	if err != nil {
		t.Fatal(err)
	}
	plain := func(s string) string {
		return groupUUID.ReplaceAllString(versions.ReplaceAllString(s, "VERSION"), "GROUP")
	}
	said := regexp.MustCompile(`level=INFO msg="failoverproxy: topology chosen".*`).FindAllString(log, -1)
	if len(said) != 1 {
		t.Errorf("said %d times what it decided:\n%s", len(said), log)
		return
	}
	if !strings.Contains(plain(string(docs)), plain(said[0])+"\n") {
		t.Errorf("docs/topologies.md does not have the line\n%s", said[0])
	}
}

// undecided starts a program that is not told what kind of cluster it is, and returns its log.
func undecided(t *testing.T, cfg *Config) (c *Connector, log string) {
	t.Helper()
	cfg = cfg.Clone()
	cfg.Topology = "auto"
	var text bytes.Buffer
	c, err := NewConnector(cfg, WithLogger(slog.New(slog.NewTextHandler(&text, nil))))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	db.Close() // the log is complete
	return c, text.String()
}
