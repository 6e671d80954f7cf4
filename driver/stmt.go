package driver

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/failoverproxy/failoverproxy/pool"
)

// stmt is a prepared statement of a session: its text. The backends prepare it
// where they need it, so it outlives every one of them.
type stmt struct {
	conn   *conn
	text   string
	inputs int
	state  *pool.State // of the session when it was prepared: names mean what they meant then
	closed bool
}

var (
	_ driver.Stmt              = (*stmt)(nil)
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
)

// Prepare is PrepareContext without a context.
func (c *conn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), text)
}

// PrepareContext prepares the statement on a backend, so that its errors show now
// and the number of its parameters is known.
func (c *conn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	facts := c.cluster.facts.Scan(text, c.mode)
	x := exchange{text: text, only: true, facts: facts.Preparation()}
	if err := c.admit(&x); err != nil {
		return nil, err
	}
	x.reads = facts.Read()
	st, err := c.prepare(ctx, &x)
	c.finish(&x, err)
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (c *conn) prepare(ctx context.Context, x *exchange) (*stmt, error) {
	for {
		b, inner, err := c.backend(ctx, x)
		if err != nil {
			return nil, err
		}
		prepared, err := x.prepareOn(inner, b)
		if err == nil {
			st := &stmt{conn: c, text: x.text, inputs: prepared.NumInput(), state: c.session.State()}
			if c.settle(ctx, x, nil) {
				return nil, ctx.Err()
			}
			return st, nil
		}
		if err = c.fault(ctx, x, err); err != nil {
			return nil, err
		}
	}
}

// begin makes the exchange for one execution.
func (s *stmt) begin(args []driver.NamedValue) (exchange, error) {
	x := exchange{text: s.text, args: args, facts: s.conn.cluster.facts.Scan(s.text, s.conn.mode), prepared: true, stmt: s}
	if s.closed {
		return x, errStmtClosed
	}
	return x, s.conn.admit(&x)
}

var errStmtClosed = errors.New("failoverproxy: statement is closed")

// QueryContext executes the statement for its rows.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	x, err := s.begin(args)
	if err != nil {
		return nil, s.conn.queryLost(&x, err)
	}
	return s.conn.query(ctx, &x)
}

// ExecContext executes the statement for its result.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	x, err := s.begin(args)
	if err != nil {
		return s.conn.execLost(&x, err)
	}
	return s.conn.exec(ctx, &x)
}

// Query is QueryContext without a context.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

// Exec is ExecContext without a context.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// NumInput returns the number of parameters.
func (s *stmt) NumInput() int { return s.inputs }

// Close ends the session's statement. What is prepared on backends stays there for
// the next session that wants it, until it makes room for others.
func (s *stmt) Close() error {
	s.closed = true
	return nil
}

// CheckNamedValue converts an argument as the wrapped driver does.
func (s *stmt) CheckNamedValue(nv *driver.NamedValue) error { return s.conn.CheckNamedValue(nv) }

// ColumnConverter converts as CheckNamedValue does.
func (s *stmt) ColumnConverter(int) driver.ValueConverter { return converter{s.conn} }

type converter struct{ conn *conn }

func (c converter) ConvertValue(v any) (driver.Value, error) {
	nv := driver.NamedValue{Value: v}
	err := c.conn.CheckNamedValue(&nv)
	return nv.Value, err
}
