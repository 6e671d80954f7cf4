package mysqld

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// MariaDB starts a MariaDB server for the test, which ends with it. Without the server
// on the machine the test is skipped; with CI=true it fails.
func MariaDB(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	return one(tb, FlavorMariaDB, opts)
}

// MySQL starts a MySQL server for the test, which ends with it. Without the server on
// the machine the test is skipped; with CI=true it fails.
func MySQL(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	return one(tb, FlavorMySQL, opts)
}

// Each runs f as the subtests "mariadb" and "mysql", each with a server of its own.
func Each(t *testing.T, f func(t *testing.T, s *Server), opts ...Option) {
	t.Helper()
	for _, flavor := range flavors {
		t.Run(flavor.String(), func(t *testing.T) { f(t, one(t, flavor, opts)) })
	}
}

func one(tb testing.TB, f Flavor, opts []Option) *Server {
	tb.Helper()
	s, err := Start(tb.Context(), f, apply(opts))
	require(tb, err)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the log of %s on port %d ends with\n%s", s.Flavor, s.Port, s.Log())
		}
		if err := s.Close(); err != nil {
			tb.Errorf("%v", err)
		}
	})
	return s
}

// shared are the servers that the tests of one binary have in common.
var shared = map[Flavor]*sharedServer{FlavorMariaDB: {}, FlavorMySQL: {}}

type sharedServer struct {
	once      sync.Once
	server    *Server
	err       error
	databases atomic.Int64
}

// Shared returns the server of the flavor that all tests of the binary share, and the
// name of a database on it that is the test's own and is dropped with its end. It is
// started by the first test that asks. Tests must not stop it or change its global
// settings.
//
// The server ends with the process. A TestMain can end it before, and remove its
// files, by [StopShared].
func Shared(tb testing.TB, f Flavor) (s *Server, database string) {
	tb.Helper()
	sh := shared[f]
	if sh == nil {
		tb.Fatalf("mysqld: %s is no flavor", f)
	}
	sh.once.Do(func() { sh.server, sh.err = Start(context.Background(), f, Options{}) })
	require(tb, sh.err)
	database = "fp_" + strconv.FormatInt(sh.databases.Add(1), 10)
	if err := sh.server.Exec(tb.Context(), "CREATE DATABASE "+database); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		// A transaction that the test left open would be waited for.
		if err := sh.server.Exec(ctx, "SET lock_wait_timeout = 5", "DROP DATABASE "+database); err != nil {
			tb.Logf("%v", err)
		}
	})
	return sh.server, database
}

// EachShared runs f as the subtests "mariadb" and "mysql" on the shared servers, each
// with a database of its own.
func EachShared(t *testing.T, f func(t *testing.T, s *Server, database string)) {
	t.Helper()
	for _, flavor := range flavors {
		t.Run(flavor.String(), func(t *testing.T) {
			s, database := Shared(t, flavor)
			f(t, s, database)
		})
	}
}

// StopShared ends the shared servers and removes their files. It belongs at the end of
// TestMain; no test may use Shared after it.
func StopShared() {
	for _, sh := range shared {
		sh.once.Do(func() { sh.err = errors.New("mysqld: the shared servers have been stopped") })
		if sh.server != nil {
			_ = sh.server.Close() // the next process sweeps what is left
		}
	}
}

// Exit is for goleak.Cleanup in a package's TestMain: it stops the shared servers and ends
// the process.
func Exit(code int) {
	StopShared()
	os.Exit(code)
}

// Exec executes statements as root, on one connection and in no database.
func (s *Server) Exec(ctx context.Context, statements ...string) error {
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("mysqld: %s: %w", statement, err)
		}
	}
	return nil
}

// require skips the test for want of a server, where that may be.
func require(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && !inCI():
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
}

// inCI reports whether a missing server is a failure.
func inCI() bool {
	ci, _ := strconv.ParseBool(os.Getenv("CI"))
	return ci
}
