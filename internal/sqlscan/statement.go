package sqlscan

import (
	"slices"
	"unicode/utf8"
)

// scanner reads one text, one statement after the other, with one token of look-ahead.
type scanner struct {
	lexer
	token token // the current one
	ahead token // the one behind it
	last  token // the one before it
	bad   bool  // something cannot be understood
	loads bool  // LOAD DATA: @variables take columns
	outs  bool  // CALL: @variables may take values

	begin   int       // of the statement
	params  int       // parameters passed so far
	changes *[]Change // nil if nobody asks
}

// Scan says what text does. It never panics and allocates nothing; its time is linear
// in the length of the text.
//
// A text that is not UTF-8 is not understood: in the character sets of East Asia, the
// second byte of a character can be a quote's or a backslash's.
func Scan(text string, mode Mode) Facts {
	f := understand(text, mode)
	f.flags |= hint(text)
	return f
}

func understand(text string, mode Mode) Facts {
	if !utf8.ValidString(text) {
		return unknown
	}
	readings := []Mode{mode}
	quotes, comments := ambiguities(text)
	switch {
	case mode&AnyMode != 0 && quotes:
		readings = anyMode
	case mode&AnyMode != 0:
		readings = plainMode
	case mode&AnyQuotes != 0 && quotes:
		readings = anyQuotes[mode&NoBackslashEscapes/NoBackslashEscapes]
	case mode&AnyQuotes != 0:
		readings = plainMode
	default:
		comments = false
	}
	if mode&Multibyte != 0 && !ascii(text) {
		return unknown
	}
	facts := scan(text, readings[0])
	for i, m := range readings {
		if i > 0 && scan(text, m) != facts || comments && scan(text, m|skipExecutable) != facts {
			return unknown
		}
	}
	return facts
}

// The ways of reading a text of which not all is known.
var (
	plainMode = []Mode{0}
	anyMode   = []Mode{0, AnsiQuotes, NoBackslashEscapes, AnsiQuotes | NoBackslashEscapes}
	anyQuotes = [][]Mode{{0, AnsiQuotes}, {NoBackslashEscapes, AnsiQuotes | NoBackslashEscapes}}
)

func ascii(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
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
	return s.scan()
}

func (s *scanner) scan() Facts {
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
		s.begin = s.token.start
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
	if s.token.kind == paramToken {
		s.params++
	}
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
	case s.is("TABLE"):
		f := s.query(Read)
		f.flags |= fromTable
		return f
	case s.is("WITH"): // what it reads from may be nothing but its own expressions
		return s.query(Read).perhaps()
	case s.symbol('('), s.oneOf("SELECT", "VALUES"):
		return s.query(Read)
	case s.oneOf("INSERT", "REPLACE"):
		s.advance()
		f := s.insert()
		f.flags |= usesTable | inserts
		return f
	case s.is("LOAD") && s.word(s.ahead, "INDEX"): // INTO CACHE
		return s.administration()
	case s.oneOf("UPDATE", "DELETE", "LOAD", "DO"):
		s.loads = s.is("LOAD")
		do := s.is("DO")
		s.advance()
		f := s.query(Write)
		if do {
			f.flags |= leavesCounts
		} else {
			f.flags |= usesTable
		}
		if s.loads {
			f.flags |= inserts
		}
		s.loads = false
		return f
	case s.accept("SET"):
		return s.set()
	case s.accept("USE"):
		s.note(Change{Effect: EffectSchema, Name: s.identifier()})
		s.rest()
		return Facts{Kind: Use, Effects: EffectSchema}
	case s.accept("CALL"):
		return s.invoke(Call)
	case s.is("EXECUTE") && !s.word(s.ahead, "IMMEDIATE"):
		return s.invoke(Write)
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
		f.Kind = Begin
		for !s.over() {
			if s.is("READ") && s.word(s.ahead, "ONLY") {
				f.flags |= readOnly
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
		case s.is("TO"): // a savepoint, whatever it is called
			s.rest()
			return Facts{Kind: Savepoint}
		case s.is("NO") && (s.word(s.ahead, "CHAIN") || s.word(s.ahead, "RELEASE")):
			s.advance() // and what is not to be
		case s.is("CHAIN"):
			f.flags |= chains
		case s.is("RELEASE"):
			f.flags |= releases
		case s.oneOf("WORK", "AND"):
		default:
			return s.misunderstood()
		}
		s.advance()
	}
	return f
}

// invoke passes CALL and EXECUTE. The arguments may call what they like, too.
func (s *scanner) invoke(kind Kind) Facts {
	s.advance() // the name: no function, though a parenthesis follows
	for s.symbol('.') {
		s.advance()
		s.advance()
	}
	s.outs = kind == Call
	f := s.expression(kind, false)
	s.outs = false
	f.Kind, f.Effects, f.flags = kind, f.Effects|EffectRoutine, f.flags|implicitCommit
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
	here := s.oneOf("MASTER", "BINARY", "BINLOG", "REPLICA", "REPLICAS", "SLAVE", "ALL", "RELAYLOG", "ENGINE")
	f := s.query(Read).perhaps() // FROM what the server makes up, perhaps
	if here {
		f.flags |= local
	}
	if asks {
		f.flags |= asksLast | asksWarnings
	} else {
		f.flags |= usesTable
	}
	return f
}

// explain reads EXPLAIN and MariaDB's ANALYZE, and ANALYZE TABLE. What is explained may
// be executed in part: constants, derived tables, and the tables of a change with more than one
// are locked. So it is taken for what it explains.
func (s *scanner) explain() Facts {
	if s.accept("ANALYZE") {
		if s.oneOf("TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG") {
			s.rest()
			return Facts{Kind: DDL, flags: implicitCommit}
		}
	} else {
		s.advance()
	}
	f := Facts{Kind: Read, flags: usesTable} // of a table, or of another connection
	for !s.over() && !s.symbol('(') && !s.oneOf("SELECT", "VALUES", "TABLE", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE") {
		if s.token.kind == userToken { // EXPLAIN … INTO @x
			return s.misunderstood()
		}
		if s.is("FOR") && s.word(s.ahead, "CONNECTION") {
			f.flags |= local
		}
		s.advance()
	}
	if s.over() {
		return f
	}
	return s.statement().perhaps()
}
