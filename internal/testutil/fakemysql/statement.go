package fakemysql

import (
	"context"
	"fmt"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// statement is a prepared statement of a connection.
type statement struct {
	sql    string
	params int
	types  []wire.ParamType  // of the newest execution
	long   map[uint16][]byte // parameters sent ahead
	err    *Error            // what was wrong with them, told at execution
}

// prepare answers a COM_STMT_PREPARE.
func (c *conn) prepare(ctx context.Context, sql string) error {
	params, columns, refusal := c.session.Describe(sql)
	if refusal != nil {
		return c.fail(ctx, refusal)
	}
	if params < 0 || params > 65535 || len(columns) > 4096 {
		return c.fail(ctx, &Error{Number: 1390, Message: "Prepared statement contains too many placeholders"})
	}
	c.lastID++
	c.statements[c.lastID] = &statement{sql: sql, params: params}
	head := wire.PrepareOK{ID: c.lastID, Params: uint16(params), Columns: uint16(len(columns))}
	if err := c.send(ctx, wire.KindPrepareOK, head.Append(nil)); err != nil {
		return err
	}
	placeholders := make([]Column, params)
	for i := range placeholders {
		placeholders[i] = Column{Name: "?", Type: wire.TypeVarString, Charset: wire.CharsetBinary}
	}
	if err := c.definitions(ctx, wire.KindParam, placeholders); err != nil {
		return err
	}
	return c.definitions(ctx, wire.KindColumn, columns)
}

// executeStatement runs a prepared statement.
func (c *conn) executeStatement(ctx context.Context, id uint32, payload []byte) error {
	s := c.statements[id]
	if s == nil {
		return c.fail(ctx, unknownStatement(id, "mysqld_stmt_execute"))
	}
	if s.err != nil {
		return c.fail(ctx, s.err)
	}
	e, err := wire.ParseExecute(payload, s.params, s.types, s.long)
	if err != nil {
		return c.fail(ctx, &Error{Number: 1835, Message: "Malformed communication packet: " + err.Error()})
	}
	if e.Types != nil {
		s.types = e.Types
	}
	s.long = nil
	return c.execute(ctx, s.sql, e.Args)
}

// longData takes a piece of a parameter. It is not answered: what is wrong shows
// when the statement is executed.
func (c *conn) longData(payload []byte) error {
	l, err := wire.ParseLongData(payload)
	if err != nil {
		return err
	}
	s := c.statements[l.ID]
	switch {
	case s == nil:
	case int(l.Param) >= s.params:
		s.err = &Error{Number: 1210, Message: "Incorrect arguments to mysqld_stmt_send_long_data"}
	default:
		if s.long == nil {
			s.long = map[uint16][]byte{}
		}
		s.long[l.Param] = append(s.long[l.Param], l.Data...)
	}
	return nil
}

func (c *conn) resetStatement(ctx context.Context, id uint32) error {
	s := c.statements[id]
	if s == nil {
		return c.fail(ctx, unknownStatement(id, "mysqld_stmt_reset"))
	}
	s.long, s.err = nil, nil
	return c.ok(ctx)
}

func unknownStatement(id uint32, where string) *Error {
	return &Error{Number: 1243, Message: fmt.Sprintf("Unknown prepared statement handler (%d) given to %s", id, where)}
}
