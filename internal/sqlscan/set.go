package sqlscan

import (
	"bytes"
	"slices"
	"strings"
)

// set reads SET. What it assigns is found at the beginning of each assignment; the
// values are expressions, which may call functions. Whatever begins the list, it goes on
// behind the next comma, in MariaDB at least.
func (s *scanner) set() Facts {
	f := Facts{Kind: Set}
	start := s.last.start
	switch {
	case s.accept("TRANSACTION"):
		f.Effects = EffectNextTransaction
		s.rest()
		s.note(Change{Effect: EffectNextTransaction, Value: s.text[start:s.last.end]})
		return f
	case s.is("STATEMENT"): // MariaDB's SET STATEMENT … FOR
		return s.misunderstood()
	}
	global := false
	for !s.over() {
		switch {
		case s.oneOf("NAMES", "CHARSET"), s.oneOf("CHARACTER", "CHAR") && s.word(s.ahead, "SET"):
			s.characterSet(&f)
		case s.oneOf("ROLE", "RESOURCE"):
			s.note(Change{Effect: EffectVariable})
			f.Effects |= EffectVariable
			s.names(&f)
		case s.is("PASSWORD"), s.is("DEFAULT") && s.word(s.ahead, "ROLE"):
			f.Kind = DDL
			f.flags |= implicitCommit
			s.names(&f)
		default:
			s.assignment(&f, &global)
		}
		if s.symbol(',') {
			s.advance()
		}
	}
	return f
}

// names passes the roles, accounts or threads of SET ROLE and its like, among which commas
// stand, too. Behind one of them may be another assignment.
func (s *scanner) names(f *Facts) {
	comma := false
	for !s.over() {
		comma = comma || s.symbol(',')
		if comma && (s.token.kind == assignToken || s.symbol('=') || s.oneOf("NAMES", "CHARSET", "CHARACTER", "CHAR")) {
			f.Effects |= EffectUnknown
			f.flags |= implicitCommit
		}
		s.advance()
	}
}

// characterSet reads NAMES and CHARACTER SET.
func (s *scanner) characterSet(f *Facts) {
	c := Change{Effect: EffectVariable, Name: "names"}
	start := s.token.start
	if !s.accept("NAMES") {
		c.Name = "charset"
		s.advance()
		s.accept("SET")
	}
	charset := s.token
	s.value(f)
	if c.Name == "names" { // the other one depends on the schema, too
		c.Value = s.text[start:s.last.end]
	}
	s.note(c)
	f.Effects |= EffectVariable | s.client(charset)
}

// client returns what follows from a client's character set: in some, the second byte of
// a character can be a quote's or a backslash's, so that no text can be understood.
func (s *scanner) client(charset token) Effects {
	name := s.text[charset.start:charset.end]
	switch charset.kind {
	case wordToken:
	case stringToken, quotedToken:
		name = name[1 : len(name)-1]
	default:
		return EffectUnknown // its number, or what an expression makes
	}
	for _, charset := range MultibyteCharsets {
		if equalFold(name, charset) {
			return EffectUnknown
		}
	}
	for i := range len(name) {
		if !IsWord(name[i]) { // an escape
			return EffectUnknown
		}
	}
	return 0
}

// value reads the right side of an assignment.
func (s *scanner) value(f *Facts) {
	values := s.expression(Write, true)
	f.Effects |= values.Effects
	f.Ends |= values.Ends
	f.flags |= values.flags
}

// assignment reads one assignment. global says that the last GLOBAL or SESSION was GLOBAL:
// it counts for those without a scope that follow.
func (s *scanner) assignment(f *Facts, global *bool) {
	c, check := s.assigned(f, global)
	from := s.token
	s.value(f)
	f.Effects |= c.Effect
	if c.Effect == 0 {
		return
	}
	single := from.end == s.last.end
	switch {
	case check == checkNothing:
	case !single:
		f.Effects |= EffectUnknown
	case check == checkClient:
		f.Effects |= s.client(from)
	default:
		f.Effects |= s.completionType(from)
	}
	if c.Value == "" {
		c.Value = s.literal(from, c.Effect == EffectUserVariable)
	}
	s.note(c)
}

// check says what is to be known of a variable's new value.
type check uint8

const (
	checkNothing    check = iota
	checkClient           // character_set_client
	checkCompletion       // completion_type
)

// completionType returns what follows from a completion_type: with any but the first,
// each COMMIT begins a transaction or ends the connection.
func (s *scanner) completionType(value token) Effects {
	text := s.text[value.start:value.end]
	if value.kind == stringToken || value.kind == quotedToken {
		text = text[1 : len(text)-1]
		if text == "0" { // no number
			return EffectUnknown
		}
	}
	if text == "0" || equalFold(text, "NO_CHAIN") || equalFold(text, "DEFAULT") {
		return 0
	}
	return EffectUnknown
}

// assigned reads the left side of an assignment, its sign included. A change without
// effect is none of the session's.
func (s *scanner) assigned(f *Facts, global *bool) (Change, check) {
	if s.oneOf("GLOBAL", "PERSIST", "PERSIST_ONLY", "SESSION", "LOCAL") {
		*global = !s.oneOf("SESSION", "LOCAL")
		s.advance()
		if s.is("TRANSACTION") {
			if *global {
				f.flags |= setsGlobal
			}
			return s.transactions(*global), checkNothing
		}
	}
	text := s.text[s.token.start:s.token.end]
	var buffer [longestVariable]byte
	var name []byte
	elsewhere := false
	switch s.token.kind {
	case userToken:
		s.advance()
		s.sign()
		return Change{Effect: EffectUserVariable, Name: s.userVariable(text)}, checkNothing
	case systemToken:
		name = s.variableName(buffer[:0])
		scope, rest, _ := bytes.Cut(name, []byte{'.'})
		switch string(scope) {
		case "global", "persist", "persist_only":
			elsewhere = true
		case "session", "local":
			name = rest
		default:
			if nextTransaction(name) {
				// MySQL manual, "SET TRANSACTION": @@ without a scope means the next transaction.
				s.sign()
				return Change{Effect: EffectNextTransaction, Value: "SET TRANSACTION", Name: s.noted(name)}, checkNothing
			}
		}
	case wordToken, quotedToken:
		name, elsewhere = s.variableName(buffer[:0]), *global
	default:
		return Change{Effect: EffectUnknown}, checkNothing
	}
	s.sign()
	if elsewhere {
		f.flags |= setsGlobal
		return Change{}, checkNothing
	}
	what := checkNothing
	switch string(name) {
	case "last_insert_id", "identity":
		f.flags |= setsInsertID
		return Change{}, checkNothing // an answer for the next statement, like LAST_INSERT_ID(n)
	case "autocommit":
		f.flags |= implicitCommit
	case "completion_type":
		what = checkCompletion
	case "character_set_client":
		what = checkClient
	}
	return Change{Effect: EffectVariable, Name: s.noted(name)}, what
}

// longestVariable is more than servers have, in bytes.
const longestVariable = 128

// variableName passes the name of a system variable and appends it to name, in lower
// case, without quotes and without what may stand between its parts: @@session . `x` is
// session.x.
func (s *scanner) variableName(name []byte) []byte {
	for {
		text := s.text[s.token.start:s.token.end]
		for i := range len(text) {
			c := text[i]
			if c == '`' || c == '"' || c == '@' {
				continue
			}
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			if len(name) == cap(name) {
				s.bad = true // no server has it
				return name
			}
			name = append(name, c)
		}
		s.advance()
		switch {
		case s.symbol('.') && len(name) < cap(name):
			name = append(name, '.')
			s.advance()
		case len(name) == 0 || name[len(name)-1] != '.':
			return name
		}
		if s.token.kind != wordToken && s.token.kind != quotedToken && s.token.kind != numberToken {
			return name
		}
	}
}

// noted returns a name for a [Change], "" if nobody asks for changes.
func (s *scanner) noted(name []byte) string {
	if s.changes == nil {
		return ""
	}
	return string(name)
}

// transactions reads SET SESSION TRANSACTION from its last word on.
func (s *scanner) transactions(global bool) Change {
	level, access := "", ""
	for !s.over() {
		switch {
		case s.oneOf("SERIALIZABLE"):
			level = "'SERIALIZABLE'"
		case s.word(s.last, "READ") && s.oneOf("COMMITTED", "UNCOMMITTED"):
			level = "'READ-" + s.text[s.token.start:s.token.end] + "'"
		case s.word(s.last, "REPEATABLE") && s.is("READ"):
			level = "'REPEATABLE-READ'"
		case s.word(s.last, "READ") && s.is("ONLY"):
			access = "1"
		case s.word(s.last, "READ") && s.is("WRITE"):
			access = "0"
		}
		s.advance()
	}
	switch {
	case global:
		return Change{}
	case level != "" && access != "":
		s.note(Change{Effect: EffectVariable, Name: "transaction_isolation", Value: level})
		fallthrough
	case access != "":
		return Change{Effect: EffectVariable, Name: "transaction_read_only", Value: access}
	}
	return Change{Effect: EffectVariable, Name: "transaction_isolation", Value: level}
}

// MultibyteCharsets are the character sets of clients whose characters may have a quote or
// a backslash for their second byte.
var MultibyteCharsets = [...]string{"GBK", "BIG5", "SJIS", "CP932", "GB18030"}

// sign passes = and :=.
func (s *scanner) sign() {
	if s.token.kind == assignToken || s.symbol('=') {
		s.advance()
	}
}

func nextTransaction(name []byte) bool {
	switch string(name) {
	case "transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only":
		return true
	}
	return false
}

// userVariable returns the name in @name, @'name' and @`name`, in lower case: they are
// not case-sensitive.
func (s *scanner) userVariable(name string) string {
	if s.changes == nil {
		return name
	}
	name = name[1:]
	if name != "" && strings.ContainsAny(name[:1], "'\"`") {
		quote := name[:1]
		name = name[1 : len(name)-1]
		if strings.Contains(name, quote) || strings.Contains(name, `\`) {
			return ""
		}
	}
	if strings.ContainsAny(name, "`'\"") {
		return ""
	}
	return lower(name)
}

// longestValue bounds what a session remembers of one variable.
const longestValue = 16 << 10

// literal returns the value that begins at from and ends before the current token, if it
// is a literal; words are literals for system variables only.
func (s *scanner) literal(from token, user bool) string {
	if s.changes == nil || s.last.end <= from.start || s.last.end-from.start > longestValue {
		return ""
	}
	text := s.text[from.start:s.last.end]
	if from.end != s.last.end {
		return s.pair(from, text)
	}
	switch from.kind {
	case numberToken:
		return text
	case stringToken:
		if content, ok := s.content(from); ok {
			quoted, _ := Quote(content)
			return quoted
		}
	case wordToken:
		fixed := equalFold(text, "TRUE") || equalFold(text, "FALSE") || equalFold(text, "NULL")
		if fixed || !user && !equalFold(text, "DEFAULT") {
			return text
		}
	default:
	}
	return ""
}

// pair returns a literal of more than one token: a sign and a number, a word that says what
// the string behind it is, a string and its collation.
func (s *scanner) pair(from token, text string) string {
	between := strings.TrimSpace(s.text[from.end:s.last.start])
	switch first := text[:from.end-from.start]; {
	case from.kind == stringToken && s.last.kind == wordToken && equalFold(between, "COLLATE"):
		content, ok := s.content(from)
		if !ok {
			return ""
		}
		quoted, _ := Quote(content)
		return quoted + " COLLATE " + s.text[s.last.start:s.last.end]
	case between != "":
		return "" // there is more
	case from.kind == symbolToken && (first == "-" || first == "+") && s.last.kind == numberToken:
		return text
	case from.kind != wordToken || s.last.kind != stringToken:
		return ""
	case first[0] != '_' && !slices.ContainsFunc(typed, func(w string) bool { return equalFold(first, w) }):
		return ""
	default:
		content, ok := s.content(s.last)
		if !ok {
			return ""
		}
		quoted, _ := Quote(content)
		return first + quoted
	}
}

// typed are the words of literals such as DATE'2026-01-31' and X'41', beside the character
// sets (_utf8mb4'a').
var typed = []string{"DATE", "TIME", "TIMESTAMP", "X", "B", "N"}
