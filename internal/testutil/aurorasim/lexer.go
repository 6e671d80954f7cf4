package aurorasim

import "strings"

type tokenKind uint8

const (
	wordToken   tokenKind = iota // keyword or bare identifier
	quotedToken                  // `identifier`
	textToken                    // 'text' or "text"
	numberToken
	sysvarToken // @@name, @@global.name
	uservarToken
	paramToken // ?
	symbolToken
)

// token is a piece of a statement. Comments make none, but what stands in
// /*! … */ does: servers execute it.
type token struct {
	kind       tokenKind
	start, end int    // in the statement
	text       string // as written; of quotedToken and textToken without quotes, still escaped
}

// is tells whether t is the keyword, which must be in capitals.
func (t token) is(keyword string) bool {
	return t.kind == wordToken && strings.EqualFold(t.text, keyword)
}

func (t token) symbol(s string) bool { return t.kind == symbolToken && t.text == s }

// names tells whether t is the identifier, in any case, quoted or not.
func (t token) names(identifier string) bool {
	return (t.kind == wordToken || t.kind == quotedToken) && strings.EqualFold(t.text, identifier)
}

// sysvar is the name of a @@variable without its scope, in lower case.
func (t token) sysvar() string {
	name := strings.ToLower(strings.TrimPrefix(t.text, "@@"))
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return name
}

type lexer struct {
	sql     string
	pos     int
	escapes bool // backslashes escape
	inside  bool // /*! … */
}

// lex takes a statement apart. It never fails: what it does not know is a symbol.
func lex(sql string, backslashEscapes bool) []token {
	l := lexer{sql: sql, escapes: backslashEscapes}
	tokens := make([]token, 0, 32)
	for {
		t, ok := l.next()
		if !ok {
			return tokens
		}
		tokens = append(tokens, t)
	}
}

func (l *lexer) at(i int) byte {
	if i < len(l.sql) {
		return l.sql[i]
	}
	return 0
}

func (l *lexer) next() (token, bool) {
	l.skip()
	if l.pos >= len(l.sql) {
		return token{}, false
	}
	start := l.pos
	switch c := l.sql[start]; {
	case c == '\'' || c == '"' || c == '`':
		return l.quoted(c), true
	case c == '@':
		return l.variable(), true
	case c == '?':
		return l.make(paramToken, start+1), true
	case isDigit(c) || c == '.' && isDigit(l.at(start+1)):
		return l.number(), true
	case isWord(c):
		return l.make(wordToken, l.scan(start, isWord)), true
	}
	for _, op := range []string{"<=>", "<=", ">=", "<>", "!=", ":=", "||", "&&"} {
		if strings.HasPrefix(l.sql[start:], op) {
			return l.make(symbolToken, start+len(op)), true
		}
	}
	return l.make(symbolToken, start+1), true
}

// make ends the token that began at l.pos.
func (l *lexer) make(kind tokenKind, end int) token {
	t := token{kind: kind, start: l.pos, end: end, text: l.sql[l.pos:end]}
	l.pos = end
	return t
}

func (l *lexer) scan(i int, in func(byte) bool) int {
	for i < len(l.sql) && in(l.sql[i]) {
		i++
	}
	return i
}

// skip passes over white space and comments.
func (l *lexer) skip() {
	for l.pos < len(l.sql) {
		rest := l.sql[l.pos:]
		switch {
		case isSpace(rest[0]):
			l.pos++
		case rest[0] == '#', strings.HasPrefix(rest, "--") && (len(rest) == 2 || isSpace(rest[2])):
			l.pos = l.after("\n")
		case strings.HasPrefix(rest, "/*!"), strings.HasPrefix(rest, "/*M!"):
			l.inside = true
			l.pos = l.scan(l.pos+strings.IndexByte(rest, '!')+1, isDigit)
		case strings.HasPrefix(rest, "/*"):
			l.pos += 2
			l.pos = l.after("*/")
		case l.inside && strings.HasPrefix(rest, "*/"):
			l.inside = false
			l.pos += 2
		default:
			return
		}
	}
}

func (l *lexer) after(end string) int {
	if i := strings.Index(l.sql[l.pos:], end); i >= 0 {
		return l.pos + i + len(end)
	}
	return len(l.sql)
}

func (l *lexer) quoted(quote byte) token {
	kind := textToken
	if quote == '`' {
		kind = quotedToken
	}
	i := l.pos + 1
	for i < len(l.sql) {
		switch {
		case l.sql[i] == '\\' && l.escapes && quote != '`':
			i++
		case l.sql[i] == quote && l.at(i+1) == quote:
			i++
		case l.sql[i] == quote:
			t := l.make(kind, i+1)
			t.text = t.text[1 : len(t.text)-1]
			return t
		}
		i++
	}
	t := l.make(kind, len(l.sql))
	t.text = t.text[1:]
	return t
}

func (l *lexer) variable() token {
	kind, i := uservarToken, l.pos+1
	if l.at(i) == '@' {
		kind = sysvarToken
		i++
	}
	return l.make(kind, l.scan(i, func(c byte) bool { return isWord(c) || c == '.' }))
}

func (l *lexer) number() token {
	i := l.scan(l.pos, func(c byte) bool { return isWord(c) || c == '.' })
	if c := l.sql[i-1] | 0x20; c == 'e' && (l.at(i) == '-' || l.at(i) == '+') {
		i = l.scan(i+1, isDigit)
	}
	return l.make(numberToken, i)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isSpace(c byte) bool { return c <= ' ' }

func isWord(c byte) bool {
	return c == '_' || c == '$' || isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// unescape gives the value of a textToken.
func unescape(raw string, quote byte, backslashEscapes bool) string {
	if strings.IndexByte(raw, '\\') < 0 && strings.IndexByte(raw, quote) < 0 {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch {
		case raw[i] == quote: // doubled
			i++
		case raw[i] == '\\' && backslashEscapes && i+1 < len(raw):
			i++
			if j := strings.IndexByte("0nrtbZ", raw[i]); j >= 0 {
				b.WriteByte("\x00\n\r\t\b\x1a"[j])
				continue
			}
			if raw[i] == '%' || raw[i] == '_' { // kept for LIKE
				b.WriteByte('\\')
			}
		}
		if i < len(raw) {
			b.WriteByte(raw[i])
		}
	}
	return b.String()
}
