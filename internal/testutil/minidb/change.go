package minidb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

type (
	// insertion is an INSERT. A value of nil is DEFAULT.
	insertion struct {
		into    tableName
		columns []string // nil = all
		rows    [][]expression
	}
	// update is an UPDATE.
	update struct {
		table   tableName
		columns []string
		values  []expression
		narrow  narrowing
	}
	// deletion is a DELETE.
	deletion struct {
		from   tableName
		narrow narrowing
	}
)

func (p *parser) insertion() any {
	p.accept("INTO")
	st := &insertion{into: p.table()}
	if p.is("(") && !p.is("(", ")") {
		st.columns = inParentheses(p, p.column)
	} else if p.accept("(") {
		p.expect(")")
	}
	if !p.accept("VALUES") {
		p.expect("VALUE")
	}
	st.rows = several(p, func() []expression {
		if p.accept("(", ")") {
			return nil
		}
		return inParentheses(p, p.value)
	})
	return st
}

// value reads an expression or DEFAULT.
func (p *parser) value() expression {
	if p.accept("DEFAULT") {
		return nil
	}
	return p.expression()
}

func (p *parser) update() any {
	st := &update{table: p.aliased()}
	p.expect("SET")
	several(p, func() any {
		name := p.column()
		if p.accept(".") {
			name = p.column()
		}
		p.expect("=")
		st.columns, st.values = append(st.columns, name), append(st.values, p.value())
		return nil
	})
	p.where(&st.narrow)
	p.orderAndLimit(&st.narrow)
	return st
}

func (p *parser) deletion() any {
	p.expect("FROM")
	st := &deletion{from: p.aliased()}
	p.where(&st.narrow)
	p.orderAndLimit(&st.narrow)
	return st
}

// insert carries out an INSERT.
func (s *session) insert(ctx context.Context, st *insertion, args []any) (*fakemysql.Result, error) {
	t, err := s.use(ctx, st.into, true)
	if err != nil {
		return nil, err
	}
	e := &env{ctx: ctx, session: s, args: args}
	e.bind(t, &st.into)
	at, err := t.places(st.columns)
	if err != nil {
		return nil, err
	}
	result := &fakemysql.Result{}
	generated := uint64(0)
	for i, values := range st.rows {
		if len(values) != len(at) && (len(values) > 0 || st.columns != nil) {
			return nil, fail(1136, "Column count doesn't match value count at row %d", i+1)
		}
		fields, err := t.fields(e, at, values, i+1)
		if err != nil {
			return nil, err
		}
		if id, isNew := t.count(fields); isNew && generated == 0 {
			generated = id
		} else if id != 0 {
			result.InsertID = id
		}
		if err := s.place(ctx, t, fields); err != nil {
			return nil, err
		}
		result.Affected++
	}
	if generated != 0 {
		s.lastID, result.InsertID = generated, generated
	}
	if len(st.rows) > 1 {
		result.Info = fmt.Sprintf("Records: %d  Duplicates: 0  Warnings: 0", len(st.rows))
	}
	return result, nil
}

// places are the columns' indexes; of all without names.
func (t *table) places(names []string) ([]int, error) {
	if names == nil {
		all := make([]int, len(t.columns))
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	at := make([]int, len(names))
	for i, name := range names {
		if at[i] = t.index(name); at[i] < 0 {
			return nil, unknownColumn(name, "field list")
		}
		if slices.Contains(at[:i], at[i]) {
			return nil, fail(1110, "Column '%s' specified twice", name)
		}
	}
	return at, nil
}

// fields makes a row of the values of an INSERT.
func (t *table) fields(e *env, at []int, values []expression, line int) ([]any, error) {
	fields := make([]any, len(t.columns))
	row := *e
	row.row = fields // a value may use the columns before it
	given := make([]bool, len(t.columns))
	for i, x := range values {
		if x == nil {
			continue
		}
		v, err := x.eval(&row)
		if err != nil {
			return nil, err
		}
		c := &t.columns[at[i]]
		given[at[i]] = true
		if c.auto && v == nil {
			continue
		}
		if fields[at[i]], err = c.fit(v, line); err != nil {
			return nil, err
		}
	}
	for i := range t.columns {
		if given[i] || t.columns[i].auto {
			continue
		}
		var err error
		if fields[i], err = t.columns[i].byDefault(e, line); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// byDefault is the value of a column that was not given any.
func (c *column) byDefault(e *env, line int) (any, error) {
	if !c.hasDefault {
		if c.notNull {
			return nil, fail(1364, "Field '%s' doesn't have a default value", c.given)
		}
		return nil, nil
	}
	v, err := c.defaultsTo.eval(e)
	if err != nil {
		return nil, err
	}
	return c.fit(v, line)
}

// count is the number of the AUTO_INCREMENT column, 0 without one; isNew if it is
// the table's own. A number is never given twice, whatever becomes of the row.
func (t *table) count(fields []any) (id uint64, isNew bool) {
	if t.auto < 0 {
		return 0, false
	}
	n, _ := fields[t.auto].(int64)
	if n == 0 {
		n, isNew = t.next, true
		fields[t.auto] = n
	}
	if n >= t.next {
		t.next = n + 1
	}
	return uint64(n), isNew
}

// place puts a new row into the table, once its key is surely free.
func (s *session) place(ctx context.Context, t *table, fields []any) error {
	id := t.identity(fields)
	for len(t.key) > 0 {
		r := t.byKey[keyOf(id)]
		if r == nil {
			break
		}
		if err := s.tx.acquire(ctx, &r.lock, true, s.patience()); err != nil {
			return err
		}
		if r.dead {
			continue // and there may be another one
		}
		if r.seenBy(s.tx) != nil {
			return duplicate(t, id)
		}
		s.tx.change(t, r, fields) // it was deleted by this very transaction
		return nil
	}
	r := &row{id: id}
	r.lock.give(s.tx, true)
	s.tx.change(t, r, fields)
	t.add(r)
	return nil
}

func duplicate(t *table, id []any) error {
	entry := make([]string, len(id))
	for i, v := range id {
		entry[i] = characters(v)
	}
	return fail(1062, "Duplicate entry '%s' for key '%s.PRIMARY'", strings.Join(entry, "-"), t.name)
}

// update carries out an UPDATE.
func (s *session) update(ctx context.Context, st *update, args []any) (*fakemysql.Result, error) {
	t, err := s.use(ctx, st.table, true)
	if err != nil {
		return nil, err
	}
	e := &env{ctx: ctx, session: s, args: args}
	e.bind(t, &st.table)
	at := make([]int, len(st.columns))
	for i, name := range st.columns {
		if at[i] = t.index(name); at[i] < 0 {
			return nil, unknownColumn(name, "field list")
		}
	}
	rows, err := s.targets(e, &st.narrow)
	if err != nil {
		return nil, err
	}
	changed := uint64(0)
	for line, r := range rows {
		fields, err := t.changed(e, r.seenBy(s.tx), at, st.values, line+1)
		if err != nil {
			return nil, err
		}
		if slices.Equal(fields, r.seenBy(s.tx)) {
			continue
		}
		changed++
		if err := s.replace(ctx, t, r, fields); err != nil {
			return nil, err
		}
	}
	result := &fakemysql.Result{Affected: changed}
	result.Info = fmt.Sprintf("Rows matched: %d  Changed: %d  Warnings: 0", len(rows), changed)
	if s.info.Capabilities&wire.ClientFoundRows != 0 {
		result.Affected = uint64(len(rows))
	}
	return result, nil
}

// changed is a row with the values of an UPDATE, which see each other from left to
// right.
func (t *table) changed(e *env, old []any, at []int, values []expression, line int) ([]any, error) {
	row := *e
	row.row = slices.Clone(old)
	for i, x := range values {
		c := &t.columns[at[i]]
		var v any
		var err error
		if x == nil {
			v, err = c.byDefault(e, line)
		} else if v, err = x.eval(&row); err == nil {
			v, err = c.fit(v, line)
		}
		if err != nil {
			return nil, err
		}
		row.row[at[i]] = v
	}
	return row.row, nil
}

// replace gives a row new values; with a new key it is another row.
func (s *session) replace(ctx context.Context, t *table, r *row, fields []any) error {
	if id := t.identity(fields); len(t.key) > 0 && keyOf(id) != keyOf(r.id) {
		if err := s.place(ctx, t, fields); err != nil {
			return err
		}
		fields = nil
	}
	s.tx.change(t, r, fields)
	return nil
}

// remove carries out a DELETE.
func (s *session) remove(ctx context.Context, st *deletion, args []any) (*fakemysql.Result, error) {
	t, err := s.use(ctx, st.from, true)
	if err != nil {
		return nil, err
	}
	e := &env{ctx: ctx, session: s, args: args}
	e.bind(t, &st.from)
	rows, err := s.targets(e, &st.narrow)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		s.tx.change(t, r, nil)
	}
	return &fakemysql.Result{Affected: uint64(len(rows))}, nil
}
