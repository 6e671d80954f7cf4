package aurorasim

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// statement is a prepared statement of a connection.
type statement struct {
	text     *text
	params   int
	types    []wire.ParamType
	long     map[uint16][]byte
	upstream uint32 // its number there
	prepared string // the text that the upstream has: with literals in it, if it differs
	query    *query // answered here: the upstream does not know it
}

// commands relays what the client sends until it hangs up or must not go on.
func (c *conn) commands() {
	for {
		payload, seq, err := c.in.next()
		if err != nil {
			return
		}
		select {
		case <-c.turn:
			if !c.command(payload) {
				return
			}
		case mode := <-c.raw:
			if c.relayRaw(mode, payload, seq) != nil {
				return
			}
		case <-c.ended:
			return
		}
	}
}

// relayRaw sends packets that are no commands, the first of which was read already.
func (c *conn) relayRaw(mode rawMode, payload []byte, seq byte) error {
	for {
		if !c.gate() {
			return errClosed
		}
		c.upOut.put(seq, payload)
		if mode == rawOne || len(payload) == 0 {
			break
		}
		var err error
		if payload, seq, err = c.in.next(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	if c.busy != nil {
		c.busy.waits = false
	}
	c.mu.Unlock()
	return c.upOut.flush()
}

// command handles one command. The caller has the turn; it comes back with the end of
// the answer. False ends the connection.
func (c *conn) command(payload []byte) bool {
	req, err := wire.ParseCommand(payload)
	if err != nil {
		return false
	}
	s := Statement{Instance: c.inst.ID, Conn: c.id, User: c.user, Received: time.Now(), Command: req.Command}
	switch req.Command {
	case wire.ComQuit:
		return false
	case wire.ComQuery:
		t := c.newText(req.Text())
		s.SQL = t.sql
		return c.run(&job{Statement: s, text: t, payload: payload})
	case wire.ComStmtPrepare:
		t := c.newText(req.Text())
		s.SQL = t.sql
		return c.run(&job{Statement: s, text: t, payload: payload, prepared: &statement{text: t}})
	case wire.ComStmtExecute:
		return c.execute(s, req, payload)
	case wire.ComStmtClose, wire.ComStmtSendLongData, wire.ComStmtReset, wire.ComStmtFetch:
		return c.aboutStatement(s, req, payload)
	case wire.ComProcessKill:
		if c.foreign(req.ID()) {
			return c.refuseLocally(s, unknownThread(req.ID()))
		}
	case wire.ComBinlogDump, wire.ComBinlogDumpGTID, wire.ComRegisterReplica:
		return c.refuseLocally(s, &wire.Error{Number: 1047, State: "08S01", Message: "Unknown command"})
	case wire.ComResetConnection, wire.ComChangeUser:
		if end := bytes.IndexByte(req.Data, 0); end >= 0 && req.Command == wire.ComChangeUser {
			c.user = string(req.Data[:end])
		}
		c.readOnly, c.readOnlyTrx, c.rolledBack = false, false, false
		clear(c.statements)
	}
	return c.run(&job{Statement: s, payload: payload})
}

func (c *conn) newText(sql string) *text {
	t := newText(sql, c.escapes(), c.inst.cluster.cfg.Plain)
	t.deployment = c.inst.cluster.cfg.Deployment
	return t
}

// execute handles a COM_STMT_EXECUTE. One of a number that is not known goes on: the
// upstream says what is wrong.
func (c *conn) execute(s Statement, req wire.Request, payload []byte) bool {
	j := &job{Statement: s, payload: payload}
	if st := c.statements[req.ID()]; st != nil {
		j.SQL, j.text, j.executed = st.text.sql, st.text, st
		e, err := wire.ParseExecute(payload, st.params, st.types, st.long)
		if err == nil {
			j.Args = e.Args
			if e.Types != nil {
				st.types = e.Types
			}
		}
		st.long = nil
	}
	return c.run(j)
}

// aboutStatement handles what else is said about a prepared statement: it goes to the
// number that the upstream has for it, unless it is only known here.
func (c *conn) aboutStatement(s Statement, req wire.Request, payload []byte) bool {
	st := c.statements[req.ID()]
	if st != nil {
		s.SQL = st.text.sql
		switch req.Command {
		case wire.ComStmtSendLongData:
			if l, err := wire.ParseLongData(payload); err == nil {
				st.addLong(l)
			}
		case wire.ComStmtClose:
			delete(c.statements, req.ID())
		case wire.ComStmtReset:
			st.long = nil
		}
		if st.query != nil && !req.Command.Answered() {
			c.turn <- struct{}{}
			return true
		}
		if st.query != nil {
			return c.run(&job{Statement: s, payload: payload, local: okAnswer(c)})
		}
		payload = patched(payload, st.upstream)
	}
	return c.run(&job{Statement: s, payload: payload})
}

func (s *statement) addLong(l wire.LongData) {
	if s.long == nil {
		s.long = make(map[uint16][]byte)
	}
	s.long[l.Param] = append(s.long[l.Param], l.Data...)
}

// patched is a payload about the statement that the upstream knows by another number.
func patched(payload []byte, id uint32) []byte {
	if len(payload) < 5 || binary.LittleEndian.Uint32(payload[1:]) == id {
		return payload
	}
	p := append([]byte(nil), payload...)
	binary.LittleEndian.PutUint32(p[1:], id)
	return p
}

// foreign tells whether a thread belongs to another instance: each is a server of its
// own and does not know the others' threads.
func (c *conn) foreign(id uint32) bool {
	if c.inst.cluster.cfg.Plain || id == c.id {
		return false
	}
	for _, other := range c.inst.connections() {
		other.mu.Lock()
		thread := other.thread
		other.mu.Unlock()
		if thread == id {
			return false
		}
	}
	return true
}

// setReadOnly makes the upstream's session READ ONLY, or not any more.
func (c *conn) setReadOnly(on bool) error {
	sql := "SET SESSION TRANSACTION READ WRITE"
	if on {
		sql = "SET SESSION TRANSACTION READ ONLY"
	}
	if err := c.inject(context.Background(), sql); err != nil {
		return err
	}
	c.readOnly = on
	return nil
}

// reprepare gives the upstream a new text for a statement whose literals are out of
// date. The client goes on with its old number.
func (c *conn) reprepare(st *statement, sql string) error {
	if st.prepared == sql {
		return nil
	}
	answer := c.own(context.Background(), wire.ComStmtPrepare, sql)
	if answer.err != nil {
		return answer.err
	}
	c.upOut.put(0, wire.AppendIDCommand(nil, wire.ComStmtClose, st.upstream)) // not answered
	st.upstream, st.prepared = answer.prepared.ID, sql
	return nil
}
