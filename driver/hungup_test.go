package driver

import (
	"database/sql"
	"log/slog"
	"slices"
	"testing"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// TestHungUpBeforeUse: the server has closed the connection that a session has, without a word, while the
// program was thinking. What is not sent any more is not in doubt. Over TCP, which takes what is
// written to a connection that the other side has closed.
func TestHungUpBeforeUse(t *testing.T) {
	for name, c := range map[string]struct {
		params string
		test   func(r *rig, hangUp func())
	}{
		"COMMIT": {"", func(r *rig, hangUp func()) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			hangUp()
			r.wants(tx.Commit(), failover.ErrTransactionLost, failover.NotExecuted)
		}},
		"COMMIT as text": {"", func(r *rig, hangUp func()) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "BEGIN"))
			r.must(r.exec(conn, insert))
			hangUp()
			r.wants(r.exec(conn, "COMMIT"), failover.ErrTransactionLost, failover.NotExecuted)
		}},
		"pinned": {"", func(r *rig, hangUp func()) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, "CREATE TEMPORARY TABLE x (n INT)"))
			hangUp()
			r.wants(r.exec(conn, insert), failover.ErrSessionStateLost, failover.NotExecuted)
			r.must(r.exec(conn, insert))
		}},
		"at rest": {"", func(r *rig, hangUp func()) {
			r.must(r.exec(r.db, update))
			hangUp()
			r.must(r.exec(r.db, insert))
		}},
		"kept": {"", func(r *rig, hangUp func()) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, update))
			hangUp()
			r.must(r.exec(conn, insert))
		}},
		"one backend for each session": {"&fpPoolMode=session", func(r *rig, hangUp func()) {
			r.must(r.exec(r.db, update))
			hangUp()
			r.must(r.exec(r.db, insert))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			number := fakemysql.Int("n")
			script := rigScript().On("SELECT @@global.read_only, @@global.innodb_read_only",
				fakemysql.Result{Columns: []fakemysql.Column{number, number}, Rows: [][]any{{0, 0}}})
			server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "secret"}, Handler: script})
			defer server.Close()
			addr, err := server.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := ParseDSN("u:secret@tcp(" + addr.String() + ")/shop?fpTopology=static" + c.params)
			if err != nil {
				t.Fatal(err)
			}
			connector, err := NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Fatal(err)
			}
			r := &rig{T: t, script: script, c: connector, db: sql.OpenDB(connector)}
			defer r.db.Close()
			c.test(r, func() {
				for _, killed := range server.Conns() {
					server.Kill(killed.ID, false)
					eventually(t, "the server has closed it", func() bool {
						return !slices.ContainsFunc(server.Conns(), func(c fakemysql.ConnState) bool { return c.ID == killed.ID })
					})
				}
			})
		})
	}
}
