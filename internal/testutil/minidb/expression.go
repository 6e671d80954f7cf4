package minidb

import (
	"context"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// expression is evaluated for a row, or for the rows of a group. A kind of
// TypeNull is one that is known only with the value.
type expression interface {
	eval(e *env) (any, error)
	kind(t *table) byte
}

// env is what an expression sees. The database is locked.
type env struct {
	ctx     context.Context //nolint:containedctx // of the statement, which env does not outlive
	session *session
	table   *table // nil without FROM
	alias   string // of the table, or its name
	row     []any  // nil without a row: columns are NULL
	group   [][]any
	args    []any
	alone   bool // the expression is all that the statement does
}

type (
	literal     struct{ value any }
	placeholder struct{ index int }
	reference   struct{ table, name, given string } // name in lower case
	binary      struct {
		op          string
		left, right expression
	}
	negation   struct{ of expression }
	membership struct {
		item expression
		in   []expression
	}
	between struct{ of, low, high expression }
	test    struct {
		of   expression
		what string // NULL, TRUE, FALSE
	}
	call struct {
		name           string // in upper case
		args           []expression
		star, distinct bool
	}
	userVariable   struct{ name string }
	systemVariable struct{ scope, name, given string } // scope "", session, global
)

func (l *literal) eval(*env) (any, error) { return l.value, nil }
func (l *literal) kind(*table) byte       { return kindOf(l.value) }

func (p *placeholder) eval(e *env) (any, error) {
	if p.index >= len(e.args) {
		return nil, fail(1210, "Incorrect arguments to EXECUTE")
	}
	return valueOf(e.args[p.index]), nil
}

func (p *placeholder) kind(*table) byte { return wire.TypeNull }

// in is the column's index in the environment's table, -1 if it is not there.
func (r *reference) in(e *env) int {
	if e.table == nil || r.table != "" && !strings.EqualFold(r.table, e.alias) {
		return -1
	}
	return e.table.index(r.name)
}

func (r *reference) eval(e *env) (any, error) {
	i := r.in(e)
	if i < 0 {
		return nil, unknownColumn(r.full(), "field list")
	}
	if e.row == nil {
		return nil, nil
	}
	return e.row[i], nil
}

func (r *reference) full() string {
	if r.table == "" {
		return r.given
	}
	return r.table + "." + r.given
}

func (r *reference) kind(t *table) byte {
	if t == nil {
		return wire.TypeNull
	}
	if i := t.index(r.name); i >= 0 {
		return t.columns[i].kind
	}
	return wire.TypeNull
}

func (b *binary) eval(e *env) (any, error) {
	left, err := b.left.eval(e)
	if err != nil {
		return nil, err
	}
	if b.op == "AND" || b.op == "OR" {
		return b.logic(e, left)
	}
	right, err := b.right.eval(e)
	if err != nil {
		return nil, err
	}
	if b.op == "<=>" {
		return truth(order(left, right) == 0), nil
	}
	if left == nil || right == nil {
		return nil, nil
	}
	switch b.op {
	case "+", "-", "*":
		return arithmetic(b.op, left, right)
	case "LIKE":
		return truth(like(characters(left), characters(right))), nil
	}
	return truth(holds(b.op, compare(left, right))), nil
}

// logic is AND and OR of three values, with the right side only where it counts.
func (b *binary) logic(e *env, left any) (any, error) {
	decides := b.op == "OR" // the value that settles it
	if left != nil && isTrue(left) == decides {
		return truth(decides), nil
	}
	right, err := b.right.eval(e)
	switch {
	case err != nil:
		return nil, err
	case right != nil && isTrue(right) == decides:
		return truth(decides), nil
	case left == nil || right == nil:
		return nil, nil
	}
	return truth(!decides), nil
}

// holds reports what a comparison's outcome means.
func holds(op string, c int) bool {
	switch op {
	case "=":
		return c == 0
	case "<":
		return c < 0
	case ">":
		return c > 0
	case "<=":
		return c <= 0
	case ">=":
		return c >= 0
	}
	return c != 0
}

func (b *binary) kind(t *table) byte {
	if b.op != "+" && b.op != "-" && b.op != "*" {
		return wire.TypeLongLong
	}
	return arithmeticKind(b.left.kind(t), b.right.kind(t))
}

func arithmeticKind(a, b byte) byte {
	switch {
	case a == wire.TypeNull || b == wire.TypeNull:
		return wire.TypeNull
	case a == wire.TypeNewDecimal && (b == wire.TypeNewDecimal || isInteger(b)), b == wire.TypeNewDecimal && isInteger(a):
		return wire.TypeNewDecimal
	case isInteger(a) && isInteger(b):
		return wire.TypeLongLong
	}
	return wire.TypeDouble
}

func isInteger(kind byte) bool { return kind == wire.TypeLongLong || kind == wire.TypeLong }

func (n *negation) eval(e *env) (any, error) {
	v, err := n.of.eval(e)
	if v == nil || err != nil {
		return nil, err
	}
	return truth(!isTrue(v)), nil
}

func (n *negation) kind(*table) byte { return wire.TypeLongLong }

func (m *membership) eval(e *env) (any, error) {
	item, err := m.item.eval(e)
	if item == nil || err != nil {
		return nil, err
	}
	var result any = int64(0)
	for _, x := range m.in {
		v, err := x.eval(e)
		switch {
		case err != nil:
			return nil, err
		case v == nil:
			result = nil // it may be this one
		case compare(item, v) == 0:
			return int64(1), nil
		}
	}
	return result, nil
}

func (m *membership) kind(*table) byte { return wire.TypeLongLong }

func (b *between) eval(e *env) (any, error) {
	v, err := b.of.eval(e)
	if err != nil {
		return nil, err
	}
	low := &binary{">=", &literal{v}, b.low}
	return (&binary{"AND", low, &binary{"<=", &literal{v}, b.high}}).eval(e)
}

func (b *between) kind(*table) byte { return wire.TypeLongLong }

func (t *test) eval(e *env) (any, error) {
	v, err := t.of.eval(e)
	switch {
	case err != nil:
		return nil, err
	case t.what == "NULL":
		return truth(v == nil), nil
	}
	return truth(v != nil && isTrue(v) == (t.what == "TRUE")), nil
}

func (t *test) kind(*table) byte { return wire.TypeLongLong }

func (v *userVariable) eval(e *env) (any, error) { return e.session.user[v.name], nil }
func (v *userVariable) kind(*table) byte         { return wire.TypeNull }

func systemVariableOf(given string) expression {
	v := &systemVariable{given: given, name: given}
	if scope, name, ok := strings.Cut(given, "."); ok {
		v.scope, v.name = scope, name
		if v.scope == "local" {
			v.scope = "session"
		}
	}
	return v
}

func (v *systemVariable) eval(e *env) (any, error) { return e.session.variable(v.scope, v.name) }
func (v *systemVariable) kind(*table) byte         { return catalog[v.name].kind() }

// walk calls f for an expression and all that it is made of.
func walk(x expression, f func(expression)) {
	f(x)
	switch x := x.(type) {
	case *binary:
		walk(x.left, f)
		walk(x.right, f)
	case *negation:
		walk(x.of, f)
	case *test:
		walk(x.of, f)
	case *between:
		walk(x.of, f)
		walk(x.low, f)
		walk(x.high, f)
	case *membership:
		walk(x.item, f)
		for _, y := range x.in {
			walk(y, f)
		}
	case *call:
		for _, y := range x.args {
			walk(y, f)
		}
	}
}

// known is an error if an expression names a column that is not there. Rows or not,
// that is one.
func (e *env) known(x expression, clause string) (err error) {
	if x == nil {
		return nil
	}
	walk(x, func(y expression) {
		if r, ok := y.(*reference); ok && err == nil && r.in(e) < 0 {
			err = unknownColumn(r.full(), clause)
		}
	})
	return err
}

// isGrouped reports whether an expression needs a group of rows.
func isGrouped(x expression) (grouped bool) {
	walk(x, func(y expression) {
		c, ok := y.(*call)
		grouped = grouped || ok && aggregates[c.name]
	})
	return grouped
}

// isConstant reports whether an expression is the same for every row, without
// effects.
func isConstant(x expression) bool {
	constant := true
	walk(x, func(y expression) {
		switch y.(type) {
		case *call, *reference:
			constant = false
		}
	})
	return constant
}
