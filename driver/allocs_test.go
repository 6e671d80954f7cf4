package driver

import (
	"database/sql"
	"log/slog"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/go-sql-driver/mysql"
)

// TestAllocations holds the budget: a text query allocates no more than the raw
// driver's, a prepared one at most two times more. Allocations are exact, unlike times.
func TestAllocations(t *testing.T) {
	s, database := mysqld.Shared(t, mysqld.FlavorMariaDB)
	raw, err := mysql.ParseDSN(s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	connector, err := mysql.NewConnector(raw)
	if err != nil {
		t.Fatal(err)
	}
	plain := sql.OpenDB(connector)
	defer plain.Close()
	cfg, err := ParseDSN(s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := OpenDB(cfg, WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	measure := func(db *sql.DB, f func() *sql.Row) float64 {
		t.Helper()
		db.SetMaxOpenConns(1)
		return testing.AllocsPerRun(500, func() {
			var n int
			if err := f().Scan(&n); err != nil {
				t.Error(err)
			}
		})
	}
	ctx := t.Context()
	text := func(db *sql.DB) float64 {
		return measure(db, func() *sql.Row { return db.QueryRowContext(ctx, "SELECT 1") })
	}
	prepared := func(db *sql.DB) float64 {
		st, err := db.PrepareContext(ctx, "SELECT ?")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		return measure(db, func() *sql.Row { return st.QueryRowContext(ctx, 1) })
	}
	for _, test := range []struct {
		name  string
		run   func(db *sql.DB) float64
		extra float64
	}{{"text", text, 0}, {"prepared", prepared, 2}} {
		theirs, mine := test.run(plain), test.run(ours)
		t.Logf("%s: raw driver %v, failoverproxy %v allocations", test.name, theirs, mine)
		if mine > theirs+test.extra {
			t.Errorf("%s: %v allocations, the raw driver has %v", test.name, mine, theirs)
		}
	}
}
