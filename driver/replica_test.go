package driver

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestReplicationRouting: fpTarget=auto over a source and two replicas. What is read is what
// real replicas have by then, and what they refuse is what real servers refuse.
func TestReplicationRouting(t *testing.T) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		t.Run(flavor.String(), func(t *testing.T) {
			r := startReplication(t, flavor, "writer")
			stop := map[mysqld.Flavor]string{mysqld.FlavorMariaDB: "STOP SLAVE", mysqld.FlavorMySQL: "STOP REPLICA"}[flavor]
			start := map[mysqld.Flavor]string{mysqld.FlavorMariaDB: "START SLAVE", mysqld.FlavorMySQL: "START REPLICA"}[flavor]
			cfg := r.cfg.Clone()
			cfg.Target, cfg.ReadYourWrites, cfg.MaxReplicaLag = forAuto, 3*time.Second, 10*time.Second
			c, err := NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(c)
			defer db.Close()
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			at := func(q interface {
				QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
			},
			) (port int) {
				t.Helper()
				if err := q.QueryRowContext(t.Context(), "SELECT @@port").Scan(&port); err != nil {
					t.Error(err)
				}
				return port
			}
			do := func(q queryer, query string) error {
				_, err := q.ExecContext(t.Context(), query)
				return err
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			within(t, 20*time.Second, "the replicas' lag is known", func() bool { return at(conn) != r.Source.Port })

			must(do(conn, "CREATE TABLE routed (n INT)"))
			must(do(conn, "INSERT INTO routed VALUES (1)"))
			for range 20 { // whatever the replicas have of it by now
				if err := scan(t.Context(), conn, "SELECT n FROM routed WHERE n = 1"); err != nil {
					t.Fatal(err)
				}
			}
			within(t, 20*time.Second, "reads go to replicas again", func() bool { return at(conn) != r.Source.Port })
			for _, s := range r.Servers {
				if s != r.Source {
					must(r.Caught(t.Context(), s))
				}
			}

			tx, err := conn.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			must(err)
			if at(tx) == r.Source.Port {
				t.Error("a READ ONLY transaction is on the source")
			}
			if err := do(tx, "INSERT INTO routed VALUES (2)"); !failover.ReadOnly(err) || errors.Is(err, failover.ErrTransactionLost) {
				t.Errorf("a write in it: %v", err)
			}
			if err := scan(t.Context(), tx, "SELECT n FROM routed WHERE n = 1"); err != nil {
				t.Errorf("after that: %v", err)
			}
			must(tx.Commit())
			if err := do(conn, hintReader+"INSERT INTO routed VALUES (2)"); !errors.Is(err, failover.ErrReadOnlyTarget) {
				t.Errorf("a write directed to replicas: %v", err)
			}

			for _, s := range r.Servers {
				if s != r.Source {
					must(s.Exec(context.WithoutCancel(t.Context()), stop))
				}
			}
			within(t, 20*time.Second, "the source takes the reads of replicas that are broken", func() bool { return at(conn) == r.Source.Port })
			for range 20 {
				if at(conn) != r.Source.Port {
					t.Error("a replica that does not replicate was read from")
				}
			}
			for _, s := range r.Servers {
				if s != r.Source {
					must(s.Exec(context.WithoutCancel(t.Context()), start))
				}
			}
			within(t, 20*time.Second, "replicas take reads again", func() bool { return at(conn) != r.Source.Port })
			if n := c.Stats().Statements; n != (StatementStats{}) {
				t.Errorf("%+v", n)
			}
		})
	}
}
