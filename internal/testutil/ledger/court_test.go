package ledger_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// court is a simulated cluster with a ledger's tables.
type court struct {
	sim *aurorasim.Cluster
	cfg *mysql.Config // of the plain driver, for the cluster's endpoint
	db  *sql.DB       // by the plain driver
	*ledger.Ledger
}

// everywhere runs f in courts over the database in memory and over real servers.
func everywhere(t *testing.T, f func(t *testing.T, c *court)) {
	t.Helper()
	t.Run("minidb", func(t *testing.T) { f(t, convene(t)) })
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		upstream, err := aurorasim.Server(s.DSN(""))
		if err != nil {
			t.Fatal(err)
		}
		f(t, conveneOver(t, upstream, s.User, s.Password, database))
	})
}

// convene makes a court over the database in memory.
func convene(t *testing.T) *court {
	t.Helper()
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "p"}, Handler: minidb.New()})
	t.Cleanup(server.Close)
	return conveneOver(t, aurorasim.FakeServer(server), "u", "p", "")
}

func conveneOver(t *testing.T, upstream aurorasim.Upstream, user, password, database string) *court {
	t.Helper()
	sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: upstream})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	c := &court{sim: sim, cfg: mysql.NewConfig(), Ledger: ledger.New()}
	c.cfg.User, c.cfg.Passwd, c.cfg.DBName = user, password, database
	c.cfg.Net, c.cfg.Addr, c.cfg.DialFunc = "tcp", sim.Endpoint(), sim.DialContext
	c.cfg.InterpolateParams = true // one packet for each statement
	c.cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c.cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.db = sql.OpenDB(connector)
	t.Cleanup(func() { c.db.Close() })
	if err := c.Setup(t.Context(), c.db); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *court) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := c.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (c *court) judge(t *testing.T) ledger.Verdict {
	t.Helper()
	v, err := c.Judge(context.WithoutCancel(t.Context()), c.db)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
