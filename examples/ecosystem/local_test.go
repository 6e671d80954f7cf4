package ecosystem

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/topology"
)

// TestLocal: the program as it is, with its production settings, on the one server of a
// developer's machine.
func TestLocal(t *testing.T) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		t.Run(flavor.String(), func(t *testing.T) {
			s, database := mysqld.Shared(t, flavor)
			dsn := fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/%s?fpTarget=auto", s.User, s.Password, s.Port, database)
			cfg, err := driver.ParseDSN(dsn)
			if err != nil {
				t.Fatal(err)
			}
			var chosen []string
			connector, err := driver.NewConnector(cfg, driver.WithHooks(driver.Hooks{SnapshotChanged: func(_, _ *topology.Snapshot, events []topology.Event) {
				for _, e := range events {
					if e.Kind == topology.ProviderChosen {
						chosen = append(chosen, e.Detail)
					}
				}
			}}))
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(connector)
			for _, text := range []string{"CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"} {
				if _, err := db.ExecContext(t.Context(), text); err != nil {
					t.Error(err)
				}
			}
			var n int
			// A read for readers, where there are none.
			if err := db.QueryRowContext(driver.WithTarget(t.Context(), topology.Reader), "SELECT COUNT(*) FROM t").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d rows, %v", n, err)
			}
			if snapshot := connector.Snapshot(); len(snapshot.Instances) != 1 || snapshot.Writer() == nil {
				t.Errorf("%+v", snapshot)
			}
			db.Close() // hooks have been called
			if len(chosen) != 1 || !strings.HasPrefix(chosen[0], "static: ") {
				t.Errorf("topology chosen: %q", chosen)
			}
		})
	}
}

// TestLocalRestart: docker compose up starts both at once, and docker compose restart takes the
// database away for a moment. Statements wait for it.
func TestLocalRestart(t *testing.T) {
	s, database := mysqld.Shared(t, mysqld.FlavorMariaDB)
	upstream, err := aurorasim.Server(s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: upstream, Plain: true, Instances: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	down := sim.Writer().Refuse()
	db, err := sql.Open("failoverproxy", fmt.Sprintf("%s:%s@tcp(%s)/%s", s.User, s.Password, sim.Writer().Addr(), database))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	time.AfterFunc(200*time.Millisecond, down.Clear)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (id INT PRIMARY KEY)"); err != nil {
		t.Error("the first statement of a program that was there before its database:", err)
	}
	restarted := make(chan error)
	server := sim.Writer()
	if err := server.Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() {
		err := server.Return()
		if err == nil {
			err = sim.Promote(context.Background(), server.ID)
		}
		restarted <- err
	})
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n); err != nil {
		t.Error("a read while the database restarts:", err)
	}
	if err := <-restarted; err != nil {
		t.Error(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Error("a write behind:", err)
	}
}
