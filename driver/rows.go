package driver

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"slices"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// rows is the result of the session's open statement. A session has one, used again for
// each statement that comes after it was closed: a connection cannot have two results open at
// a time.
type rows struct {
	conn      *conn
	inner     innerRows
	ctx       context.Context //nolint:containedctx // Next has none, and may have to execute again
	x         exchange
	columns   []string // as handed out
	delivered bool     // a row was
	own       error    // the statement's own error, met while reading
	failed    bool     // a fault was reported: nothing is left to settle
}

// innerRows is what the wrapped driver's rows are.
type innerRows interface {
	driver.RowsNextResultSet
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

var _ innerRows = (*rows)(nil)

func (r *rows) Columns() []string {
	r.columns = r.inner.Columns()
	return r.columns
}

func (r *rows) Next(dest []driver.Value) error {
	err := r.inner.Next(dest)
	if err == nil {
		r.delivered = true
		if r.x.facts.Effects&sqlscan.EffectNamedLock != 0 {
			r.x.refused = r.x.refused || !taken(dest[0])
		}
		return nil
	}
	if err == io.EOF { //nolint:errorlint // as database/sql compares it; on every result's path
		r.note()
		return err
	}
	return r.fault(err, func() error { return r.Next(dest) })
}

func (r *rows) NextResultSet() error {
	err := r.inner.NextResultSet()
	if err == nil {
		r.delivered = true
		r.note()
		return nil
	}
	if errors.Is(err, io.EOF) {
		return err
	}
	return r.fault(err, nil)
}

// fault decides about an error in the middle of a result. Before its first row a
// read is executed again, and next goes on with what comes then.
func (r *rows) fault(err error, next func() error) error {
	c := r.conn
	v := c.classify(r.ctx, &r.x, err)
	if v.Class == failover.ClassStatement {
		r.own = err // settled by Close
		if stopped := r.ctx.Err(); stopped != nil {
			return stopped
		}
		return err
	}
	r.x.final = r.delivered || next == nil || !r.repeatable()
	if err = c.decide(r.ctx, &r.x, v, err); err != nil {
		r.failed = true
		c.finish(&r.x, err)
		return err
	}
	return r.again(next)
}

// again executes the statement anew and goes on with its first row.
func (r *rows) again(next func() error) error {
	inner, err := r.conn.innerRows(r.ctx, &r.x)
	r.conn.finish(&r.x, err)
	if err != nil {
		r.failed = true
		return err
	}
	r.inner = r.x.shadow.answered(inner)
	if handedOut := r.columns; handedOut != nil && !slices.Equal(handedOut, inner.Columns()) {
		// The table was altered meanwhile, and the caller has its buffers ready.
		return failover.New(failover.ErrResultInterrupted, failover.Unknown, errColumnsChanged)
	}
	return next()
}

var errColumnsChanged = errors.New("the result has other columns now than before the failover")

// repeatable reports whether the read can be executed again from its arguments:
// those that the caller may have changed since the first time are not to be trusted.
func (r *rows) repeatable() bool {
	if !r.x.again {
		return false
	}
	return !slices.ContainsFunc(r.x.args, func(a driver.NamedValue) bool {
		return a.Value != nil && reflect.TypeOf(a.Value).Kind() == reflect.Slice
	})
}

// Close ends the result. What the server's flags say of the session is known then.
func (r *rows) Close() error {
	c := r.conn
	defer r.clear()
	var unseen error
	if r.x.facts.Effects&sqlscan.EffectRoutine != 0 && !r.failed {
		unseen = r.drain()
	}
	err := cmp.Or(r.inner.Close(), unseen)
	if r.ctx != nil { // or they were closed before
		c.noteWrite(r.ctx, &r.x) // CALL goes on while it answers, INSERT … RETURNING commits then
	}
	switch {
	case r.failed, c.session.Backend() == nil:
		return nil
	case err == nil:
		c.settle(r.ctx, &r.x, r.own)
		if r.x.shadow != nil && r.own == nil {
			r.x.shadow.send(c.unmarked())
		}
		return nil
	case r.x.facts.Read() && !c.session.Bound() && r.ctx.Err() == nil && !c.session.Backend().IsValid():
		// The connection was lost while rows were skipped that nobody wanted.
		c.session.Discard()
		return nil
	}
	r.x.final = true
	err = c.fault(r.ctx, &r.x, err)
	c.finish(&r.x, err)
	return err
}

// clear lets go of what an idle session needs no more. Closed rows are failed ones: there
// is nothing to settle again.
func (r *rows) clear() { *r = *noRows(r.conn) }

// noRows are rows after Close.
func noRows(c *conn) *rows { return &rows{conn: c, inner: closedRows{}, failed: true} }

// open reports whether somebody reads them still.
func (r *rows) open() bool { return !r.failed }

// closedRows are what is left of rows after Close.
type closedRows struct{}

func (closedRows) Columns() []string                                 { return nil }
func (closedRows) Close() error                                      { return nil }
func (closedRows) Next([]driver.Value) error                         { return io.EOF }
func (closedRows) HasNextResultSet() bool                            { return false }
func (closedRows) NextResultSet() error                              { return io.EOF }
func (closedRows) ColumnTypeDatabaseTypeName(int) string             { return "" }
func (closedRows) ColumnTypeNullable(int) (nullable, ok bool)        { return false, false }
func (closedRows) ColumnTypePrecisionScale(int) (int64, int64, bool) { return 0, 0, false }
func (closedRows) ColumnTypeScanType(int) reflect.Type               { return reflect.TypeFor[any]() }

// drain reads to the end what the program did not want to see, because a server says of
// each result by itself whether session state changed. It returns the error that the
// program would have met.
func (r *rows) drain() error {
	for {
		values := make([]driver.Value, len(r.inner.Columns()))
		err := error(nil)
		for err == nil {
			err = r.inner.Next(values)
		}
		r.note()
		if errors.Is(err, io.EOF) {
			err = r.inner.NextResultSet()
		}
		if errors.Is(err, io.EOF) || r.own != nil {
			return nil
		}
		if err != nil {
			return err
		}
		r.note()
	}
}

// note is exchange.note at the end of a result, or of its columns.
func (r *rows) note() {
	if b := r.conn.session.Backend(); b != nil {
		r.x.note(b)
	}
}

// taken reports whether GET_LOCK's answer says that it got the lock.
func taken(answer driver.Value) bool {
	n, ok := answer.(int64)
	return ok && n == 1
}

func (r *rows) HasNextResultSet() bool { return r.inner.HasNextResultSet() }

func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	return r.inner.ColumnTypeDatabaseTypeName(i)
}

func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) { return r.inner.ColumnTypeNullable(i) }

func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	return r.inner.ColumnTypePrecisionScale(i)
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type { return r.inner.ColumnTypeScanType(i) }
