package fakemysql

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// conn is one connection. Two goroutines serve it: one reads packets, so that a
// client's hang-up is noticed while a statement runs, the other acts upon them
// and is the only one that writes.
type conn struct {
	id       uint32
	cancel   context.CancelCauseFunc // of the connection's context
	admitted bool                    // see Server.register
	farewell chan *Error             // holds one; see goodbye

	// These belong to the goroutine that acts.
	*stream
	caps       wire.Capability // what both sides agreed on
	info       ConnInfo
	session    Session // nil before the login
	statements map[uint32]*statement
	lastID     uint32 // of the newest statement

	mu    sync.Mutex              // guards what follows
	state ConnState               // for the process list
	stop  context.CancelCauseFunc // of the running statement; nil = none
}

func newConn(s *Server, id uint32, raw net.Conn, cancel context.CancelCauseFunc) *conn {
	return &conn{
		id:         id,
		cancel:     cancel,
		stream:     newStream(s, id, raw),
		statements: map[uint32]*statement{},
		farewell:   make(chan *Error, 1),
		state: ConnState{
			ID: id, Remote: raw.RemoteAddr().String(), Command: wire.ComConnect, Since: time.Now(),
		},
	}
}

// refuse says why the client cannot come in.
func (c *conn) refuse(ctx context.Context, why *Error) {
	if c.send(ctx, wire.KindErr, why.AppendBare(nil)) == nil {
		_ = c.flush()
	}
}

// serve serves the connection from the greeting to its end.
func (c *conn) serve(ctx context.Context, secure bool) {
	if err := c.login(ctx, secure); err != nil {
		if _, counted := errors.AsType[*Error](err); !counted {
			c.server.count(func(s *Stats) { s.Denied++ })
		}
		return
	}
	defer func() { c.session.Close() }()
	requests := make(chan wire.Packet, pipeline)
	var reader sync.WaitGroup
	reader.Go(func() { c.readAll(ctx, requests) })
	defer reader.Wait()
	defer c.end(ErrClientGone) // so that the reader ends, whoever ended the connection
	for {
		c.note(wire.ComSleep, "")
		p, ok := c.next(ctx, requests)
		if !ok || c.act(ctx, p) != nil {
			return
		}
	}
}

// pipeline is how many packets are read ahead of the one being acted upon. Only
// beyond that many a hang-up goes unnoticed.
const pipeline = 64

// readAll reads the client's packets until there are no more. What came before a
// hang-up is still acted upon, as by a real server.
func (c *conn) readAll(ctx context.Context, requests chan<- wire.Packet) {
	defer close(requests)
	r := bufio.NewReader(c.rw)
	for {
		p, err := wire.ReadPacket(r, c.server.cfg.MaxPacket)
		if errors.Is(err, wire.ErrTooLarge) {
			c.goodbye(&Error{Number: 1153, State: "08S01", Message: "Got a packet bigger than 'max_allowed_packet' bytes"})
			return
		}
		if err != nil {
			c.cancel(ErrClientGone)
			return
		}
		select {
		case requests <- p:
		case <-ctx.Done():
			return
		}
	}
}

// next waits for the client's next packet. false = the connection is over.
func (c *conn) next(ctx context.Context, requests <-chan wire.Packet) (wire.Packet, bool) {
	var timeout <-chan time.Time
	if d := c.server.cfg.IdleTimeout; d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	c.begin(wire.ComSleep, "")
	c.seq = 0 // what is said unasked begins at 0
	select {
	case p, ok := <-requests:
		if ok {
			c.seq = p.Next()
		}
		if c.sayGoodbye(ctx) != nil {
			return p, false
		}
		cause := context.Cause(ctx)
		return p, ok && (cause == nil || errors.Is(cause, ErrClientGone))
	case <-timeout:
		_ = c.lastWord(ctx, &Error{Number: 4031, Message: "The client was disconnected by the server because of inactivity. " +
			"See wait_timeout and interactive_timeout for configuring this behavior."})
	case word := <-c.farewell:
		_ = c.lastWord(ctx, word)
	}
	return wire.Packet{}, false
}

// act acts upon one command of the client. An error ends the connection.
func (c *conn) act(ctx context.Context, p wire.Packet) error {
	req, err := wire.ParseCommand(p.Payload)
	if err != nil {
		return err
	}
	c.begin(req.Command, c.textOf(req))
	payload, pass, err := c.received(ctx, p)
	if err != nil || !pass {
		return err
	}
	if req, err = wire.ParseCommand(payload); err != nil { // the hook may have changed it
		return err
	}
	c.begin(req.Command, c.textOf(req))
	c.note(req.Command, c.sql)
	c.server.count(func(s *Stats) { s.Commands++ })
	if err := c.dispatch(ctx, req, payload); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.finished(ctx, p)
}

// end ends the connection at once. It may be called from any goroutine.
func (c *conn) end(cause error) {
	c.cancel(cause)
	_ = c.raw.Close()
}

// interrupt ends the context of the running statement, if there is one. It may
// be called from any goroutine.
func (c *conn) interrupt(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		c.stop(cause)
	}
}

// running notes how to end the running statement; nil = it has ended.
func (c *conn) running(stop context.CancelCauseFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop = stop
}

// goodbye asks for the connection's end with a last word. It may be called from
// any goroutine; the first word counts.
func (c *conn) goodbye(word *Error) {
	select {
	case c.farewell <- word:
	default:
	}
	c.interrupt(ErrKilledConnection)
}

// sayGoodbye sends the last word, if there is one, and returns an error then,
// which ends the connection.
func (c *conn) sayGoodbye(ctx context.Context) error {
	select {
	case word := <-c.farewell:
		return c.lastWord(ctx, word)
	default:
		return nil
	}
}

// lastWord sends word and returns an error in any case.
func (c *conn) lastWord(ctx context.Context, word *Error) error {
	if err := c.fail(ctx, word); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	return word
}

// note is for the process list.
func (c *conn) note(command wire.Command, sql string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Command, c.state.SQL, c.state.Since = command, sql, time.Now()
}

func (c *conn) snapshot() ConnState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}
