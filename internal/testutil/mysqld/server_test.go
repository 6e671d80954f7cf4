package mysqld

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(-1) // MySQL waits some seconds for its clients before it shuts down
	t.Cleanup(func() { db.Close() })
	return db
}

// ask returns the one value that the query selects.
func ask(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var answer string
	if err := db.QueryRowContext(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func TestCrashKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, s *Server) {
		db := open(t, s.DSN(""))
		if err := s.Exec(t.Context(), "CREATE DATABASE d", "CREATE TABLE d.t (i INT PRIMARY KEY)", "INSERT INTO d.t VALUES (7)"); err != nil {
			t.Fatal(err)
		}
		for _, end := range []struct {
			name string
			call func() error
		}{{"killed", s.Kill}, {"stopped", s.Stop}, {"restarted", func() error { return nil }}} {
			addr := s.Addr()
			if err := end.call(); err != nil {
				t.Fatal(err)
			}
			if end.name != "restarted" {
				if s.Running() {
					t.Fatalf("%s, and yet it runs", end.name)
				}
				if err := db.PingContext(t.Context()); err == nil {
					t.Fatalf("%s, and yet it answers", end.name)
				}
			}
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
			if !s.Running() || s.Addr() != addr {
				t.Fatalf("%s: running %v at %s, was at %s", end.name, s.Running(), s.Addr(), addr)
			}
			if got := ask(t, db, "SELECT i FROM d.t"); got != "7" {
				t.Fatalf("%s: %s is there, not 7", end.name, got)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	const query = "SELECT CONCAT_WS(' ', @@log_bin + 0, @@performance_schema + 0, @@max_connections, @@server_id = @@port, @@sql_mode)"
	Each(t, func(t *testing.T, s *Server) {
		db := open(t, s.DSN(""))
		if got := ask(t, db, query); !strings.HasPrefix(got, "0 0 500 1 REAL_AS_FLOAT,") {
			t.Errorf("without options: %q", got)
		}
		if got := ask(t, open(t, s.User+":"+s.Password+"@unix("+s.Socket+")/"), "SELECT @@port"); s.Addr() != "127.0.0.1:"+got {
			t.Errorf("the server behind the socket has port %s, not that of %s", got, s.Addr())
		}
	}, WithArgs("--sql-mode=ANSI"))
	Each(t, func(t *testing.T, s *Server) {
		if got := ask(t, open(t, s.DSN("")), query); !strings.HasPrefix(got, "1 1 77 1 ") {
			t.Errorf("with options: %q", got)
		}
	}, WithBinaryLog(), WithPerformanceSchema(), WithMaxConnections(77))
}

// The monitor's and the driver's questions must be answered with the performance
// schema off, too.
func TestVariablesAreVisible(t *testing.T) {
	t.Parallel()
	EachShared(t, func(t *testing.T, s *Server, _ string) {
		var name, value string
		err := open(t, s.DSN("")).QueryRowContext(t.Context(), "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_read_only')").Scan(&name, &value)
		if err != nil || value != "OFF" {
			t.Errorf("%s = %s, %v", name, value, err)
		}
	})
}

func TestVersions(t *testing.T) {
	t.Parallel()
	EachShared(t, func(t *testing.T, s *Server, _ string) {
		if isMariaDB := strings.Contains(s.Version, "MariaDB"); isMariaDB != (s.Flavor == FlavorMariaDB) {
			t.Errorf("%s has version %s", s.Flavor, s.Version)
		}
	})
}

// Instances that are copies of one template must be able to replicate from each other.
func TestServersHaveIdentitiesOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, b := MySQL(t), MySQL(t)
	const query = "SELECT CONCAT(@@server_uuid, ' ', @@server_id)"
	if x, y := ask(t, open(t, a.DSN("")), query), ask(t, open(t, b.DSN("")), query); x == y {
		t.Errorf("both servers are %s", x)
	}
}

func TestFailedStartShowsTheLogAndLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, f := range flavors {
		t.Run(f.String(), func(t *testing.T) {
			i, err := locate(f)
			require(t, err)
			before, err := os.ReadDir(i.work)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Start(t.Context(), f, Options{Args: []string{"--no-such-option"}})
			if err == nil || !strings.Contains(err.Error(), "no-such-option") || !strings.Contains(err.Error(), "exited") {
				t.Errorf("the error is %v", err)
			}
			if i.root != "" {
				return // others have servers there
			}
			if after, err := os.ReadDir(i.work); err != nil || len(after) != len(before) {
				t.Errorf("%d entries before, now %v, %v", len(before), after, err)
			}
		})
	}
}

func TestLongTemporaryDirectory(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("l", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	if s := MariaDB(t); s.Socket != "" {
		t.Errorf("the socket %s is longer than an address may be", s.Socket)
	}
}

func TestCancelledStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range flavors {
		t.Run(f.String(), func(t *testing.T) {
			_, err := Find(f)
			require(t, err)
			s, err := Start(ctx, f, Options{})
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// A port that somebody else listens on is no server of ours, whoever answers there.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	first := MariaDB(t)
	if s, err := Start(t.Context(), FlavorMariaDB, Options{Port: first.Port}); err == nil {
		s.Close()
		t.Fatal("two servers on one port")
	}
	if !first.Running() {
		t.Error("the first one is gone")
	}
}

func TestPortsAreNotThoseOfOutgoingConnections(t *testing.T) {
	t.Parallel()
	seen := make(map[int]bool)
	for range 50 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		defer release(port)
		if seen[port] || port < lowestPort || port >= ephemeral() {
			t.Errorf("port %d, after %v", port, seen)
		}
		seen[port] = true
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if port := l.Addr().(*net.TCPAddr).Port; available(port) {
		t.Errorf("port %d is listened on, and yet available", port)
	}
}

func TestDirectoryIsRemoved(t *testing.T) {
	t.Parallel()
	for _, f := range flavors {
		t.Run(f.String(), func(t *testing.T) {
			s, err := Start(t.Context(), f, Options{})
			require(t, err)
			if _, err := os.Stat(s.dir); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", s.dir, err)
			}
		})
	}
}
