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
		case s.token.kind == systemToken:
			s.systemVariable(&f)
		case s.token.kind == userToken && (s.loads || s.word(s.last, "INTO")):
			f.Effects |= EffectUserVariable
		case s.token.kind == wordToken || s.token.kind == quotedToken:
			if with && depth == 0 {
				if name = s.cteName(); !name {
					with = s.oneOf("WITH", "RECURSIVE", "AS")
					f.modification(s)
				}
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

// modification notes WITH … UPDATE, DELETE, INSERT, REPLACE.
func (f *Facts) modification(s *scanner) {
	if s.oneOf("UPDATE", "DELETE", "INSERT", "REPLACE") {
		f.Kind = Write
	}
}

// keyword notes the words that make a query more than a read.
func (s *scanner) keyword(f *Facts) {
	switch {
	case s.is("INTO"): // @x, OUTFILE, DUMPFILE
		f.Kind = Write
	case s.is("FOR") && (s.word(s.ahead, "UPDATE") || s.word(s.ahead, "SHARE")):
		f.Kind = Write // locks
	case s.is("LOCK"): // IN SHARE MODE
		f.Kind = Write
	case s.is("NEXT") && s.word(s.ahead, "VALUE"): // FOR sequence
		f.Kind = Write
	case s.oneOf("NEXTVAL", "CURRVAL") && s.qualified(): // Oracle mode's sequence.nextval
		f.Kind = Write
	}
}

// systemVariable notes the variables that tell of the connection's last statement.
func (s *scanner) systemVariable(f *Facts) {
	name := s.text[s.token.start+2 : s.token.end]
	if strings.ContainsRune(name, '`') {
		f.flags |= asksLast // @@`identity`, perhaps
		return
	}
	for _, scope := range [...]string{"SESSION.", "LOCAL."} {
		if len(name) > len(scope) && equalFold(name[:len(scope)], scope) {
			name = name[len(scope):]
		}
	}
	for _, asking := range [...]string{"IDENTITY", "LAST_INSERT_ID", "WARNING_COUNT", "ERROR_COUNT"} {
		if equalFold(name, asking) {
			f.flags |= asksLast
		}
	}
}

// call looks at a name that stands before a parenthesis.
func (s *scanner) call(f *Facts) {
	switch s.token.kind {
	case wordToken:
	case quotedToken:
		if !s.alias() {
			f.Kind, f.Effects = Write, f.Effects|EffectUnknown
		}
		return
	case stringToken, numberToken:
		// "f"(1) with ANSI_QUOTES, a syntax error without; and a name may begin with digits.
		f.Kind, f.Effects = Write, f.Effects|EffectUnknown
		return
	default:
		return
	}
	if s.qualified() { // schema.function()
		f.Kind, f.Effects = Write, f.Effects|EffectUnknown
		return
	}
	switch function(s.text[s.token.start:s.token.end]) {
	case harmless:
	case asking:
		f.flags |= asksLast
	case lastInsertID: // without an argument it asks; with one it says what the next is to answer
		if after := s.peek(); s.isSymbol(after, ')') {
			f.flags |= asksLast
		} else {
			f.Kind = Write
		}
	case acting:
		f.Kind = Write
	case locking:
		f.Kind, f.Effects = Write, f.Effects|EffectNamedLock
	case unlocking:
		f.Kind, f.Ends = Write, f.Ends|EffectNamedLock
	default:
		if !s.alias() {
			f.Kind, f.Effects = Write, f.Effects|EffectUnknown
		}
	}
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
