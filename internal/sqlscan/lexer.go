package sqlscan

// token is a piece of a text: text[start:end].
type token struct {
	kind       tokenKind
	start, end int
}

type tokenKind uint8

const (
	endToken    tokenKind = iota // of the text
	wordToken                    // keyword, identifier
	quotedToken                  // `identifier`, or "identifier" with AnsiQuotes
	stringToken
	numberToken
	userToken   // @name, @'name'
	systemToken // @@name, @@session.name
	assignToken // :=
	paramToken  // ?
	symbolToken // one character
	badToken    // a quote or comment without an end; the text cannot be understood
)

// lexer cuts a text into tokens, without comments and white space.
type lexer struct {
	text       string
	mode       Mode
	pos        int
	executable int // depth of /*! … */ that is being read
}

// next returns the next token.
func (l *lexer) next() token {
	if !l.skip() {
		return token{badToken, l.pos, len(l.text)}
	}
	if l.pos >= len(l.text) {
		return token{endToken, l.pos, l.pos}
	}
	start := l.pos
	c := l.text[start]
	switch {
	case c == '\'':
		return l.quoted(stringToken, '\'', l.mode&NoBackslashEscapes == 0)
	case c == '"':
		if l.mode&AnsiQuotes != 0 {
			return l.quoted(quotedToken, '"', false)
		}
		return l.quoted(stringToken, '"', l.mode&NoBackslashEscapes == 0)
	case c == '`':
		return l.quoted(quotedToken, '`', false)
	case c == '@':
		return l.variable()
	case isDigit(c), c == '.' && isDigit(l.at(1)):
		return l.number()
	case isWord(c):
		for l.pos < len(l.text) && isWord(l.text[l.pos]) {
			l.pos++
		}
		return token{wordToken, start, l.pos}
	case c == ':' && l.at(1) == '=':
		l.pos += 2
		return token{assignToken, start, l.pos}
	}
	l.pos++
	kind := symbolToken
	if c == '?' {
		kind = paramToken
	} else if c < ' ' || c == 0x7f {
		kind = badToken
	}
	return token{kind, start, l.pos}
}

// at returns the character n places on, 0 behind the end.
func (l *lexer) at(n int) byte {
	if l.pos+n < len(l.text) {
		return l.text[l.pos+n]
	}
	return 0
}

// skip passes white space and comments. It returns false for a comment without end.
func (l *lexer) skip() bool {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case isSpace(c):
			l.pos++
		case c == '#':
			l.line()
		case c == '-' && l.at(1) == '-' && (l.pos+2 >= len(l.text) || l.at(2) <= ' '):
			// MySQL manual, "Comments": -- needs a white space or control character behind it.
			l.line()
		case c == '/' && l.at(1) == '*':
			if !l.comment() {
				return false
			}
		case c == '*' && l.at(1) == '/' && l.executable > 0:
			l.executable--
			l.pos += 2
		default:
			return true
		}
	}
	return l.executable == 0
}

func (l *lexer) line() {
	for l.pos < len(l.text) && l.text[l.pos] != '\n' {
		l.pos++
	}
}

// comment passes /* … */, hints /*+ … */ included. The text in /*! … */ and MariaDB's
// /*M! … */ is executed, depending on the server's version: it is read on, unless the
// mode says to skip it.
func (l *lexer) comment() bool {
	executable := 0
	switch {
	case l.at(2) == '!':
		executable = 3
	case l.at(2) == 'M' && l.at(3) == '!':
		executable = 4
	}
	if executable > 0 && l.mode&skipExecutable == 0 {
		l.pos += executable
		for isDigit(l.at(0)) && l.pos < len(l.text) {
			l.pos++
		}
		l.executable++
		return true
	}
	for i := l.pos + 2; i+1 < len(l.text); i++ {
		if l.text[i] == '*' && l.text[i+1] == '/' {
			l.pos = i + 2
			return true
		}
	}
	l.pos = len(l.text)
	return false
}

// quoted reads what stands in quotes; a doubled quote stands for itself.
func (l *lexer) quoted(kind tokenKind, quote byte, escapes bool) token {
	start := l.pos
	for l.pos++; l.pos < len(l.text); l.pos++ {
		switch c := l.text[l.pos]; {
		case c == '\\' && escapes:
			l.pos++
		case c == quote && l.at(1) == quote:
			l.pos++
		case c == quote:
			l.pos++
			return token{kind, start, l.pos}
		}
	}
	l.pos = len(l.text)
	return token{badToken, start, l.pos}
}

// variable reads @name, @'name', @@name and @@session.name.
func (l *lexer) variable() token {
	start, kind := l.pos, userToken
	l.pos++
	if l.at(0) == '@' {
		kind = systemToken
		l.pos++
	}
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		if isWord(c) || c == '.' {
			l.pos++
			continue
		}
		if c != '`' && (kind == systemToken || c != '\'' && c != '"') {
			break
		}
		if t := l.quoted(kind, c, c != '`' && l.mode&NoBackslashEscapes == 0); t.kind == badToken {
			return t
		}
	}
	return token{kind, start, l.pos}
}

// number reads digits, hexadecimal digits, a fraction, an exponent; an identifier may
// begin with digits, too, and is read as a number then.
func (l *lexer) number() token {
	start := l.pos
	for l.pos < len(l.text) && (isWord(l.text[l.pos]) || l.text[l.pos] == '.') {
		exponent := l.text[l.pos] == 'e' || l.text[l.pos] == 'E'
		l.pos++
		if exponent && (l.at(0) == '+' || l.at(0) == '-') && isDigit(l.at(1)) && !hexadecimal(l.text[start:l.pos]) {
			l.pos++
		}
	}
	return token{numberToken, start, l.pos}
}

func hexadecimal(s string) bool { return len(s) > 1 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') }

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isWord reports the characters of unquoted identifiers (MySQL manual, "Schema Object
// Names"): letters, digits, $, _ and everything beyond ASCII.
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || c == '_' || c == '$' || c >= 0x80
}

// equalFold compares a text to a word in capital letters, ASCII only.
func equalFold(s, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
