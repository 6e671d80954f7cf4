package minidb

import "strings"

type kind byte

const (
	end       kind = iota
	word           // keyword or name
	quoted         // `name`
	number         // 1, 1.5, 1e3
	text           // 'text'
	parameter      // ?
	userVar        // @name, text without @
	systemVar      // @@scope.name, text without @@
	symbol         // operators and punctuation
	broken         // a quote or comment without end, or no SQL at all
)

// token is a piece of a statement, with its place in it.
type token struct {
	kind       kind
	text       string // without quotes
	start, end int
}

// mode is what sql_mode changes about reading SQL.
type mode byte

const (
	ansiQuotes mode = 1 << iota
	noBackslashEscapes
)

// modeOf reads a value of sql_mode.
func modeOf(sqlMode string) (m mode) {
	for name := range strings.SplitSeq(strings.ToUpper(sqlMode), ",") {
		switch strings.TrimSpace(name) {
		case "ANSI_QUOTES", "ANSI":
			m |= ansiQuotes
		case "NO_BACKSLASH_ESCAPES":
			m |= noBackslashEscapes
		}
	}
	return m
}

// lexer cuts a statement into tokens.
type lexer struct {
	sql  string
	pos  int
	mode mode
	bang bool // inside /*! … */, whose content counts
}

// tokenize cuts all of sql. A broken token is the last one.
func tokenize(sql string, m mode) []token {
	l := lexer{sql: sql, mode: m}
	tokens := make([]token, 0, len(sql)/5+4)
	for {
		t := l.next()
		tokens = append(tokens, t)
		if t.kind == end || t.kind == broken {
			return tokens
		}
	}
}

func (l *lexer) next() token {
	if !l.skip() {
		return l.token(broken, l.pos, len(l.sql))
	}
	start := l.pos
	if start >= len(l.sql) {
		if l.bang {
			return token{broken, "", start, start}
		}
		return token{end, "", start, start}
	}
	switch c := l.sql[start]; {
	case c == '\'', c == '"', c == '`':
		return l.quotation(c)
	case c == '@':
		return l.variable()
	case isDigit(c), c == '.' && isDigit(l.at(1)):
		return l.number()
	case isLetter(c):
		return l.token(word, start, l.run(start, isName))
	case c == '?':
		return l.token(parameter, start, start+1)
	}
	for _, long := range []string{"<=>", "<=", ">=", "<>", "!=", "&&", "||", ":="} {
		if strings.HasPrefix(l.sql[start:], long) {
			return l.token(symbol, start, start+len(long))
		}
	}
	return l.token(symbol, start, start+1)
}

// token takes sql[start:to], and goes on behind it.
func (l *lexer) token(k kind, start, to int) token {
	l.pos = to
	return token{k, l.sql[start:to], start, to}
}

// at is the byte so far ahead, 0 behind the end.
func (l *lexer) at(ahead int) byte {
	if l.pos+ahead >= len(l.sql) {
		return 0
	}
	return l.sql[l.pos+ahead]
}

// run is the end of the bytes from there on that are like that.
func (l *lexer) run(from int, like func(byte) bool) int {
	for from < len(l.sql) && like(l.sql[from]) {
		from++
	}
	return from
}

// skip passes white space and comments; false if a comment has no end.
func (l *lexer) skip() bool {
	for l.pos < len(l.sql) {
		rest := l.sql[l.pos:]
		switch {
		case isSpace(rest[0]):
			l.pos++
		case rest[0] == '#', strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' '):
			line := strings.IndexByte(rest, '\n')
			if line < 0 {
				line = len(rest) - 1
			}
			l.pos += line + 1
		case strings.HasPrefix(rest, "/*!") && !l.bang:
			l.bang = true
			l.pos = l.run(l.pos+len("/*!"), isDigit)
		case strings.HasPrefix(rest, "*/") && l.bang:
			l.bang = false
			l.pos += len("*/")
		case strings.HasPrefix(rest, "/*"):
			closed := strings.Index(rest[2:], "*/")
			if closed < 0 {
				return false
			}
			l.pos += closed + 4
		default:
			return true
		}
	}
	return true
}

// quotation reads a text, or a name in quotes.
func (l *lexer) quotation(quote byte) token {
	k := text
	if quote == '`' || quote == '"' && l.mode&ansiQuotes != 0 {
		k = quoted
	}
	start := l.pos
	escapes := k == text && l.mode&noBackslashEscapes == 0
	var unescaped []byte // nil as long as there was nothing to replace
	from := start + 1
	for i := from; i < len(l.sql); i++ {
		switch c := l.sql[i]; {
		case c == '\\' && escapes && i+1 < len(l.sql):
			unescaped = appendEscape(append(unescaped, l.sql[from:i]...), l.sql[i+1])
			i++
			from = i + 1
		case c == quote && i+1 < len(l.sql) && l.sql[i+1] == quote:
			i++
			unescaped = append(unescaped, l.sql[from:i]...)
			from = i + 1
		case c == quote:
			t := token{k, l.sql[from:i], start, i + 1}
			if unescaped != nil {
				t.text = string(append(unescaped, t.text...))
			}
			l.pos = i + 1
			return t
		}
	}
	return l.token(broken, start, len(l.sql))
}

// appendEscape appends what \c stands for.
// https://dev.mysql.com/doc/refman/8.0/en/string-literals.html
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '0':
		return append(dst, 0)
	case 'n':
		return append(dst, '\n')
	case 'r':
		return append(dst, '\r')
	case 't':
		return append(dst, '\t')
	case 'b':
		return append(dst, '\b')
	case 'Z':
		return append(dst, 26)
	case '%', '_': // kept for LIKE
		return append(dst, '\\', c)
	}
	return append(dst, c)
}

// variable reads @name or @@name.
func (l *lexer) variable() token {
	start, k := l.pos, userVar
	if l.at(1) == '@' {
		k = systemVar
		l.pos++
	}
	l.pos++
	if c := l.at(0); k == userVar && (c == '\'' || c == '"' || c == '`') {
		t := l.quotation(c)
		if t.kind != broken {
			t.kind = userVar
		}
		t.start = start
		return t
	}
	from := l.pos
	to := l.run(from, func(c byte) bool { return isName(c) || c == '.' })
	if from == to {
		return l.token(broken, start, len(l.sql))
	}
	l.pos = to
	return token{k, strings.ToLower(l.sql[from:to]), start, to}
}

func (l *lexer) number() token {
	start := l.pos
	to := l.run(start, isDigit)
	if to < len(l.sql) && l.sql[to] == '.' {
		to = l.run(to+1, isDigit)
	}
	if to < len(l.sql) && l.sql[to]|0x20 == 'e' {
		power := to + 1
		if power < len(l.sql) && (l.sql[power] == '+' || l.sql[power] == '-') {
			power++
		}
		if digits := l.run(power, isDigit); digits > power {
			to = digits
		}
	}
	if to < len(l.sql) && isName(l.sql[to]) { // a name may begin with digits
		return l.token(word, start, l.run(to, isName))
	}
	return l.token(number, start, to)
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isName(c byte) bool  { return isLetter(c) || isDigit(c) }
func isLetter(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '$' || c >= 0x80
}
