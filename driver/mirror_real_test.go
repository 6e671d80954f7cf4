package driver

import (
	"database/sql"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestRealMirror mirrors MariaDB by MySQL and the other way round: what is equal on both is found
// to be equal, in every type and protocol, and what differs is found.
func TestRealMirror(t *testing.T) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		t.Run(flavor.String(), func(t *testing.T) {
			other := mysqld.FlavorMariaDB
			if flavor == other {
				other = mysqld.FlavorMySQL
			}
			testRealMirror(t, flavor, other)
		})
	}
}

func testRealMirror(t *testing.T, flavor, other mysqld.Flavor) {
	t.Helper()
	const params = "?parseTime=true&charset=utf8mb4"
	s, database := mysqld.Shared(t, flavor)
	dsn := s.DSN(database) + params
	m, database := mysqld.Shared(t, other)
	mirror, err := sql.Open("mysql", m.DSN(database)+params)
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	c := connectorTo(t, dsn, WithMirror(mirror, MirrorPolicy{Rate: 1, Compare: 1, Timeout: time.Minute}))
	db := sql.OpenDB(c)
	defer db.Close()
	ctx := t.Context()
	for _, db := range []*sql.DB{db, mirror} {
		for _, statement := range []string{
			"CREATE TABLE t (id INT PRIMARY KEY, f FLOAT, d DOUBLE, n DECIMAL(20,5), u BIGINT UNSIGNED, s VARCHAR(20), b BLOB, at DATETIME(6), y YEAR, bits BIT(3), e ENUM('a','b'))",
			"INSERT INTO t VALUES (1, 3.14159265, 2.718281828459045, 12345.6789, 18446744073709551615, 'Grüße', X'00FF', '2026-02-03 04:05:06.789', 2026, b'101', 'b')",
			"INSERT INTO t (id) VALUES (2)",
		} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(rows *sql.Rows, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() { //nolint:revive // hashed on the way
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	counts := func(same, different uint64) {
		t.Helper()
		for range 1000 { // it has a minute for each statement
			if c.Stats().Mirror.Running == 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if s := c.Stats().Mirror; s.Same != same || s.Different != different || s.Answered != same+different || s.Sent != s.Answered {
			t.Errorf("%+v, want %d same and %d different\n%+v", s, same, different, c.MirrorSample())
		}
	}
	all := func() {
		const text = "SELECT * FROM t ORDER BY id"
		read(db.QueryContext(ctx, text))
		read(db.QueryContext(ctx, "SELECT * FROM t WHERE id < ? ORDER BY id", 10))
		st, err := db.PrepareContext(ctx, text)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		read(st.QueryContext(ctx)) //nolint:sqlclosecheck // read closes them
	}
	all()
	counts(3, 0)
	if _, err := mirror.ExecContext(ctx, "UPDATE t SET b = X'00FE' WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	all()
	counts(3, 3)
}
