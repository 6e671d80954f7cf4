package minidb

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// column is a column of a table.
type column struct {
	name        string // in lower case
	given       string // as the table's maker wrote it
	kind        byte   // wire.TypeLongLong, TypeLong, TypeDouble, TypeVarString, TypeBlob (TEXT) or TypeDateTime
	most        int    // characters of a VARCHAR
	notNull     bool
	auto        bool
	hasDefault  bool
	defaultsTo  expression
	unsigned    bool
	primaryHere bool // PRIMARY KEY was said with the column
}

// table is a table; everything in it is guarded by the database's lock.
type table struct {
	schema, name string
	temporary    bool
	columns      []column
	key          []int // indexes of the primary key's columns
	auto         int   // index of the AUTO_INCREMENT column, -1 = none
	next         int64 // AUTO_INCREMENT
	rows         []*row
	byKey        map[any]*row
	dead         int  // rows that are waiting to be taken out
	gone         bool // dropped
	metadata     lock // shared by the transactions that used it, exclusive for DDL
}

// row is one row with what is committed of it and what its writer made of it. The
// values themselves are never changed, so they may be looked at without the
// database's lock.
type row struct {
	id        []any // the primary key's values
	committed []any // nil = not there for others
	pending   []any // nil = deleted by the writer; only while dirty
	dirty     bool  // only while lock.writer is the one who did it
	dead      bool  // taken out of the table
	lock      lock
}

// seenBy is the row as the transaction sees it, nil if it is not there.
func (r *row) seenBy(tx *transaction) []any {
	if r.dirty && r.lock.writer == tx {
		return r.pending
	}
	return r.committed
}

func newTable(schema, name string, columns []column, key []int) *table {
	t := &table{schema: schema, name: name, columns: columns, key: key}
	t.auto = slices.IndexFunc(columns, func(c column) bool { return c.auto })
	t.clear()
	return t
}

// clear empties the table, as TRUNCATE does.
func (t *table) clear() {
	for _, r := range t.rows {
		r.dead = true
	}
	t.rows, t.next, t.dead = nil, 1, 0
	t.byKey = make(map[any]*row)
}

func (t *table) index(name string) int {
	for i := range t.columns {
		if t.columns[i].name == name {
			return i
		}
	}
	return -1
}

// identity is the primary key's part of a row, nil if the table has none.
func (t *table) identity(fields []any) []any {
	switch len(t.key) {
	case 0:
		return nil
	case 1:
		return fields[t.key[0] : t.key[0]+1 : t.key[0]+1]
	}
	id := make([]any, len(t.key))
	for i, k := range t.key {
		id[i] = fields[k]
	}
	return id
}

// keyOf is an identity as the key of a map.
func keyOf(id []any) any {
	if len(id) == 1 {
		switch v := id[0].(type) {
		case int64:
			return v
		case string:
			return folded(v)
		case time.Time:
			return v.UnixNano()
		}
	}
	var b strings.Builder
	for _, v := range id {
		if v == nil {
			b.WriteString("NULL,")
			continue
		}
		fmt.Fprintf(&b, "%q,", folded(characters(v)))
	}
	return b.String()
}

func orderOf(a, b []any) int {
	for i := range a {
		if c := order(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

// add puts a row in its place: by primary key, else last.
func (t *table) add(r *row) {
	at := len(t.rows)
	if len(t.key) > 0 {
		t.byKey[keyOf(r.id)] = r
		if at > 0 && orderOf(t.rows[at-1].id, r.id) > 0 {
			at, _ = slices.BinarySearchFunc(t.rows, r.id, func(x *row, id []any) int { return orderOf(x.id, id) })
		}
	}
	t.rows = slices.Insert(t.rows, at, r)
}

// remove takes out a row that is not there for anybody any more.
func (t *table) remove(r *row) {
	if r.dead {
		return
	}
	r.dead = true
	if len(t.key) > 0 {
		if key := keyOf(r.id); t.byKey[key] == r {
			delete(t.byKey, key)
		}
	}
	const few = 64
	if t.dead++; t.dead > few && t.dead > len(t.rows)/2 {
		t.rows = slices.DeleteFunc(slices.Clone(t.rows), func(r *row) bool { return r.dead })
		t.dead = 0
	}
}

// described is a column of a result that shows a column.
func (t *table) described(i int, name string) fakemysql.Column {
	c := &t.columns[i]
	out := described(name, c.kind)
	out.Table, out.OrgTable, out.OrgName, out.Schema = t.name, t.name, c.given, t.schema
	if c.kind == wire.TypeVarString {
		out.Length = uint32(min(c.most, math.MaxInt32/4)) * 4 // bytes of utf8mb4
	}
	if c.kind == wire.TypeBlob {
		out.Charset, out.Flags, out.Length = wire.CharsetUTF8MB4, wire.FlagBlob, math.MaxUint16
	}
	if c.notNull {
		out.Flags |= wire.FlagNotNull
	}
	if slices.Contains(t.key, i) {
		out.Flags |= wire.FlagPrimaryKey
	}
	if c.auto {
		out.Flags |= wire.FlagAutoIncrement
	}
	if c.unsigned {
		out.Flags |= wire.FlagUnsigned
	}
	return out
}

// fit is v as the column stores it; line is the row's number in the statement.
func (c *column) fit(v any, line int) (any, error) {
	if v == nil {
		if c.notNull {
			return nil, fail(1048, "Column '%s' cannot be null", c.given)
		}
		return nil, nil
	}
	switch c.kind {
	case wire.TypeLongLong, wire.TypeLong:
		return c.fitInteger(v, line)
	case wire.TypeDouble:
		return float(v), nil
	case wire.TypeDateTime:
		at, ok := instant(v)
		if !ok {
			return nil, fail(1292, "Incorrect datetime value: '%s' for column '%s' at row %d", characters(v), c.given, line)
		}
		return at.Round(time.Second), nil
	}
	s := characters(v)
	if c.kind == wire.TypeVarString && utf8.RuneCountInString(s) > c.most {
		return nil, fail(1406, "Data too long for column '%s' at row %d", c.given, line)
	}
	return s, nil
}

func (c *column) fitInteger(v any, line int) (any, error) {
	n, ok := integer(v)
	if f, isFloat := v.(float64); !ok && isFloat {
		n, ok = int64(math.Round(f)), math.Abs(f) < 1<<63
		if !ok {
			return nil, fail(1264, "Out of range value for column '%s' at row %d", c.given, line)
		}
	}
	if !ok {
		return nil, fail(1366, "Incorrect integer value: '%s' for column '%s' at row %d", characters(v), c.given, line)
	}
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	if c.kind == wire.TypeLong {
		low, high = math.MinInt32, math.MaxInt32
		if c.unsigned {
			high = math.MaxUint32
		}
	}
	if c.unsigned {
		low = 0
	}
	if n < low || n > high {
		return nil, fail(1264, "Out of range value for column '%s' at row %d", c.given, line)
	}
	return n, nil
}
