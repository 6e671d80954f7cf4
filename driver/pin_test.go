package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// world is a real server and what the wrapped driver alone makes of it: the oracle of
// the tests of sessions.
type world struct {
	*testing.T
	server   *mysqld.Server
	database string
	names    *strings.Replacer // what the servers call differently
	state    string            // a query that tells of a session's whole state
	clean    string            // its answer on a new connection
	marked   string            // its answer on one where marks were executed
}

// marks are what other sessions leave behind on the backends.
var marks = []string{
	"SET NAMES latin1 COLLATE latin1_bin", "SET time_zone = '+07:00', @x = 'other', @y = 7, sql_mode = 'ANSI', sort_buffer_size = 524288, lock_wait_timeout = 77, autocommit = 1",
	"USE mysql", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "DO LAST_INSERT_ID(99)",
}

func eachWorld(t *testing.T, f func(w *world)) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) { f(newWorld(t, s, database)) })
}

func newWorld(t *testing.T, s *mysqld.Server, database string) *world {
	t.Helper()
	w := &world{T: t, server: s, database: database}
	isolation, access, limit := "transaction_isolation", "transaction_read_only", "max_execution_time"
	if s.Flavor == mysqld.FlavorMariaDB {
		isolation, access, limit = "tx_isolation", "tx_read_only", "max_statement_time"
	}
	w.names = strings.NewReplacer("{db}", database, "{isolation}", isolation, "{read_only}", access, "{limit}", limit)
	w.state = w.names.Replace("SELECT DATABASE(), @x, @y, @z, @`a b`, IF(@x IS NULL, NULL, CONCAT(CHARSET(@x), COLLATION(@x))), @@time_zone, @@sql_mode, @@autocommit, @@{isolation}, @@{read_only}, @@{limit}, " +
		"@@character_set_client, @@character_set_results, @@character_set_connection, @@collation_connection, @@collation_database, @@character_set_server, @@collation_server, " +
		"@@sort_buffer_size, @@lock_wait_timeout, @@max_join_size, @@sql_big_selects, @@sql_select_limit, @@wait_timeout, @@foreign_key_checks, " +
		"@@unique_checks, @@sql_safe_updates, @@sql_notes, @@group_concat_max_len, @@optimizer_switch, @@lc_time_names, @@long_query_time, " +
		"@@auto_increment_increment, @@div_precision_increment, @@default_storage_engine, @@sql_auto_is_null, @@innodb_lock_wait_timeout, " +
		"@@completion_type, IF(@@timestamp < 2e9 AND @@timestamp > 1.7e9, 'now', @@timestamp), @@insert_id")
	raw := w.raw("")
	w.clean = raw.run(w.state)
	raw.must(marks...)
	w.marked = raw.run(w.state)
	raw.close()
	return w
}

// sub runs a subtest.
func (w *world) sub(name string, f func(w *world)) {
	w.Run(name, func(t *testing.T) {
		w := *w
		w.T = t
		f(&w)
	})
}

// client is a session's program: of ours, or of the wrapped driver.
type client struct {
	*world
	db   *sql.DB
	conn *sql.Conn
}

// raw is a new connection of the wrapped driver.
func (w *world) raw(params string) *client {
	w.Helper()
	db, err := sql.Open("mysql", w.server.DSN(w.database)+"?"+params)
	if err != nil {
		w.Fatal(err)
	}
	return w.client(db)
}

func (w *world) client(db *sql.DB) *client {
	w.Helper()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	c := &client{world: w, db: db, conn: conn}
	w.Cleanup(c.close)
	return c
}

// close closes the session for good.
func (c *client) close() {
	_ = c.conn.Close()
	_ = c.db.Close()
}

// rest gives the session back to database/sql's pool and takes it out again.
func (c *client) rest() {
	c.Helper()
	c.conn.Close()
	var err error
	if c.conn, err = c.db.Conn(c.Context()); err != nil {
		c.Fatal(err)
	}
}

// run executes a statement and returns its outcome as text: rows with the types of
// their columns, the number of an error.
func (c *client) run(statement string, args ...any) string {
	text, err := c.try(statement, args...)
	if _, ours := errors.AsType[*failover.Error](err); ours {
		return err.Error()
	}
	if my, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return fmt.Sprintf("error %d", my.Number)
	}
	if err != nil {
		return err.Error()
	}
	return text
}

func (c *client) try(statement string, args ...any) (string, error) {
	statement = c.names.Replace(statement)
	word, _, _ := strings.Cut(strings.ToUpper(strings.TrimLeft(statement, "( ")), " ")
	if !strings.Contains(" SELECT SHOW EXECUTE HANDLER TABLE ", " "+word+" ") {
		_, err := c.conn.ExecContext(c.Context(), statement, args...)
		return "", err
	}
	rows, err := c.conn.QueryContext(c.Context(), statement, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	return textOf(rows)
}

// textOf reads all rows of all results.
func textOf(rows *sql.Rows) (string, error) {
	var b strings.Builder
	for more := true; more; more = rows.NextResultSet() {
		types, err := rows.ColumnTypes()
		if err != nil {
			return "", err
		}
		values := make([]any, len(types))
		for i := range values {
			values[i] = new(sql.NullString)
		}
		for rows.Next() {
			if err := rows.Scan(values...); err != nil {
				return "", err
			}
			for i, v := range values {
				s := v.(*sql.NullString)
				if s.Valid {
					fmt.Fprintf(&b, "%s %s=%q\n", types[i].Name(), types[i].DatabaseTypeName(), s.String)
				} else { // whose type is that of what the variable was before
					fmt.Fprintf(&b, "%s=NULL\n", types[i].Name())
				}
			}
		}
		if err := rows.Err(); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// must executes statements that have to succeed.
func (c *client) must(statements ...string) {
	c.Helper()
	for _, s := range statements {
		if got := c.run(s); strings.HasPrefix(got, "error") || strings.HasPrefix(got, "failoverproxy") {
			c.Fatalf("%s: %s", s, got)
		}
	}
}

// value is the single value that a query answers.
func (c *client) value(query string, args ...any) string {
	c.Helper()
	_, v, found := strings.Cut(strings.TrimSpace(c.run(query, args...)), "=")
	if !found {
		return c.run(query, args...)
	}
	return strings.Trim(v, `"`)
}

// pinStage is our driver with two backends in front of the world's server.
type pinStage struct {
	*world
	c             *Connector
	plain, others []*client // sessions without state, and with marks
}

func (w *world) pinStage(params string) *pinStage {
	w.Helper()
	cfg, err := ParseDSN(w.server.DSN(w.database) + "?fpTopology=static&fpPoolSize=2&" + params)
	if err != nil {
		w.Fatal(err)
	}
	if cfg.BorrowTimeout == NewConfig().BorrowTimeout {
		cfg.BorrowTimeout = 500 * time.Millisecond
	}
	c, err := NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	s := &pinStage{world: w, c: c}
	for range 2 {
		s.plain = append(s.plain, s.session())
		marked := s.session()
		marked.must(marks...)
		s.others = append(s.others, marked)
	}
	if pins := s.pins(); pins != "" {
		s.Fatalf("the marks pin: %s", pins)
	}
	return s
}

// session is a new session in a program's hands.
func (s *pinStage) session() *client {
	s.Helper()
	// A connector without Close: the pinStage's ends with the test.
	return s.client(sql.OpenDB(struct{ driver.Connector }{s.c}))
}

func (s *pinStage) pins() string { return s.c.Stats().Pool.Pins.String() }

// pressure lets others use every backend that is free: first those who must see a clean
// session, then those who leave their marks behind.
func (s *pinStage) pressure() {
	s.Helper()
	in := s.c.Stats().Pool.Instances[0]
	n := in.Size - min(1, in.Pinned+in.InTx)
	for _, group := range []struct {
		clients []*client
		want    string
	}{{s.plain[:n], s.clean}, {s.others[:n], s.marked}} {
		for _, c := range group.clients {
			c.must("BEGIN")
		}
		for _, c := range group.clients {
			c.same("what another session sees", c.run(s.state), group.want)
			c.must("ROLLBACK")
		}
	}
}

// same reports the lines in which two answers differ.
func (w *world) same(what, got, want string) {
	w.Helper()
	if got == want {
		return
	}
	g, e := strings.Split(got, "\n"), strings.Split(want, "\n")
	if len(g) != len(e) {
		w.Errorf("%s: got %s, want %s", what, got, want)
		return
	}
	for i := range g {
		if g[i] != e[i] {
			w.Errorf("%s: got %s, want %s", what, g[i], e[i])
		}
	}
}

// pinCase is what a session does, and what that does to it. Whatever its statements
// answer, the wrapped driver's connection answers, too.
type pinCase struct {
	name  string
	do    string   // statements, with ; between them
	pins  string   // then
	probe string   // a query that sees it, too
	end   string   // statements that end it
	left  string   // pins then
	rests bool     // the pins end when the session comes to rest
	only  string   // server
	setup []string // of the server, before
	drop  string   // and after
}

// check runs a case against the oracle.
func (w *world) check(p pinCase, params, rawParams string) {
	if p.only != "" && p.only != w.server.Flavor.String() {
		return
	}
	w.Run(p.name, func(t *testing.T) {
		w := *w
		w.T = t
		prepare := func() {
			if p.setup != nil || p.drop != "" {
				_ = w.server.Exec(context.Background(), append([]string{"USE " + w.database, "SET lock_wait_timeout = 3"}, split(p.drop)...)...)
				admin := w.raw("")
				admin.must(p.setup...)
				admin.close()
			}
		}
		prepare()
		raw := w.raw(rawParams)
		act := func(c *client, statements string) (outcomes []string) {
			for _, statement := range split(statements) {
				outcomes = append(outcomes, statement+" → "+c.run(statement))
			}
			return append(outcomes, c.run(w.state))
		}
		did, probed, ended := act(raw, p.do), act(raw, p.probe), act(raw, p.end)
		raw.close()

		prepare()
		s := w.pinStage(params + "&" + rawParams)
		c := s.session()
		compare := func(what string, statements string, want []string) {
			t.Helper()
			for i, got := range act(c, statements) {
				w.same(what, got, want[i])
			}
		}
		compare("done", p.do, did)
		w.same("pins", s.pins(), p.pins)
		s.pressure()
		compare("found after the others", p.probe, probed)
		w.same("pins after the others", s.pins(), p.pins)
		c.rest()
		s.pressure()
		compare("found after a rest", p.probe, probed)
		if p.rests {
			p.pins = ""
		}
		w.same("pins after a rest", s.pins(), p.pins)
		compare("at the end", p.end, ended)
		w.same("pins at the end", s.pins(), p.left)
		s.pressure()
		w.same("state at the end", c.run(w.state), ended[len(ended)-1])
		c.close()
		w.same("pins of a closed session", s.pins(), "")
		s.pressure()
		if in := s.c.Stats().Pool.Instances[0]; in.Pinned != 0 || in.InTx != 0 || in.Open > 2 {
			t.Errorf("closing leaves %+v", in)
		}
	})
}

func split(statements string) []string {
	if statements == "" {
		return nil
	}
	return strings.Split(statements, "; ")
}

// TestPins: what cannot be moved binds the session to its backend until it ends.
func TestPins(t *testing.T) {
	const user, variable, lock, temporary, table = "user variable: 1", "session variable: 1", "named lock: 1", "temporary table: 1", "table lock: 1"
	const prepared, handler, xa, routine = "prepared statement: 1", "handler: 1", "XA transaction: 1", "stored routine: 1"
	const next = "next transaction: 1"
	base := []string{"CREATE TABLE a (n INT)", "INSERT INTO a VALUES (1), (2)"}
	eachWorld(t, func(w *world) {
		for _, p := range []pinCase{
			{name: "user variable from an expression", do: "SELECT @x := 1 + 1", pins: user, left: user, end: "SET @x = NULL"},
			{name: "user variable from SELECT INTO", do: "DO 1; SELECT 5 INTO @x", pins: user, left: user},
			{name: "SET of a user variable to an expression", do: "SET @x = 1 + 1", pins: user, left: user},
			{name: "SET of a user variable to another", do: "SET @y = 1; SET @x = @y", pins: user, left: user},
			{name: "user variable with a backslash", do: `SET @x = 'a\nb'`, pins: user, left: user},
			{name: "user variable with a date", do: "SET @x = DATE '2020-01-01'"},
			{name: "insert_id", do: "SET insert_id = 77", pins: variable, left: variable},
			{name: "sql_auto_is_null after an insert", do: "INSERT INTO n VALUES (); SELECT 1; SET sql_auto_is_null = 1", pins: variable, left: variable, end: "SELECT * FROM n WHERE id IS NULL", setup: []string{"CREATE TABLE n (id INT AUTO_INCREMENT PRIMARY KEY)"}, drop: "DROP TABLE IF EXISTS n"},
			{name: "sql_auto_is_null off, where a default collation is the session's own", do: "SET default_collation_for_utf8mb4 = utf8mb4_general_ci; SET sql_auto_is_null = 0", only: "mysql"},
			{name: "rand_seed1", do: "SET rand_seed1 = 5", pins: variable, left: variable},
			{name: "names after a string variable, which would be read anew", do: "SET @x = 'a', NAMES latin1"},

			{name: "temporary table", do: "CREATE TEMPORARY TABLE t (n INT); INSERT INTO t VALUES (5)", pins: temporary, probe: "SELECT * FROM t", end: "DROP TABLE t"},
			{name: "temporary table, DROP TEMPORARY", do: "CREATE TEMPORARY TABLE IF NOT EXISTS `t` (n INT)", pins: temporary, probe: "SELECT * FROM t", end: "DROP TEMPORARY TABLE IF EXISTS t"},
			{name: "temporary table of another schema", do: "USE mysql; CREATE TEMPORARY TABLE {db}.t AS SELECT 3 AS n", pins: temporary, probe: "SELECT * FROM {db}.t", end: "USE {db}; DROP TABLE t"},
			{name: "temporary table by a qualified name", do: "CREATE TEMPORARY TABLE t LIKE a", pins: temporary, probe: "SELECT * FROM t", end: "DROP TABLE {db}.t", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "two temporary tables", do: "CREATE TEMPORARY TABLE t (n INT); CREATE TEMPORARY TABLE u (n INT)", pins: temporary, end: "DROP TABLE t", left: temporary, probe: "SELECT * FROM t, u"},
			{name: "two temporary tables dropped", do: "CREATE TEMPORARY TABLE t (n INT); CREATE TEMPORARY TABLE u (n INT)", pins: temporary, end: "DROP TABLE IF EXISTS u, nosuch, t"},
			{name: "temporary table that shadows a base table", do: "CREATE TEMPORARY TABLE a (m INT)", pins: temporary, probe: "SELECT * FROM a", end: "DROP TABLE a; SELECT * FROM a", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "temporary table, another is dropped", do: "CREATE TEMPORARY TABLE t (n INT)", pins: temporary, end: "DROP TABLE IF EXISTS a; SELECT * FROM t", left: temporary, drop: "DROP TABLE IF EXISTS a"},
			{name: "temporary table, DROP fails half-way", do: "CREATE TEMPORARY TABLE t (n INT)", pins: temporary, end: "DROP TABLE nosuch, u", left: temporary},
			{name: "temporary table renamed", do: "CREATE TEMPORARY TABLE t (n INT); ALTER TABLE t RENAME TO u", pins: temporary, probe: "SELECT * FROM u", end: "DROP TABLE u", left: temporary},
			{name: "temporary table that exists already", do: "CREATE TEMPORARY TABLE t (n INT); CREATE TEMPORARY TABLE t (n INT); CREATE TEMPORARY TABLE IF NOT EXISTS t (n INT)", pins: temporary, end: "DROP TABLE t"},
			{name: "temporary table from a query that exists already", do: "CREATE TEMPORARY TABLE t (n INT); CREATE TEMPORARY TABLE t AS SELECT 1 AS n", pins: temporary, end: "DROP TABLE t"},
			{name: "temporary table that cannot be made", do: "CREATE TEMPORARY TABLE t (n NONSENSE)"},
			{name: "temporary table in a transaction", do: "BEGIN; CREATE TEMPORARY TABLE t (n INT); COMMIT", pins: temporary, end: "DROP TEMPORARY TABLE t"},

			{name: "LOCK TABLES", do: "LOCK TABLES a READ", pins: table, probe: "SELECT * FROM a; INSERT INTO a VALUES (1)", end: "UNLOCK TABLES", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "LOCK TABLES that fails", do: "LOCK TABLES nosuch WRITE", left: ""},
			{name: "FLUSH TABLES WITH READ LOCK", do: "FLUSH TABLES WITH READ LOCK", pins: table, probe: "CREATE TABLE b (n INT)", end: "UNLOCK TABLES"},
			{name: "FLUSH TABLES FOR EXPORT", do: "FLUSH TABLES a FOR EXPORT", pins: table, end: "UNLOCK TABLES", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "LOCK INSTANCE", do: "LOCK INSTANCE FOR BACKUP", pins: table, end: "UNLOCK INSTANCE", only: "mysql"},
			{name: "LOCK INSTANCE and TABLES", do: "LOCK INSTANCE FOR BACKUP; LOCK TABLES a READ", pins: table, end: "UNLOCK TABLES", left: table, only: "mysql", setup: base, drop: "DROP TABLE IF EXISTS a, b"},

			{name: "named lock", do: "SELECT GET_LOCK('Ab', 1)", pins: lock, probe: "SELECT IS_FREE_LOCK('Ab')", end: "SELECT RELEASE_LOCK('Ab')"},
			{name: "named lock, twice", do: "SELECT GET_LOCK('l', 1); DO GET_LOCK('l', 1); DO RELEASE_LOCK('l')", pins: lock, probe: "SELECT IS_FREE_LOCK('l')", end: "DO RELEASE_LOCK('l')"},
			{name: "two named locks", do: "SELECT GET_LOCK('l', 1), GET_LOCK('m', 1); SELECT RELEASE_LOCK('l')", pins: lock, probe: "SELECT IS_FREE_LOCK('m')", end: "SELECT RELEASE_LOCK('m')"},
			{name: "all named locks", do: "SELECT GET_LOCK('l', 1); SELECT GET_LOCK('l', 1); SELECT GET_LOCK(CONCAT('m', 'n'), 1)", pins: lock, end: "SELECT RELEASE_ALL_LOCKS()"},
			{name: "another named lock is released", do: "SELECT GET_LOCK('l', 1); SELECT RELEASE_LOCK('m')", pins: lock, probe: "SELECT IS_FREE_LOCK('l')", end: "SELECT RELEASE_LOCK('l')"},
			{name: "named lock, asked as a string", do: "SELECT IF(GET_LOCK('l', 1), 'mine', 'busy')", pins: lock, probe: "SELECT IS_FREE_LOCK('l')", end: "SELECT RELEASE_LOCK('l')"},
			{name: "named lock, asked for its opposite", do: "SELECT GET_LOCK('l', 1) = 0", pins: lock, probe: "SELECT IS_FREE_LOCK('l')", end: "SELECT RELEASE_LOCK('l')"},
			{name: "named lock, asked with a cast", do: "SELECT CAST(GET_LOCK('l', 1) AS CHAR)", pins: lock, probe: "SELECT IS_FREE_LOCK('l')", end: "SELECT RELEASE_LOCK('l')"},
			{name: "named lock in a condition", do: "SELECT COUNT(*) FROM a WHERE GET_LOCK('l', 1) = 1", pins: lock, probe: "SELECT IS_FREE_LOCK('l')", end: "SELECT RELEASE_ALL_LOCKS()", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "named locks in rows, the last refused", do: "SELECT GET_LOCK('l', 1) UNION ALL SELECT GET_LOCK(NULL, 1)", pins: lock, probe: "SELECT IS_FREE_LOCK('l')", end: "SELECT RELEASE_ALL_LOCKS()", only: "mariadb"},
			{name: "named lock in SET", do: "SET @x = GET_LOCK('l', 1)", pins: user + ", " + lock, probe: "SELECT IS_FREE_LOCK('l')", left: user, end: "DO RELEASE_LOCK('l')"},

			{name: "SET TRANSACTION before a read of a table", do: "SET TRANSACTION READ ONLY; SELECT * FROM a", end: "INSERT INTO a VALUES (9)", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "SET TRANSACTION before a read of no table", do: "SET TRANSACTION READ ONLY; SELECT 1", end: "BEGIN; INSERT INTO a VALUES (9); COMMIT; INSERT INTO a VALUES (10)", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "SET TRANSACTION before a read of what is no table", do: "SET TRANSACTION READ ONLY; SELECT * FROM (SELECT 1 AS n UNION SELECT 2) AS x", pins: next, end: "BEGIN; COMMIT"},
			{name: "SET TRANSACTION before a write", do: "SET TRANSACTION READ ONLY; INSERT INTO a VALUES (9)", pins: next, end: "INSERT INTO a VALUES (10); BEGIN; COMMIT", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "SET of the next transaction's variable", do: "SET @@{isolation} = 'SERIALIZABLE'; DELETE FROM a WHERE n = 1; SELECT * FROM a", end: "ROLLBACK", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "procedure that asks for a READ ONLY transaction", do: "CALL asks_for_it()", pins: next, end: "BEGIN; INSERT INTO a VALUES (9); COMMIT; INSERT INTO a VALUES (10)", setup: append(base[:2:2], "CREATE PROCEDURE asks_for_it() SET TRANSACTION READ ONLY"), drop: "DROP PROCEDURE IF EXISTS asks_for_it; DROP TABLE IF EXISTS a, b"},

			{name: "text PREPARE", do: "PREPARE P FROM 'SELECT 1'", pins: prepared, probe: "EXECUTE p", end: "DEALLOCATE PREPARE p"},
			{name: "two of PREPARE", do: "PREPARE p FROM 'SELECT 1'; PREPARE q FROM 'SELECT 2'", pins: prepared, probe: "EXECUTE q", end: "DROP PREPARE p", left: prepared},
			{name: "PREPARE of a text that cannot be seen", do: "SET @x = 'SELECT 1'; PREPARE p FROM @x", pins: prepared, end: "DEALLOCATE PREPARE p", left: prepared},
			{name: "PREPARE that fails", do: "PREPARE p FROM 'NONSENSE'", end: "EXECUTE p"},
			{name: "EXECUTE of a SET", do: "PREPARE p FROM 'SET @x = 3'; EXECUTE p", pins: "stored routine: 1, prepared statement: 1", end: "DEALLOCATE PREPARE p", left: routine},
			{name: "EXECUTE of a temporary table", do: "PREPARE p FROM 'CREATE TEMPORARY TABLE t (n INT)'; EXECUTE p; DEALLOCATE PREPARE p", pins: routine, probe: "SELECT * FROM t", left: routine},
			{name: "EXECUTE IMMEDIATE", do: "EXECUTE IMMEDIATE 'SET @x = 3'", pins: "unknown effects: 1", left: "unknown effects: 1", only: "mariadb"},

			{name: "HANDLER", do: "HANDLER a OPEN", pins: handler, probe: "HANDLER a READ FIRST", end: "HANDLER a CLOSE", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "HANDLER with alias", do: "HANDLER {db}.a OPEN AS h; HANDLER a OPEN", pins: handler, probe: "HANDLER h READ FIRST", end: "HANDLER a CLOSE; HANDLER h CLOSE", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "HANDLER that a DROP has closed", do: "HANDLER a OPEN AS h; DROP TEMPORARY TABLE IF EXISTS a", pins: handler, end: "HANDLER h CLOSE", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "HANDLER by a qualified name", do: "HANDLER {db}.a OPEN", pins: handler, probe: "HANDLER a READ FIRST", end: "HANDLER a CLOSE", setup: base, drop: "DROP TABLE IF EXISTS a, b"},

			{name: "XA, one phase", do: "XA START 'a'; INSERT INTO a VALUES (7)", pins: xa, probe: "SELECT * FROM a", end: "XA END 'a'; XA COMMIT 'a' ONE PHASE", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "XA, rolled back", do: "XA BEGIN 'a', 'b', 1; INSERT INTO a VALUES (7); XA END 'a','b',1; XA PREPARE 'a', 'b', 1", pins: xa, end: "XA ROLLBACK 'a', 'b', 1", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
			{name: "XA, id in another spelling", do: "XA START 'a'; XA END 'a'", pins: xa, end: "XA ROLLBACK X'61'"},

			{name: "procedure that sets a variable", do: "CALL p()", pins: routine, left: routine, setup: []string{"CREATE PROCEDURE p() SET SESSION sort_buffer_size = 300000"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "procedure that sets a user variable", do: "CALL p()", pins: routine, left: routine, setup: []string{"CREATE PROCEDURE p() SET @x = 5"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "procedure that selects and then sets", do: "SET @y = 1; CALL p()", pins: routine, left: routine, setup: []string{"CREATE PROCEDURE p() BEGIN SELECT 1; SET @x = 5; SELECT 2; END"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "procedure that makes a temporary table", do: "CALL p()", pins: routine, probe: "SELECT * FROM t", left: routine, setup: []string{"CREATE PROCEDURE p() CREATE TEMPORARY TABLE t (n INT)"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "procedure that sets a variable and fails", do: "CALL p()", pins: routine, left: routine, setup: []string{"CREATE PROCEDURE p() BEGIN SET time_zone = '+01:00'; SIGNAL SQLSTATE '45000'; END"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "procedure that sets a variable and fails without autocommit, before what servers report, too", do: "SET autocommit = 0; CALL p(); CREATE TABLE made (n INT); SET autocommit = 1", pins: routine, left: routine, setup: []string{"CREATE PROCEDURE p() BEGIN SET time_zone = '+01:00'; SIGNAL SQLSTATE '45000'; END"}, drop: "DROP PROCEDURE IF EXISTS p; DROP TABLE IF EXISTS made"},
			{name: "procedure with an OUT parameter", do: "CALL p(@x)", pins: user, left: user, setup: []string{"CREATE PROCEDURE p(OUT n INT) SET n = 5"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "procedure that takes a lock", do: "CALL p()", pins: lock, probe: "SELECT IS_FREE_LOCK('l')", end: "SELECT RELEASE_ALL_LOCKS()", setup: []string{"CREATE PROCEDURE p() DO GET_LOCK('l', 1)"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "procedures called by a session that reads one row of a result", do: "SET sql_select_limit = 1; CALL p(); CALL q()", pins: next + ", " + lock, end: "DO RELEASE_ALL_LOCKS(); COMMIT", setup: []string{"CREATE PROCEDURE p() DO GET_LOCK('l', 1)", "CREATE PROCEDURE q() SET TRANSACTION READ ONLY"}, drop: "DROP PROCEDURE IF EXISTS p; DROP PROCEDURE IF EXISTS q"},
			{name: "harmless procedure", do: "CALL p()", setup: []string{"CREATE PROCEDURE p() DO 1"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "harmless procedure after a write", do: "SELECT 1; INSERT INTO a VALUES (5); CALL p()", setup: []string{"CREATE TABLE IF NOT EXISTS a (n INT)", "CREATE PROCEDURE p() DELETE FROM a"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "procedure with a result, its rows passed by", do: "CALL p()", pins: routine, left: routine, setup: []string{"CREATE PROCEDURE p() SELECT 1"}, drop: "DROP PROCEDURE IF EXISTS p"},
			{name: "harmless function after a read", do: "SELECT 1; SELECT f()", setup: []string{"CREATE FUNCTION f() RETURNS INT NO SQL RETURN 1"}, drop: "DROP FUNCTION IF EXISTS f"},
			{name: "function that sets a user variable", do: "SELECT f()", pins: routine, left: routine, setup: []string{"CREATE FUNCTION f() RETURNS INT NO SQL BEGIN SET @x = 5; RETURN 1; END"}, drop: "DROP FUNCTION IF EXISTS f"},
			{name: "harmless function", do: "SELECT f()", setup: []string{"CREATE FUNCTION f() RETURNS INT NO SQL RETURN 1"}, drop: "DROP FUNCTION IF EXISTS f"},
			{name: "trigger that sets a user variable", do: "INSERT INTO a VALUES (3)", pins: routine, left: routine, setup: append(base[:1:1], "CREATE TRIGGER g BEFORE INSERT ON a FOR EACH ROW SET @x = 5"), drop: "DROP TABLE IF EXISTS a, b"},

			{name: "harmless error after a SET", do: "SET time_zone = '+01:00'; SELECT * FROM nosuch"},
			{name: "harmless error first", do: "SELECT * FROM nosuch; INSERT INTO nosuch VALUES (1)"},
			{name: "plain statements", do: "INSERT INTO a VALUES (3); SELECT * FROM a; DELETE FROM a; CREATE TABLE b (n INT); DROP TABLE b; TRUNCATE a; BEGIN; COMMIT; NONSENSE; SHOW TABLES", setup: base, drop: "DROP TABLE IF EXISTS a, b"},
		} {
			w.check(p, "", "")
		}
	})
}

// TestPinnedSessionOutlivesDB closes a pinned session just as the pool gives up waiting for it. With
// the race detector, 50 times are enough.
func TestPinnedSessionOutlivesDB(t *testing.T) {
	for range 50 {
		bubble(t, "", func(r *rig) {
			c, err := r.db.Conn(r.Context())
			r.must(err)
			r.must(r.exec(c, "CREATE TEMPORARY TABLE x (n INT)"))
			r.must(r.db.Close())
			_ = c.Close()
		})
	}
}
