package minidb_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// fruit fills a table that the tests of statements are about.
func fruit(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, q := range []string{
		"CREATE TABLE IF NOT EXISTS t (id BIGINT NOT NULL AUTO_INCREMENT, a INT, name VARCHAR(20) DEFAULT 'none', at DATETIME, PRIMARY KEY (id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
		"INSERT INTO t (a, name) VALUES (1, 'one'), (2, 'it''s'), (3, NULL)",
		"INSERT INTO t (a, at) VALUES (4, '2026-01-02 03:04:05')",
		"CREATE TABLE pair (x BIGINT, y VARCHAR(9), n TEXT, PRIMARY KEY (x, y))",
		"INSERT INTO pair VALUES (2, 'b', 'last'), (1, 'b', 'second'), (1, 'a', \"first\")",
	} {
		exec(t, db, q)
	}
}

func TestSelect(t *testing.T) {
	db := open(t)
	fruit(t, db)
	for query, want := range map[string]string{
		"SELECT id, a, name FROM t":                                               "1 1 one|2 2 it's|3 3 NULL|4 4 none",
		"SELECT * FROM t WHERE id = 4":                                            "4 4 none 2026-01-02 03:04:05",
		"SELECT x.id i, x.name FROM t AS x WHERE x.name = 'ONE'":                  "1 one",
		"SELECT `id` FROM `t` ORDER BY a DESC LIMIT 2":                            "4|3",
		"SELECT id FROM t ORDER BY id LIMIT 1, 2":                                 "2|3",
		"SELECT id FROM t ORDER BY id LIMIT 1 OFFSET 3":                           "4",
		"SELECT id FROM t WHERE id IN (4, 1, 9, '2')":                             "1|2|4",
		"SELECT id FROM t WHERE id NOT IN (1, 2)":                                 "3|4",
		"SELECT id FROM t WHERE a BETWEEN 2 AND 3":                                "2|3",
		"SELECT id FROM t WHERE name IS NULL OR a = 1 AND NOT id > 1":             "1|3",
		"SELECT id FROM t WHERE name IS NOT NULL AND name LIKE '%n_'":             "1|4",
		"SELECT id FROM t WHERE at > '2026-01-01'":                                "4",
		"SELECT COUNT(*), COUNT(name), SUM(a), MAX(a), MIN(name) FROM t":          "4 3 10 4 it's",
		"SELECT COUNT(DISTINCT a + 1 - a) FROM t":                                 "1",
		"SELECT COALESCE(SUM(a), 0) FROM t WHERE a > 100":                         "0",
		"SELECT SUM(a), MAX(a), COUNT(*) FROM t WHERE a > 100":                    "NULL NULL 0",
		"SELECT x, COUNT(*) n FROM pair GROUP BY x ORDER BY n DESC":               "1 2|2 1",
		"SELECT n FROM pair":                                                      "first|second|last",
		"SELECT DISTINCT x FROM pair ORDER BY x DESC":                             "2|1",
		"SELECT (1 + 2) * -3, 7 - 2 - 1, 1.5 * 2, 1 + '2'":                        "-9 4 3 3",
		"SELECT 1 = 1, 2 <> 2, NULL = NULL, NULL <=> NULL, NULL AND 0, NULL OR 1": "1 0 NULL 1 0 1",
		"SELECT 1 /*! + 1 */ /* - 9 */ # no more":                                 "2",
		"SELECT 'a\\'b', \"c\"\"d\", _binary'e'":                                  "a'b c\"d e",
		"SELECT IF(1 > 2, 'x', 'y'), IFNULL(NULL, 3), CONCAT('a', 1)":             "y 3 a1",
		"SELECT id FROM t WHERE id = 1 FOR UPDATE":                                "1",
		"SELECT id FROM t WHERE id = 1 LOCK IN SHARE MODE":                        "1",
		"SELECT 1 FROM dual":                                                      "1",
	} {
		expect(t, db, want, query)
		st, err := db.PrepareContext(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		expectPrepared(t, st, want, query)
	}
}

func expectPrepared(t *testing.T, st *sql.Stmt, want, query string, args ...any) {
	t.Helper()
	defer st.Close()
	rows, err := st.QueryContext(t.Context(), args...)
	if err != nil {
		t.Errorf("%s, prepared: %v", query, err)
		return
	}
	defer rows.Close()
	if got := table(t, rows); got != want {
		t.Errorf("%s, prepared\n got %s\nwant %s", query, got, want)
	}
}

func TestChange(t *testing.T) {
	db := open(t)
	fruit(t, db)
	for _, c := range []struct {
		query    string
		affected int64
	}{
		{"UPDATE t SET a = a + 10, name = 'x' WHERE id IN (2, 3) AND a >= 3", 1},
		{"UPDATE t SET name = 'x' WHERE id = 3", 0}, // it is so already
		{"UPDATE t SET id = 20 WHERE id = 2", 1},
		{"UPDATE t SET a = 0 ORDER BY id DESC LIMIT 1", 1},
		{"DELETE FROM t WHERE id = 1", 1},
		{"DELETE FROM pair", 3},
		{"INSERT INTO pair VALUES (1, 'a', 'again')", 1},
	} {
		if n, _ := exec(t, db, c.query).RowsAffected(); n != c.affected {
			t.Errorf("%s: %d rows affected, want %d", c.query, n, c.affected)
		}
	}
	expect(t, db, "3 13 x|4 4 none|20 0 it's", "SELECT id, a, name FROM t")
	if id, _ := exec(t, db, "INSERT INTO t (a) VALUES (5), (6)").LastInsertId(); id != 5 {
		t.Errorf("insert id %d", id)
	}
	expect(t, db, "5", "SELECT id FROM t WHERE a = 5")
	exec(t, db, "TRUNCATE TABLE t")
	expect(t, db, "0", "SELECT COUNT(*) FROM t")
	exec(t, db, "DROP TABLE IF EXISTS t, nowhere")
	refused(t, db, 1146, "SELECT 1 FROM t")
}

func TestFoundRows(t *testing.T) {
	db := open(t, func(c *mysql.Config) { c.ClientFoundRows = true })
	fruit(t, db)
	if n, _ := exec(t, db, "UPDATE t SET a = 1 WHERE a < 3").RowsAffected(); n != 2 {
		t.Errorf("%d rows matched, want 2", n)
	}
}

func TestRefusals(t *testing.T) {
	db := open(t)
	fruit(t, db)
	exec(t, db, "CREATE TABLE strict (id BIGINT PRIMARY KEY, n INT NOT NULL, s VARCHAR(3))")
	for query, want := range map[string]uint16{
		"SELEC 1": 1064, "SELECT a FROM": 1064, "SELECT (1": 1064, "SELECT 'x": 1064, "SELECT 1 /* x": 1064, "ALTER TABLE t ADD x INT": 1064,
		"SELECT ?": 1064, "SELECT 1; SELECT 2": 1064, "SELECT 1 FROM t JOIN pair": 1064, "REPLACE INTO t VALUES (1)": 1064, "SELECT a FROM t HAVING 1": 1064,
		"SELECT " + strings.Repeat("(", 10000): 1064, "SELECT 1" + strings.Repeat("+1", 20000): 1064, "": 1065,
		"SELECT x FROM t": 1054, "SELECT id FROM t WHERE x = 1": 1054, "UPDATE t SET x = 1": 1054, "INSERT INTO t (x) VALUES (1)": 1054,
		"SELECT id FROM t ORDER BY x": 1054, "DELETE FROM t WHERE y.id = 1": 1054, "SELECT FOO(1)": 1305, "SELECT COALESCE()": 1582,
		"SELECT 1 FROM nowhere": 1146, "INSERT INTO nowhere VALUES (1)": 1146, "SELECT 1 FROM no.where_": 1049, "USE nowhere": 1049,
		"SELECT 1 FROM information_schema.replica_host_status": 1109, "SELECT *": 1096, "SELECT id FROM t WHERE SUM(a) = 1": 1111,
		"CREATE TABLE t (id BIGINT)": 1050, "DROP TABLE nowhere": 1051, "CREATE TABLE n (a INT, A INT)": 1060, "CREATE TABLE n (a INT AUTO_INCREMENT)": 1075,
		"CREATE TABLE n (a INT PRIMARY KEY, PRIMARY KEY (a))": 1068, "CREATE TABLE n (a INT, PRIMARY KEY (b))": 1072,
		"INSERT INTO t (id, a) VALUES (9, 1), (2, 1)": 1062, "INSERT INTO pair VALUES (1, 'A', '')": 1062, "UPDATE t SET id = 1 WHERE id = 2": 1062,
		"INSERT INTO t (a) VALUES (1, 2)": 1136, "INSERT INTO t (a, a) VALUES (1, 2)": 1110,
		"INSERT INTO strict VALUES (1, NULL, 'x')": 1048, "INSERT INTO strict (id) VALUES (1)": 1364, "INSERT INTO strict VALUES (1, 1, 'long')": 1406,
		"INSERT INTO strict VALUES (1, 3000000000, '')": 1264, "INSERT INTO strict VALUES (1, 'one', '')": 1366,
		"UPDATE t SET a = 9223372036854775807 + 1": 1690, "UPDATE t SET at = 'yesterday'": 1292,
		"SET nonsense = 1": 1193, "SELECT @@nonsense": 1193, "SET read_only = 1": 1229, "SET version = 'x'": 1238, "SELECT @@session.read_only": 1238,
		"SET autocommit = 2": 1231, "SET wait_timeout = 'x'": 1232, "KILL 4711": 1094, "ROLLBACK TO nowhere": 1305,
	} {
		refused(t, db, want, query)
	}
	expect(t, db, "4", "SELECT COUNT(*) FROM t") // what failed left nothing behind
	expect(t, db, "0", "SELECT COUNT(*) FROM strict")
}

// TestPrepared sends values by the binary protocol.
func TestPrepared(t *testing.T) {
	db := open(t, func(c *mysql.Config) { c.ParseTime = true })
	fruit(t, db)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	exec(t, db, "INSERT INTO t (a, name, at) VALUES (?, ?, ?), (?, ?, ?)", 7, "seven", at, int64(8), []byte("eight"), nil)
	var back time.Time
	if err := db.QueryRow("SELECT at FROM t WHERE name = ? AND a = ?", "seven", 7).Scan(&back); err != nil || !back.Equal(at) {
		t.Errorf("%s, %v", back, err)
	}
	expect(t, db, "8 eight NULL", "SELECT a, name, at FROM t WHERE id IN (?, ?) LIMIT ?", 6, 99, 5)
	expect(t, db, "5 x", "SELECT ?, ?", 5, "x")
	st, err := db.PrepareContext(t.Context(), "SELECT SUM(a), COUNT(*) FROM t WHERE a > ?")
	if err != nil {
		t.Fatal(err)
	}
	expectPrepared(t, st, "15 2", "the sum", 6)
	if _, err := db.PrepareContext(t.Context(), "SELECT x FROM t WHERE a = ?"); number(err) != 1054 {
		t.Errorf("got %v", err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE t SET a = ?", 1, 2); err == nil || !strings.Contains(err.Error(), "arguments") {
		t.Errorf("got %v", err)
	}
}

func TestColumnTypes(t *testing.T) {
	db := open(t)
	fruit(t, db)
	rows, err := db.QueryContext(t.Context(), "SELECT id, a, name, at, COUNT(*), SUM(a), COALESCE(SUM(a), 0), a * 1.5, a + 1, 'x' FROM t GROUP BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range types {
		names = append(names, c.DatabaseTypeName())
	}
	if got, want := strings.Join(names, " "), "BIGINT INT VARCHAR DATETIME BIGINT DECIMAL DECIMAL DOUBLE BIGINT VARCHAR"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMultiStatements(t *testing.T) {
	db := open(t, func(c *mysql.Config) { c.MultiStatements = true })
	rows, err := db.QueryContext(context.Background(), "SELECT 1; DO 2; SELECT 3;")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := table(t, rows)
	for rows.NextResultSet() {
		got += "," + table(t, rows)
	}
	if got != "1,,3" && got != "1,3" {
		t.Errorf("got %s", got)
	}
}

func TestDatabases(t *testing.T) {
	db := open(t, func(c *mysql.Config) { c.DBName = "shop" })
	c := take(t, db)
	exec(t, c, "CREATE TABLE t (id BIGINT)")
	exec(t, c, "CREATE DATABASE IF NOT EXISTS attic")
	exec(t, c, "INSERT INTO shop.t VALUES (1)")
	exec(t, c, "USE attic")
	refused(t, c, 1146, "SELECT id FROM t")
	expect(t, c, "1 attic", "SELECT id, DATABASE() FROM shop.t")
	expect(t, c, "attic|shop", "SHOW DATABASES")
	exec(t, c, "DROP DATABASE shop")
	refused(t, c, 1049, "SELECT id FROM shop.t")
}
