package program

import (
	"slices"
	"strings"
)

var statementOperations = []operation{
	{kind: KindArgs, weight: 40, emit: (*generator).arguments},
	{kind: KindStmt, weight: 60, emit: (*generator).stmt},
	{kind: KindTextPrepare, weight: 16, emit: (*generator).textPrepare},
	{kind: KindHandler, weight: 8, emit: (*generator).handler},
	{kind: KindCancel, weight: 3, emit: (*generator).cancel},
	{kind: KindPing, weight: 6, emit: (*generator).ping},
	{kind: KindClose, weight: 4, emit: (*generator).close},
}

// arguments go through a statement that is prepared for this once.
func (g *generator) arguments(s *session) {
	t := g.table(s)
	arg := among[any](g, 1, 2, "1", 2.5, nil, []byte("2"), true)
	// Not executed for a result: go-sql-driver 1.10.1 waits for ever for the columns of a
	// prepared SELECT that it executes so on MariaDB, which leaves them out.
	g.emit(s, Step{Act: among(g, ActQuery, ActQuery, ActQuery, ActGlance), Text: among(
		g, "SELECT ?, 1", "SELECT k, v FROM "+t+" WHERE k = ?", "SELECT v FROM t"+g.sprint(s.id)+" WHERE k = ?", "SELECT * FROM "+t+" WHERE k < ? ORDER BY id LIMIT 4", "UPDATE "+t+" SET n = 7 WHERE k = ?",
		"SELECT @@sql_mode, ?", "SELECT w FROM shade WHERE w > ?", "SELECT a FROM tmp1 WHERE a = ?", "SELECT HEX(?), CHARSET(?)", "DELETE FROM "+t+" WHERE k = ?", "SELECT CONCAT(?, 'x')",
	), Args: []any{arg}})
}

func (g *generator) sprint(n int) string { return g.sprintf("%d", n) }

// stmt are prepared statements that the session keeps. What is prepared was understood
// as the session was then: its database, its SQL mode.
func (g *generator) stmt(s *session) {
	handle := g.IntN(3)
	if s.handles == nil {
		s.handles = make(map[int]bool)
	}
	if _, open := s.handles[handle]; !open {
		if slices.Contains(g.holds[s.id], "schema") {
			return // see dropped
		}
		t := g.table(s)
		step := Step{Act: ActPrepare, Handle: handle, Text: among(
			g, "SELECT k, v FROM "+t+" WHERE k = ?", "SELECT v FROM t"+g.sprint(s.id)+" WHERE k = ?", "INSERT INTO "+t+" (k, v) VALUES (?, 'stmt')", "UPDATE "+t+" SET v = ? WHERE k = 1",
			"SELECT * FROM tmp1 WHERE a <> ?", "SELECT ? + 1", "SELECT * FROM missing WHERE a = ?", "SELECT w FROM shade WHERE w <> ?", "SELECT @u2, ?", "SELECT v FROM "+g.a+".board WHERE id + 0 = 15 AND 1 = ?",
			"SELECT @@sql_mode, ?", "SELECT DATABASE(), @@time_zone, ?", "SELEC ?", "SELECT ?, ?", argumentEffects[0], argumentEffects[1], argumentEffects[2], argumentEffects[3],
		)}
		if !g.mariadb && slices.Contains(argumentEffects[:4], step.Text) {
			// MySQL prepares it again when it is executed first, in the mode of then.
			step.Text = argumentEffects[4]
		}
		if g.one(8) {
			step.Takes = []string{heldWithoutEnd}
			step.Text = among(g, "SET @u1 = ?", "SET sql_notes = ?", "CREATE TEMPORARY TABLE tmp1 SELECT ? AS a", "SELECT @u3 := ?", "SELECT ? INTO @u2", "DO GET_LOCK(CONCAT('"+g.lock(s)+"', ?), 0)", "CALL "+g.a+".p_user(?)")
		}
		s.handles[handle] = strings.HasPrefix(step.Text, "SELECT") || strings.HasPrefix(step.Text, "CALL")
		g.emit(s, step)
		return
	}
	step := Step{Act: ActStmtQuery, Handle: handle, Args: []any{among[any](g, 1, 2, 0)}} // of one type, to which servers fix a statement
	if g.one(7) {
		step.Act, step.Args = ActStmtClose, nil
		delete(s.handles, handle)
	} else if !s.handles[handle] && g.one(2) {
		step.Act = ActStmtExec // see arguments
	}
	g.emit(s, step)
}

// textPrepare are prepared statements as text. Their names are the same in all sessions.
func (g *generator) textPrepare(s *session) {
	name := among(g, "p1", "p2")
	switch g.IntN(5) {
	case 0:
		g.exec(s, among(g, "DEALLOCATE PREPARE ", "drop prepare ")+name)
	case 1, 2:
		g.query(s, "EXECUTE "+name+among(g, "", "", " USING @u1", " USING @u1, @u2"))
	case 3:
		if g.one(2) {
			g.exec(s, "PREPARE "+name+" FROM '"+among(g, "SET @u1 = 31", "CREATE TEMPORARY TABLE tmp1 (a INT)", "SET sql_notes = 0", "SELEC", "SET autocommit = 0", "SELECT 3 INTO @u2", "COMMIT", "DROP TEMPORARY TABLE tmp1")+"'", heldWithoutEnd)
			return
		}
		g.exec(s, among(g, "PREPARE p1 FROM @u1", "PREPARE p2 FROM 'SELECT \"x\"'", "PREPARE p1 FROM ''"), heldWithoutEnd)
	default:
		text := strings.ReplaceAll(among(g, "SELECT 42", "SELECT ? + 1", "SELECT COUNT(*) FROM "+g.table(s), "SELECT @@sql_mode", "SELECT a FROM tmp1", "SELECT DATABASE()"), "'", "''")
		g.exec(s, among(g, "PREPARE ", "prepare ")+name+" FROM '"+text+"'", name)
	}
}

func (g *generator) handler(s *session) {
	name := among(g, "h1", "h2")
	switch g.IntN(4) {
	case 0:
		g.exec(s, "HANDLER "+name+" CLOSE")
	case 1:
		g.query(s, "HANDLER "+name+among(g, " READ FIRST", " READ NEXT", " READ `PRIMARY` FIRST", " READ k = (1)", " READ FIRST LIMIT 2"))
	default:
		g.exec(s, "HANDLER "+g.table(s)+" OPEN AS "+name, name)
	}
}

// cancel cancels a statement that runs, rarely, for that takes time; or one before it
// begins. The connection of the former is lost without us: the session ends, and nothing
// may be bound to it, for its server learns of it late.
func (g *generator) cancel(s *session) {
	if len(g.holds[s.id]) > 0 || !g.one(3) {
		g.emit(s, Step{Act: ActCancelled, Text: among(g, "SELECT 1", "SET @u1 = 'never'", "UPDATE "+g.table(s)+" SET n = 99", "USE "+g.c)})
		return
	}
	g.grouped(func() {
		g.emit(s, Step{Act: ActCancel, Text: "SELECT SLEEP(2)"})
		g.close(s)
	})
}

func (g *generator) ping(s *session) { g.emit(s, Step{Act: ActPing}) }

// question asks for what the session's previous statement left behind.
func (g *generator) question(s *session) {
	if g.IntN(7) == 0 {
		g.foundRows(s)
		return
	}
	step := Step{Kind: KindQuestion, Act: ActQuery, Asks: AsksPrevious}
	switch g.IntN(12) {
	case 0, 1:
		step.Asks, step.Text = AsksID, among(g, "SELECT LAST_INSERT_ID()", "SELECT @@identity", "SELECT @@last_insert_id", "SELECT last_insert_id(), 1", "SELECT LAST_INSERT_ID() AS `id`")
	case 2:
		step.Asks, step.Text = AsksID, "SELECT k FROM "+g.table(s)+" WHERE id IS NULL" // sql_auto_is_null
	case 3, 4:
		// ROW_COUNT() after anything but a change depends on whether a statement was prepared
		// again, and on the server.
		g.emit(s, Step{Kind: KindInsert, Act: ActExec, Text: g.sprintf("UPDATE %s.board SET v = v + 1 WHERE id = %d", g.a, s.id)})
		step.Text = among(g, "SELECT ROW_COUNT()", "select row_count()")
	case 5:
		step.Text = among(g, "SELECT @@warning_count", "SELECT @@error_count", "SHOW COUNT(*) WARNINGS", "SHOW COUNT(*) ERRORS", "SELECT @@session.warning_count, @@error_count")
	case 6:
		step.Text = among(g, "SHOW ERRORS", "SHOW ERRORS LIMIT 1")
	default:
		step.Text = among(g, "SHOW WARNINGS", "SHOW WARNINGS", "show warnings", "SHOW WARNINGS LIMIT 1")
	}
	if g.mariadb && step.Asks == AsksPrevious && !strings.Contains(strings.ToLower(step.Text), "row_count") {
		step.Asks = AsksWarnings
	}
	g.emit(s, step)
}

// foundRows asks for the rows that were found by the statement before it, for after
// others servers give answers that depend on nothing that is known.
func (g *generator) foundRows(s *session) {
	g.grouped(func() {
		g.emit(s, Step{Kind: KindRead, Act: ActQuery, Text: among(
			g, "SELECT SQL_CALC_FOUND_ROWS x FROM (SELECT 1 AS x UNION SELECT 2 UNION SELECT 3) AS y LIMIT 1", "SELECT 1 UNION SELECT 2",
			"SELECT SQL_CALC_FOUND_ROWS 5 FROM (SELECT 1 AS x UNION SELECT 2) AS y WHERE x > 1 LIMIT 1",
		)})
		if g.one(3) {
			g.board(g.sessions[g.IntN(len(g.sessions))])
		}
		g.emit(s, Step{Kind: KindQuestion, Act: ActQuery, Text: "SELECT FOUND_ROWS()", Asks: AsksPrevious})
	})
}
