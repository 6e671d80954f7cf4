package driver

import (
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// TestSessionModeIdle: a connection that the server closed while its session lay in database/sql's pool
// is replaced, and no write is in doubt for it, whatever the mode.
func TestSessionModeIdle(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Databases: []string{"shop"}, Handler: minidb.New()})
			defer server.Close()
			addr, err := server.Listen(t.Context(), "tcp", "127.0.0.1:0") // a pipe would refuse the write
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := ParseDSN("app:secret@tcp(" + addr.String() + ")/shop?fpTopology=static&fpPoolMode=" + mode)
			if err != nil {
				t.Fatal(err)
			}
			db, err := OpenDB(cfg, quiet())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (id INT)"); err != nil {
				t.Fatal(err)
			}
			for _, c := range server.Conns() {
				server.Kill(c.ID, false)
			}
			time.Sleep(400 * time.Millisecond) // the end has come, and the pool's clock has moved
			if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
				t.Error(err)
			}
			if n := askNumber(t, db, "SELECT COUNT(*) FROM t"); n.Int64 != 1 {
				t.Errorf("%d rows", n.Int64)
			}
		})
	}
}
