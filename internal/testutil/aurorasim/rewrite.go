package aurorasim

import (
	"strings"
)

// text is a statement as the relay looks at it. It is made once per COM_QUERY or
// prepared statement, and taken apart only if somebody asks.
type text struct {
	sql        string
	escapes    bool // backslashes escape in this session
	aurora     bool // it may name something that an instance answers itself
	deployment Deployment

	tokens  []token
	lexed   bool
	class   class
	classed bool
	names   names
	named   bool
}

// names are what a statement mentions of the things that instances answer.
type names struct {
	variables bool // @@names or aurora_version()
	view      bool // the topology view
	blueGreen bool // the table of blue/green deployments
	show      bool // SHOW VARIABLES
}

func (n names) any() bool { return n.variables || n.view || n.blueGreen }

func newText(sql string, escapes, plain bool) *text {
	return &text{sql: sql, escapes: escapes, aurora: !plain && mentionsAurora(sql)}
}

func (t *text) lex() []token {
	if !t.lexed {
		t.tokens, t.lexed = lex(t.sql, t.escapes), true
	}
	return t.tokens
}

// kind is what a reader makes of the statement.
func (t *text) kind() class {
	if !t.classed {
		t.class, t.classed = classify(t.lex()), true
	}
	return t.class
}

func (t *text) mentions() names {
	if t.named || !t.aurora {
		return t.names
	}
	t.named = true
	tokens := t.lex()
	for n, token := range tokens {
		switch {
		case token.kind == sysvarToken:
			_, ours := variables{deployment: t.deployment}.value(token.sysvar())
			t.names.variables = t.names.variables || ours
		case isVersionCall(tokens, n):
			t.names.variables = true
		case isRelation(tokens, n, t.deployment.relation()):
			t.names.view = true
		case isRelation(tokens, n, blueGreen):
			t.names.blueGreen = true
		}
	}
	t.names.show = showsVariables(tokens)
	return t.names
}

// mentionsAurora is a quick look at a text: false means that it names nothing that
// instances answer themselves. Most texts end here.
func mentionsAurora(sql string) bool {
	for i := 0; i+2 < len(sql); i++ {
		switch sql[i] {
		case '@':
			if sql[i+1] == '@' {
				return true
			}
		case 'a', 'A':
			if hasPrefixFold(sql[i:], auroraVersion) {
				return true
			}
		case 'r', 'R':
			if hasPrefixFold(sql[i:], viewName) || hasPrefixFold(sql[i:], rdsTopology.name) || hasPrefixFold(sql[i:], "replica") {
				return true
			}
		case 'v', 'V':
			if hasPrefixFold(sql[i:], "variables") {
				return true
			}
		}
	}
	return false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isVersionCall tells whether aurora_version() begins at token n.
func isVersionCall(tokens []token, n int) bool {
	return n+2 < len(tokens) && tokens[n].is(auroraVersion) &&
		tokens[n+1].symbol("(") && tokens[n+2].symbol(")")
}

// isView tells whether the view's qualified name begins at token n.
func isView(tokens []token, n int) bool { return isRelation(tokens, n, hostStatus) }

func isRelation(tokens []token, n int, r relation) bool {
	return n+2 < len(tokens) && tokens[n].names(r.schema) &&
		tokens[n+1].symbol(".") && tokens[n+2].names(r.name)
}

// substitute puts literals and derived tables in place of what only Aurora knows,
// so that a real server can evaluate the statement.
func (t *text) substitute(vars variables, rows []viewRow) string {
	tokens := t.lex()
	var out strings.Builder
	done := 0
	replace := func(from, to token, by string) {
		out.WriteString(t.sql[done:from.start])
		out.WriteString(by)
		done = to.end
	}
	var lists selectLists
	for n := 0; n < len(tokens); n++ {
		tok := tokens[n]
		lists.see(tok)
		switch {
		case tok.kind == sysvarToken:
			if value, ok := vars.value(tok.sysvar()); ok {
				replace(tok, tok, literal(value)+lists.alias(tokens, n, n, tok.text))
			}
		case isVersionCall(tokens, n):
			name := t.sql[tok.start:tokens[n+2].end]
			replace(tok, tokens[n+2], literal(vars.version)+lists.alias(tokens, n, n+2, name))
			n += 2
		case isView(tokens, n):
			by := derivedTable(rows)
			switch {
			case n+3 < len(tokens) && tokens[n+3].symbol("."):
				by = viewName // a column's qualifier
			case !aliased(tokens, n+3):
				by += " AS " + viewName
			}
			replace(tok, tokens[n+2], by)
			n += 2
		}
	}
	out.WriteString(t.sql[done:])
	return out.String()
}

// literal is a value in SQL.
func literal(v any) string {
	if s, ok := v.(string); ok {
		return "'" + s + "'"
	}
	if v == int64(0) {
		return "0"
	}
	return "1"
}

// selectLists knows, while tokens go by, whether the newest stands in a SELECT's
// list of columns itself and not within a function's parentheses there.
type selectLists struct {
	open  []bool // by depth of parentheses
	first bool   // the newest token stands where an item begins
	prev  token
}

func (l *selectLists) see(t token) {
	if len(l.open) == 0 {
		l.open = append(l.open, false)
	}
	top := len(l.open) - 1
	l.first = l.open[top] &&
		(l.prev.is("SELECT") || l.prev.is("DISTINCT") || l.prev.is("ALL") || l.prev.symbol(","))
	l.prev = t
	switch {
	case t.symbol("("):
		l.open = append(l.open, false)
	case t.symbol(")") && top > 0:
		l.open = l.open[:top]
	case t.is("SELECT"):
		l.open[top] = true
	case t.is("FROM"), t.is("WHERE"), t.is("UNION"), t.is("INTO"), t.symbol(";"):
		l.open[top] = false
	}
}

// alias gives a substituted item, tokens first to last, the column name that it had,
// if it is a whole item of the list and has no alias of its own.
func (l *selectLists) alias(tokens []token, first, last int, name string) string {
	if !l.first {
		return ""
	}
	if last+1 < len(tokens) {
		next := tokens[last+1]
		switch {
		case next.symbol(","), next.symbol(";"), next.symbol(")"):
		case next.is("FROM"), next.is("LIMIT"), next.is("WHERE"), next.is("INTO"), next.is("UNION"), next.is("ORDER"):
		default:
			return ""
		}
	}
	return " AS `" + strings.ReplaceAll(name, "`", "``") + "`"
}

// afterTable are the words that may follow a table's name and are no alias.
var afterTable = map[string]bool{
	"WHERE": true, "GROUP": true, "HAVING": true, "ORDER": true, "LIMIT": true,
	"JOIN": true, "INNER": true, "CROSS": true, "LEFT": true, "RIGHT": true,
	"NATURAL": true, "STRAIGHT_JOIN": true, "ON": true, "USING": true, "UNION": true,
	"FOR": true, "LOCK": true, "INTO": true, "USE": true, "FORCE": true,
	"IGNORE": true, "WINDOW": true, "EXCEPT": true, "INTERSECT": true, "PROCEDURE": true,
}

// aliased tells whether an alias stands at token n, behind a table's name.
func aliased(tokens []token, n int) bool {
	if n >= len(tokens) {
		return false
	}
	t := tokens[n]
	return t.kind == quotedToken || t.kind == wordToken && !afterTable[upper(t)]
}

// showsVariables tells whether the statement is SHOW [GLOBAL] VARIABLES.
func showsVariables(tokens []token) bool {
	if len(tokens) < 2 || !tokens[0].is("SHOW") {
		return false
	}
	n := 1
	if tokens[n].is("GLOBAL") || tokens[n].is("SESSION") || tokens[n].is("LOCAL") {
		n++
	}
	return n < len(tokens) && tokens[n].is("VARIABLES")
}
