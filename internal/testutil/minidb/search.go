package minidb

import (
	"math"
	"slices"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// candidates are the rows that a condition may hold for: those of the keys that it
// asks for, else all. The list is not to be kept when the database is let go.
func (t *table) candidates(where expression, e *env) []*row {
	if len(t.key) != 1 || where == nil {
		return t.rows
	}
	keys, ok := t.keys(where, e)
	if !ok {
		return t.rows
	}
	rows := make([]*row, 0, len(keys))
	for _, key := range keys {
		if r := t.byKey[key]; r != nil && !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
	}
	if len(rows) > 1 {
		slices.SortFunc(rows, func(a, b *row) int { return orderOf(a.id, b.id) })
	}
	return rows
}

// mostKeys is where a list of keys is better searched by reading all rows.
const mostKeys = 64

// keys are those that a condition restricts the primary key to, if it does.
func (t *table) keys(where expression, e *env) ([]any, bool) {
	var values []expression
	switch x := where.(type) {
	case *binary:
		switch x.op {
		case "AND":
			if keys, ok := t.keys(x.left, e); ok {
				return keys, true
			}
			return t.keys(x.right, e)
		case "=":
			left, right := x.left, x.right
			if !t.isKey(left, e) {
				left, right = right, left
			}
			if !t.isKey(left, e) {
				return nil, false
			}
			values = []expression{right}
		}
	case *membership:
		if t.isKey(x.item, e) && len(x.in) <= mostKeys {
			values = x.in
		}
	}
	var keys []any
	for _, x := range values {
		key, ok := t.keyValue(x, e)
		if !ok {
			return nil, false
		}
		keys = append(keys, key)
	}
	return keys, len(values) > 0
}

func (t *table) isKey(x expression, e *env) bool {
	r, ok := x.(*reference)
	return ok && t.columns[t.key[0]].name == r.name && (r.table == "" || r.table == e.alias)
}

// keyValue is a constant as a key, if comparing it is the same as looking it up.
func (t *table) keyValue(x expression, e *env) (any, bool) {
	if !isConstant(x) {
		return nil, false
	}
	v, err := x.eval(e)
	if err != nil {
		return nil, false
	}
	switch kind := t.columns[t.key[0]].kind; {
	case isInteger(kind):
		n, ok := integer(v)
		return n, ok
	case kind == wire.TypeVarString || kind == wire.TypeBlob:
		s, ok := v.(string)
		return folded(s), ok
	}
	return nil, false
}

// find returns what the session sees of the rows that a condition holds for, locked
// if asked for.
func (s *session) find(e *env, st *statement, n *narrowing, locks locking, most int) ([][]any, error) {
	if locks == unlocked {
		return s.read(e, st, n.where, most)
	}
	rows, err := s.lockMatching(e, n.where, locks == exclusive, most)
	if err != nil {
		return nil, err
	}
	found := make([][]any, len(rows))
	for i, r := range rows {
		found[i] = r.seenBy(s.tx)
	}
	return found, nil
}

// read finds rows without locks: what is committed, and the transaction's own.
func (s *session) read(e *env, st *statement, where expression, most int) (found [][]any, err error) {
	rows := e.table.candidates(where, e)
	if st.sleeps {
		rows = slices.Clone(rows)
	}
	at := *e
	for _, r := range rows {
		if len(found) >= most {
			break
		}
		if at.row = r.seenBy(s.tx); at.row == nil {
			continue
		}
		ok, err := holdsFor(where, &at)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, at.row)
		}
	}
	return found, nil
}

func holdsFor(where expression, e *env) (bool, error) {
	if where == nil {
		return true, nil
	}
	v, err := where.eval(e)
	return isTrue(v), err
}

// lockMatching locks the rows that a condition holds for. Rows for which it does not
// hold are passed without a lock, as with READ COMMITTED; those that it may hold for,
// once their writer is done, are waited for.
func (s *session) lockMatching(e *env, where expression, exclusively bool, most int) (found []*row, err error) {
	at := *e
	for _, r := range slices.Clone(e.table.candidates(where, e)) {
		if len(found) >= most {
			break
		}
		may, err := s.mayMatch(r, where, &at)
		if err != nil {
			return nil, err
		}
		if !may {
			continue
		}
		if err := s.tx.acquire(e.ctx, &r.lock, exclusively, s.patience()); err != nil {
			return nil, err
		}
		// The row may be another one since it was looked at.
		if at.row = r.seenBy(s.tx); r.dead || at.row == nil {
			continue
		}
		ok, err := holdsFor(where, &at)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, r)
		}
	}
	return found, nil
}

// mayMatch reports whether a condition holds for a row as it is, or as another
// transaction would make it.
func (s *session) mayMatch(r *row, where expression, at *env) (bool, error) {
	if at.row = r.seenBy(s.tx); at.row != nil {
		if ok, err := holdsFor(where, at); ok || err != nil {
			return ok, err
		}
	}
	if at.row = r.pending; !r.dirty || r.lock.writer == s.tx || at.row == nil {
		return false, nil
	}
	return holdsFor(where, at)
}

// targets locks the rows that an UPDATE or DELETE is about, in its order.
func (s *session) targets(e *env, n *narrowing) ([]*row, error) {
	if err := e.known(n.where, "where clause"); err != nil {
		return nil, err
	}
	limit, _, err := n.rowsWanted(e)
	if err != nil {
		return nil, err
	}
	most := limit
	if len(n.order) > 0 {
		most = math.MaxInt
	}
	rows, err := s.lockMatching(e, n.where, true, most)
	if err != nil || len(n.order) == 0 {
		return rows, err
	}
	frames := make([]frame, len(rows))
	byFields := make(map[*any]*row, len(rows))
	for i, r := range rows {
		frames[i].row = r.seenBy(s.tx)
		byFields[&frames[i].row[0]] = r
	}
	if err := sorted(e, frames, n.order, nil); err != nil {
		return nil, err
	}
	for i := range frames {
		rows[i] = byFields[&frames[i].row[0]]
	}
	return rows[:min(limit, len(rows))], nil
}
