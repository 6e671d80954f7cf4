package mysqld

import (
	"strings"
	"testing"
)

// TestReplication takes three servers through a failover: the source dies, a replica is
// promoted, the other one follows it, the old one comes back.
func TestReplication(t *testing.T) {
	t.Parallel()
	for _, flavor := range flavors {
		t.Run(flavor.String(), func(t *testing.T) {
			ctx := t.Context()
			r := Replicate(t, flavor, 3)
			old := r.Source
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(old.Exec(ctx, "CREATE DATABASE d", "CREATE TABLE d.t (i INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1)"))
			if got, err := old.one(ctx, "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_%_yes_tx'"); err != nil || got == "" || got == "0" {
				t.Errorf("%q transactions were acknowledged by a replica, %v", got, err)
			}
			must(old.Kill())
			must(r.Promote(ctx))
			if r.Source == old {
				t.Fatal("nobody was promoted")
			}
			must(r.Source.Exec(ctx, "INSERT INTO d.t VALUES (2)"))
			var other *Server
			for _, s := range r.Servers {
				if s != r.Source && s != old {
					other = s
				}
			}
			must(r.Repoint(ctx, other))
			must(r.Caught(ctx, other))

			must(old.Restart())
			if got, err := old.one(ctx, "SELECT @@GLOBAL.read_only"); err != nil || got != "0" {
				t.Errorf("back and demoted: read_only is %s, %v", got, err)
			}
			must(old.Kill())
			must(r.Rejoin(ctx, old))
			must(r.Source.Exec(ctx, "INSERT INTO d.t VALUES (3)"))
			for _, s := range []*Server{old, other} {
				must(r.Caught(ctx, s))
				if got, err := s.one(ctx, "SELECT GROUP_CONCAT(i ORDER BY i) FROM d.t"); err != nil || got != "1,2,3" {
					t.Errorf("port %d has %s, %v", s.Port, got, err)
				}
			}
			log, err := r.Source.QueryLog()
			if err != nil || !strings.Contains(log, "VALUES (3)") || strings.Contains(log, "VALUES (1)") {
				t.Errorf("the query log of the new source, %v:\n%s", err, log)
			}
		})
	}
}
