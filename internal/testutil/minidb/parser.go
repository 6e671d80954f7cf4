package minidb

import (
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// statement is a parsed statement. It is shared by sessions and never changed.
type statement struct {
	node   any // of the statement types, by pointer
	params int
	sleeps bool // SLEEP() is in it: the lock of the database is let go meanwhile
}

// tableName names a table; schema is "" for the session's database.
type tableName struct{ schema, name, alias string }

// parser reads tokens. Its first error is kept and ends everything, since the end
// of the tokens follows it.
type parser struct {
	sql    string
	tokens []token
	pos    int
	err    *fakemysql.Error
	params int
	sleeps bool
	depth  int
	size   int // operators so far
}

// What a statement may have at most, so that no input exhausts the stack.
const (
	mostDepth     = 200
	mostOperators = 10000
)

// parse reads all statements of a text. Empty ones do not count.
func parse(sql string, m mode) ([]*statement, *fakemysql.Error) {
	p := &parser{sql: sql, tokens: tokenize(sql, m)}
	if last := p.tokens[len(p.tokens)-1]; last.kind == broken {
		return nil, syntaxError(sql[last.start:])
	}
	var all []*statement
	for {
		for p.accept(";") {
		}
		if p.peek().kind == end {
			break
		}
		p.params, p.sleeps = 0, false
		node := p.statement()
		if p.err == nil && p.peek().kind != end && !p.is(";") {
			p.fail()
		}
		if p.err != nil {
			return nil, p.err
		}
		all = append(all, &statement{node, p.params, p.sleeps})
	}
	if len(all) == 0 {
		return nil, fail(1065, "Query was empty")
	}
	return all, nil
}

// statement reads one by its first word.
func (p *parser) statement() any {
	t := p.take()
	if t.kind == word {
		switch strings.ToUpper(t.text) {
		case "SELECT":
			return p.selection()
		case "INSERT":
			return p.insertion()
		case "UPDATE":
			return p.update()
		case "DELETE":
			return p.deletion()
		case "CREATE":
			return p.creation()
		case "DROP":
			return p.drop()
		case "TRUNCATE":
			p.accept("TABLE")
			return &truncation{p.table()}
		case "SET":
			return p.setting()
		case "SHOW":
			return p.show()
		case "USE":
			return &use{p.name()}
		case "DO":
			return &evaluation{p.expressions()}
		case "KILL":
			return p.kill()
		default:
			if node := p.control(strings.ToUpper(t.text)); node != nil {
				return node
			}
		}
	}
	p.pos--
	p.fail()
	return nil
}

// fail keeps the error that the next token makes no sense.
func (p *parser) fail() {
	if p.err == nil {
		p.err = syntaxError(p.sql[p.peek().start:])
	}
	p.pos = len(p.tokens) - 1
}

// refuse keeps an error that is not about the next token.
func (p *parser) refuse(err *fakemysql.Error) {
	if p.err == nil {
		p.err = err
	}
	p.pos = len(p.tokens) - 1
}

func (p *parser) peek() token { return p.tokens[p.pos] }

// take passes a token; the end stays.
func (p *parser) take() token {
	t := p.tokens[p.pos]
	if p.pos < len(p.tokens)-1 {
		p.pos++
	}
	return t
}

// is reports whether the words or symbols follow.
func (p *parser) is(words ...string) bool {
	for i, w := range words {
		if p.pos+i >= len(p.tokens) {
			return false
		}
		t := p.tokens[p.pos+i]
		if t.kind != word && t.kind != symbol || len(t.text) != len(w) || !strings.EqualFold(t.text, w) {
			return false
		}
	}
	return true
}

// accept passes the words or symbols if all of them follow.
func (p *parser) accept(words ...string) bool {
	if !p.is(words...) {
		return false
	}
	p.pos += len(words)
	return true
}

func (p *parser) expect(words ...string) {
	if !p.accept(words...) {
		p.fail()
	}
}

// one passes the first of the words that follows, "" if none does.
func (p *parser) one(words ...string) string {
	for _, w := range words {
		if p.accept(w) {
			return w
		}
	}
	return ""
}

// reserved are words that are no names unless quoted; of MySQL's those that
// would be taken for an alias or a column.
var reserved = []string{
	"AND", "AS", "ASC", "BETWEEN", "BY", "CREATE", "CROSS", "DEFAULT", "DELETE", "DESC", "DISTINCT", "DROP", "EXISTS", "FOR", "FROM",
	"GROUP", "HAVING", "IN", "INNER", "INSERT", "INTO", "IS", "JOIN", "KEY", "LEFT", "LIKE", "LIMIT", "LOCK", "NATURAL", "NOT", "NULL",
	"ON", "OR", "ORDER", "PRIMARY", "PROCEDURE", "RIGHT", "SELECT", "SET", "STRAIGHT_JOIN", "TABLE", "TO", "UNION", "UPDATE", "USING",
	"VALUES", "WHERE", "WINDOW", "WITH",
}

func isReserved(name string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return len(r) == len(name) && strings.EqualFold(r, name) })
}

// isNameNext reports whether a name follows.
func (p *parser) isNameNext() bool {
	t := p.peek()
	return t.kind == quoted || t.kind == word && !isReserved(t.text)
}

func (p *parser) name() string {
	if !p.isNameNext() {
		p.fail()
		return ""
	}
	return p.take().text
}

// column reads a column's name. Case does not matter in them.
func (p *parser) column() string { return strings.ToLower(p.name()) }

// table reads the name of a table.
func (p *parser) table() tableName {
	t := tableName{name: p.name()}
	if p.accept(".") {
		t.schema, t.name = t.name, p.name()
	}
	return t
}

// aliased reads the name of a table with its alias, if it has one.
func (p *parser) aliased() tableName {
	t := p.table()
	if p.accept("AS") || p.isNameNext() {
		t.alias = p.name()
	}
	return t
}

// several reads a list with commas.
func several[T any](p *parser, item func() T) (all []T) {
	for {
		all = append(all, item())
		if !p.accept(",") {
			return all
		}
	}
}

// inParentheses reads a list with commas in parentheses.
func inParentheses[T any](p *parser, item func() T) []T {
	p.expect("(")
	all := several(p, item)
	p.expect(")")
	return all
}
