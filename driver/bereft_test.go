package driver

import (
	"context"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// TestVariablesLostAtRest: a session that has lost variables, of which only its connection knew the values,
// while it lay in database/sql's pool is replaced; one in somebody's hands says so.
func TestVariablesLostAtRest(t *testing.T) {
	const set = "SET sql_mode = CONCAT(@@sql_mode, ',ANSI')"
	t.Run("at rest", func(t *testing.T) {
		bubble(t, "", func(r *rig) {
			r.script.On(set)
			r.must(r.exec(r.db, set))
			r.failover(aurorasim.Kill)
			time.Sleep(10 * time.Second) // until the monitor has seen it
			r.must(r.exec(r.db, update))
		})
	})
	t.Run("in somebody's hands", func(t *testing.T) {
		bubble(t, "", func(r *rig) {
			r.script.On(set)
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, set))
			r.failover(aurorasim.Kill)
			r.wants(r.exec(conn, update), failover.ErrSessionStateLost, failover.NotExecuted)
			r.must(r.exec(conn, update))
		})
	})
}

// TestSchemaDropped: a session whose default schema somebody has dropped says so, once, and costs no
// connection.
func TestSchemaDropped(t *testing.T) {
	bubble(t, "fpPoolSize=1", func(r *rig) {
		r.script.On("USE tenant").OnFunc("USE `tenant`", func(context.Context, fakemysql.Call) fakemysql.Reply {
			return fakemysql.Fail(1049, "42000", "Unknown database 'tenant'")
		})
		conn, err := r.db.Conn(r.Context())
		r.must(err)
		defer conn.Close()
		r.must(r.exec(conn, "USE tenant"))
		r.must(r.exec(r.db, update)) // takes its connection
		r.wants(r.exec(conn, update), failover.ErrSessionStateLost, failover.NotExecuted)
		r.must(r.exec(conn, update))
		if n := r.c.Stats().Pool.Instances[0].Dials; n != 1 {
			r.Errorf("%d connections", n)
		}
	})
}
