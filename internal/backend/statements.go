package backend

import (
	"container/list"
	"context"
	"database/sql/driver"
)

// Statement is a statement prepared on one backend.
type Statement struct {
	stmt
	text string
}

// stmt is what the wrapped driver's statements are.
type stmt interface {
	driver.Stmt
	driver.StmtQueryContext
	driver.StmtExecContext
	driver.NamedValueChecker
	ColumnConverter(idx int) driver.ValueConverter
}

// statements is the least-recently-used cache of a backend's prepared
// statements, by text. Used by one goroutine at a time, like its backend.
type statements struct {
	capacity int
	byText   map[string]*list.Element
	recent   list.List // of *Statement, front = used last
}

func (s *statements) get(text string) *Statement {
	e, ok := s.byText[text]
	if !ok {
		return nil
	}
	s.recent.MoveToFront(e)
	return e.Value.(*Statement)
}

func (s *statements) put(st *Statement) {
	if s.byText == nil {
		s.byText = make(map[string]*list.Element)
	}
	s.byText[st.text] = s.recent.PushFront(st)
}

// makeRoom closes the statements used longest ago until one more fits. With
// capacity 0 the last one is still kept until the next comes: its rows may be open.
func (s *statements) makeRoom() error {
	for s.recent.Len() > 0 && s.recent.Len() >= s.capacity {
		e := s.recent.Back()
		st := e.Value.(*Statement)
		s.recent.Remove(e)
		delete(s.byText, st.text)
		if err := st.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (s *statements) forget(text string) {
	if e, ok := s.byText[text]; ok {
		s.recent.Remove(e)
		delete(s.byText, text)
	}
}

// Prepared returns text as a statement prepared on this backend: the one that
// is there already, or a new one for one round trip. At most Config.Statements
// are kept, the ones used last; with 0 every call prepares anew. Close of the
// returned statement is this package's business.
func (b *Backend) Prepared(ctx context.Context, text string) (*Statement, error) {
	if b.statements.capacity > 0 {
		if st := b.statements.get(text); st != nil {
			return st, nil
		}
	}
	if err := b.statements.makeRoom(); err != nil {
		return nil, err
	}
	prepared, err := b.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	st := &Statement{stmt: prepared.(stmt), text: text}
	b.statements.put(st)
	return st, nil
}

// Forget closes a prepared statement that the server no longer accepts.
func (b *Backend) Forget(st *Statement) error {
	b.statements.forget(st.text)
	return st.Close()
}
