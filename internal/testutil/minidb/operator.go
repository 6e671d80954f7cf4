package minidb

import (
	"strconv"
	"strings"
)

// The grammar of expressions, those that bind least first:
// https://dev.mysql.com/doc/refman/8.0/en/operator-precedence.html

func (p *parser) expressions() []expression { return several(p, p.expression) }

func (p *parser) expression() expression {
	if p.depth++; p.depth > mostDepth {
		p.refuse(fail(1064, "The expression is nested too deeply"))
	}
	defer func() { p.depth-- }()
	return p.chain(p.conjunction, "OR", "||")
}

func (p *parser) conjunction() expression { return p.chain(p.negation, "AND", "&&") }

func (p *parser) negation() expression {
	if !p.accept("NOT") {
		return p.comparison()
	}
	if p.depth++; p.depth > mostDepth {
		p.refuse(fail(1064, "The expression is nested too deeply"))
	}
	defer func() { p.depth-- }()
	return &negation{p.negation()}
}

// chain reads operands with operators of one level between them.
func (p *parser) chain(operand func() expression, operators ...string) expression {
	left := operand()
	for {
		op := p.one(operators...)
		if op == "" {
			return left
		}
		left = p.binary(op, left, operand())
	}
}

func (p *parser) binary(op string, left, right expression) expression {
	if p.size++; p.size > mostOperators {
		p.refuse(fail(1064, "The statement has too many operators"))
	}
	switch op {
	case "&&":
		op = "AND"
	case "||":
		op = "OR"
	case "!=":
		op = "<>"
	}
	return &binary{op, left, right}
}

func (p *parser) comparison() expression {
	left := p.sum()
	for {
		if op := p.one("=", "<=>", "<=", ">=", "<>", "!=", "<", ">"); op != "" {
			left = p.binary(op, left, p.sum())
			continue
		}
		if p.accept("IS") {
			not := p.accept("NOT")
			what := p.one("NULL", "TRUE", "FALSE")
			if what == "" {
				p.fail()
			}
			p.size++
			left = negated(&test{left, what}, not)
			continue
		}
		not := p.is("NOT", "IN") || p.is("NOT", "BETWEEN") || p.is("NOT", "LIKE")
		if not {
			p.pos++
		}
		switch p.one("IN", "BETWEEN", "LIKE") {
		case "IN":
			left = negated(&membership{left, inParentheses(p, p.expression)}, not)
		case "BETWEEN":
			low := p.sum()
			p.expect("AND")
			left = negated(&between{left, low, p.sum()}, not)
		case "LIKE":
			left = negated(&binary{"LIKE", left, p.sum()}, not)
		default:
			return left
		}
		if p.size++; p.size > mostOperators {
			p.refuse(fail(1064, "The statement has too many operators"))
		}
	}
}

func negated(x expression, not bool) expression {
	if not {
		return &negation{x}
	}
	return x
}

func (p *parser) sum() expression     { return p.chain(p.product, "+", "-") }
func (p *parser) product() expression { return p.chain(p.operand, "*") }

func (p *parser) operand() expression {
	switch t := p.peek(); t.kind {
	case number:
		p.take()
		return p.number(t.text)
	case text:
		p.take()
		return &literal{t.text}
	case parameter:
		p.take()
		p.params++
		return &placeholder{p.params - 1}
	case userVar:
		p.take()
		return &userVariable{t.text}
	case systemVar:
		p.take()
		return systemVariableOf(t.text)
	case symbol:
		return p.prefixed()
	case word:
		return p.word(t)
	case quoted:
		return p.reference()
	default:
		p.fail()
		return &literal{}
	}
}

func (p *parser) number(digits string) expression {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return &literal{n}
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		p.fail()
	}
	return &literal{f}
}

// prefixed reads an operand in parentheses or with a sign.
func (p *parser) prefixed() expression {
	if p.depth++; p.depth > mostDepth {
		p.refuse(fail(1064, "The expression is nested too deeply"))
	}
	defer func() { p.depth-- }()
	switch {
	case p.accept("("):
		x := p.expression()
		p.expect(")")
		return x
	case p.accept("-"):
		if t := p.peek(); t.kind == number {
			p.take()
			return p.number("-" + t.text)
		}
		return &binary{"-", &literal{int64(0)}, p.operand()}
	case p.accept("+"):
		return p.operand()
	case p.accept("!"):
		return &negation{p.operand()}
	}
	p.fail()
	return &literal{}
}

// word reads an operand that begins with a word.
func (p *parser) word(t token) expression {
	following := p.tokens[p.pos+1] // the end is no word
	switch {
	case p.accept("NULL"):
		return &literal{}
	case p.accept("TRUE"):
		return &literal{int64(1)}
	case p.accept("FALSE"):
		return &literal{int64(0)}
	case t.text[0] == '_' && following.kind == text: // _binary'…', as drivers interpolate bytes
		p.pos++
		return &literal{p.take().text}
	case following.kind == symbol && following.text == "(":
		return p.call()
	}
	switch upper := strings.ToUpper(t.text); upper {
	case "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "CURRENT_USER":
		p.take()
		return &call{name: upper}
	}
	return p.reference()
}

// reference reads a column's name, perhaps with its table's in front.
func (p *parser) reference() expression {
	r := &reference{name: p.name()}
	for range 2 {
		if p.accept(".") {
			r.table, r.name = r.name, p.name()
		}
	}
	r.given, r.name = r.name, strings.ToLower(r.name)
	return r
}

func (p *parser) call() expression {
	c := &call{name: strings.ToUpper(p.take().text)}
	p.expect("(")
	switch {
	case p.accept(")"):
		return c
	case c.name == "COUNT" && p.accept("*"):
		c.star = true
	default:
		c.distinct = aggregates[c.name] && p.accept("DISTINCT")
		c.args = p.expressions()
	}
	p.expect(")")
	p.sleeps = p.sleeps || c.name == "SLEEP"
	return c
}
