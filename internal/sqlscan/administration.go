package sqlscan

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
		s.rest()
		return Facts{Effects: EffectTableLock, flags: implicitCommit}
	case s.accept("UNLOCK"):
		s.rest()
		return Facts{Ends: EffectTableLock, flags: implicitCommit}
	case s.accept("FLUSH"):
		return s.flush()
	case s.accept("PREPARE"):
		s.rest()
		return Facts{Effects: EffectPrepared}
	case s.accept("DEALLOCATE"):
		s.rest()
		return Facts{Ends: EffectPrepared}
	case s.accept("HANDLER"):
		return s.handler()
	case s.accept("XA"):
		return s.xa()
	case s.oneOf("KILL", "PURGE", "BINLOG", "SHUTDOWN", "RESTART", "CLONE", "CHANGE", "STOP", "START", "SIGNAL"):
		s.rest()
		return Facts{}
	case s.oneOf("ALTER", "RENAME", "TRUNCATE", "GRANT", "REVOKE", "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM",
		"CACHE", "INSTALL", "UNINSTALL", "RESET", "IMPORT"):
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
	}
	table, program := s.is("TABLE"), false
	for !s.over() {
		program = program || s.oneOf("PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE")
		if table && s.oneOf("SELECT", "TABLE", "VALUES", "WITH") && s.last.kind != endToken && !s.first(s.token) {
			// Functions of the query may do anything; its calls cannot be told from columns here.
			f.Effects |= EffectUnknown
		}
		s.advance()
	}
	if program && s.symbol(';') {
		// A body of several statements, or the next statement: the text cannot be cut.
		for s.token.kind != endToken {
			s.advance()
		}
		return Facts{Kind: DDL, Effects: EffectUnknown, Statements: 2, flags: implicitCommit}
	}
	return f
}

// first reports whether t is the word TABLE of CREATE TABLE itself.
func (s *scanner) first(t token) bool {
	return s.word(t, "TABLE") && (s.word(s.last, "CREATE") || s.word(s.last, "TEMPORARY") || s.word(s.last, "REPLACE"))
}

func (s *scanner) drop() Facts {
	switch {
	case s.is("TEMPORARY"):
		s.rest()
		return Facts{Kind: DDL, Ends: EffectTemporaryTable}
	case s.is("PREPARE"):
		s.rest()
		return Facts{Ends: EffectPrepared}
	}
	f := Facts{Kind: DDL, flags: implicitCommit}
	if s.oneOf("TABLE", "TABLES") {
		f.Ends = EffectTemporaryTable
	}
	s.rest()
	return f
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
	return f
}

func (s *scanner) handler() Facts {
	var f Facts
	for !s.over() {
		switch {
		case s.is("OPEN"):
			f.Effects = EffectHandler
		case s.is("CLOSE"):
			f.Ends = EffectHandler
		}
		s.advance()
	}
	return f
}

func (s *scanner) xa() Facts {
	f := Facts{Effects: EffectXA, flags: implicitCommit}
	if s.oneOf("COMMIT", "ROLLBACK") {
		f = Facts{Ends: EffectXA, flags: implicitCommit}
	}
	s.rest()
	return f
}
