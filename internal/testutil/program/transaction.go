package program

import (
	"database/sql"
	"slices"
	"strings"
)

var transactionOperations = []operation{
	{kind: KindBegin, weight: 28, emit: (*generator).begin},
	{kind: KindTx, weight: 22, emit: (*generator).beginTx},
	{kind: KindOneShot, weight: 10, emit: (*generator).oneShot},
	{kind: KindAutocommit, weight: 10, emit: (*generator).autocommit},
	{kind: KindXA, weight: 3, emit: (*generator).xa},
}

// begin is transaction control as text.
func (g *generator) begin(s *session) {
	if slices.Contains(g.holds[s.id], "tx") && g.one(2) {
		g.exec(s, among(g, "SAVEPOINT s1", "SAVEPOINT s2", "ROLLBACK TO SAVEPOINT s1", "ROLLBACK TO s2", "RELEASE SAVEPOINT s1", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "SAVEPOINT `s1`"))
		return
	}
	switch g.IntN(16) {
	case 0:
		g.exec(s, among(g, "SET completion_type = 1", "SET completion_type = 'CHAIN'", "SET SESSION completion_type = CHAIN"), heldWithoutEnd)
		return
	case 1:
		if s.inTx {
			break // the transaction would meet its end unprepared
		}
		g.grouped(func() {
			g.exec(s, among(g, "COMMIT RELEASE", "ROLLBACK RELEASE", "ROLLBACK AND NO CHAIN RELEASE"))
			g.kind = KindClose
			g.close(s)
		})
		return
	case 2:
		if !s.inTx {
			g.exec(s, among(g, "COMMIT", "ROLLBACK"))
			return
		}
	}
	text := among(
		g, "BEGIN", "START TRANSACTION", "BEGIN WORK", "begin", "START TRANSACTION READ ONLY", "START TRANSACTION READ WRITE", "START TRANSACTION WITH CONSISTENT SNAPSHOT",
		"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "start transaction",
	)
	s.readOnly = s.readOnly || strings.Contains(text, "READ ONLY")
	g.exec(s, text, "tx")
	g.inside(s)
}

// inside lets a transaction that has just begun do what transactions do, with others in
// between.
func (g *generator) inside(s *session) {
	for range g.IntN(4) {
		if g.one(2) {
			other := g.sessions[g.IntN(len(g.sessions))]
			g.kind = KindBoard
			g.board(other)
		}
		switch g.IntN(3) {
		case 0:
			g.kind = KindBoard
			g.board(s)
		case 1:
			g.kind = KindWrite
			g.write(s)
		case 2:
			g.insert(s)
		}
	}
}

// beginTx is a transaction of database/sql. It begins where nothing else is under way:
// if it failed, its end would not be that of what is.
func (g *generator) beginTx(s *session) {
	if slices.ContainsFunc(g.holds[s.id], func(name string) bool { return name != "oneshot" }) {
		if s.inTx {
			g.endTx(s)
		}
		return
	}
	o := sql.TxOptions{ReadOnly: g.one(5)}
	if g.one(3) {
		o.Isolation = among(g, levels...)
	}
	s.serializable = s.serializable || o.Isolation == sql.LevelSerializable
	s.inTx = true
	g.emit(s, Step{Act: ActBegin, Options: o, Takes: []string{"tx"}})
	g.inside(s)
}

// oneShot is meant for the next transaction only, be it a single statement.
func (g *generator) oneShot(s *session) {
	level := among(g, "READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
	s.serializable = s.serializable || level == "SERIALIZABLE"
	name := "transaction_isolation"
	if g.mariadb {
		name = "tx_isolation"
	}
	g.exec(s, among(
		g, "SET TRANSACTION READ ONLY", "SET TRANSACTION READ ONLY", "SET TRANSACTION ISOLATION LEVEL "+level, "SET TRANSACTION ISOLATION LEVEL "+level+", READ WRITE",
		"SET @@"+name+" = '"+strings.ReplaceAll(level, " ", "-")+"'", "set transaction read write",
	), "oneshot")
	if g.one(3) {
		g.read(among(g, g.sessions...))
	}
	switch g.IntN(4) {
	case 0:
		g.kind = KindBoard
		g.board(s)
	case 1:
		g.kind = KindInsert
		g.insert(s)
	case 2:
		g.kind = KindTx
		g.beginTx(s)
	default:
		g.kind = KindBegin
		g.exec(s, among(g, "BEGIN", "START TRANSACTION"), "tx")
		g.inside(s)
	}
}

func (g *generator) autocommit(s *session) {
	if slices.Contains(g.holds[s.id], "autocommit") {
		g.end(s, among(g, "autocommit", "tx"))
		return
	}
	g.exec(s, among(
		g, "SET autocommit = 0", "SET @@autocommit = OFF", "SET SESSION autocommit = 'off'", "SET LOCAL autocommit = FALSE", "set autocommit=0", "SET sql_notes = 1, autocommit = 0", "SET @@session.autocommit := 0",
	), "autocommit", "tx")
	g.inside(s)
	if !s.inTx && g.one(2) {
		g.exec(s, among(g, "COMMIT", "ROLLBACK"))
		g.kind = KindRead
		g.read(among(g, g.sessions...))
		g.kind = KindBoard
		g.board(s)
	}
}

// xa is a whole transaction: one that was prepared would outlive its session.
func (g *generator) xa(s *session) {
	g.grouped(func() {
		id := g.sprintf("'x%d_%d_%d'", g.program.Seed, s.id, g.last)
		g.emit(s, Step{Act: ActExec, Text: "XA START " + id, Takes: []string{"xa"}})
		g.emit(s, Step{Act: ActExec, Text: g.sprintf("UPDATE %s.board SET v = v + 1 WHERE id = %d", g.a, s.id)})
		g.emit(s, Step{Act: ActExec, Text: "XA END " + id})
		if g.one(2) {
			g.emit(s, Step{Act: ActExec, Text: "XA COMMIT " + id + " ONE PHASE", Ends: []string{"xa"}})
			return
		}
		g.emit(s, Step{Act: ActExec, Text: "XA PREPARE " + id})
		g.emit(s, Step{Act: ActExec, Text: among(g, "XA COMMIT ", "XA ROLLBACK ") + id, Ends: []string{"xa"}})
	})
}
