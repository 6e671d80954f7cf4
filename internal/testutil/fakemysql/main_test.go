package fakemysql_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log"
	"testing"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet is the driver's log, which goes nowhere.
var quiet = log.New(io.Discard, "", 0)

// serve makes a server that ends with the test.
func serve(t *testing.T, cfg fakemysql.Config) *fakemysql.Server {
	t.Helper()
	s := fakemysql.New(cfg)
	t.Cleanup(s.Close)
	return s
}

// piped is a driver configuration that reaches s over net.Pipe.
func piped(s *fakemysql.Server) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = "app", "secret", "shop"
	cfg.Net, cfg.Addr = "pipe", "fake"
	cfg.DialFunc = s.Dial
	cfg.Logger = quiet
	return cfg
}

// open opens a pool that ends with the test.
func open(t *testing.T, cfg *mysql.Config) *sql.DB {
	t.Helper()
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() { _ = db.Close() }) // an error if the server ended a connection
	return db
}

// take takes one connection out of the pool until the test's end.
func take(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wantError fails unless err is the server's error of that number.
func wantError(t *testing.T, err error, number uint16) {
	t.Helper()
	me, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok || me.Number != number {
		t.Errorf("error %v, want number %d", err, number)
	}
}

// one runs a query for one value.
func one[T any](ctx context.Context, t *testing.T, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, query string, args ...any,
) T {
	t.Helper()
	var v T
	if err := q.QueryRowContext(ctx, query, args...).Scan(&v); err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return v
}
