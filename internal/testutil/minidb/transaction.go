package minidb

import "strings"

// transaction is what a session has locked and changed. It is guarded by the
// database's lock.
type transaction struct {
	db      *DB
	locks   []*lock
	undo    []change
	marks   []mark
	waiting *request
}

// change is how a row was before it was changed.
type change struct {
	table   *table
	row     *row
	pending []any
	dirty   bool
}

// mark is a SAVEPOINT: the number of changes before it.
type mark struct {
	name    string // in lower case
	changes int
}

// change gives a row, which the transaction has locked, new values; nil deletes it.
func (tx *transaction) change(t *table, r *row, fields []any) {
	tx.undo = append(tx.undo, change{t, r, r.pending, r.dirty})
	r.pending, r.dirty = fields, true
}

// writes reports whether something would be committed that is not temporary.
func (tx *transaction) writes() bool {
	for i := range tx.undo {
		if !tx.undo[i].table.temporary {
			return true
		}
	}
	return false
}

// undoTo takes back all but so many changes. The locks stay.
func (tx *transaction) undoTo(changes int) {
	for i := len(tx.undo) - 1; i >= changes; i-- {
		c := tx.undo[i]
		c.row.pending, c.row.dirty = c.pending, c.dirty
		if !c.dirty && c.row.committed == nil {
			c.table.remove(c.row)
		}
	}
	tx.undo = tx.undo[:changes]
}

// end commits or rolls back, and gives the locks to those who wait for them.
func (tx *transaction) end(commit bool) {
	if !commit {
		tx.undoTo(0)
	}
	for _, c := range tx.undo {
		r := c.row
		if !r.dirty {
			continue // done already: it was changed several times
		}
		r.committed, r.pending, r.dirty = r.pending, nil, false
		if r.committed == nil {
			c.table.remove(r)
		}
	}
	tx.undo, tx.marks = nil, nil
	for _, l := range tx.locks {
		l.take(tx)
	}
	tx.locks = nil
}

// savepoint finds a mark, -1 if there is none.
func (tx *transaction) savepoint(name string) int {
	for i, m := range tx.marks {
		if m.name == strings.ToLower(name) {
			return i
		}
	}
	return -1
}

// save sets a SAVEPOINT; an older one of that name goes.
func (tx *transaction) save(name string) {
	if i := tx.savepoint(name); i >= 0 {
		tx.marks = append(tx.marks[:i], tx.marks[i+1:]...)
	}
	tx.marks = append(tx.marks, mark{strings.ToLower(name), len(tx.undo)})
}

// back is ROLLBACK TO: the mark stays, later ones go.
func (tx *transaction) back(name string) error {
	i := tx.savepoint(name)
	if i < 0 {
		return noSavepoint(name)
	}
	tx.undoTo(tx.marks[i].changes)
	tx.marks = tx.marks[:i+1]
	return nil
}

// release is RELEASE SAVEPOINT: the mark and later ones go.
func (tx *transaction) release(name string) error {
	i := tx.savepoint(name)
	if i < 0 {
		return noSavepoint(name)
	}
	tx.marks = tx.marks[:i]
	return nil
}

func noSavepoint(name string) error { return fail(1305, "SAVEPOINT %s does not exist", name) }
