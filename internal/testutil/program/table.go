package program

var tableOperations = []operation{
	{kind: KindRead, weight: 70, emit: (*generator).read},
	{kind: KindBoard, weight: 90, emit: (*generator).board},
	{kind: KindInsert, weight: 60, emit: (*generator).insert},
	{kind: KindWrite, weight: 40, emit: (*generator).write},
	{kind: KindError, weight: 25, emit: (*generator).fail},
	{kind: KindTemporary, weight: 30, emit: (*generator).temporary},
	{kind: KindDDL, weight: 8, emit: (*generator).ddl},
	{kind: KindSequence, weight: 2, mariadb: true, emit: (*generator).sequence},
}

func (g *generator) read(s *session) {
	t := g.table(s)
	g.query(s, among(
		g, "SELECT * FROM "+t+" ORDER BY id LIMIT 5", "SELECT COUNT(*), MAX(id) FROM "+t, "SELECT k, v FROM "+t+" WHERE k < 20 ORDER BY k", "SELECT SQL_CALC_FOUND_ROWS id FROM "+t+" ORDER BY id LIMIT 2",
		"SELECT v FROM "+t+" WHERE k = 1 FOR UPDATE", "SELECT n FROM "+t+" ORDER BY id DESC LIMIT 1 LOCK IN SHARE MODE", "SELECT * FROM tmp1", "SELECT a FROM tmp2 ORDER BY a LIMIT 4",
		"SELECT w FROM "+g.a+".shade", "SELECT 1",
	))
}

// board shows the isolation of transactions: each session writes a row of its own there
// and reads those of others, where its reads do not lock.
func (g *generator) board(s *session) {
	if s.serializable || g.one(2) {
		g.exec(s, g.sprintf("UPDATE %s.board SET v = v + 1 WHERE id = %d", g.a, s.id))
		return
	}
	other := g.sessions[g.IntN(len(g.sessions))].id
	if g.one(3) {
		g.emit(s, Step{Act: ActQuery, Text: "SELECT v FROM " + g.a + ".board WHERE id = ?", Args: []any{other}})
		return
	}
	g.query(s, g.sprintf("SELECT v FROM %s.board WHERE id = %d", g.a, other))
}

func (g *generator) insert(s *session) {
	t, k := g.table(s), g.IntN(50)
	if g.one(3) {
		g.emit(s, Step{Kind: KindInsert, Act: ActExec, Text: "INSERT INTO " + t + " (k, v) VALUES (?, ?)", Args: []any{k, among[any](g, "arg", nil, "too long a text")}})
		return
	}
	if g.one(12) {
		g.emit(s, Step{Kind: KindInsert, Act: ActExec, Text: g.sprintf("INSERT INTO %s (k) VALUES (%d)", t, k)})
		g.emit(s, Step{Kind: KindQuestion, Act: ActQuery, Text: g.sprintf("SELECT LAST_INSERT_ID(), %d", k), Asks: AsksID})
		return
	}
	step := Step{Kind: KindInsert, Act: ActExec, Text: g.sprintf(among(
		g, "INSERT INTO %s (k) VALUES (%d)", "INSERT INTO %s (k, v) VALUES (%d, 'new')", "INSERT INTO %s (k, v) VALUES (%d, 'much too long')", "REPLACE INTO %s (k, v) VALUES (%d, 'repl')",
		"INSERT IGNORE INTO %s (k, n) VALUES (%d, 999)", "INSERT INTO %s (k, v) VALUES (%d, 'a'), (1000, 'b') ON DUPLICATE KEY UPDATE n = n + 1", "INSERT INTO %s (k, d) VALUES (%d, '2024-02-31')",
		"INSERT INTO %s (k, n) VALUES (%d, 1/0)", "INSERT INTO %s (k, id) VALUES (%d, 0)", "INSERT INTO %s SET k = %d, v = @u1",
	), t, k)}
	if g.mariadb && g.one(12) {
		step.Act, step.Text = ActQuery, g.sprintf("INSERT INTO %s (k) VALUES (%d) RETURNING id, k", t, k)
	}
	g.emit(s, step)
}

// consequence is a statement and, right after it, one that keeps what it left behind: no
// error is excused there, for the session would go on with another state.
func (g *generator) consequence(s *session, first Step, second string, takes ...string) {
	if len(takes) > 0 && len(g.holds[s.id]) == 0 {
		g.makeRoom(s)
	}
	g.grouped(func() {
		g.emit(s, first)
		g.emit(s, Step{Act: ActExec, Text: second, Takes: takes})
	})
}

// write updates and deletes. It never updates an insert id: the next one is then sometimes
// what follows, and sometimes not (MySQL 9.7).
func (g *generator) write(s *session) {
	t := g.table(s)
	g.exec(s, among(
		g, "UPDATE "+t+" SET n = n + 1 WHERE k = 1", "UPDATE "+t+" SET v = 'upd' ORDER BY id LIMIT 2", "DELETE FROM "+t+" ORDER BY id LIMIT 3", "DELETE FROM "+t+" WHERE k > 30",
		"UPDATE "+t+" SET n = n / 0 WHERE k < 3", "UPDATE "+t+" SET n = LAST_INSERT_ID(n + 100) - 100 ORDER BY id DESC LIMIT 1", "UPDATE "+t+" SET v = 'all'", "DELETE FROM "+t+" WHERE k = 1",
		"INSERT INTO tmp1 VALUES (1), (2)", "INSERT INTO tmp1 SET a = 3", "DELETE FROM tmp1", "UPDATE tmp2 SET a = a + 1", "DO LAST_INSERT_ID(77)",
	))
}

func (g *generator) fail(s *session) {
	t, own := g.table(s), g.own(s)
	if g.one(15) {
		g.consequence(s, Step{Act: ActExec, Text: "INSERT INTO " + t + " (k) VALUES (1), (1)"},
			among(g, "GET DIAGNOSTICS @u1 = NUMBER, @u2 = ROW_COUNT", "SET @u1 = ROW_COUNT()", "GET DIAGNOSTICS CONDITION 1 @u3 = MESSAGE_TEXT"), heldWithoutEnd)
		return
	}
	g.exec(s, among(
		g, "INSERT INTO "+t+" (k) VALUES (1), (1)", "SELECT * FROM missing", "SELEC 1", "SELECT no_such_column FROM "+t, "INSERT INTO "+t+" VALUES (1)", "SELECT no_such_function(1)", "DROP TABLE missing"+own, "ALTER TABLE missing"+own+" ADD x INT",
		"UPDATE "+t+" SET k = 1", "SELECT 1 FROM", "INSERT INTO "+t+" (k, v) VALUES (2, 'x'), (2, 'y')", "CALL no_such_procedure()",
		"SELECT (SELECT 1 UNION SELECT 2)", "SELECT CAST(-1 AS UNSIGNED) + 1, 18446744073709551615 + 1", "INSERT INTO "+t+" (k) VALUES (NULL)", "COMMIT NOW", "SELECT ?", "USE", "SIGNAL SQLSTATE '45000'",
		"SELECT EXP(1000)", "SELECT JSON_EXTRACT('{', '$')", "ROLLBACK TO SAVEPOINT missing", "RELEASE SAVEPOINT missing",
	))
}

// own is the name of a temporary table that no other session uses. What takes a table
// for itself, or would if it were not temporary, goes by this name: another session's
// transaction may still lock the name of a table that it did not find.
func (g *generator) own(s *session) string { return g.sprintf("own%d_%d", s.id, s.generation) }

// temporaries are all temporary tables that the session may have.
func (g *generator) temporaries(s *session) []string {
	var names []string
	for _, db := range []string{g.a, g.b, g.c} {
		for _, name := range []string{"tmp1", "tmp2", "shade", g.sprintf("t%d", s.id), g.own(s), g.own(s) + "r"} {
			names = append(names, db+"."+name)
		}
	}
	return names
}

// temporary tables have the same names in all sessions. What is written goes to names
// that no other table has.
func (g *generator) temporary(s *session) {
	own := g.own(s)
	name := among(g, "tmp1", "tmp1", "tmp2", g.a+".tmp1", g.b+".tmp2", own, own)
	switch g.IntN(12) {
	case 0:
		g.exec(s, "DROP TEMPORARY TABLE "+among(g, "", "IF EXISTS ")+name)
	case 1:
		g.exec(s, "DROP TABLE "+among(g, "", "IF EXISTS ")+among(g, own, own+", "+own+"r"))
	case 2:
		g.exec(s, "ALTER TABLE "+own+" RENAME TO "+own+"r", "temp", heldWithoutEnd) // by which name it goes is not followed
	case 3:
		g.exec(s, "CREATE TEMPORARY TABLE shade AS SELECT 'temp' AS w", "temp")
		g.query(s, "SELECT w FROM shade")
	case 4:
		g.exec(s, g.sprintf("CREATE TEMPORARY TABLE t%[1]d LIKE t%[1]d", s.id), "temp")
	case 5:
		g.exec(s, "CREATE TEMPORARY TABLE "+name+" (a INT PRIMARY KEY) SELECT 5 AS a UNION SELECT 6", "temp")
	case 6:
		g.exec(s, "TRUNCATE TABLE "+own)
	case 7:
		g.exec(s, "create temporary table if not exists "+name+" (a int, b varchar(5))", "temp")
	case 8:
		g.exec(s, "CREATE TEMPORARY TABLE "+name+" (a NO_SUCH_TYPE)", "temp")
	case 9:
		if g.mariadb {
			g.exec(s, "CREATE OR REPLACE TEMPORARY TABLE "+name+" (a INT)", "temp")
			return
		}
		fallthrough
	default:
		g.exec(s, "CREATE TEMPORARY TABLE "+name+" (a INT)", "temp")
		if g.one(2) {
			g.exec(s, "INSERT INTO "+name+" VALUES (1), (2), (3)")
		}
	}
}

// ddl commits implicitly. Its tables have the session's own names.
func (g *generator) ddl(s *session) {
	x := g.sprintf("x%d_%d", s.id, s.generation)
	s.tables = true
	g.exec(s, among(
		g, "CREATE TABLE IF NOT EXISTS "+x+" (a INT)", "DROP TABLE IF EXISTS "+x, "CREATE TABLE "+x+" (a INT, b TEXT)", "DROP TABLE "+x, "ALTER TABLE "+x+" ADD c INT", "RENAME TABLE "+x+" TO "+x+"r",
		"DROP TABLE IF EXISTS "+x+"r", "TRUNCATE TABLE "+g.table(s), "INSERT INTO "+x+" (a) VALUES (1)", "SELECT * FROM "+x, "CREATE INDEX i ON "+x+" (a)", "ANALYZE TABLE "+x,
	))
}

func (g *generator) sequence(s *session) {
	sq := g.sprintf("%s.sq%d", g.a, s.id)
	g.query(s, among(g, "SELECT NEXTVAL("+sq+")", "SELECT NEXT VALUE FOR "+sq, "SELECT LASTVAL("+sq+")", "SELECT PREVIOUS VALUE FOR "+sq, "SELECT SETVAL("+sq+", 100)"), heldWithoutEnd)
}
