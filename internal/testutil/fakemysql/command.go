package fakemysql

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// dispatch carries out one command and answers it. An error ends the connection.
func (c *conn) dispatch(ctx context.Context, req wire.Request, payload []byte) error {
	switch req.Command {
	case wire.ComQuit:
		return io.EOF
	case wire.ComPing, wire.ComDebug:
		return c.ok(ctx)
	case wire.ComQuery:
		return c.execute(ctx, req.Text(), nil)
	case wire.ComInitDB:
		return c.initDB(ctx, req.Text())
	case wire.ComStmtPrepare:
		return c.prepare(ctx, req.Text())
	case wire.ComStmtExecute:
		return c.executeStatement(ctx, req.ID(), payload)
	case wire.ComStmtSendLongData:
		return c.longData(payload)
	case wire.ComStmtClose:
		delete(c.statements, req.ID())
		return nil
	case wire.ComStmtReset:
		return c.resetStatement(ctx, req.ID())
	case wire.ComProcessKill:
		return c.processKill(ctx, req.ID())
	case wire.ComResetConnection:
		return c.resetConnection(ctx)
	case wire.ComSetOption:
		return c.setOption(ctx, req.Data)
	case wire.ComStatistics:
		return c.send(ctx, wire.KindText, []byte("Uptime: 1  Threads: 1  Questions: 1"))
	default:
		return c.fail(ctx, &Error{Number: 1047, State: "08S01", Message: "Unknown command"})
	}
}

// textOf is the statement that a command is about.
func (c *conn) textOf(req wire.Request) string {
	switch req.Command {
	case wire.ComStmtExecute, wire.ComStmtSendLongData, wire.ComStmtClose, wire.ComStmtReset:
		if s := c.statements[req.ID()]; s != nil {
			return s.sql
		}
	default:
	}
	return req.Text()
}

// execute runs one statement and answers it. args is not nil if it is a prepared
// one.
func (c *conn) execute(ctx context.Context, sql string, args []any) error {
	reply := c.run(ctx, sql, args)
	if err := c.sayGoodbye(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil { // nobody is there to hear the answer
		return context.Cause(ctx)
	}
	return c.reply(ctx, reply, args != nil)
}

// run lets the session execute the statement, where KILL can reach it.
func (c *conn) run(ctx context.Context, sql string, args []any) Reply {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c.running(stop)
	defer c.running(nil)
	return c.session.Execute(ctx, sql, args)
}

func (c *conn) initDB(ctx context.Context, name string) error {
	if !c.server.cfg.hasDatabase(name) {
		return c.fail(ctx, unknownDatabase(name))
	}
	return c.execute(ctx, "USE `"+strings.ReplaceAll(name, "`", "``")+"`", nil)
}

func (c *conn) processKill(ctx context.Context, id uint32) error {
	if !c.server.Kill(id, false) {
		return c.fail(ctx, &Error{Number: 1094, Message: fmt.Sprintf("Unknown thread id: %d", id)})
	}
	return c.ok(ctx)
}

func (c *conn) resetConnection(ctx context.Context) error {
	c.session.Close()
	clear(c.statements)
	if c.session = c.server.cfg.Handler.Open(c.info); c.session == nil {
		c.session = noSession{}
		return c.deny(ctx, &Error{Number: 1105, Message: "fakemysql: the handler opened no session"}, nil)
	}
	return c.ok(ctx)
}

func (c *conn) setOption(ctx context.Context, data []byte) error {
	if len(data) != 2 || binary.LittleEndian.Uint16(data) > 1 {
		return c.fail(ctx, &Error{Number: 1047, State: "08S01", Message: "Unknown command"})
	}
	// 0 turns CLIENT_MULTI_STATEMENTS on, 1 off; what comes is the Handler's
	// business either way.
	return c.send(ctx, wire.KindOK, wire.AppendEnd(nil, wire.OK{Status: c.status()}, c.caps))
}

// noSession takes the place of a session that could not be opened again, so that
// Close has something to close.
type noSession struct{ Session }

func (noSession) Close() {}
