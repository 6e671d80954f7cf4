package minidb

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// selection is a SELECT.
type selection struct {
	outputs  []output
	distinct bool
	from     *tableName // nil without FROM
	narrow   narrowing
	group    []expression
	locks    locking
}

// output is an item of a SELECT's list; of is nil for *.
type output struct {
	name string
	of   expression
	from string // table of table.*
}

// narrowing is what SELECT, UPDATE and DELETE have in common.
type narrowing struct {
	where         expression
	order         []ordering
	limit, offset expression
}

type ordering struct {
	by   expression
	desc bool
}

type locking byte

const (
	unlocked locking = iota
	shared
	exclusive
)

func (p *parser) selection() any {
	s := &selection{}
	if !p.accept("ALL") {
		s.distinct = p.accept("DISTINCT")
	}
	s.outputs = several(p, p.output)
	if p.accept("FROM") && !p.accept("DUAL") {
		from := p.aliased()
		s.from = &from
	}
	p.where(&s.narrow)
	if p.accept("GROUP", "BY") {
		s.group = p.expressions()
	}
	p.orderAndLimit(&s.narrow)
	switch {
	case p.accept("FOR", "UPDATE"):
		s.locks = exclusive
	case p.accept("FOR", "SHARE"), p.accept("LOCK", "IN", "SHARE", "MODE"):
		s.locks = shared
	}
	return s
}

func (p *parser) output() output {
	if p.accept("*") {
		return output{}
	}
	if following := p.tokens[min(p.pos+2, len(p.tokens)-1)]; p.isNameNext() && following.text == "*" && p.tokens[p.pos+1].text == "." {
		o := output{from: p.name()}
		p.pos += 2
		return o
	}
	start := p.peek().start
	o := output{of: p.expression()}
	o.name = p.sql[start:max(start, p.tokens[max(p.pos-1, 0)].end)]
	if r, ok := o.of.(*reference); ok {
		o.name = r.given
	}
	if t := p.tokens[max(p.pos-1, 0)]; t.kind == text && p.err == nil {
		if l, ok := o.of.(*literal); ok {
			o.name = characters(l.value)
		}
	}
	if as := p.accept("AS"); as || p.isNameNext() || p.peek().kind == text {
		if p.peek().kind == text {
			o.name = p.take().text
		} else {
			o.name = p.name()
		}
	}
	return o
}

func (p *parser) where(n *narrowing) {
	if p.accept("WHERE") {
		if n.where = p.expression(); isGrouped(n.where) {
			p.refuse(fail(1111, "Invalid use of group function"))
		}
	}
}

func (p *parser) orderAndLimit(n *narrowing) {
	if p.accept("ORDER", "BY") {
		n.order = several(p, func() ordering {
			o := ordering{by: p.expression()}
			o.desc = p.one("ASC", "DESC") == "DESC"
			return o
		})
	}
	if !p.accept("LIMIT") {
		return
	}
	n.limit = p.count()
	switch {
	case p.accept(","):
		n.offset, n.limit = n.limit, p.count()
	case p.accept("OFFSET"):
		n.offset = p.count()
	}
}

// count reads a number of rows.
func (p *parser) count() expression {
	if k := p.peek().kind; k != number && k != parameter {
		p.fail()
	}
	return p.operand()
}

// rowsWanted evaluates LIMIT and OFFSET.
func (n *narrowing) rowsWanted(e *env) (limit, offset int, err error) {
	limit = math.MaxInt
	for _, x := range []struct {
		of   expression
		into *int
	}{{n.limit, &limit}, {n.offset, &offset}} {
		if x.of == nil {
			continue
		}
		v, err := x.of.eval(e)
		if err != nil {
			return 0, 0, err
		}
		count, ok := integer(v)
		if !ok || count < 0 {
			return 0, 0, fail(1210, "Incorrect arguments to LIMIT")
		}
		*x.into = int(count)
	}
	return limit, offset, nil
}

// query carries out a SELECT.
func (s *session) query(ctx context.Context, st *statement, q *selection, args []any) (*fakemysql.Result, error) {
	e := &env{ctx: ctx, session: s, args: args, alone: q.from == nil && len(q.outputs) == 1}
	if q.from != nil {
		t, err := s.use(ctx, *q.from, q.locks != unlocked)
		if err != nil {
			return nil, err
		}
		e.bind(t, q.from)
	}
	outputs, err := q.expand(e)
	if err != nil {
		return nil, err
	}
	frames, err := s.frames(e, st, q)
	if err != nil {
		return nil, err
	}
	rows := make([][]any, 0, len(frames))
	for i := range frames {
		frame := e.at(frames[i])
		cells := make([]any, len(outputs))
		for j, o := range outputs {
			if cells[j], err = o.of.eval(&frame); err != nil {
				return nil, err
			}
		}
		rows = append(rows, cells)
	}
	if rows, err = q.cut(e, rows); err != nil {
		return nil, err
	}
	return &fakemysql.Result{Columns: columnsOf(e.table, outputs, rows), Rows: rows}, nil
}

// bind gives the environment its table.
func (e *env) bind(t *table, name *tableName) {
	if e.table, e.alias = t, name.alias; e.alias == "" {
		e.alias = name.name
	}
}

// frame is what one row of the result is computed from.
type frame struct {
	row   []any
	group [][]any
}

func (e *env) at(f frame) env {
	at := *e
	at.row, at.group = f.row, f.group
	return at
}

// expand replaces * by the columns.
func (q *selection) expand(e *env) (outputs []output, err error) {
	for _, o := range q.outputs {
		if o.of != nil {
			outputs = append(outputs, o)
			continue
		}
		if e.table == nil {
			return nil, fail(1096, "No tables used")
		}
		if o.from != "" && !strings.EqualFold(o.from, e.alias) {
			return nil, fail(1051, "Unknown table '%s'", o.from)
		}
		for _, c := range e.table.columns {
			outputs = append(outputs, output{name: c.given, of: &reference{name: c.name, given: c.given}})
		}
	}
	for _, o := range outputs {
		if err := e.known(o.of, "field list"); err != nil {
			return nil, err
		}
	}
	for _, o := range q.narrow.order {
		if err := e.known(resolve(o.by, outputs, nil), "order clause"); err != nil {
			return nil, err
		}
	}
	return outputs, e.known(q.narrow.where, "where clause")
}

// frames finds, groups and sorts the rows.
func (s *session) frames(e *env, st *statement, q *selection) ([]frame, error) {
	grouped := len(q.group) > 0 || slices.ContainsFunc(q.outputs, func(o output) bool { return o.of != nil && isGrouped(o.of) })
	rows := [][]any{nil}
	var err error
	if e.table != nil {
		most := math.MaxInt
		if !grouped && len(q.narrow.order) == 0 && !q.distinct {
			limit, offset, err := q.narrow.rowsWanted(e)
			if err != nil {
				return nil, err
			}
			if limit < math.MaxInt-offset {
				most = limit + offset
			}
		}
		rows, err = s.find(e, st, &q.narrow, q.locks, most)
	} else if q.narrow.where != nil {
		var v any
		if v, err = q.narrow.where.eval(e); !isTrue(v) {
			rows = nil
		}
	}
	if err != nil {
		return nil, err
	}
	var frames []frame
	if grouped {
		if frames, err = q.fold(e, rows); err != nil {
			return nil, err
		}
	} else {
		frames = make([]frame, len(rows))
		for i, r := range rows {
			frames[i].row = r
		}
	}
	return frames, sorted(e, frames, q.narrow.order, q.outputs)
}

// fold makes one frame of each group; without GROUP BY all rows are one.
func (q *selection) fold(e *env, rows [][]any) ([]frame, error) {
	if len(q.group) == 0 {
		f := frame{group: rows}
		if len(rows) > 0 {
			f.row = rows[0]
		}
		return []frame{f}, nil
	}
	var frames []frame
	at := map[any]int{}
	for _, r := range rows {
		one := e.at(frame{row: r})
		values := make([]any, len(q.group))
		for i, x := range q.group {
			var err error
			if values[i], err = resolve(x, q.outputs, e.table).eval(&one); err != nil {
				return nil, err
			}
		}
		key := keyOf(values)
		i, ok := at[key]
		if !ok {
			i, at[key] = len(frames), len(frames)
			frames = append(frames, frame{row: r})
		}
		frames[i].group = append(frames[i].group, r)
	}
	return frames, nil
}

// resolve is what GROUP BY or ORDER BY means: a column, the position of an output, or
// an alias, which for ORDER BY comes before columns.
// https://dev.mysql.com/doc/refman/8.0/en/select.html
func resolve(x expression, outputs []output, t *table) expression {
	switch x := x.(type) {
	case *reference:
		for _, o := range outputs {
			if o.of != nil && x.table == "" && strings.EqualFold(o.name, x.given) && (t == nil || t.index(x.name) < 0) {
				return o.of
			}
		}
	case *literal:
		if n, ok := x.value.(int64); ok && n > 0 && n <= int64(len(outputs)) && outputs[n-1].of != nil {
			return outputs[n-1].of
		}
	}
	return x
}

// sorted sorts by ORDER BY.
func sorted(e *env, frames []frame, by []ordering, outputs []output) error {
	if len(by) == 0 {
		return nil
	}
	type keyed struct {
		frame
		keys []any
	}
	all := make([]keyed, len(frames))
	for i, f := range frames {
		all[i] = keyed{f, make([]any, len(by))}
		at := e.at(f)
		for j, o := range by {
			var err error
			if all[i].keys[j], err = resolve(o.by, outputs, nil).eval(&at); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		for j, o := range by {
			if c := order(a.keys[j], b.keys[j]); c != 0 {
				if o.desc {
					return -c
				}
				return c
			}
		}
		return 0
	})
	for i := range all {
		frames[i] = all[i].frame
	}
	return nil
}

// cut applies DISTINCT and LIMIT.
func (q *selection) cut(e *env, rows [][]any) ([][]any, error) {
	if q.distinct {
		seen := map[any]bool{}
		rows = slices.DeleteFunc(rows, func(r []any) bool {
			key := keyOf(r)
			defer func() { seen[key] = true }()
			return seen[key]
		})
	}
	limit, offset, err := q.narrow.rowsWanted(e)
	if err != nil {
		return nil, err
	}
	rows = rows[min(offset, len(rows)):]
	return rows[:min(limit, len(rows))], nil
}

// columnsOf describes a result and makes its values fit.
func columnsOf(t *table, outputs []output, rows [][]any) []fakemysql.Column {
	columns := make([]fakemysql.Column, len(outputs))
	for i, o := range outputs {
		if r, ok := o.of.(*reference); ok && t != nil && t.index(r.name) >= 0 {
			columns[i] = t.described(t.index(r.name), o.name)
			continue // what is stored fits
		}
		kind := wire.TypeNull
		if o.of != nil {
			kind = o.of.kind(t)
		}
		for j := 0; j < len(rows) && kind == wire.TypeNull; j++ {
			kind = kindOf(rows[j][i])
		}
		if kind == wire.TypeNull {
			kind = wire.TypeVarString
		}
		columns[i] = described(o.name, kind)
		for _, r := range rows {
			r[i] = fitted(r[i], kind)
		}
	}
	return columns
}

// fitted is a value of a result as its column has it.
func fitted(v any, kind byte) any {
	switch {
	case v == nil:
		return nil
	case kindOf(v) == kind:
		return shown(v)
	case isInteger(kind):
		if n, ok := integer(v); ok {
			return n
		}
		return int64(float(v))
	case kind == wire.TypeDouble:
		return float(v)
	case kind == wire.TypeDateTime:
		if at, ok := instant(v); ok {
			return at
		}
		return nil
	}
	return characters(v)
}
