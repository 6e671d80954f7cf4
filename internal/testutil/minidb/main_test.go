package minidb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts a server and opens the real driver's pool to it. Both end with the test.
func open(tb testing.TB, options ...func(*mysql.Config)) *sql.DB {
	tb.Helper()
	server := fakemysql.New(fakemysql.Config{Handler: minidb.New()})
	cfg := mysql.NewConfig()
	cfg.DialFunc, cfg.Logger = server.Dial, &mysql.NopLogger{}
	for _, o := range options {
		o(cfg)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(32)
	tb.Cleanup(func() {
		_ = db.Close() // an error if the server ended a connection
		server.Close()
	})
	return db
}

// runner is a *sql.DB, *sql.Conn or *sql.Tx.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func exec(tb testing.TB, on runner, query string, args ...any) sql.Result {
	tb.Helper()
	result, err := on.ExecContext(tb.Context(), query, args...)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return result
}

// refused fails unless the statement is refused with that number.
func refused(tb testing.TB, on runner, want uint16, query string, args ...any) {
	tb.Helper()
	_, err := on.ExecContext(tb.Context(), query, args...)
	if number(err) != want {
		tb.Errorf("%s: %v, want error %d", query, err, want)
	}
}

// number is the server's number of an error, 0 if it is none of the server's.
func number(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// take takes one connection out of the pool until the test's end.
func take(tb testing.TB, db *sql.DB) *sql.Conn {
	tb.Helper()
	c, err := db.Conn(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// answer is a query's result as text: cells with spaces, lines with |.
func answer(tb testing.TB, on runner, query string, args ...any) string {
	tb.Helper()
	rows, err := on.QueryContext(tb.Context(), query, args...)
	if err != nil {
		tb.Errorf("%s: %v", query, err)
		return ""
	}
	defer rows.Close()
	return table(tb, rows)
}

func table(tb testing.TB, rows *sql.Rows) string {
	tb.Helper()
	columns, err := rows.Columns()
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		cells := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			tb.Fatal(err)
		}
		line := make([]string, len(cells))
		for i, c := range cells {
			if line[i] = c.String; !c.Valid {
				line[i] = "NULL"
			}
		}
		lines = append(lines, strings.Join(line, " "))
	}
	if err := rows.Err(); err != nil {
		tb.Error(err)
	}
	return strings.Join(lines, "|")
}

// expect fails unless a query's result is as wanted.
func expect(tb testing.TB, on runner, want, query string, args ...any) {
	tb.Helper()
	if got := answer(tb, on, query, args...); got != want {
		tb.Errorf("%s\n got %s\nwant %s", query, got, want)
	}
}

func connectionID(tb testing.TB, on runner) (id uint32) {
	tb.Helper()
	if _, err := fmt.Sscan(answer(tb, on, "SELECT CONNECTION_ID()"), &id); err != nil {
		tb.Fatal(err)
	}
	return id
}
