package aurorasim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// The evaluator answers questions about the cluster where the upstream cannot: the
// fake knows little SQL. Values are nil, int64, float64, string, time.Time and
// time.Duration.

// expr is a parsed expression.
type expr struct {
	eval      func(*frame) any
	name      string // as written
	aggregate bool
}

// frame is what an expression is evaluated in.
type frame struct {
	row   []any   // of the view
	group [][]any // all rows, for aggregates
	args  []any   // of a prepared statement
}

// scope is what names in an expression mean.
type scope struct {
	columns []string
	vars    variables
	session map[string]any // functions about the session: connection_id and others
	now     time.Time
}

// errUnsupported means that the evaluator cannot do it; a real server might.
var errUnsupported = errors.New("aurorasim: not supported over the fake upstream")

type parser struct {
	scope
	text   *text
	tokens []token
	pos    int
	params int
	err    error
}

func (p *parser) fail(err error) expr {
	if p.err == nil {
		p.err = err
	}
	return constant(nil)
}

func (p *parser) unsupported(what string) expr {
	return p.fail(fmt.Errorf("%w: %s", errUnsupported, what))
}

func (p *parser) atEnd() bool { return p.pos >= len(p.tokens) }

func (p *parser) peek() token {
	if p.atEnd() {
		return token{kind: symbolToken}
	}
	return p.tokens[p.pos]
}

func (p *parser) keyword(words ...string) bool {
	for n, w := range words {
		if p.pos+n >= len(p.tokens) || !p.tokens[p.pos+n].is(w) {
			return false
		}
	}
	p.pos += len(words)
	return true
}

func (p *parser) symbol(s string) bool {
	if p.peek().symbol(s) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(s string) {
	if !p.symbol(s) {
		p.unsupported("the expression at " + p.rest())
	}
}

func (p *parser) rest() string {
	if p.atEnd() {
		return "its end"
	}
	return strconv.Quote(p.text.sql[p.peek().start:])
}

func constant(v any) expr {
	return expr{eval: func(*frame) any { return v }}
}

// derive makes an expression of parts.
func derive(eval func(*frame) any, parts ...expr) expr {
	e := expr{eval: eval}
	for _, part := range parts {
		e.aggregate = e.aggregate || part.aggregate
	}
	return e
}

// expression parses: the loosest binding first.
func (p *parser) expression() expr {
	left := p.conjunction()
	for p.err == nil && (p.keyword("OR") || p.symbol("||")) {
		l, r := left, p.conjunction()
		left = derive(func(f *frame) any { return boolean(truth(l.eval(f)) || truth(r.eval(f))) }, l, r)
	}
	return left
}

func (p *parser) conjunction() expr {
	left := p.negation()
	for p.err == nil && (p.keyword("AND") || p.symbol("&&")) {
		l, r := left, p.negation()
		left = derive(func(f *frame) any { return boolean(truth(l.eval(f)) && truth(r.eval(f))) }, l, r)
	}
	return left
}

func (p *parser) negation() expr {
	if p.keyword("NOT") || p.symbol("!") {
		e := p.negation()
		return derive(func(f *frame) any { return boolean(!truth(e.eval(f))) }, e)
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	left := p.sum()
	for p.err == nil {
		op := p.peek()
		l := left
		switch {
		case op.kind == symbolToken && comparisons[op.text] != nil:
			p.pos++
			test, r := comparisons[op.text], p.sum()
			left = derive(func(f *frame) any { return compared(l.eval(f), r.eval(f), test) }, l, r)
		case p.keyword("IS"):
			left = p.is(l)
		case p.keyword("NOT"):
			e := p.predicate(l)
			left = derive(func(f *frame) any { return boolean(!truth(e.eval(f))) }, e)
		case op.is("IN"), op.is("LIKE"), op.is("BETWEEN"):
			left = p.predicate(l)
		default:
			return left
		}
	}
	return left
}

var comparisons = map[string]func(int) bool{
	"=": func(c int) bool { return c == 0 }, "<=>": func(c int) bool { return c == 0 },
	"<>": func(c int) bool { return c != 0 }, "!=": func(c int) bool { return c != 0 },
	"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
	">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
}

func compared(l, r any, test func(int) bool) any {
	if l == nil || r == nil {
		return nil
	}
	return boolean(test(compare(l, r)))
}

// is parses what follows IS.
func (p *parser) is(l expr) expr {
	not := p.keyword("NOT")
	var test func(any) bool
	switch {
	case p.keyword("NULL"):
		test = func(v any) bool { return v == nil }
	case p.keyword("TRUE"):
		test = truth
	case p.keyword("FALSE"):
		test = func(v any) bool { return v != nil && !truth(v) }
	default:
		return p.unsupported("IS at " + p.rest())
	}
	return derive(func(f *frame) any { return boolean(test(l.eval(f)) != not) }, l)
}

// predicate parses IN, LIKE and BETWEEN with their right side.
func (p *parser) predicate(l expr) expr {
	switch {
	case p.keyword("IN"):
		list := p.arguments()
		return derive(func(f *frame) any {
			v := l.eval(f)
			for _, e := range list {
				if truth(compared(v, e.eval(f), comparisons["="])) {
					return int64(1)
				}
			}
			return int64(0)
		}, append(list, l)...)
	case p.keyword("LIKE"):
		r := p.sum()
		return derive(func(f *frame) any { return boolean(like(str(l.eval(f)), str(r.eval(f)))) }, l, r)
	case p.keyword("BETWEEN"):
		low := p.sum()
		if !p.keyword("AND") {
			return p.unsupported("BETWEEN at " + p.rest())
		}
		high := p.sum()
		return derive(func(f *frame) any {
			v := l.eval(f)
			return boolean(truth(compared(v, low.eval(f), comparisons[">="])) &&
				truth(compared(v, high.eval(f), comparisons["<="])))
		}, l, low, high)
	}
	return p.unsupported("NOT at " + p.rest())
}

func (p *parser) sum() expr {
	left := p.product()
	for p.err == nil {
		sign := int64(0)
		switch {
		case p.symbol("+"):
			sign = 1
		case p.symbol("-"):
			sign = -1
		default:
			return left
		}
		l, r := left, p.product()
		left = derive(func(f *frame) any { return add(l.eval(f), r.eval(f), sign) }, l, r)
	}
	return left
}

func (p *parser) product() expr {
	left := p.primary()
	for p.err == nil {
		var op func(a, b float64) any
		switch {
		case p.symbol("*"):
			op = func(a, b float64) any { return number(a * b) }
		case p.symbol("/"):
			op = divide
		default:
			return left
		}
		l, r := left, p.primary()
		left = derive(func(f *frame) any {
			a, b := l.eval(f), r.eval(f)
			if a == nil || b == nil {
				return nil
			}
			return op(float(a), float(b))
		}, l, r)
	}
	return left
}

func (p *parser) primary() expr {
	if p.atEnd() {
		return p.unsupported("an expression that ends early")
	}
	t := p.peek()
	p.pos++
	e := p.operand(t)
	if e.name == "" && p.pos > 0 && p.pos <= len(p.tokens) {
		e.name = p.text.sql[t.start:p.tokens[p.pos-1].end]
	}
	return e
}

func (p *parser) operand(t token) expr {
	switch t.kind {
	case textToken:
		return constant(t.value(p.text))
	case numberToken:
		return p.numeral(t)
	case paramToken:
		n := p.params
		p.params++
		return expr{eval: func(f *frame) any { return parameter(f.args, n) }}
	case sysvarToken:
		v, ok := p.vars.value(t.sysvar())
		if !ok {
			return p.unsupported(t.text)
		}
		return constant(v)
	case wordToken, quotedToken:
		return p.named(t)
	}
	switch t.text {
	case "(":
		e := p.expression()
		p.expect(")")
		return e
	case "-":
		e := p.primary()
		return derive(func(f *frame) any { return add(int64(0), e.eval(f), -1) }, e)
	}
	return p.unsupported(strconv.Quote(t.text))
}

func (p *parser) numeral(t token) expr {
	if n, err := strconv.ParseInt(t.text, 10, 64); err == nil {
		return constant(n)
	}
	f, err := strconv.ParseFloat(t.text, 64)
	if err != nil {
		return p.unsupported(t.text)
	}
	return constant(f)
}

// named parses a keyword's expression, a call or a column.
func (p *parser) named(t token) expr {
	if t.kind == wordToken {
		switch upper(t) {
		case "NULL":
			return constant(nil)
		case "TRUE":
			return constant(int64(1))
		case "FALSE":
			return constant(int64(0))
		case "CASE":
			return p.caseWhen()
		case "INTERVAL":
			return p.interval()
		}
		if p.peek().symbol("(") || bareFunctions[upper(t)] {
			return p.call(upper(t))
		}
	}
	for p.symbol(".") { // the last of schema.table.column counts
		t = p.peek()
		p.pos++
	}
	for n, column := range p.columns {
		if strings.EqualFold(column, t.text) {
			return expr{eval: func(f *frame) any { return f.row[n] }, name: t.text}
		}
	}
	return p.fail(&wire.Error{
		Number: 1054, State: "42S22",
		Message: "Unknown column '" + t.text + "' in 'field list'",
	})
}

// value is a text's value.
func (t token) value(in *text) string {
	return unescape(t.text, in.sql[t.start], in.escapes)
}

func (p *parser) caseWhen() expr {
	var subject *expr
	if !p.peek().is("WHEN") {
		e := p.expression()
		subject = &e
	}
	type branch struct{ when, then expr }
	var branches []branch
	var parts []expr
	for p.keyword("WHEN") && p.err == nil {
		b := branch{when: p.expression()}
		if !p.keyword("THEN") {
			return p.unsupported("CASE at " + p.rest())
		}
		b.then = p.expression()
		branches = append(branches, b)
		parts = append(parts, b.when, b.then)
	}
	otherwise := constant(nil)
	if p.keyword("ELSE") {
		otherwise = p.expression()
	}
	if !p.keyword("END") {
		return p.unsupported("CASE at " + p.rest())
	}
	return derive(func(f *frame) any {
		for _, b := range branches {
			v := b.when.eval(f)
			if subject != nil {
				v = compared(subject.eval(f), v, comparisons["="])
			}
			if truth(v) {
				return b.then.eval(f)
			}
		}
		return otherwise.eval(f)
	}, append(parts, otherwise)...)
}
