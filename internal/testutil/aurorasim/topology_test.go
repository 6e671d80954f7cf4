package aurorasim

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

const topologyQuery = "SELECT SERVER_ID, IF(SESSION_ID = 'MASTER_SESSION_ID', 'writer', 'reader'), REPLICA_LAG_IN_MILLISECONDS, CPU" +
	" FROM information_schema.replica_host_status ORDER BY SERVER_ID"

func TestTopology(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.Instance("instance-2").Lag(30 * time.Millisecond)
		r.Instance("instance-3").CPU(50)
		for _, i := range r.Instances() {
			c := r.conn(i.Addr())
			wantShow(t, c, "instance-1 writer 0 7.5; instance-2 reader 30 8.5; instance-3 reader 20 50", topologyQuery)
			ro := "1"
			if i.ID == "instance-1" {
				ro = "0"
			}
			wantShow(t, c, ro+" "+i.ID+" 3.08.2 3.08.2", "SELECT @@innodb_read_only, @@aurora_server_id, @@aurora_version, aurora_version()")
			wantShow(t, c, ro, "SELECT @@global.innodb_read_only")
			onOff := map[string]string{"0": "OFF", "1": "ON"}[ro]
			const names = "('aurora_version', 'aurora_server_id', 'innodb_read_only')"
			wantShow(t, c, "aurora_server_id "+i.ID+"; aurora_version 3.08.2; innodb_read_only "+onOff,
				"SHOW GLOBAL VARIABLES WHERE Variable_name IN "+names)
			wantShow(t, c, "innodb_read_only "+onOff, "SHOW VARIABLES LIKE 'innodb\\_read\\_only'")
		}
	})
}

// TestTopologyTypes checks that scanning works as with Aurora: times as times.
func TestTopologyTypes(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		c := r.conn(r.Endpoint(), func(c *mysql.Config) { c.ParseTime = true })
		const query = "SELECT LAST_UPDATE_TIMESTAMP, NOW(6), REPLICA_LAG_IN_MILLISECONDS, @@innodb_read_only FROM information_schema.replica_host_status WHERE SERVER_ID = "
		for _, prepared := range []bool{false, true} {
			var updated, now time.Time
			var lag float64
			var ro int
			text, args := query+"'instance-2'", []any(nil)
			if prepared {
				text, args = query+"?", []any{"instance-2"}
			}
			if err := c.QueryRowContext(t.Context(), text, args...).Scan(&updated, &now, &lag, &ro); err != nil {
				t.Fatal(err)
			}
			if age := now.Sub(updated); age < 0 || age > 5*time.Second {
				t.Errorf("prepared %v: updated %v ago", prepared, age)
			}
			if lag != 20 || ro != 0 {
				t.Errorf("prepared %v: lag %v, read only %v", prepared, lag, ro)
			}
		}
	})
}

// TestTopologyPrepared checks that a statement prepared once does not keep the
// topology of then.
func TestTopologyPrepared(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		c := r.conn(r.Instance("instance-2").Addr())
		view := prepare(t, c, topologyQuery)
		self := prepare(t, c, "SELECT @@innodb_read_only, @@aurora_server_id, ?")
		shown := prepare(t, c, "SHOW VARIABLES LIKE 'innodb_read_only'")
		check := func(wantView, wantSelf, wantShown string) {
			t.Helper()
			for range 2 {
				wantShow(t, stmtQueryer{view}, wantView, "")
				wantShow(t, stmtQueryer{self}, wantSelf, "", "x")
				wantShow(t, stmtQueryer{shown}, wantShown, "")
			}
		}
		check("instance-1 writer 0 7.5; instance-2 reader 20 8.5; instance-3 reader 20 9.5", "1 instance-2 x", "innodb_read_only ON")
		if err := r.Failover(t.Context(), Failover{To: "instance-2", DropRow: true, RestartAfter: -1}); err != nil {
			t.Fatal(err)
		}
		check("instance-2 writer 0 8.5; instance-3 reader 20 9.5", "0 instance-2 x", "innodb_read_only OFF")
		for _, s := range []*sql.Stmt{view, self, shown} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestViewDenied(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{Denied: []string{up.user}})
		c := r.conn(r.Endpoint())
		_, err := result(t.Context(), c, topologyQuery)
		wantErrno(t, err, 1142, "a user without the privilege")
		wantShow(t, c, "instance-1", "SELECT @@aurora_server_id")
		other := r.DenyView("someone else")
		other.Clear()
	})
}

func TestViewGranted(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		c := r.conn(r.Endpoint())
		denied := r.DenyView(up.user)
		_, err := result(t.Context(), c, topologyQuery)
		wantErrno(t, err, 1142, "a user without the privilege")
		denied.Clear()
		if _, err := result(t.Context(), c, topologyQuery); err != nil {
			t.Errorf("with the privilege again: %v", err)
		}
	})
}

func TestNoView(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{NoView: true})
		_, err := result(t.Context(), r.conn(r.Endpoint()), topologyQuery)
		wantErrno(t, err, 1109, "a cluster without the view")
	})
}

func TestPlain(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{Plain: true})
		r.ledger()
		c := r.conn(r.Instance("instance-2").Addr())
		_, err := result(t.Context(), c, topologyQuery)
		_, err2 := result(t.Context(), c, "SELECT @@aurora_server_id")
		if up.real {
			wantErrno(t, err, 1109, "the view on a plain server")
			wantErrno(t, err2, 1193, "an unknown variable")
		} else if err == nil || err2 == nil {
			t.Errorf("a plain server that knows Aurora's names: %v, %v", err, err2)
		}
		got := show(t, c, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('aurora_version', 'aurora_server_id')")
		if strings.Contains(got, "aurora") {
			t.Errorf("a plain server has the variables %s", got)
		}
		exec(t, c, "INSERT INTO fp_ledger (worker, seq) VALUES (1, 1)")
	})
}

func TestStaleView(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		c := r.conn(r.Instance("instance-3").Addr())
		const writer = "SELECT SERVER_ID FROM information_schema.replica_host_status WHERE SESSION_ID = 'MASTER_SESSION_ID' ORDER BY LAST_UPDATE_TIMESTAMP DESC"
		held := r.Instance("instance-3").HoldView()
		if err := r.Failover(t.Context(), Failover{RestartAfter: -1}); err != nil {
			t.Fatal(err)
		}
		wantShow(t, c, "instance-1", writer)
		held.Clear()
		wantShow(t, c, "instance-2; instance-1", writer) // the old row is there, and older
		if err := r.Instance("instance-1").Return(); err != nil {
			t.Fatal(err)
		}
		wantShow(t, c, "instance-2", writer)
	})
}

func prepare(t *testing.T, c *sql.Conn, query string) *sql.Stmt {
	t.Helper()
	s, err := c.PrepareContext(t.Context(), query)
	if err != nil {
		t.Fatalf("prepare %s: %v", query, err)
	}
	return s
}
