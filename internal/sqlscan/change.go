package sqlscan

import (
	"strings"
	"unicode/utf8"
)

// Change is one thing that a statement leaves behind in its session, or ends.
type Change struct {
	Effect Effects // one of them
	Ends   bool    // it ends what has that name; without a name, all of it
	// Stays: what has this effect is not to be followed by name from now on, and ends
	// with the session.
	Stays bool
	// Name of the variable, table, lock, …, without quotes; "" if it has none that can be
	// told from the text. A table's schema stands before it with a NUL between them. With
	// EffectSchema and Ends, it is a schema that has been dropped.
	Name string
	// Param is the number, from 1, of the parameter that holds the name; 0 = none.
	Param int
	// Alone: the statement is SELECT GET_LOCK(…) and nothing else, so its answer tells.
	Alone bool
	// Value of a variable: a literal that means the same wherever it is set, "" for
	// everything else. For EffectNextTransaction the whole statement.
	Value string
}

// Reported are the effects that a server reports by itself, whatever had them, if the
// client asked for it (MySQL manual, "session_track_state_change").
const Reported = EffectVariable | EffectUserVariable | EffectSchema | EffectTemporaryTable | EffectPrepared | EffectRoutine

// Changes says in detail what [Facts.Effects] and [Facts.Ends] say in short, in the
// order of the text. It returns nil for a text that has none of that, or is not understood.
func Changes(text string, mode Mode) []Change {
	if !utf8.ValidString(text) {
		return nil
	}
	var changes []Change
	s := scanner{lexer: lexer{text: text, mode: mode &^ (AnyMode | AnyQuotes)}, changes: &changes}
	s.scan()
	if s.bad {
		return nil
	}
	return changes
}

func (s *scanner) note(c Change) {
	if s.changes != nil {
		*s.changes = append(*s.changes, c)
	}
}

// identifier passes a name without qualification and returns it, "" if there is none.
func (s *scanner) identifier() string {
	t := s.token
	if t.kind != wordToken && t.kind != quotedToken {
		return ""
	}
	s.advance()
	return s.name(t)
}

// name returns an identifier without its quotes.
func (s *scanner) name(t token) string {
	text := s.text[t.start:t.end]
	if t.kind != quotedToken || s.changes == nil {
		return text
	}
	quote := text[:1]
	return strings.ReplaceAll(text[1:len(text)-1], quote+quote, quote)
}

// qualifiedName passes name or schema.name, for [Change.Name].
func (s *scanner) qualifiedName() string {
	name := s.identifier()
	if !s.symbol('.') {
		return name
	}
	s.advance()
	table := s.identifier()
	if name == "" || table == "" {
		return ""
	}
	return name + "\x00" + table
}

// exists passes IF EXISTS and IF NOT EXISTS.
func (s *scanner) exists() {
	if s.accept("IF") {
		s.accept("NOT")
		s.accept("EXISTS")
	}
}

// noteTemporary notes CREATE TEMPORARY TABLE, the rest of which is still to be read.
func (s *scanner) noteTemporary() {
	if s.changes == nil {
		return
	}
	look := *s
	c := Change{Effect: EffectTemporaryTable}
	if look.accept("TABLE") {
		look.exists()
		c.Name = look.qualifiedName()
	}
	s.note(c)
}

// noteLock notes GET_LOCK(name, … and RELEASE_LOCK(name): behind the name stands after.
func (s *scanner) noteLock(after byte, ends bool) {
	if s.changes == nil {
		return
	}
	c := Change{Effect: EffectNamedLock, Ends: ends}
	if s.is("RELEASE_ALL_LOCKS") {
		s.note(c)
		return
	}
	look := *s
	c.Alone = look.word(look.last, "SELECT") && look.last.start == s.begin
	look.advance() // the function
	look.advance() // the parenthesis
	name, params := look.token, look.params
	look.advance()
	if look.symbol(after) {
		switch name.kind {
		case stringToken:
			if text, ok := s.content(name); ok {
				c.Name = text
			}
		case paramToken:
			c.Param = params + 1
		default:
		}
	}
	if c.Alone {
		for depth := 1; depth > 0 && !look.over(); look.advance() {
			switch {
			case look.symbol('('):
				depth++
			case look.symbol(')'):
				depth--
			}
		}
		if look.accept("AS"); !look.over() {
			look.identifier()
		}
		c.Alone = look.over()
	}
	if ends && c.Name == "" && c.Param == 0 {
		return // nobody knows which one: it is held on
	}
	s.note(c)
}

// content returns what a string literal stands for, unless that depends on the mode.
func (s *scanner) content(t token) (string, bool) {
	text := s.text[t.start:t.end]
	if t.kind != stringToken || strings.IndexByte(text, '\\') >= 0 {
		return "", false
	}
	quote := text[:1]
	return strings.ReplaceAll(text[1:len(text)-1], quote+quote, quote), true
}

// Quote returns a string literal that means s in every sql_mode; false if there is none.
func Quote(s string) (string, bool) {
	if strings.IndexByte(s, '\\') >= 0 || strings.IndexByte(s, 0) >= 0 {
		return "", false
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'", true
}

func lower(s string) string { return strings.ToLower(s) }

// SeveralRows reports whether an INSERT may have inserted a row before it failed: unless it
// has one row of VALUES or SET, and no other.
func SeveralRows(text string, mode Mode) bool {
	l := lexer{text: text, mode: mode &^ (AnyMode | AnyQuotes)}
	depth, rows := 0, false
	last := token{}
	for t := l.next(); t.kind != endToken; t = l.next() {
		word := text[t.start:t.end]
		switch {
		case t.kind == badToken, t.kind == wordToken && (equalFold(word, "SELECT") || equalFold(word, "TABLE") || equalFold(word, "LOAD")):
			return true
		case t.kind == wordToken && (equalFold(word, "VALUES") || equalFold(word, "VALUE")):
			rows = rows || depth == 0
		case t.kind == symbolToken && word == "(":
			depth++
		case t.kind == symbolToken && word == ")":
			depth--
		case t.kind == symbolToken && word == "," && depth == 0 && rows && last.kind == symbolToken && text[last.start] == ')':
			return true
		}
		last = t
	}
	return false
}
