package aurorasim

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// query is a SELECT over the topology view, or over nothing, that the relay can
// answer itself.
type query struct {
	items  []expr
	view   bool
	where  *expr
	order  []ordering
	limit  int // -1 = none
	offset int
	params int
}

type ordering struct {
	by   expr
	desc bool
}

// parseQuery parses a statement. An error that wraps errUnsupported says what the
// evaluator cannot do; a *wire.Error is what the server would say.
func parseQuery(t *text, s scope) (*query, error) {
	tokens := trimEnd(t.lex())
	if len(tokens) == 0 || !tokens[0].is("SELECT") {
		return nil, errUnsupported
	}
	q := &query{limit: -1}
	r := t.deployment.relationIn(tokens)
	q.view = fromRelation(tokens, r)
	if q.view {
		s.columns = r.columns
	}
	p := &parser{scope: s, text: t, tokens: tokens, pos: 1}
	q.list(p)
	q.clauses(p)
	q.params = p.params
	if p.err == nil && !p.atEnd() {
		p.unsupported(p.rest())
	}
	return q, p.err
}

// fromRelation tells whether the relation stands behind the first FROM: the names in the list
// before it need to know.
func fromRelation(tokens []token, r relation) bool {
	for n, t := range tokens {
		if t.is("FROM") {
			return isRelation(tokens, n+1, r)
		}
	}
	return false
}

// trimEnd takes semicolons off.
func trimEnd(tokens []token) []token {
	for len(tokens) > 0 && tokens[len(tokens)-1].symbol(";") {
		tokens = tokens[:len(tokens)-1]
	}
	return tokens
}

func (q *query) list(p *parser) {
	for p.err == nil {
		if p.symbol("*") {
			for n, column := range p.columns {
				q.items = append(q.items, expr{eval: func(f *frame) any { return f.row[n] }, name: column})
			}
			if len(p.columns) == 0 {
				p.unsupported("* without a table")
			}
		} else {
			q.items = append(q.items, p.item())
		}
		if !p.symbol(",") {
			return
		}
	}
}

// item parses expression [[AS] alias]. Without an alias the column's name is the
// expression as written.
func (p *parser) item() expr {
	start := p.pos
	e := p.expression()
	if p.err != nil {
		return e
	}
	if e.name == "" || p.pos > start+1 && !p.tokens[p.pos-2].symbol(".") {
		e.name = p.text.sql[p.tokens[start].start:p.tokens[p.pos-1].end]
	}
	as := p.keyword("AS")
	t := p.peek()
	switch {
	case p.atEnd():
	case t.kind == quotedToken, t.kind == textToken, t.kind == wordToken && (as || !t.is("FROM") && !afterTable[upper(t)]):
		e.name = t.text
		p.pos++
	}
	return e
}

func (q *query) clauses(p *parser) {
	if p.keyword("FROM") {
		if !q.view {
			p.unsupported("a table other than the view")
			return
		}
		p.pos += 3
		if p.keyword("AS") || aliased(p.tokens, p.pos) {
			p.pos++
		}
	}
	if p.keyword("WHERE") {
		e := p.expression()
		q.where = &e
	}
	if p.keyword("ORDER", "BY") {
		q.orderBy(p)
	}
	if p.keyword("LIMIT") {
		q.limit = p.count()
		if p.symbol(",") {
			q.offset, q.limit = q.limit, p.count()
		} else if p.keyword("OFFSET") {
			q.offset = p.count()
		}
	}
}

func (p *parser) count() int {
	n, err := strconv.Atoi(p.peek().text)
	if err != nil || n < 0 {
		p.unsupported("LIMIT at " + p.rest())
		return 0
	}
	p.pos++
	return n
}

func (q *query) orderBy(p *parser) {
	for p.err == nil {
		o := ordering{by: q.orderItem(p)}
		if p.keyword("DESC") {
			o.desc = true
		} else {
			p.keyword("ASC")
		}
		q.order = append(q.order, o)
		if !p.symbol(",") {
			return
		}
	}
}

// orderItem is an expression, an alias of the list or a position in it.
func (q *query) orderItem(p *parser) expr {
	t := p.peek()
	if n, err := strconv.Atoi(t.text); err == nil && t.kind == numberToken && n >= 1 && n <= len(q.items) {
		p.pos++
		return q.items[n-1]
	}
	for _, item := range q.items {
		if t.names(item.name) {
			p.pos++
			return item
		}
	}
	return p.expression()
}

// run evaluates the query.
func (q *query) run(view [][]any, args []any) (columns []wire.Column, rows [][]any) {
	source := [][]any{nil}
	if q.view {
		source = view
	}
	var frames []*frame
	for _, row := range source {
		f := &frame{row: row, args: args}
		if q.where == nil || truth(q.where.eval(f)) {
			frames = append(frames, f)
		}
	}
	frames = q.fold(frames, args)
	slices.SortStableFunc(frames, q.compare)
	frames = frames[min(q.offset, len(frames)):]
	if q.limit >= 0 {
		frames = frames[:min(q.limit, len(frames))]
	}
	for _, f := range frames {
		row := make([]any, len(q.items))
		for n, item := range q.items {
			row[n] = item.eval(f)
		}
		rows = append(rows, row)
	}
	return q.columns(rows), rows
}

// fold makes one row of all if the list has aggregates.
func (q *query) fold(frames []*frame, args []any) []*frame {
	if !slices.ContainsFunc(q.items, func(e expr) bool { return e.aggregate }) {
		return frames
	}
	all := &frame{row: make([]any, max(len(viewColumns), len(blueGreen.columns))), args: args}
	for _, f := range frames {
		all.group = append(all.group, f.row)
		all.row = f.row
	}
	return []*frame{all}
}

func (q *query) compare(a, b *frame) int {
	for _, o := range q.order {
		va, vb := o.by.eval(a), o.by.eval(b)
		c := 0
		switch {
		case va == nil || vb == nil: // NULL comes first
			c = cmp.Compare(btoi(va != nil), btoi(vb != nil))
		default:
			c = compare(va, vb)
		}
		if o.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// columns finds each column's type from its values: one of text holds any.
func (q *query) columns(rows [][]any) []wire.Column {
	columns := make([]wire.Column, len(q.items))
	for n, item := range q.items {
		columns[n] = wire.Column{Name: item.name, Type: wire.TypeVarString, Length: 400}
		for _, row := range rows {
			if row[n] != nil {
				typed(&columns[n], row[n])
				break
			}
		}
		for _, row := range rows { // numbers of both kinds in one column
			if _, ok := row[n].(float64); ok && columns[n].Type == wire.TypeLongLong {
				columns[n].Type, columns[n].Decimals = wire.TypeDouble, 31
			}
		}
	}
	return columns
}

func typed(c *wire.Column, v any) {
	switch v.(type) {
	case int64:
		c.Type, c.Length = wire.TypeLongLong, 21
	case float64:
		c.Type, c.Length, c.Decimals = wire.TypeDouble, 23, 31
	case time.Time:
		c.Type, c.Length, c.Decimals = wire.TypeDateTime, 26, 6
	case time.Duration:
		c.Type, c.Length, c.Decimals = wire.TypeTime, 17, 6
	}
}
