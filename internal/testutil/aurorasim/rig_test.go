package aurorasim

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// rig is a cluster under test.
type rig struct {
	*Cluster
	t     *testing.T
	login login
}

// login is how clients come in.
type login struct{ user, password, database string }

const (
	testUser     = "app"
	testPassword = "secret"
)

func start(t *testing.T, cfg Config) *rig {
	t.Helper()
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &rig{c, t, login{testUser, testPassword, ""}}
}

// open gives a pool of the real driver to an address: a name of the cluster or an
// instance's.
func (r *rig) open(addr string, options ...func(*mysql.Config)) *sql.DB {
	r.t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = r.login.user, r.login.password, r.login.database
	cfg.Net, cfg.Addr, cfg.DialFunc = "tcp", addr, r.DialContext
	cfg.Logger = log.New(io.Discard, "", 0)
	for _, o := range options {
		o(cfg)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	r.t.Cleanup(func() { _ = db.Close() })
	return db
}

// conn gives one connection to an address.
func (r *rig) conn(addr string, options ...func(*mysql.Config)) *sql.Conn {
	r.t.Helper()
	c, err := r.open(addr, options...).Conn(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// ledger makes the tables that the tests write to, empty.
func (r *rig) ledger() {
	r.t.Helper()
	db := r.open(r.Writer().Addr())
	for _, s := range []string{
		"DROP TABLE IF EXISTS fp_ledger",
		"CREATE TABLE IF NOT EXISTS fp_ledger (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, worker BIGINT NOT NULL, seq BIGINT NOT NULL)",
		"DROP TABLE IF EXISTS fp_accounts",
		"CREATE TABLE IF NOT EXISTS fp_accounts (id BIGINT NOT NULL PRIMARY KEY, balance BIGINT NOT NULL)",
		"INSERT INTO fp_accounts (id, balance) VALUES (1, 100)",
	} {
		exec(r.t, db, s)
	}
	_ = db.Close()
	r.ResetLog()
}

// queryer is a *sql.DB, *sql.Conn or *sql.Tx.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func exec(t *testing.T, q queryer, query string, args ...any) {
	t.Helper()
	if _, err := q.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// show runs a query and gives its rows in one line.
func show(t *testing.T, q queryer, query string, args ...any) string {
	t.Helper()
	got, err := result(t.Context(), q, query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got
}

func result(ctx context.Context, q queryer, query string, args ...any) (string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var lines []string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		dest := make([]any, len(columns))
		for n := range values {
			dest[n] = &values[n]
		}
		if err := rows.Scan(dest...); err != nil {
			return "", err
		}
		var row []string
		for _, v := range values {
			if !v.Valid {
				v.String = "NULL"
			}
			row = append(row, v.String)
		}
		lines = append(lines, strings.Join(row, " "))
	}
	return strings.Join(lines, "; "), rows.Err()
}

// errno is the number of a server's error, 0 of another one.
func errno(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

func wantErrno(t *testing.T, err error, number uint16, what string) {
	t.Helper()
	if errno(err) != number {
		t.Errorf("%s: error %v, want number %d", what, err, number)
	}
}

func wantShow(t *testing.T, q queryer, want, query string, args ...any) {
	t.Helper()
	if got := show(t, q, query, args...); got != want {
		t.Errorf("%s: %q, want %q", query, got, want)
	}
}

// try runs a statement with a deadline that only a hanging one needs.
func try(t *testing.T, q queryer, query string, args ...any) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := q.ExecContext(ctx, query, args...)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s hangs: %w", query, err)
	}
	return err
}

// eventually waits for something that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// stmtQueryer is a prepared statement as a queryer; the text means nothing.
type stmtQueryer struct{ *sql.Stmt }

func (s stmtQueryer) ExecContext(ctx context.Context, _ string, args ...any) (sql.Result, error) {
	return s.Stmt.ExecContext(ctx, args...)
}

func (s stmtQueryer) QueryContext(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
	return s.Stmt.QueryContext(ctx, args...)
}
