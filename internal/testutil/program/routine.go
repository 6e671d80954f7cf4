package program

var routineOperations = []operation{
	{kind: KindCall, weight: 9, emit: (*generator).call},
	{kind: KindFunction, weight: 4, emit: (*generator).function},
	{kind: KindTableLock, weight: 7, emit: (*generator).tableLock},
	{kind: KindNamedLock, weight: 20, emit: (*generator).namedLock},
	{kind: KindMulti, weight: 4, emit: (*generator).multi},
}

// call calls a procedure: its text does not say what it does to the session.
func (g *generator) call(s *session) {
	p := among(g, "", g.a+".", g.a+".")
	g.query(s, "CALL "+p+among(
		g, "p_digits()", "p_user(5)", "p_out(@u2)", "p_temp()", "p_drop()", "p_named('"+g.lock(s)+"')", "p_begin()", "p_commit()", "p_begin_fail()", "p_fail()", "p_warn()", "p_multi()", "p_multi()",
		"p_multi_fail()", "p_auto()", "p_isolation()", "p_oneshot()", "p_prepare()", "p_names()", "p_set_fail()", "p_handled()", "p_found()", "p_isolation_one()", "p_user()", "p_stack(1)",
	), heldWithoutEnd)
}

// function is a stored function that writes.
func (g *generator) function(s *session) {
	f := g.sprintf("%sf%d(%d)", among(g, "", g.a+".", g.a+"."), s.id, g.IntN(50))
	if g.one(3) {
		g.emit(s, Step{Act: ActQuery, Text: "SELECT " + f + ", ?", Args: []any{1}, Takes: []string{heldWithoutEnd}})
		return
	}
	g.query(s, among(g, "SELECT "+f, "DO "+f, "SET @u1 = "+f, "SELECT 1 WHERE "+f+" > 5"), heldWithoutEnd)
}

func (g *generator) tableLock(s *session) {
	t := g.table(s)
	g.exec(s, among(
		g, "LOCK TABLES "+t+" WRITE", "LOCK TABLES "+t+" READ", "LOCK TABLE "+t+" WRITE", "lock tables "+t+" read local", "LOCK TABLES "+t+" AS x READ", "LOCK TABLES missing READ",
		"FLUSH TABLES "+g.a+g.sprintf(".t%d", s.id)+" WITH READ LOCK",
	), "lock")
}

// lock is a name that no other session takes, now or later.
func (g *generator) lock(s *session) string {
	return g.sprintf("l%d_%d_%d_%d", g.program.Seed, s.id, s.generation, g.IntN(2))
}

func (g *generator) namedLock(s *session) {
	name := g.lock(s)
	switch g.IntN(6) {
	case 0:
		g.query(s, among(g, "SELECT RELEASE_LOCK('", "DO RELEASE_LOCK('")+name+"')")
	case 1, 2:
		g.query(s, "SELECT IS_FREE_LOCK('"+g.lock(among(g, g.sessions...))+"')")
	case 3:
		g.query(s, "SELECT IS_USED_LOCK('"+name+"') = CONNECTION_ID()")
	case 4:
		g.emit(s, Step{Act: ActQuery, Text: "SELECT GET_LOCK(?, 0)", Args: []any{name}, Takes: []string{"named"}})
	default:
		g.query(s, among(g, "SELECT GET_LOCK('"+name+"', 0)", "DO GET_LOCK('"+name+"', 1)", "SELECT get_lock('"+name+"', 0) AS got, 1"), "named")
	}
}

// multi are texts of several statements.
func (g *generator) multi(s *session) {
	t := g.table(s)
	text := among(
		g, "SET @u1 = 5; SELECT @u1", "SELECT 1; SELECT 2, 3", "SELECT 1; SELECT * FROM missing", g.sprintf("INSERT INTO %s (k) VALUES (%d); SELECT ROW_COUNT()", t, g.IntN(50)),
		"BEGIN; UPDATE "+t+" SET n = 1; COMMIT", "BEGIN; UPDATE "+t+" SET n = 2", "SET sql_mode = 'ANSI_QUOTES'; SELECT \"w\" FROM "+g.a+".shade", "USE "+g.b+"; SELECT DATABASE()",
		"DELETE FROM "+t+" WHERE k = 1; UPDATE "+t+" SET n = 0", "SELECT 1; CREATE TEMPORARY TABLE tmp1 (a INT)", "SET NAMES latin1; SELECT 1; SET @u2 = 'é'", "COMMIT; SET autocommit = 0",
	)
	g.emit(s, Step{Act: ActQuery, Text: g.decorate(text), Takes: []string{heldWithoutEnd}})
}
