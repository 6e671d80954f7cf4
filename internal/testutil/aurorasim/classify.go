package aurorasim

import "strconv"

// class is what a reader makes of a statement.
type class uint8

const (
	reads   class = iota // or anything else that a reader takes
	writes               // refused with 1290
	creates              // CREATE TEMPORARY TABLE: refused with 3161
)

// readers take statements that begin with these words. What is not here counts
// as a write: nothing may slip past the fence.
var harmless = map[string]bool{
	"SELECT": true, "VALUES": true, "TABLE": true, "WITH": true, "SHOW": true,
	"EXPLAIN": true, "DESCRIBE": true, "DESC": true, "HELP": true, "USE": true,
	"BEGIN": true, "START": true, "COMMIT": true, "ROLLBACK": true,
	"SAVEPOINT": true, "RELEASE": true, "SET": true, "DO": true, "CALL": true,
	"KILL": true, "FLUSH": true, "UNLOCK": true, "LOCK": true, "XA": true,
	"PREPARE": true, "EXECUTE": true, "DEALLOCATE": true, "HANDLER": true,
	"CHECK": true, "CHECKSUM": true, "SIGNAL": true, "RESIGNAL": true, "GET": true,
}

// classify decides for a text of one or more statements: a text that writes
// anywhere is a write.
func classify(tokens []token) class {
	result := reads
	several := false
	for len(tokens) > 0 {
		end := 0
		for end < len(tokens) && !tokens[end].symbol(";") {
			end++
		}
		result = max(result, classifyOne(tokens[:end]))
		rest := tokens[min(end+1, len(tokens)):]
		several = several || len(trimEnd(rest)) > 0
		if several && endsReadOnlySession(tokens[:end]) {
			// What follows in the same text would run in a session that the
			// upstream lets write.
			result = max(result, writes)
		}
		tokens = rest
	}
	return result
}

func classifyOne(tokens []token) class {
	for len(tokens) > 0 && tokens[0].symbol("(") {
		tokens = tokens[1:]
	}
	if len(tokens) == 0 {
		return reads
	}
	first := upper(tokens[0])
	if !harmless[first] {
		if first == "CREATE" && len(tokens) > 1 && tokens[1].is("TEMPORARY") {
			return creates
		}
		return writes
	}
	switch first {
	case "SELECT", "VALUES", "TABLE", "WITH":
		return classifyQuery(tokens)
	case "START": // START TRANSACTION READ WRITE
		return writesIf(hasPair(tokens, "READ", "WRITE"))
	case "LOCK":
		return writesIf(hasWord(tokens, "WRITE"))
	case "SET":
		return writesIf(len(tokens) > 1 && tokens[1].is("PASSWORD"))
	}
	return reads
}

func writesIf(b bool) class {
	if b {
		return writes
	}
	return reads
}

// classifyQuery finds SELECT … FOR UPDATE and WITH … UPDATE / DELETE. A locking
// read FOR SHARE takes no lock that a read-only server refuses.
func classifyQuery(tokens []token) class {
	if hasPair(tokens, "FOR", "UPDATE") {
		return writes
	}
	if !tokens[0].is("WITH") {
		return reads
	}
	depth := 0
	for _, t := range tokens {
		switch {
		case t.symbol("("):
			depth++
		case t.symbol(")"):
			depth--
		case depth == 0 && (t.is("SELECT") || t.is("VALUES") || t.is("TABLE")):
			return reads
		case depth == 0 && (t.is("UPDATE") || t.is("DELETE") || t.is("INSERT") || t.is("REPLACE")):
			return writes
		}
	}
	return reads
}

func upper(t token) string {
	if t.kind != wordToken {
		return ""
	}
	for i := range len(t.text) {
		if t.text[i] >= 'a' && t.text[i] <= 'z' {
			return asciiUpper(t.text)
		}
	}
	return t.text
}

func asciiUpper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

func hasWord(tokens []token, word string) bool {
	for _, t := range tokens {
		if t.is(word) {
			return true
		}
	}
	return false
}

func hasPair(tokens []token, first, second string) bool {
	for i := 1; i < len(tokens); i++ {
		if tokens[i].is(second) && tokens[i-1].is(first) {
			return true
		}
	}
	return false
}

// killTarget is the number in KILL [CONNECTION | QUERY] n.
func killTarget(tokens []token) (id uint32, ok bool) {
	if len(tokens) < 2 || !tokens[0].is("KILL") {
		return 0, false
	}
	for _, t := range tokens[1:] {
		if t.kind == numberToken {
			n, err := strconv.ParseUint(t.text, 10, 32)
			return uint32(n), err == nil
		}
	}
	return 0, false
}

// endsReadOnlySession tells whether the statement may change the session's
// transaction_read_only, which a reader's upstream sessions rely on.
func endsReadOnlySession(tokens []token) bool {
	if len(tokens) == 0 || !tokens[0].is("SET") {
		return false
	}
	for _, t := range tokens[1:] {
		name := t.text
		if t.kind == sysvarToken {
			name = t.sysvar()
		}
		switch asciiUpper(name) {
		case "TRANSACTION", "TRANSACTION_READ_ONLY", "TX_READ_ONLY":
			return true
		}
	}
	return false
}
