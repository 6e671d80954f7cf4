package sqlscan

import "strings"

// query reads a statement made of queries and expressions: SELECT, UPDATE, SHOW … .
// kind is what it is if nothing in it says otherwise.
func (s *scanner) query(kind Kind) Facts {
	return s.expression(kind, false)
}

// insert reads INSERT and REPLACE from behind that word: a table's name may be
// followed by columns in parentheses, which is no call.
func (s *scanner) insert() Facts {
	for s.oneOf("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO") {
		s.advance()
	}
	s.advance() // the table
	for s.symbol('.') {
		s.advance()
		s.advance()
	}
	return s.query(Write)
}

// expression reads tokens to the end of the statement, or to a comma outside of
// parentheses, and notes what has effects.
func (s *scanner) expression(kind Kind, toComma bool) Facts {
	f := Facts{Kind: kind}
	depth := 0
	with := s.is("WITH")
	cte := with
	for !s.over() {
		name := false
		switch {
		case s.symbol('('):
			depth++
		case s.symbol(')'):
			depth--
		case toComma && depth == 0 && s.symbol(','):
			return f
		case s.token.kind == assignToken:
			f.Kind, f.Effects = Write, f.Effects|EffectUserVariable
			s.note(Change{Effect: EffectUserVariable})
		case s.token.kind == systemToken:
			s.systemVariable(&f)
		case s.token.kind == userToken && (s.loads || s.outs || s.word(s.last, "INTO")):
			f.Effects |= EffectUserVariable
			s.note(Change{Effect: EffectUserVariable})
		case s.token.kind == wordToken || s.token.kind == quotedToken:
			if with && depth == 0 {
				if name = s.cteName(); !name {
					with = s.oneOf("WITH", "RECURSIVE", "AS")
				}
			}
			if cte && depth == 0 {
				f.modification(s)
			}
			s.keyword(&f)
		}
		if s.isSymbol(s.ahead, '(') && !name {
			s.call(&f)
		}
		s.advance()
	}
	return f
}

// cteName reports whether the current token is the name in WITH name (columns) AS (…),
// which no call is.
func (s *scanner) cteName() bool {
	if s.is("RECURSIVE") {
		return false
	}
	return s.word(s.last, "WITH") || s.word(s.last, "RECURSIVE") || s.isSymbol(s.last, ',')
}

// modification notes WITH … UPDATE, DELETE, INSERT, REPLACE. Between the last common
// table expression and that word, MariaDB's CYCLE clause may stand.
func (f *Facts) modification(s *scanner) {
	if s.oneOf("UPDATE", "DELETE", "INSERT", "REPLACE") && !s.isSymbol(s.ahead, '(') {
		f.Kind = Write
	}
}

// keyword notes the words that make a query more than a read.
func (s *scanner) keyword(f *Facts) {
	switch {
	case s.is("FROM"):
		f.flags |= fromTable
	case s.is("INTO"): // @x, OUTFILE, DUMPFILE
		f.Kind = Write
	case s.is("FOR") && (s.word(s.ahead, "UPDATE") || s.word(s.ahead, "SHARE")), s.is("LOCK"): // IN SHARE MODE
		f.Kind, f.flags = Write, f.flags|locks
	case s.is("NEXT") && s.word(s.ahead, "VALUE"): // FOR sequence
		f.Kind = Write
		if s.word(s.peek(), "FOR") {
			s.sequence(f)
		}
	// PREVIOUS VALUE FOR is NULL for a session that took no value of the sequence; one that
	// did is pinned.
	case s.named("PROCESSLIST"), s.named("INNODB_TRX"), s.named("PERFORMANCE_SCHEMA"):
		f.flags |= local
	case s.named("NEXTVAL") && s.qualified(): // Oracle mode's sequence.nextval
		s.sequence(f)
	case s.named("CURRVAL") && s.qualified():
		f.Kind = Write
	}
}

// sequence notes that a sequence goes on: the connection keeps the value for LASTVAL.
func (s *scanner) sequence(f *Facts) {
	f.Kind, f.Effects = Write, f.Effects|EffectSequence
	s.note(Change{Effect: EffectSequence})
}

// systemVariable notes the variables that tell of the connection's last statement.
func (s *scanner) systemVariable(f *Facts) {
	name := s.text[s.token.start+2 : s.token.end]
	// @@session . identity is one name, too.
	switch {
	case equalFold(name, "SESSION."), equalFold(name, "LOCAL."):
		name = s.text[s.ahead.start:s.ahead.end]
	case (equalFold(name, "SESSION") || equalFold(name, "LOCAL")) && s.isSymbol(s.ahead, '.'):
		after := s.peek()
		name = s.text[after.start:after.end]
	}
	quoted := name == "" && (s.ahead.kind == quotedToken || s.ahead.kind == stringToken) // @@"identity", with ANSI_QUOTES
	if quoted || strings.ContainsAny(name, "`\"") {
		f.flags |= asksLast | asksInsertID // @@`identity`, perhaps
		return
	}
	for _, scope := range [...]string{"SESSION.", "LOCAL."} {
		if len(name) > len(scope) && equalFold(name[:len(scope)], scope) {
			name = name[len(scope):]
		}
	}
	switch {
	case equalFold(name, "IDENTITY"), equalFold(name, "LAST_INSERT_ID"):
		f.flags |= asksInsertID
	case equalFold(name, "WARNING_COUNT"), equalFold(name, "ERROR_COUNT"), equalFold(name, "LAST_GTID"):
		f.flags |= asksLast | asksWarnings
	}
}

// call looks at a name that stands before a parenthesis.
func (s *scanner) call(f *Facts) {
	switch s.token.kind {
	case wordToken:
	case quotedToken:
		if !s.alias() {
			f.Kind, f.Effects = Write, f.Effects|EffectRoutine
		}
		return
	case stringToken, numberToken:
		// "f"(1) with ANSI_QUOTES, a syntax error without; and a name may begin with digits.
		f.Kind, f.Effects = Write, f.Effects|EffectRoutine
		return
	default:
		return
	}
	if s.qualified() { // schema.function()
		f.Kind, f.Effects = Write, f.Effects|EffectRoutine
		return
	}
	c := function(s.text[s.token.start:s.token.end])
	if c == adjoined && s.token.end != s.ahead.start && !s.isSymbol(s.peek(), '*') {
		c = foreign // COUNT (*) is no stored function: the asterisk is no argument
	}
	switch c {
	case harmless, adjoined:
	case asking:
		f.flags |= asksLast
		if s.named("FOUND_ROWS") {
			f.flags |= asksFound
		}
	case lastInsertID: // without an argument it asks; with one it says what the next is to answer
		if after := s.peek(); s.isSymbol(after, ')') {
			f.flags |= asksInsertID
		} else {
			f.Kind = Write
			f.flags |= setsInsertID
		}
	case acting:
		f.Kind = Write
	case sequential:
		s.sequence(f)
	case locking:
		f.Kind, f.Effects = Write, f.Effects|EffectNamedLock
		s.noteLock(',', false)
	case unlocking:
		f.Kind, f.Ends = Write, f.Ends|EffectNamedLock
		s.noteLock(')', true)
	default:
		if !s.alias() && !s.clause() {
			f.Kind, f.Effects = Write, f.Effects|EffectRoutine
		}
	}
}

// clause reports whether the current word begins a clause that goes on in parentheses,
// though elsewhere it can be the name of a stored function: on one of the servers, or
// before the version that reserved it.
func (s *scanner) clause() bool {
	switch {
	case s.is("COLUMNS"): // JSON_TABLE(…, '$' COLUMNS (…))
		return s.last.kind == stringToken || s.last.kind == quotedToken
	case s.is("OF"):
		return s.word(s.last, "MEMBER")
	case s.is("OVER"):
		return s.word(s.last, "NULLS") || s.word(s.last, "FIRST") // otherwise a parenthesis precedes it
	case s.oneOf("LATERAL", "EXCEPT", "INTERSECT", "MINUS"):
		after := s.peek() // a subquery that is an argument has parentheses of its own
		return s.word(after, "SELECT") || s.word(after, "WITH")
	}
	return false
}

// named reports whether the current token is a name, be it in quotes or not.
func (s *scanner) named(word string) bool {
	if s.token.kind == quotedToken {
		return equalFold(s.text[s.token.start+1:s.token.end-1], word)
	}
	return s.is(word)
}

// qualified reports whether a dot stands before the current name. The lexer takes it for
// a part of a name that begins with digits.
func (s *scanner) qualified() bool {
	return s.isSymbol(s.last, '.') || s.last.kind == numberToken && s.text[s.last.end-1] == '.'
}

// alias reports whether the current name is a table or its alias with columns, as in
// FROM (SELECT …) AS t (a, b), VALUES (…) AS new(a, b) or LOAD … INTO TABLE t (a, b).
func (s *scanner) alias() bool {
	return s.word(s.last, "AS") || s.isSymbol(s.last, ')') || s.word(s.last, "TABLE")
}

// peek returns the token behind the one ahead.
func (s *scanner) peek() token {
	look := s.lexer
	return look.next()
}
