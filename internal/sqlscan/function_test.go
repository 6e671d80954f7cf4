package sqlscan

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// session is one connection to a server.
func session(t *testing.T, s *mysqld.Server, database string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("mysql", s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// number returns the number of the error that a query ends with, 0 if with none.
func number(ctx context.Context, t *testing.T, c *sql.Conn, query string) uint16 {
	t.Helper()
	rows, err := c.QueryContext(ctx, query)
	if err == nil {
		for rows.Next() {
		}
		err = rows.Err()
		rows.Close()
	}
	var failed *mysql.MySQLError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		return failed.Number
	}
	t.Fatalf("%s: %v", query, err)
	return 0
}

// stored reports whether the server looks for a stored function where a name is called.
// 1305 says that there is none, 1630 that there is none but a built-in one.
func stored(ctx context.Context, t *testing.T, c *sql.Conn, call string) bool {
	t.Helper()
	n := number(ctx, t, c, "SELECT "+call)
	return n == 1305 || n == 1630
}

// A name that is not foreign is a built-in function or a keyword of both servers, or
// one of those listed as not. If it were not, it could be a stored function that writes.
func TestFunctionNames(t *testing.T) {
	missing := map[mysqld.Flavor][]string{
		mysqld.FlavorMariaDB: strings.Fields(ofMySQL + ofOthers + "ST_COLLECT SOURCE_POS_WAIT WAIT_FOR_EXECUTED_GTID_SET WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS"),
		mysqld.FlavorMySQL: strings.Fields(ofMariaDB + ofOthers + "MEDIAN PERCENTILE_CONT PERCENTILE_DISC NEXTVAL SETVAL MASTER_GTID_WAIT " +
			"WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS WSREP_LAST_SEEN_GTID WSREP_LAST_WRITTEN_GTID WSREP_SYNC_WAIT_UPTO_GTID"),
	}
	loose := map[string]bool{} // stored with a space before the parenthesis
	servers := 0
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		c := session(t, s, database)
		servers++
		for name, class := range classes {
			if slices.Contains(missing[s.Flavor], name) {
				continue
			}
			if stored(t.Context(), t, c, name+"(1, 1)") {
				t.Errorf("%s is not built in", name)
			}
			if !stored(t.Context(), t, c, name+" (1, 1)") {
				continue
			}
			if loose[name] = true; class != adjoined {
				t.Errorf("%s with a space before the parenthesis is not built in", name)
			}
		}
	})
	if servers < 2 {
		return
	}
	for name, class := range classes {
		if class == adjoined && !loose[name] {
			t.Errorf("%s needs no parenthesis that follows at once", name)
		}
	}
}

// Stored functions that write, with the names of built-in functions and keywords: what
// calls one of them is no read, on no server and in no sql_mode.
func TestStoredFunctionsAreNoReads(t *testing.T) {
	functions := []string{
		"f", "abs", "now", "count", "max", "substr", "session_user", "sysdate", "columns", "lateral", "over", "of", "path", "nested",
		"escape", "rollup", "cube", "filter", "minus", "within", "vector", "geometry", "x", "rownum", "decode", "intersect", "value", "json",
	}
	forms := []string{
		"SELECT %()", "SELECT % ()", "SELECT %/**/()", "SELECT %\n()", "SELECT `%`()", "SELECT `%` ()", "SELECT $.%()", "SELECT $ . % ()", "SELECT `$`.`%`()",
		"SELECT 1 + %()", "SELECT 'a', %()", "SELECT `a`, % () FROM (SELECT 1 AS a) t", "SELECT 1 AS a, % ()", "SELECT (1), % ()", "SELECT {fn % ()}",
		"SELECT 1 WHERE 1 = % ()", "SELECT 1 GROUP BY % ()", "SELECT * FROM (SELECT % ()) t", "SHOW TABLES WHERE % ()", "VALUES (% ())", "VALUES ROW(% ())",
		"WITH c AS (SELECT 1) SELECT 1, % ()", "WITH c (a) AS (SELECT % ()) SELECT a FROM c", "SELECT CASE WHEN % () THEN 1 END", "SELECT 1 IN (1, % ())",
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		c := session(t, s, database)
		exec := func(query string) {
			t.Helper()
			if _, err := c.ExecContext(t.Context(), query); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
		}
		exec("CREATE TABLE log (i INT)")
		for _, name := range functions {
			exec("CREATE FUNCTION `" + name + "`() RETURNS INT BEGIN INSERT INTO log VALUES (1); RETURN 1; END")
		}
		calls := 0
		for _, mode := range []string{"", "IGNORE_SPACE"} {
			exec("SET sql_mode = '" + mode + "'")
			for _, name := range functions {
				for _, form := range forms {
					text := strings.NewReplacer("%", name, "$", database).Replace(form)
					exec("DELETE FROM log")
					_ = number(t.Context(), t, c, text)
					called := false
					if err := c.QueryRowContext(t.Context(), "SELECT EXISTS (SELECT 1 FROM log)").Scan(&called); err != nil {
						t.Fatal(err)
					}
					if !called {
						continue
					}
					calls++
					if facts := Scan(text, AnyMode); facts.Read() || facts.Effects&EffectRoutine == 0 {
						t.Errorf("%q called the stored function (sql_mode %q), but is %s", text, mode, describe(facts))
					}
				}
			}
		}
		if calls < 500 {
			t.Errorf("only %d calls", calls)
		}
	})
}

func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		// The parenthesis must follow at once.
		"SELECT NOW()":                         "read",
		"SELECT NOW ()":                        "WRITE stored-routine commits",
		"SELECT COUNT/**/(a) FROM t":           "WRITE stored-routine commits",
		"SELECT COUNT(a), COUNT (*) FROM t":    "read",
		"SELECT ABS (1), DATE ('2020-01-01')":  "read",
		"SELECT SUBSTRING('abc' FROM 2 FOR 1)": "read",

		// Clauses that can be names of stored functions elsewhere.
		"SELECT * FROM JSON_TABLE('[]', '$' COLUMNS (NESTED PATH '$' COLUMNS (a INT PATH '$'))) j": "read",
		`SELECT * FROM JSON_TABLE('[]', "$" COLUMNS (a INT PATH '$')) j`:                           "read",
		"SELECT COLUMNS (1)":                                   "WRITE stored-routine commits",
		"SELECT 1 MEMBER OF ('[1]')":                           "read",
		"SELECT OF(1)":                                         "WRITE stored-routine commits",
		"SELECT MATCH (a) AGAINST ('b') FROM t":                "read",
		"SELECT AGAINST(1)":                                    "WRITE stored-routine commits",
		"SELECT LAG(a) RESPECT NULLS OVER (ORDER BY a) FROM t": "read",
		"SELECT * FROM t, LATERAL (SELECT 1) l":                "read",
		"SELECT 1, LATERAL((SELECT 1))":                        "WRITE stored-routine commits",
		"SELECT 1 EXCEPT (SELECT 2) INTERSECT (SELECT 3)":      "read",
		"SELECT PATH(1)":                                       "WRITE stored-routine commits",
		"SELECT a FROM t GROUP BY ROLLUP (a)":                  "WRITE stored-routine commits", // MariaDB: a stored function
		"SELECT SQL_CALC_FOUND_ROWS (a) FROM t":                "read",

		// Answers that another instance or connection would get wrong.
		"SELECT IS_USED_LOCK('a')":            "WRITE",
		"SELECT DEFAULT(a) FROM t":            "WRITE", // MariaDB: a sequence may be the default
		"SELECT PREVIOUS VALUE FOR s":         "read",
		"SELECT s.`nextval`":                  "WRITE sequence-value",
		"SELECT @@last_gtid":                  "READ asks",
		"SELECT @@session . identity":         "READ asks",
		"SELECT @@local. warning_count":       "READ asks",
		"SELECT @@session/**/.last_insert_id": "READ asks",
		"SELECT @@session . sql_mode":         "read",
		"SELECT WSREP_LAST_WRITTEN_GTID()":    "READ asks",

		"WITH RECURSIVE c AS (SELECT 1 AS a UNION SELECT a FROM c) CYCLE a RESTRICT DELETE FROM t": "WRITE",
		"WITH c AS (SELECT 1) SELECT REPLACE('a', 'b', 'c'), INSERT('a', 1, 1, 'b') FROM c":        "read",
	} {
		if got := describe(Scan(text, AnyMode)); got != normal(want) {
			t.Errorf("%s\n got %s\nwant %s", text, got, normal(want))
		}
	}
}
