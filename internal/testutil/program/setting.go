package program

import (
	"slices"
	"strings"
)

var settingOperations = []operation{
	{kind: KindVariable, weight: 110, emit: (*generator).variable},
	{kind: KindNames, weight: 25, emit: (*generator).names},
	{kind: KindIsolation, weight: 14, emit: (*generator).isolation},
	{kind: KindInvalid, weight: 8, emit: (*generator).invalid},
	{kind: KindExpression, weight: 5, emit: (*generator).expression},
	{kind: KindUser, weight: 40, emit: (*generator).user},
	{kind: KindAssign, weight: 5, emit: (*generator).assign},
	{kind: KindUse, weight: 45, emit: (*generator).use},
	{kind: KindDropped, weight: 1, emit: (*generator).dropped},
	{kind: KindProbe, weight: 130, emit: (*generator).probe},
	{kind: KindEffect, weight: 80, emit: (*generator).effect},
	{kind: KindSeed, weight: 3, emit: (*generator).seed},
	{kind: KindRole, weight: 2, emit: (*generator).role},
	{kind: KindTrap, weight: 5, emit: (*generator).trap},
}

// target is a variable's name as it may stand after SET.
func (g *generator) target(name string) string {
	switch g.IntN(12) {
	case 0:
		name = strings.ToUpper(name)
	case 1:
		name = "`" + name + "`"
	}
	return among(g, "", "", "", "", "SESSION ", "LOCAL ", "@@", "@@session.", "@@local.", "session ", "@@SESSION.") + name
}

func (g *generator) assignment(s *session) string {
	all := g.variables()
	if g.one(2) {
		all = all[:telling]
	}
	v := among(g, all...)
	g.touch(s, v.name)
	value := among(g, v.values...)
	if g.one(9) {
		value = "DEFAULT"
	}
	return g.target(v.name) + among(g, " = ", " = ", "=", " := ") + value
}

// touch remembers that variables were set, so that they are read: by the session, which
// must find them so, and by others, which must not.
func (g *generator) touch(s *session, names ...string) {
	s.touched = append(s.touched, names...)
	g.touched = append(g.touched, names...)
	g.touched = g.touched[max(0, len(g.touched)-12):]
}

// variable sets one variable, or several in a list.
func (g *generator) variable(s *session) {
	before := len(s.touched)
	list, user := []string{g.assignment(s)}, false
	for g.one(4) {
		if g.one(4) {
			user = true
			list = append(list, "@"+among(g, userVariables...)+" = "+g.literal())
		} else {
			list = append(list, g.assignment(s))
		}
	}
	text := "SET " + strings.Join(list, among(g, ", ", ",", " , "))
	if user && strings.Contains(text, "DEFAULT") {
		g.exec(s, text, heldWithoutEnd) // if it fails, nobody knows what was set before
	} else {
		g.exec(s, text)
	}
	if g.one(2) {
		return // read by accident, or because it was touched
	}
	for range 1 + g.IntN(3) {
		g.kind = KindRead
		g.read(g.sessions[g.IntN(len(g.sessions))])
	}
	g.kind = KindProbe
	g.show(s, s.touched[before:])
}

func (g *generator) names(s *session) {
	g.touch(s, "character_set_client", "character_set_connection", "character_set_results", "collation_connection")
	g.exec(s, among(
		g, "SET NAMES utf8mb4", "SET NAMES latin1", "SET NAMES 'latin1' COLLATE 'latin1_german2_ci'", "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
		"set names 'utf8mb4' collate utf8mb4_unicode_ci", "SET NAMES DEFAULT", "SET NAMES binary", "SET CHARACTER SET latin1", "SET CHARSET utf8mb4",
		"SET CHARACTER SET DEFAULT", "SET NAMES utf8mb4, @u2 = 'x'", "SET sql_notes = 1, NAMES latin1", "SET NAMES ascii", "SET CHARACTER SET 'binary'",
	))
}

func (g *generator) isolation(s *session) {
	level := among(g, "READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
	s.serializable = s.serializable || level == "SERIALIZABLE"
	name, access := "transaction_isolation", "transaction_read_only"
	if g.mariadb {
		name, access = "tx_isolation", "tx_read_only"
	}
	g.touch(s, name, access)
	dashed := strings.ReplaceAll(level, " ", "-")
	g.exec(s, among(
		g, "SET SESSION TRANSACTION ISOLATION LEVEL "+level, "SET LOCAL TRANSACTION ISOLATION LEVEL "+level, "SET SESSION TRANSACTION READ ONLY",
		"SET SESSION TRANSACTION READ WRITE", "SET SESSION TRANSACTION ISOLATION LEVEL "+level+", READ WRITE", "SET "+g.sessionWide(name)+" = '"+dashed+"'",
		"SET "+g.sessionWide(name)+" = DEFAULT", "SET "+g.sessionWide(access)+" = ON", "SET "+g.sessionWide(access)+" = 0", "set session transaction read write, isolation level "+level,
	))
}

// sessionWide is the name of a variable that would mean the next transaction only if it
// came after a bare @@.
func (g *generator) sessionWide(name string) string {
	return among(g, "", "SESSION ", "@@session.", "LOCAL ", "@@local.") + name
}

// invalid are SETs that fail. What those that fail half-way have done is the server's
// secret, so they may bind the session.
func (g *generator) invalid(s *session) {
	if g.one(3) {
		g.exec(s, g.sprintf("SET %s, %s", g.assignment(s), among(
			g, "sql_mode = 'NO_SUCH_MODE'", "no_such_variable = 1", "time_zone = 'Mars/Phobos'", "NAMES nothing", "sort_buffer_size = 'abc'", "@u1 = no_such_column", "max_allowed_packet = 5000",
		)), heldWithoutEnd)
		return
	}
	g.exec(s, among(
		g, "SET no_such_variable = 1", "SET sql_mode = 'NO_SUCH_MODE'", "SET time_zone = 'Mars/Phobos'", "SET NAMES nothing", "SET NAMES latin1 COLLATE utf8mb4_bin",
		"SET sort_buffer_size = 'abc'", "SET max_allowed_packet = 5000", "SET SESSION version = '1'", "SET sql_mode = NULL", "SET SESSION max_connections = 5",
		"SET lc_time_names = 'xx_XX'", "SET character_set_client = utf16", "SET sql_notes = 'maybe'", "SET", "SET x", "SET SESSION TRANSACTION ISOLATION LEVEL NONE", "SET CHARACTER SET nothing",
		"SET sql_safe_updates = 7", "SET div_precision_increment = 1e3", "SET default_storage_engine = 'nothing'", "SET autocommit = 5", "SET @@session.sql_mode = 99999999999999999",
	), heldWithoutEnd)
}

func (g *generator) expression(s *session) {
	g.exec(s, "SET "+among(
		g, "sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')", "sort_buffer_size = @@sort_buffer_size * 2", "div_precision_increment = 3 + 4", "sql_mode = @@global.sql_mode",
		"time_zone = @@session.time_zone", "group_concat_max_len = (SELECT 5)", "@u1 = 1 + 2", "@u2 = CONCAT('a', @u1)", "@u3 = @@sql_mode", "@u1 = (SELECT MAX(v) >= 0 FROM "+g.a+".board WHERE id = 15)",
		"@u1 = @u1 + 1", "lc_time_names = CONCAT('de', '_DE')", "@u4 = DATABASE()", "sql_notes = NOT @@sql_notes", "@u1 = 1, @u2 = @u1 + 1",
		"@old_mode = @@sql_mode, sql_mode = 'ANSI_QUOTES'", "sql_mode = @old_mode", "default_week_format = LENGTH('abc')", "@u3 = -(-3)", "optimizer_switch = CONCAT('mrr', '=off')",
	), heldWithoutEnd)
}

var userVariables = []string{"u1", "u2", "u3", "u4", "U1", "`u2`", "'u3'"}

func (g *generator) literal() string {
	return among(
		g, "1", "-7", "0", "NULL", "'text'", "'it''s'", "'a\\\\b'", "1.50", "1e3", "0x41", "x'42'", "b'101'", "TRUE", "'é'", "_latin1'x'", "N'n'", "''",
		"DATE '2024-01-02'", "18446744073709551615", "'-- no comment'", "'semi;colon'", "0.10", "'?'", "+5", "false", "'x' COLLATE utf8mb4_bin", "\"double\"", "TIMESTAMP'2024-01-02 03:04:05'",
	)
}

func (g *generator) user(s *session) {
	if g.one(2) {
		g.query(s, among(
			g, "SELECT @u1, @u2, @u3, @u4", "SELECT @u1, IF(@u1 IS NULL, '', CHARSET(@u1)), IF(@u1 IS NULL, '', COLLATION(@u1))", "SELECT @`u2`, HEX(@u2), @'u3'", "SELECT @U1 + 1, @u4 IS NULL",
			"SELECT @old_mode, @u3", "SELECT LENGTH(@u1), HEX(@u4), IF(@u4 IS NULL, '', COLLATION(@u4))",
		))
		return
	}
	var list []string
	for len(list) == 0 || g.one(4) {
		list = append(list, "@"+among(g, userVariables...)+among(g, " = ", "=", " := ")+g.literal())
	}
	g.exec(s, "SET "+strings.Join(list, ", "))
}

// assign sets user variables where SET does not show.
func (g *generator) assign(s *session) {
	g.query(s, among(
		g, "SELECT @u1 := 5", "SELECT @u2 := COALESCE(@u2, 0) + 1.5e0", "SELECT 8, 'x' INTO @u3, @u4", "SELECT 9 INTO @u1", "SELECT v FROM "+g.a+".board WHERE id = 15 INTO @u1",
		"SELECT 1 WHERE (@u1 := 3) > 5", g.sprintf("UPDATE %s SET n = (@u2 := n) LIMIT 1", g.table(s)), "DO @u3 := 'done'", "SHOW VARIABLES WHERE Variable_name = 'autocommit' AND (@u4 := 4)",
		"SELECT @`u2`:='q'", "SELECT 1 UNION SELECT 2 LIMIT 1 INTO @u1",
	), heldWithoutEnd)
}

func (g *generator) use(s *session) {
	text := "USE " + among(g, g.a, g.a, g.b, g.b, g.c, "`"+g.b+"`")
	if g.one(20) {
		text = "USE no_such_database"
	}
	if g.one(6) {
		text = strings.Replace(text, "USE", "use", 1)
	}
	g.exec(s, text)
	if g.one(4) {
		g.query(s, "SELECT DATABASE()")
	}
}

// dropped drops the session's current database.
func (g *generator) dropped(s *session) {
	if len(s.handles) > 0 {
		return // what was prepared there could not be prepared anywhere else
	}
	name := g.sprintf("%s%d_%d", databaseName(g.program.Seed, "d"), s.id, s.generation)
	g.exec(s, "CREATE DATABASE IF NOT EXISTS "+name)
	g.exec(s, "USE "+name)
	other := among(g, g.sessions...)
	g.read(other)
	g.exec(s, "DROP DATABASE "+name, "schema")
	g.query(s, "SELECT DATABASE()")
	g.read(other)
	g.query(s, "SELECT DATABASE(), 1")
}

// probe reads variables: a leak from one session to another shows here.
func (g *generator) probe(s *session) {
	var names []string
	for range 2 + g.IntN(6) {
		switch from := g.IntN(12); {
		case from < 6 && len(s.touched) > 0:
			names = append(names, among(g, s.touched...))
		case from < 9 && len(g.touched) > 0:
			names = append(names, among(g, g.touched...))
		case from == 9:
			names = append(names, among(g, probed...))
		default:
			names = append(names, among(g, g.variables()...).name)
		}
	}
	g.show(s, names)
}

// show reads the variables of these names.
func (g *generator) show(s *session, names []string) {
	names = slices.Clone(names)
	for i, name := range names {
		if name == "timestamp" {
			names[i] = "time_zone" // goes on by itself, see effects
		}
	}
	switch g.IntN(4) {
	case 0:
		g.query(s, g.sprintf("SHOW %sVARIABLES LIKE '%s'", among(g, "", "SESSION ", "LOCAL "), names[0]))
	case 1:
		g.query(s, "SHOW VARIABLES WHERE Variable_name IN ('"+strings.Join(names, "', '")+"')")
	default:
		g.query(s, "SELECT @@"+strings.Join(names, ", "+among(g, "@@", "@@session.", "@@local.")))
	}
}

func (g *generator) effect(s *session) {
	if g.one(5) {
		g.emit(s, Step{Act: ActQuery, Text: among(g, argumentEffects...), Args: []any{among[any](g, 7, "arg", nil, 2.5)}})
		return
	}
	g.query(s, among(g, effects...))
}

// argumentEffects are effects that a prepared statement keeps from when it was prepared.
var argumentEffects = []string{
	`SELECT "shade", ?`, `SELECT 'a\\b', ?`, `SELECT 1 || ?`, `SELECT COLLATION('x'), ?`, `SELECT DATABASE(), ?`, `SELECT 1/3, ?`, `SELECT HEX('é'), ?`,
	`SELECT COLLATION(?)`, `SELECT @u1, ?`,
}

// seed uses variables up that a statement changes by itself.
func (g *generator) seed(s *session) {
	g.grouped(func() {
		if g.one(2) {
			g.exec(s, g.sprintf("SET rand_seed1 = %d, rand_seed2 = %d", g.IntN(1e6), g.IntN(1e6)), heldWithoutEnd)
			g.emit(s, Step{Act: ActQuery, Text: "SELECT RAND()"})
			g.read(among(g, g.sessions...))
			g.emit(s, Step{Act: ActQuery, Text: "SELECT RAND(), RAND()"})
			return
		}
		name := among(g, "insert_id", "last_insert_id", "identity", "@@session.insert_id")
		g.exec(s, g.sprintf("SET %s = %d", name, 1000+g.IntN(1e6)), heldWithoutEnd)
		if g.one(2) {
			g.read(among(g, g.sessions...))
		}
		// Not with ON DUPLICATE KEY UPDATE: InnoDB forgets numbers that were given and not used.
		insert, table, k := "INSERT", g.table(s), g.IntN(50)
		if strings.HasSuffix(name, "insert_id") && name != "last_insert_id" {
			// Not into a table that gives numbers itself: what InnoDB counts on with after a number
			// that it did not give is the auto_increment_increment of whoever used the open table last.
			insert, table = "REPLACE", g.sprintf("%s.t%d", g.a, 100+s.id)
		}
		g.exec(s, g.sprintf("%s INTO %s (k) VALUES (%d)", insert, table, k))
		g.emit(s, Step{Kind: KindQuestion, Act: ActQuery, Text: "SELECT LAST_INSERT_ID()", Asks: AsksID})
	})
}

func (g *generator) role(s *session) {
	role := g.sprintf("role_%d", g.program.Seed)
	g.exec(s, among(g, "SET ROLE "+role, "SET ROLE NONE", "SET ROLE no_such_role"), heldWithoutEnd)
	g.query(s, "SELECT CURRENT_ROLE()")
}

// trap are texts that mean one thing to a careless reader and another to the server, or
// that do what their first word does not say.
func (g *generator) trap(s *session) {
	g.exec(s, among(
		g, `SELECT '\'; SET @u1 = 77; -- '`, `SELECT "a"; SET sql_notes = 0; -- "`, "SELECT 1 /*! + 1 */ /*!40101 , @u1 := 3 */", "SELECT /* ' */ 1 -- '\n + 1", "SET @u1 = 'a' -- ', @u2 = 5\n, @u2 = 6",
		"SELECT 1 # '\n, 2", "SET @a`b` = 1", "/*!999999 SET sql_notes = 0 */", "SELECT 'SET NAMES latin1'", "SELECT '' 'joined' AS `a;b`", "(SELECT 1)", "SELECT 1--1", "SET @u1 = /* 5 */ 6",
		"SELECT $$1$$", "EXPLAIN SELECT 1", "DESCRIBE "+g.a+".shade", "TABLE "+g.a+".shade", "VALUES ROW(1, 2)", "VALUES (1, 2)", "WITH x AS (SELECT 1 AS a) SELECT * FROM x", "",
		"SET STATEMENT sql_mode = '' FOR SELECT @@sql_mode", "SELECT /*+ SET_VAR(sort_buffer_size = 300000) */ @@sort_buffer_size", "SET STATEMENT div_precision_increment = 9 FOR SET @u1 = 1/3",
		"BEGIN NOT ATOMIC SET @u1 = 12; END", "EXECUTE IMMEDIATE 'SET @u2 = 13'", "DO SLEEP(0)", "SELECT BENCHMARK(1, @u3 := 4)", "IF 1 THEN SET @u4 = 4; END IF", "SET @u1 = 1; SET @u2 = 2",
	), heldWithoutEnd)
}
