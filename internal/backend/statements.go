package backend

import (
	"container/list"
	"context"
	"database/sql/driver"
	"time"
)

// Statement is a statement prepared on one backend.
type Statement struct {
	stmt
	key  key
	used bool // it was executed, so the server knows the types of its parameters
}

// stmt is what the wrapped driver's statements are.
type stmt interface {
	driver.Stmt
	driver.StmtQueryContext
	driver.StmtExecContext
	driver.NamedValueChecker
	ColumnConverter(idx int) driver.ValueConverter
}

// key is what makes a prepared statement what it is: the server resolves names by the
// default schema, reads quotes by the sql_mode, and fixes the types of parameters, all of
// that once.
type key struct {
	text  string
	state string // of the session when it was prepared
	types types
}

// types are the kinds of a statement's arguments, one letter each. What goes beyond is not
// told apart.
type types [16]byte

func typesOf(args []driver.NamedValue) (t types) {
	for i, a := range args {
		if i >= len(t) {
			break
		}
		switch a.Value.(type) {
		case nil:
			t[i] = 'n'
		case int64, bool:
			t[i] = 'i'
		case uint64:
			t[i] = 'u'
		case float32, float64:
			t[i] = 'f'
		case time.Time:
			t[i] = 't'
		default:
			t[i] = 's'
		}
	}
	return t
}

// statements is the least-recently-used cache of a backend's prepared
// statements. Used by one goroutine at a time, like its backend.
type statements struct {
	capacity int
	byKey    map[key]*list.Element
	recent   list.List // of *Statement, front = used last
}

// get returns the statement for a key, or one that was prepared and not executed yet: it
// takes any types.
func (s *statements) get(k key) *Statement {
	e, ok := s.byKey[k]
	if !ok {
		if e, ok = s.byKey[key{text: k.text, state: k.state}]; !ok || e.Value.(*Statement).used {
			return nil
		}
		delete(s.byKey, e.Value.(*Statement).key)
		e.Value.(*Statement).key = k
		s.byKey[k] = e
	}
	s.recent.MoveToFront(e)
	return e.Value.(*Statement)
}

func (s *statements) put(st *Statement) {
	if s.byKey == nil {
		s.byKey = make(map[key]*list.Element)
	}
	s.byKey[st.key] = s.recent.PushFront(st)
}

// makeRoom closes the statements used longest ago until one more fits. With
// capacity 0 the last one is still kept until the next comes: its rows may be open.
func (s *statements) makeRoom() error {
	for s.recent.Len() > 0 && s.recent.Len() >= s.capacity {
		st := s.recent.Back().Value.(*Statement)
		s.forget(st)
		if st.Close() != nil {
			// The wrapped driver's error is one of its own that says nothing to anybody: the
			// connection is gone, and nothing of the statement to come was sent.
			return driver.ErrBadConn
		}
	}
	return nil
}

func (s *statements) forget(st *Statement) {
	if e, ok := s.byKey[st.key]; ok && e.Value == st {
		s.recent.Remove(e)
		delete(s.byKey, st.key)
	}
}

// Prepared returns text as a statement prepared on this backend for a session in that
// state and arguments of those types: the one that is there already, or a new one for
// one round trip. At most Config.Statements are kept, the ones used last; with 0 every
// call prepares anew. Close of the returned statement is this package's business.
func (b *Backend) Prepared(ctx context.Context, text, state string, args []driver.NamedValue) (*Statement, error) {
	if st := b.Kept(text, state, args); st != nil {
		return st, nil
	}
	b.unreported = true
	if err := b.statements.makeRoom(); err != nil {
		return nil, err
	}
	prepared, err := b.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	st := &Statement{stmt: prepared.(stmt), key: key{text, state, typesOf(args)}, used: len(args) > 0}
	b.statements.put(st)
	return st, nil
}

// Kept returns the statement that Prepared would return without a round trip, nil if there
// is none.
func (b *Backend) Kept(text, state string, args []driver.NamedValue) *Statement {
	if b.statements.capacity == 0 {
		return nil
	}
	st := b.statements.get(key{text, state, typesOf(args)})
	if st != nil {
		st.used = st.used || len(args) > 0
	}
	return st
}

// ForgetAll closes all prepared statements: the server has no room for more, or reads
// them differently now.
func (b *Backend) ForgetAll() error {
	var err error
	for b.statements.recent.Len() > 0 && err == nil {
		err = b.Forget(b.statements.recent.Back().Value.(*Statement))
	}
	return err
}

// Forget closes a prepared statement that the server no longer accepts.
func (b *Backend) Forget(st *Statement) error {
	b.unreported = true
	b.statements.forget(st)
	return st.Close()
}
