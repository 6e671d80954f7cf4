package driver

import (
	"bytes"
	"database/sql"
	"log/slog"
	"strings"
	"testing"

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
				upstream, err := aurorasim.Server(s.DSN(database))
				if err != nil {
					t.Fatal(err)
				}
				sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: upstream, Plain: test.plain})
				if err != nil {
					t.Fatal(err)
				}
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
