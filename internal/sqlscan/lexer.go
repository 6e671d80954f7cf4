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
	executable bool   // in a /*! … */ that is being read
	head       string // how the first of them begins: "/*!80000"
	name       int    // where the last token has ended, if it was a name
	member     int    // where a name must begin, even with digits, because "name." stands before it
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
	case IsWord(c) && (!isDigit(c) || start > 0 && l.member == start):
		return l.identifier(wordToken, false)
	case c == '.' && IsWord(l.at(1)) && start > 0 && l.name == start:
		l.member = start + 1
	case isDigit(c), c == '.' && isDigit(l.at(1)):
		return l.number()
	case c == ':' && l.at(1) == '=':
		l.pos += 2
		return token{assignToken, start, l.pos}
	case c == '\\' && l.at(1) == 'N': // MariaDB's NULL; what follows is the next token
		l.pos += 2
		return token{numberToken, start, l.pos}
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

// skip passes white space and comments. It returns false for a comment without end, or
// one that servers may understand in ways of their own.
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
		case c == '*' && l.at(1) == '/' && l.executable:
			l.executable = false
			l.pos += 2
		default:
			return true
		}
	}
	return !l.executable
}

func (l *lexer) line() {
	for l.pos < len(l.text) && l.text[l.pos] != '\n' {
		l.pos++
	}
}

// comment passes /* … */, hints /*+ … */ included. The text in /*! … */ and MariaDB's
// /*M! … */ is executed, depending on the server's version: it is read on, unless the
// mode says to skip it.
//
// All of them are read, or none. So they must have one version: of several versions, a
// server may execute some. And no comment may be in them: a server that skips them
// counts the inner one's end, one that executes them does not.
func (l *lexer) comment() bool {
	if l.executable {
		return false
	}
	head := 0
	switch {
	case l.at(2) == '!':
		head = 3
	case l.at(2) == 'M' && l.at(3) == '!':
		head = 4
	}
	executable := head > 0
	if executable {
		digits := 0
		for digits < 7 && isDigit(l.at(head+digits)) {
			digits++
		}
		if digits >= 5 { // fewer are no version
			head += min(digits, 6)
		}
		if digits >= 6 && (IsWord(l.at(head)) || l.at(head) == '.') {
			return false // MySQL 5.7 takes five digits, and the sixth for the text
		}
		h := l.text[l.pos : l.pos+head]
		if old := h[len("/*!"):]; h[2] == '!' && (old == "" || len(old) == 5 && old < "50700") {
			// Every server executes it: MySQL 5.7 and later by its version, and MariaDB skips
			// only what is meant for MySQL 5.7 and later.
			l.pos += head
			l.executable = true
			return true
		}
		if l.head != "" && l.head != h {
			return false
		}
		l.head = h
	} else {
		head = 2
	}
	l.pos += head
	if executable && l.mode&skipExecutable == 0 {
		l.executable = true
		return true
	}
	for ; l.pos < len(l.text); l.pos++ {
		switch {
		case l.text[l.pos] == '*' && l.at(1) == '/':
			l.pos += 2
			return true
		case executable && l.text[l.pos] == '/' && l.at(1) == '*':
			return false
		}
	}
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
			if kind == quotedToken {
				l.name = l.pos
			}
			return token{kind, start, l.pos}
		}
	}
	l.pos = len(l.text)
	return token{badToken, start, l.pos}
}

// variable reads @name, @'name', @@name and @@session.name. Quotes end a name, so that
// a keyword may follow at once; behind a quoted part of @@a.b only a dot goes on.
func (l *lexer) variable() token {
	start := l.pos
	l.pos++
	if l.at(0) != '@' {
		switch c := l.at(0); c {
		case '`':
			return l.part(userToken, start, l.quoted(userToken, c, false))
		case '"':
			return l.part(userToken, start, l.quoted(userToken, c, l.mode&(AnsiQuotes|NoBackslashEscapes) == 0))
		case '\'':
			return l.part(userToken, start, l.quoted(userToken, c, l.mode&NoBackslashEscapes == 0))
		}
		return l.part(userToken, start, l.identifier(userToken, true))
	}
	for l.pos++; ; l.pos++ {
		t := token{kind: systemToken}
		switch c := l.at(0); {
		case c == '`', c == '"' && l.mode&AnsiQuotes != 0:
			t = l.quoted(systemToken, c, false)
		default:
			t = l.identifier(systemToken, false)
		}
		if t.kind == badToken || l.at(0) != '.' {
			return l.part(systemToken, start, t)
		}
	}
}

// part returns the token that begins at start and has t for its last part.
func (l *lexer) part(kind tokenKind, start int, t token) token {
	if t.kind == badToken {
		kind = badToken
	}
	return token{kind, start, l.pos}
}

// identifier reads the characters of a name without quotes, and dots if they belong to
// it. There may be none.
//
// The byte 0xA0 is a space in latin1 and its like: there, "à" is a letter and the end of a
// name. Nobody knows the client's character set, so nothing may follow it that could hide
// behind it; in texts that people write, nothing does.
func (l *lexer) identifier(kind tokenKind, dots bool) token {
	start := l.pos
	for l.pos < len(l.text) && (IsWord(l.text[l.pos]) || dots && l.text[l.pos] == '.') {
		if l.text[l.pos] == 0xA0 {
			switch c := l.at(1); {
			case c < 0x80 && IsWord(c), c == '.' && isDigit(l.at(2)):
				kind = badToken
			}
		}
		l.pos++
	}
	l.name = l.pos
	return token{kind, start, l.pos}
}

// number reads a number, to its last digit: a keyword may follow at once. What begins
// with digits and goes on with letters is a name, but for the numbers 0x1F and 0b01.
func (l *lexer) number() token {
	start := l.pos
	l.digits()
	switch {
	case l.at(0) == '.':
		l.pos++
		l.digits()
		if c := l.at(0); (c == 'e' || c == 'E') && !l.exponent() {
			return token{badToken, start, l.pos} // no token of any server
		}
	case l.exponent():
	case IsWord(l.at(0)):
		t := l.identifier(numberToken, false)
		return token{t.kind, start, l.pos}
	}
	return token{numberToken, start, l.pos}
}

func (l *lexer) digits() {
	for isDigit(l.at(0)) {
		l.pos++
	}
}

// exponent passes e5, e+5, e-5.
func (l *lexer) exponent() bool {
	if c := l.at(0); c != 'e' && c != 'E' {
		return false
	}
	n := 1
	if c := l.at(n); c == '+' || c == '-' {
		n++
	}
	if !isDigit(l.at(n)) {
		return false
	}
	l.pos += n
	l.digits()
	return true
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// IsWord reports whether a byte belongs to a character of unquoted identifiers (MySQL manual,
// "Schema Object Names"): letters, digits, $, _ and everything beyond ASCII, in UTF-8.
func IsWord(c byte) bool {
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
