package fakemysql

import (
	"context"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// status is the flags that go with every OK and EOF of the session.
func (c *conn) status() uint16 {
	status := wire.StatusAutocommit
	if s, ok := c.session.(StatusSession); ok {
		status = s.Status()
	}
	return status | c.inTransaction()
}

func (c *conn) inTransaction() uint16 {
	if c.session.InTransaction() {
		return wire.StatusInTrans
	}
	return 0
}

// ok answers with an OK about nothing.
func (c *conn) ok(ctx context.Context) error {
	return c.send(ctx, wire.KindOK, wire.OK{Status: c.status()}.Append(nil, c.caps))
}

// fail answers with an error.
func (c *conn) fail(ctx context.Context, why *Error) error {
	return c.send(ctx, wire.KindErr, why.Append(nil))
}

// reply sends all results of a statement.
func (c *conn) reply(ctx context.Context, reply Reply, binary bool) error {
	if len(reply.Results) == 0 {
		return c.ok(ctx)
	}
	for i := range reply.Results {
		r := &reply.Results[i]
		end := c.ending(r, i == len(reply.Results)-1)
		var err error
		if len(r.Columns) > 0 {
			err = c.resultSet(ctx, r, end, binary)
		} else if r.Err == nil {
			err = c.send(ctx, wire.KindOK, end.Append(nil, c.caps))
		}
		if err == nil && r.Err != nil {
			return c.fail(ctx, r.Err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ending is the OK that is, or ends, the result.
func (c *conn) ending(r *Result, last bool) wire.OK {
	status := r.Status | c.inTransaction()
	if r.Status == 0 {
		status = c.status()
	}
	if !last {
		status |= wire.StatusMoreResults
	}
	return wire.OK{
		Affected: r.Affected, InsertID: r.InsertID, Status: status,
		Warnings: r.Warnings, Info: r.Info, Track: r.Track,
	}
}

// resultSet sends columns and rows, and their end unless an error is to come.
func (c *conn) resultSet(ctx context.Context, r *Result, end wire.OK, binary bool) error {
	if err := c.send(ctx, wire.KindColumnCount, wire.AppendColumnCount(nil, len(r.Columns))); err != nil {
		return err
	}
	if err := c.definitions(ctx, wire.KindColumn, r.Columns); err != nil {
		return err
	}
	appendRow := wire.AppendTextRow
	if binary {
		appendRow = wire.AppendBinaryRow
	}
	for _, row := range r.Rows {
		payload, err := appendRow(nil, r.Columns, row)
		if err != nil { // the Handler's mistake, which its author should see
			r.Err = &Error{Number: 1105, Message: err.Error()}
			return nil
		}
		if err := c.send(ctx, wire.KindRow, payload); err != nil {
			return err
		}
	}
	if r.Err != nil {
		return nil
	}
	return c.send(ctx, wire.KindRowsEnd, wire.AppendEnd(nil, end, c.caps))
}

// definitions sends column definitions and, to older clients, the EOF behind
// them. For none it sends nothing.
func (c *conn) definitions(ctx context.Context, kind wire.Kind, columns []Column) error {
	if len(columns) == 0 {
		return nil
	}
	for _, col := range columns {
		if err := c.send(ctx, kind, col.Append(nil)); err != nil {
			return err
		}
	}
	if c.caps.Has(wire.ClientDeprecateEOF) {
		return nil
	}
	return c.send(ctx, wire.KindColumnsEnd, wire.EOF{Status: c.status()}.Append(nil))
}
