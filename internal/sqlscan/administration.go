package sqlscan

import "strings"

// administration reads definitions and everything else that is neither query nor
// transaction control.
func (s *scanner) administration() Facts {
	ddl := Facts{Kind: DDL, flags: implicitCommit}
	switch {
	case s.accept("CREATE"):
		return s.create()
	case s.accept("DROP"):
		return s.drop()
	case s.accept("LOCK"):
		return s.lock(false)
	case s.accept("UNLOCK"):
		return s.lock(true)
	case s.accept("FLUSH"):
		return s.flush()
	case s.accept("PREPARE"):
		return s.prepare()
	case s.accept("DEALLOCATE"):
		return s.deallocate()
	case s.accept("HANDLER"):
		return s.handler()
	case s.accept("XA"):
		return s.xa()
	case s.accept("PURGE"): // BEFORE …
		return s.query(Write)
	case s.accept("GET"):
		return s.diagnostics()
	case s.oneOf("KILL", "BINLOG", "SHUTDOWN", "RESTART", "SIGNAL"), s.oneOf("START", "STOP") && s.word(s.ahead, "GROUP_REPLICATION"):
		s.rest()
		return Facts{}
	case s.is("CHECKSUM"), s.is("RESET") && s.word(s.ahead, "PERSIST"):
		s.rest()
		return Facts{Kind: DDL}
	case s.oneOf("ALTER", "RENAME"):
		return s.alter()
	case s.oneOf("TRUNCATE", "GRANT", "REVOKE", "OPTIMIZE", "REPAIR", "CHECK", "CACHE", "LOAD",
		"INSTALL", "UNINSTALL", "RESET", "IMPORT", "CLONE", "CHANGE", "START", "STOP"):
		s.rest()
		return ddl
	}
	return s.misunderstood()
}

// create reads CREATE. The body of a stored program is not executed now, nor a view's
// query, but CREATE TABLE … SELECT is.
func (s *scanner) create() Facts {
	f := Facts{Kind: DDL, flags: implicitCommit}
	if s.accept("OR") {
		s.accept("REPLACE")
	}
	if s.accept("TEMPORARY") {
		f = Facts{Kind: DDL, Effects: EffectTemporaryTable}
		s.noteTemporary()
		if s.is("SEQUENCE") {
			f.flags |= implicitCommit // unlike a table
		}
	}
	table, program := s.is("TABLE"), false
	for !s.over() {
		program = program || s.oneOf("PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE")
		if table && s.oneOf("SELECT", "TABLE", "VALUES", "WITH") && s.last.kind != endToken && !s.first(s.token) {
			// Functions of the query may do anything; its calls cannot be told from columns here.
			f.Effects |= EffectRoutine
		}
		s.advance()
	}
	if program && s.symbol(';') {
		// A body of several statements, or the next statement: the text cannot be cut.
		for s.token.kind != endToken {
			s.advance()
		}
		return Facts{Kind: DDL, Effects: EffectRoutine, Statements: 2, flags: implicitCommit}
	}
	return f
}

// first reports whether t is the word TABLE of CREATE TABLE itself.
func (s *scanner) first(t token) bool {
	return s.word(t, "TABLE") && (s.word(s.last, "CREATE") || s.word(s.last, "TEMPORARY") || s.word(s.last, "REPLACE"))
}

func (s *scanner) drop() Facts {
	f := Facts{Kind: DDL}
	switch {
	case s.accept("PREPARE"):
		return s.deallocate()
	case s.accept("TEMPORARY"):
	case s.oneOf("TABLE", "TABLES"):
		f.flags = implicitCommit
	case s.oneOf("DATABASE", "SCHEMA"): // if it is the default one, the session has none
		s.advance()
		s.exists()
		s.note(Change{Effect: EffectSchema, Ends: true, Name: s.identifier()})
		s.rest()
		return Facts{Kind: DDL, Ends: EffectSchema, flags: implicitCommit}
	default:
		s.rest()
		return Facts{Kind: DDL, flags: implicitCommit}
	}
	f.Ends = EffectTemporaryTable
	f.flags |= usesTable
	if s.oneOf("TABLE", "TABLES") {
		s.advance()
		s.exists()
		for more := true; more; {
			s.note(Change{Effect: EffectTemporaryTable, Name: s.qualifiedName(), Ends: true})
			if more = s.symbol(','); more {
				s.advance()
			}
		}
	}
	s.rest()
	return f
}

// alter reads ALTER and RENAME, after which a temporary table may have another name.
func (s *scanner) alter() Facts {
	f := Facts{Kind: DDL, flags: implicitCommit}
	for !s.over() {
		if s.is("RENAME") {
			f.Ends = EffectTemporaryTable
		}
		s.advance()
	}
	if f.Ends != 0 {
		s.note(Change{Effect: EffectTemporaryTable, Stays: true})
	}
	return f
}

// lock reads LOCK and UNLOCK TABLES, which commit, and INSTANCE, which does not.
func (s *scanner) lock(ends bool) Facts {
	c := Change{Effect: EffectTableLock, Name: "tables", Ends: ends}
	f := Facts{flags: implicitCommit}
	if s.is("INSTANCE") {
		c.Name, f.flags = "instance", 0
	}
	if ends {
		f.Ends = EffectTableLock
	} else {
		f.Effects = EffectTableLock
	}
	s.note(c)
	s.rest()
	return f
}

// diagnostics reads GET DIAGNOSTICS, which tells of the last statement in user variables.
func (s *scanner) diagnostics() Facts {
	if s.oneOf("CURRENT", "STACKED") {
		s.advance()
	}
	if !s.accept("DIAGNOSTICS") {
		return s.misunderstood()
	}
	s.note(Change{Effect: EffectUserVariable})
	s.rest()
	return Facts{Effects: EffectUserVariable, flags: asksLast}
}

// flush reads FLUSH, of which FLUSH TABLES … WITH READ LOCK and … FOR EXPORT lock.
func (s *scanner) flush() Facts {
	f := Facts{Kind: DDL, flags: implicitCommit}
	for !s.over() {
		if s.is("LOCK") || s.is("EXPORT") {
			f.Effects = EffectTableLock
		}
		s.advance()
	}
	if f.Effects != 0 {
		s.note(Change{Effect: EffectTableLock, Name: "tables"})
	}
	return f
}

// prepare reads PREPARE name FROM …. What it prepares may be executed any number of
// times: if its effects are none that a server would report, they count from now on.
func (s *scanner) prepare() Facts {
	c := Change{Effect: EffectPrepared, Name: lower(s.identifier()), Stays: true}
	if s.accept("FROM") && s.changes != nil && s.token.kind == stringToken {
		if text, ok := s.content(s.token); ok {
			f := Scan(text, AnyMode)
			c.Stays = (f.Effects|f.Ends)&^Reported != 0
		}
	}
	s.note(c)
	s.rest()
	return Facts{Effects: EffectPrepared}
}

func (s *scanner) deallocate() Facts {
	s.accept("PREPARE")
	s.note(Change{Effect: EffectPrepared, Name: lower(s.identifier()), Ends: true})
	s.rest()
	return Facts{Ends: EffectPrepared}
}

// handler reads HANDLER table OPEN [AS alias], HANDLER name CLOSE and what is between.
func (s *scanner) handler() Facts {
	var f Facts
	name := s.qualifiedName()
	name = name[strings.LastIndexByte(name, 0)+1:] // it is closed by that
	switch {
	case s.accept("OPEN"):
		f.Effects = EffectHandler
		s.accept("AS")
		if !s.over() {
			name = s.identifier()
		}
		s.note(Change{Effect: EffectHandler, Name: name})
	case s.accept("CLOSE"):
		f.Ends = EffectHandler
		s.note(Change{Effect: EffectHandler, Name: name, Ends: true})
	}
	s.rest()
	return f
}

// xa reads XA. A session has one branch at a time, so any end is its end.
func (s *scanner) xa() Facts {
	f := Facts{Effects: EffectXA, flags: implicitCommit}
	switch {
	case s.is("RECOVER"):
		s.rest()
		return Facts{Kind: Read, flags: local}
	case s.oneOf("COMMIT", "ROLLBACK"):
		f.Effects, f.Ends = 0, EffectXA
	}
	s.note(Change{Effect: EffectXA, Ends: f.Ends != 0})
	s.rest()
	return f
}
