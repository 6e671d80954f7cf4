package aurorasim

import (
	"strings"
	"testing"
	"time"
)

func TestLex(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT 1":                             "SELECT,1",
		"select /* a 'b */ 'it''s' -- x\n, 2":  "select,it''s,,,2",
		`SELECT 'a\'b', "c" # end`:             `SELECT,a\'b,,,c`,
		"/*!50001 INSERT */ INTO `a``b`":       "INSERT,INTO,a``b",
		"/*M! UPDATE */ t":                     "UPDATE,t",
		"a.b>=1.5e-3 AND @@global.x <> @u":     "a,.,b,>=,1.5e-3,AND,@@global.x,<>,@u",
		"SELECT ?--1":                          "SELECT,?,-,-,1",
		"'unfinished":                          "unfinished",
		"/* unfinished":                        "",
		"SELECT\t\n1;":                         "SELECT,1,;",
		"x:=1":                                 "x,:=,1",
		"größe":                                "größe",
		"`unfinished":                          "unfinished",
		"'a\\":                                 "a\\",
		"SELECT 'x' /*! , 'y' */ , 'z' */ , 1": "SELECT,x,,,y,,,z,*,/,,,1",
	} {
		var got []string
		for _, tok := range lex(sql, true) {
			got = append(got, tok.text)
			if tok.start < 0 || tok.end > len(sql) || tok.start >= tok.end {
				t.Errorf("%q: token at %d to %d", sql, tok.start, tok.end)
			}
		}
		if g := strings.Join(got, ","); g != want {
			t.Errorf("%q: tokens %q, want %q", sql, g, want)
		}
	}
}

func TestLexWithoutBackslashEscapes(t *testing.T) {
	if got := len(lex(`SELECT 'a\', 'b'`, false)); got != 4 {
		t.Errorf("%d tokens, want 4: the backslash must not escape the quote", got)
	}
}

func TestClassify(t *testing.T) {
	cases := map[string]class{
		"SELECT 1": reads, "(SELECT 1)": reads, "select * from t where a = 'for update'": reads,
		"SELECT * FROM t FOR UPDATE": writes, "select 1 for\nupdate nowait": writes,
		"SELECT * FROM t FOR SHARE": reads, "SELECT * FROM t LOCK IN SHARE MODE": reads,
		"SELECT * FROM (SELECT 1 FOR UPDATE) x": writes,
		"SELECT 1 /*! FOR UPDATE */":            writes,
		"WITH a AS (SELECT 1) SELECT * FROM a":  reads,
		"WITH a AS (SELECT 1) DELETE FROM t":    writes,
		"WITH a AS (SELECT 1) UPDATE t SET a=1": writes,
		"INSERT INTO t VALUES (1)":              writes, "/* hi */ insert t values (1)": writes,
		"UPDATE t SET a = 1": writes, "DELETE FROM t": writes, "REPLACE t VALUES (1)": writes,
		"/*!INSERT INTO t VALUES (1)*/": writes,
		"CREATE TABLE t (a INT)":        writes, "CREATE TEMPORARY TABLE t (a INT)": creates,
		"ALTER TABLE t ADD b INT": writes, "DROP TABLE t": writes, "TRUNCATE t": writes,
		"LOAD DATA INFILE 'x' INTO TABLE t": writes, "GRANT ALL ON *.* TO x": writes,
		"OPTIMIZE TABLE t": writes, "ANALYZE TABLE t": writes, "RENAME TABLE a TO b": writes,
		"SHOW TABLES": reads, "EXPLAIN UPDATE t SET a=1": reads, "USE db": reads,
		"BEGIN": reads, "START TRANSACTION": reads, "START TRANSACTION READ ONLY": reads,
		"START TRANSACTION READ WRITE": writes, "COMMIT": reads, "ROLLBACK": reads,
		"SAVEPOINT a": reads, "SET NAMES utf8mb4": reads, "SET PASSWORD = 'x'": writes,
		"LOCK TABLES t READ": reads, "LOCK TABLES t WRITE": writes, "UNLOCK TABLES": reads,
		"CALL p()": reads, "DO SLEEP(1)": reads, "KILL 5": reads, "": reads, "-- nothing": reads,
		"SET SESSION TRANSACTION READ WRITE; SELECT f()": writes,
		"SET @@session.transaction_read_only = 0;":       reads, "SET a = 1; SELECT 1": reads,
		"SELECT 1; DELETE FROM t": writes, "SELECT 1;": reads, "; ; SELECT 1": reads,
		"FROBNICATE": writes, "42": writes, "'INSERT'": writes,
	}
	for sql, want := range cases {
		if got := classify(lex(sql, true)); got != want {
			t.Errorf("classify(%q) = %d, want %d", sql, got, want)
		}
	}
}

func TestKillTarget(t *testing.T) {
	for sql, want := range map[string]uint32{
		"KILL 5": 5, "kill query 6": 6, "KILL CONNECTION 7": 7, "SELECT 5": 0, "KILL": 0,
		"KILL CONNECTION_ID()": 0,
	} {
		if got, ok := killTarget(lex(sql, true)); got != want || ok != (want != 0) {
			t.Errorf("killTarget(%q) = %d %v, want %d", sql, got, ok, want)
		}
	}
}

func TestSubstitute(t *testing.T) {
	vars := variables{serverID: "i-1", version: "3.1", readOnly: true}
	rows := []viewRow{{id: "i-1", session: masterSession, updated: time.Now()}}
	table := derivedTable(nil)
	for sql, want := range map[string]string{
		"SELECT @@innodb_read_only":                                                                             "SELECT 1 AS `@@innodb_read_only`",
		"SELECT @@global.innodb_read_only ro":                                                                   "SELECT 1 ro",
		"SELECT @@aurora_server_id AS x, @@max_connections":                                                     "SELECT 'i-1' AS x, @@max_connections",
		"select 1, @@AURORA_VERSION from dual":                                                                  "select 1, '3.1' AS `@@AURORA_VERSION` from dual",
		"SELECT AURORA_VERSION()":                                                                               "SELECT '3.1' AS `AURORA_VERSION()`",
		"SELECT aurora_version ( ) , 2":                                                                         "SELECT '3.1' AS `aurora_version ( )` , 2",
		"SELECT CONCAT(@@aurora_server_id, '@@aurora_version')":                                                 "SELECT CONCAT('i-1', '@@aurora_version')",
		"SELECT a FROM t WHERE b = @@aurora_server_id":                                                          "SELECT a FROM t WHERE b = 'i-1'",
		"SELECT @@innodb_read_only + 1":                                                                         "SELECT 1 + 1",
		"SELECT (SELECT @@innodb_read_only)":                                                                    "SELECT (SELECT 1 AS `@@innodb_read_only`)",
		"SELECT /* @@innodb_read_only */ 2, @@version":                                                          "SELECT /* @@innodb_read_only */ 2, @@version",
		"SELECT * FROM information_schema.replica_host_status":                                                  "SELECT * FROM " + table + " AS replica_host_status",
		"SELECT 1 FROM INFORMATION_SCHEMA.`replica_host_status`":                                                "SELECT 1 FROM " + table + " AS replica_host_status",
		"SELECT r.CPU FROM information_schema.replica_host_status r WHERE 1":                                    "SELECT r.CPU FROM " + table + " r WHERE 1",
		"SELECT 1 FROM information_schema . replica_host_status AS r":                                           "SELECT 1 FROM " + table + " AS r",
		"SELECT information_schema.replica_host_status.CPU FROM information_schema.replica_host_status LIMIT 1": "SELECT replica_host_status.CPU FROM " + table + " AS replica_host_status LIMIT 1",
	} {
		tx := newText(sql, true, false)
		use := rows
		if strings.Contains(want, table) {
			use = nil
		}
		if got := tx.substitute(vars, use); got != want {
			t.Errorf("%s\n  became %s\n  want   %s", sql, got, want)
		}
	}
	if got := derivedTable(rows); !strings.Contains(got, "'i-1' AS SERVER_ID,'MASTER_SESSION_ID' AS SESSION_ID") {
		t.Errorf("derived table %s", got)
	}
}

func TestMentions(t *testing.T) {
	for sql, want := range map[string]names{
		"SELECT 1":                  {},
		"SELECT @@version":          {},
		"SELECT '@@aurora_version'": {},
		"SELECT @@Aurora_Version":   {variables: true},
		"SELECT aurora_version":     {},
		"SELECT aurora_version()":   {variables: true},
		"SELECT 1 FROM information_schema.replica_host_status": {view: true},
		"SELECT 1 FROM replica_host_status":                    {},
		"SHOW VARIABLES":                                       {show: true},
		"show global variables like 'a%'":                      {show: true},
		"SHOW SESSION VARIABLES":                               {show: true},
		"SHOW STATUS LIKE 'variables'":                         {},
	} {
		if got := newText(sql, true, false).mentions(); got != want {
			t.Errorf("%q mentions %+v, want %+v", sql, got, want)
		}
		if got := newText(sql, true, true).mentions(); got != (names{}) {
			t.Errorf("%q mentions %+v on a plain server", sql, got)
		}
	}
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		s, pattern string
		want       bool
	}{
		{"aurora_version", "aurora%", true},
		{"aurora_version", "AURORA\\_version", true},
		{"auroraXversion", "aurora\\_version", false},
		{"auroraXversion", "aurora_version", true},
		{"", "", true},
		{"", "%", true},
		{"a", "", false},
		{"abc", "%b%", true},
		{"abc", "a_", false},
		{"abc", "%%c", true},
		{"a", "\\", false},
	} {
		if got := like(c.s, c.pattern); got != c.want {
			t.Errorf("like(%q, %q) = %v", c.s, c.pattern, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, sql := range []string{"SELECT @@innodb_read_only", "SELECT CPU, 'x' FROM information_schema.replica_host_status WHERE 1 ORDER BY 2 LIMIT 1", "SHOW VARIABLES WHERE a IN (1,'2')", "/*!1*/'\\"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		tx := newText(sql, true, false)
		tx.kind()
		tx.mentions()
		tx.substitute(variables{}, nil)
		if q, err := parseQuery(tx, scope{}); err == nil {
			q.run([][]any{viewRow{id: "a"}.values()}, nil)
		}
		filterOf(tx)("aurora_version", "1")
	})
}
