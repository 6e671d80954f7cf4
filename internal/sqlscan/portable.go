package sqlscan

import "slices"

// Portable reports whether the answer of a text that [Scan] calls a read depends on data alone, so
// that another cluster that has the data gives the same one: it is a query, with no variable, no
// function that tells who or where the session is, and no table in which a server tells of itself.
// It is careful: where quotes or comments can be read in several ways, none may show such a thing.
// Unlike Scan it is not remembered.
func Portable(text string, mode Mode) bool {
	quotes, comments := ambiguities(text)
	modes := plainMode
	if quotes {
		modes = anyMode
	}
	for _, m := range modes {
		m |= mode & NoBackslashEscapes
		if !portable(text, m) || comments && !portable(text, m|skipExecutable) {
			return false
		}
	}
	return true
}

func portable(text string, mode Mode) bool {
	l := lexer{text: text, mode: mode}
	t := l.next()
	for t.kind == symbolToken && text[t.start] == '(' {
		t = l.next()
	}
	if !named(text, t, queries) {
		return false // SHOW, EXPLAIN: they tell of the server
	}
	for t.kind != endToken {
		next := l.next()
		followed := byte(0)
		if next.kind == symbolToken {
			followed = text[next.start]
		}
		switch {
		case t.kind == badToken, t.kind == userToken, t.kind == systemToken,
			named(text, t, identities),
			followed == '(' && named(text, t, whereabouts),
			followed == '.' && named(text, t, ofServers):
			return false
		}
		t = next
	}
	return true
}

var (
	queries     = []string{"SELECT", "VALUES", "TABLE", "WITH"}
	identities  = []string{"CURRENT_USER", "CURRENT_ROLE"} // without parentheses, too
	whereabouts = []string{
		"CONNECTION_ID", "USER", "SESSION_USER", "SYSTEM_USER", "DATABASE", "SCHEMA", "VERSION", "AURORA_VERSION",
		"CURRENT_USER_IN", "CURRENT_ROLE_IN", "ROLES_GRAPHML", "PS_CURRENT_THREAD_ID", "PS_THREAD_ID", "ICU_VERSION",
	}
	ofServers = []string{"INFORMATION_SCHEMA", "PERFORMANCE_SCHEMA", "MYSQL", "SYS"}
)

// named reports whether the token is one of the names, in quotes or not.
func named(text string, t token, names []string) bool {
	name := text[t.start:t.end]
	switch t.kind {
	case wordToken:
	case quotedToken:
		name = name[1 : len(name)-1]
	default:
		return false
	}
	return slices.ContainsFunc(names, func(n string) bool { return equalFold(name, n) })
}
