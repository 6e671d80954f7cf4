package sqlscan

import "slices"

// scanner reads one text, one statement after the other, with one token of look-ahead.
type scanner struct {
	lexer
	token token // the current one
	ahead token // the one behind it
	last  token // the one before it
	bad   bool  // something cannot be understood
	loads bool  // LOAD DATA: @variables take columns
}

// Scan says what text does. It never panics and allocates nothing; its time is linear
// in the length of the text.
func Scan(text string, mode Mode) Facts {
	if mode&AnyMode == 0 {
		return scan(text, mode)
	}
	quotes, comments := ambiguities(text)
	facts := scan(text, 0)
	if quotes {
		for _, m := range [...]Mode{AnsiQuotes, NoBackslashEscapes, AnsiQuotes | NoBackslashEscapes} {
			if scan(text, m) != facts {
				return unknown
			}
		}
	}
	if !comments {
		return facts
	}
	for _, m := range [...]Mode{0, AnsiQuotes, NoBackslashEscapes, AnsiQuotes | NoBackslashEscapes} {
		if scan(text, m|skipExecutable) != facts {
			return unknown
		}
		if !quotes {
			break
		}
	}
	return facts
}

// ambiguities finds out whether a text contains what depends on the mode.
func ambiguities(text string) (quotes, comments bool) {
	for i := range len(text) {
		switch text[i] {
		case '"', '\\':
			quotes = true
		case '!':
			comments = comments || i >= 2 && text[i-1] == '*' && text[i-2] == '/' ||
				i >= 3 && text[i-1] == 'M' && text[i-2] == '*' && text[i-3] == '/'
		}
	}
	return quotes, comments
}

func scan(text string, mode Mode) Facts {
	s := scanner{lexer: lexer{text: text, mode: mode}}
	s.ahead = s.lexer.next()
	s.advance()
	var all Facts
	for {
		for s.symbol(';') {
			s.advance()
		}
		if s.token.kind == endToken {
			break
		}
		f := s.statement()
		if s.bad {
			return unknown
		}
		f.Statements = max(f.Statements, 1)
		all = all.and(f)
	}
	if s.bad || all.Statements == 0 {
		return unknown // an empty text: the server's error, whatever the connection
	}
	return all
}

// advance makes the next token the current one.
func (s *scanner) advance() {
	s.last, s.token = s.token, s.ahead
	if s.ahead.kind != endToken && s.ahead.kind != badToken {
		s.ahead = s.lexer.next()
	}
	if s.token.kind == badToken {
		s.bad = true
		s.token.kind = endToken
	}
}

func (s *scanner) is(word string) bool { return s.word(s.token, word) }
func (s *scanner) symbol(c byte) bool  { return s.isSymbol(s.token, c) }
func (s *scanner) word(t token, w string) bool {
	return t.kind == wordToken && equalFold(s.text[t.start:t.end], w)
}

func (s *scanner) isSymbol(t token, c byte) bool {
	return t.kind == symbolToken && s.text[t.start] == c
}

// oneOf reports whether the current token is one of the words.
func (s *scanner) oneOf(words ...string) bool {
	if s.token.kind != wordToken {
		return false
	}
	return slices.ContainsFunc(words, s.is)
}

// accept passes the current token if it is the word.
func (s *scanner) accept(word string) bool {
	if !s.is(word) {
		return false
	}
	s.advance()
	return true
}

// over reports whether the statement has ended.
func (s *scanner) over() bool { return s.token.kind == endToken || s.symbol(';') }

// rest passes the rest of the statement.
func (s *scanner) rest() {
	for !s.over() {
		s.advance()
	}
}

// statement reads one statement.
func (s *scanner) statement() Facts {
	switch {
	case s.symbol('('), s.oneOf("SELECT", "VALUES", "TABLE", "WITH"):
		return s.query(Read)
	case s.oneOf("INSERT", "REPLACE"):
		s.advance()
		return s.insert()
	case s.oneOf("UPDATE", "DELETE", "LOAD", "DO"):
		s.loads = s.is("LOAD")
		s.advance()
		f := s.query(Write)
		s.loads = false
		return f
	case s.accept("SET"):
		return s.set()
	case s.accept("USE"):
		s.rest()
		return Facts{Kind: Use, Effects: EffectSchema}
	case s.accept("CALL"):
		s.rest()
		return Facts{Kind: Call, Effects: EffectUnknown}
	case s.accept("SHOW"):
		return s.show()
	case s.oneOf("EXPLAIN", "DESCRIBE", "DESC", "ANALYZE"):
		return s.explain()
	case s.accept("HELP"):
		s.rest()
		return Facts{Kind: Read}
	}
	if f, ok := s.transaction(); ok {
		return f
	}
	return s.administration()
}

// transaction reads the statements of transaction control.
func (s *scanner) transaction() (f Facts, ok bool) {
	switch {
	case s.accept("BEGIN"):
		if s.accept("WORK"); !s.over() { // MariaDB's BEGIN NOT ATOMIC is a program
			return s.misunderstood(), true
		}
		return Facts{Kind: Begin}, true
	case s.is("START") && s.word(s.ahead, "TRANSACTION"):
		f = Facts{Kind: Begin}
		for !s.over() {
			if s.is("READ") && s.word(s.ahead, "ONLY") {
				f.flags |= readOnlyTx
			}
			s.advance()
		}
		return f, true
	case s.accept("COMMIT"):
		return s.completion(Facts{Kind: Commit}), true
	case s.accept("ROLLBACK"):
		return s.completion(Facts{Kind: Rollback}), true
	case s.oneOf("SAVEPOINT", "RELEASE"):
		s.rest()
		return Facts{Kind: Savepoint}, true
	}
	return f, false
}

// completion reads what may follow COMMIT and ROLLBACK.
func (s *scanner) completion(f Facts) Facts {
	for !s.over() {
		switch {
		case s.is("TO"):
			f.Kind = Savepoint
		case s.is("NO"):
			s.advance() // and what is not to be
		case s.is("CHAIN"):
			f.flags |= chains
		case s.is("RELEASE"):
			f.flags |= releases
		case s.oneOf("WORK", "AND"):
		default:
			if f.Kind != Savepoint {
				return s.misunderstood()
			}
		}
		s.advance()
	}
	return f
}

// misunderstood passes a statement that may do anything.
func (s *scanner) misunderstood() Facts {
	s.rest()
	return Facts{Effects: EffectUnknown, flags: implicitCommit}
}

// show reads SHOW …, of which only WHERE holds expressions.
func (s *scanner) show() Facts {
	asks := s.oneOf("WARNINGS", "ERRORS", "COUNT", "PROFILE", "PROFILES")
	f := s.query(Read)
	if asks {
		f.flags |= asksLast
	}
	return f
}

// explain reads EXPLAIN and MariaDB's ANALYZE, which execute what they explain or do
// not, and ANALYZE TABLE.
func (s *scanner) explain() Facts {
	executes := s.is("ANALYZE")
	s.advance()
	if executes && s.oneOf("TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG") {
		s.rest()
		return Facts{Kind: DDL, flags: implicitCommit}
	}
	for !s.over() && !s.symbol('(') && !s.oneOf("SELECT", "VALUES", "TABLE", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE") {
		executes = executes || s.is("ANALYZE")
		if s.token.kind == userToken { // EXPLAIN … INTO @x
			return s.misunderstood()
		}
		s.advance()
	}
	if s.over() {
		return Facts{Kind: Read} // of a table, or of another connection
	}
	f := s.statement()
	if !executes && f.Kind == Write && f.Effects == 0 {
		f.Kind = Read
	}
	return f
}
