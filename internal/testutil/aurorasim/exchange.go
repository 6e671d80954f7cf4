package aurorasim

import (
	"context"
	"errors"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// exchange is a command that went to the upstream, and what is to become of its
// answer.
type exchange struct {
	response *wire.Response
	relay    *Relay // nil if it is not logged
	shown    *shownVariables
	prepared *statement // to be known by the number in the answer
	shift    byte       // packets that the answer has more than the upstream's
	packets  int        // that went to the client
	fault    *Fault
	readOnly bool // 1792 means that this is a reader
	errno    uint16
	waits    bool // the client sends next; under conn.mu

	dropped bool // packets of the answer did not go to the client

	// inner is set for the relay's own commands, whose answer no client sees.
	inner  chan innerAnswer
	result innerAnswer
}

// innerAnswer is what an own command was answered.
type innerAnswer struct {
	err      error // a *wire.Error if the server refused
	prepared wire.PrepareOK
}

// begin makes ex the exchange under way. False if the upstream's side is closed.
func (c *conn) begin(ex *exchange) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut || c.over {
		return false
	}
	c.busy = ex
	return true
}

// inject runs a statement of the relay's own. The caller has the turn.
func (c *conn) inject(ctx context.Context, sql string) error {
	return c.own(ctx, wire.ComQuery, sql).err
}

// own sends a command of the relay's own and waits for its answer. The caller has
// the turn.
func (c *conn) own(ctx context.Context, command wire.Command, sql string) innerAnswer {
	ex := &exchange{response: wire.NewResponse(command, c.caps), inner: make(chan innerAnswer, 1)}
	if !c.begin(ex) {
		return innerAnswer{err: errClosed}
	}
	err := c.upOut.send(0, append([]byte{byte(command)}, sql...))
	if err != nil {
		c.cutUpstream()
		return innerAnswer{err: err}
	}
	select {
	case answer := <-ex.inner:
		return answer
	case <-c.drained:
		return innerAnswer{err: errClosed}
	case <-ctx.Done():
		return innerAnswer{err: ctx.Err()}
	}
}

// answers relays what the upstream sends until it ends, or the client has and no
// statement is under way.
func (c *conn) answers() {
	for {
		payload, seq, err := c.upIn.next()
		c.mu.Lock()
		ex := c.busy
		c.mu.Unlock()
		switch {
		case err != nil:
			c.upstreamGone()
			return
		case ex == nil:
			// A goodbye: servers tell why they close an idle connection.
			if !c.gate() || c.toClient(seq, payload) != nil {
				c.end(endClosed)
			}
		case ex.inner != nil:
			err = c.innerAnswer(ex, payload)
		default:
			err = c.answer(ex, seq, payload)
		}
		if err != nil {
			c.end(endClosed)
			c.cutUpstream()
			return
		}
	}
}

// upstreamGone ends the client's side, later if the instance is frozen.
func (c *conn) upstreamGone() {
	c.gate()
	c.flush()
	c.end(endClosed)
	c.cutUpstream()
}

func (c *conn) innerAnswer(ex *exchange, payload []byte) error {
	kind, err := ex.response.Next(payload)
	if err != nil {
		return err
	}
	switch kind {
	case wire.KindErr:
		e, err := wire.ParseError(payload)
		if err != nil {
			return err
		}
		ex.result.err = e
	case wire.KindPrepareOK:
		if ex.result.prepared, err = wire.ParsePrepareOK(payload); err != nil {
			return err
		}
	case wire.KindOK:
		c.status, c.statusBroken = ex.response.Status(), false
	}
	if !ex.response.Done() {
		return nil
	}
	c.mu.Lock()
	c.busy = nil
	c.mu.Unlock()
	ex.inner <- ex.result
	return nil
}

var errDrained = errors.New("aurorasim: the client has gone")

// answer relays one packet of an answer.
func (c *conn) answer(ex *exchange, seq byte, payload []byte) error {
	kind, err := ex.response.Next(payload)
	if err != nil {
		return err
	}
	if payload, err = c.inspect(ex, kind, payload); err != nil {
		return err
	}
	if c.forwards(ex) {
		if err := c.forward(ex, kind, seq, payload); err != nil {
			return err
		}
	}
	if !ex.response.Done() {
		return c.more(ex, kind, payload)
	}
	return c.done(ex)
}

// forwards tells whether the packet goes to the client. While the instance is
// frozen it waits.
func (c *conn) forwards(ex *exchange) bool {
	if f := ex.fault; f != nil && (f.action == actSwallow || f.action == actMute) {
		return false
	}
	return c.gate()
}

// inspect learns what the connection must know from the packet.
func (c *conn) inspect(ex *exchange, kind wire.Kind, payload []byte) ([]byte, error) {
	switch kind {
	case wire.KindErr:
		e, err := wire.ParseError(payload)
		if err != nil {
			return nil, err
		}
		if e.Number == 1792 && ex.readOnly {
			e = readOnlyError()
			payload = e.Append(nil)
		}
		ex.errno, c.statusBroken = e.Number, true
	case wire.KindPrepareOK:
		p, err := wire.ParsePrepareOK(payload)
		if err != nil {
			return nil, err
		}
		if s := ex.prepared; s != nil {
			s.upstream, s.params = p.ID, int(p.Params)
			c.statements[p.ID] = s
		}
	case wire.KindOK, wire.KindColumnsEnd, wire.KindRowsEnd:
		c.status, c.statusBroken = ex.response.Status(), false
		c.readOnlyTrx = c.inTransaction() && (c.readOnlyTrx || c.readOnly)
	}
	return payload, nil
}

// forward writes the packet, or what takes its place.
func (c *conn) forward(ex *exchange, kind wire.Kind, seq byte, payload []byte) error {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	put := func(p []byte) {
		if ex.cutNow() {
			if e := ex.fault.err; e != nil && !ex.dropped {
				c.out.put(seq+ex.shift, e.Append(nil))
			}
			ex.dropped = true
			return
		}
		ex.packets++
		c.out.put(seq+ex.shift, p)
	}
	if ex.shown == nil {
		put(payload)
		return nil
	}
	err := ex.shown.rewrite(kind, payload, func(p []byte) { put(p); ex.shift++ })
	ex.shift-- // for the upstream's own packet
	return err
}

// cutNow tells whether the client has got all packets that it is to get.
func (ex *exchange) cutNow() bool {
	return ex.fault != nil && ex.fault.action == actCut && ex.packets >= ex.fault.packets
}

// more flushes what will not be followed by more at once, and lets the client speak
// when it is its turn.
func (c *conn) more(ex *exchange, kind wire.Kind, payload []byte) error {
	if ex.cutNow() {
		c.flush()
		switch f := ex.fault; {
		case f.mute, f.err != nil && !ex.dropped: // the error is sent with the next packet's number
		default:
			c.end(endClosed) // the upstream's side goes on up to the end of the answer
		}
		return nil
	}
	speaks := ex.response.ClientSends() ||
		kind == wire.KindAuth && !(len(payload) == 2 && payload[0] == 1 && payload[1] == wire.SHA2FastSuccess)
	if speaks {
		c.mu.Lock()
		ex.waits = true
		gone := c.gone
		c.mu.Unlock()
		if gone {
			return errDrained
		}
		mode := rawOne
		if ex.response.ClientSends() {
			mode = rawFile
		}
		c.raw <- mode
	}
	if speaks || !c.upIn.buffered() {
		c.flush()
	}
	return nil
}

// flush sends what was put. A client that has gone does not end the exchange.
func (c *conn) flush() bool {
	c.outMu.Lock()
	err := c.out.flush()
	c.outMu.Unlock()
	if err != nil {
		c.mu.Lock()
		c.goneLocked()
		c.mu.Unlock()
	}
	return err == nil
}

// done ends an exchange: the turn goes back to the client.
func (c *conn) done(ex *exchange) error {
	swallowed := ex.fault != nil && (ex.fault.action == actSwallow || ex.fault.action == actMute)
	mute := ex.fault != nil && (ex.fault.action == actMute || ex.cutNow() && ex.fault.mute)
	c.mu.Lock()
	over := c.over
	c.busy = nil
	c.mu.Unlock()
	if over {
		return errDrained
	}
	if swallowed {
		if mute {
			return nil // the turn never comes back
		}
		c.end(endReset)
		return errDrained
	}
	j := &c.inst.cluster.journal
	if !ex.dropped {
		// Before the client can know that it has the answer, and may ask the log.
		j.answered(ex.relay, ex.errno, false)
	}
	cut := ex.cutNow()
	if !cut {
		c.turn <- struct{}{}
	}
	if !c.flush() {
		j.lost(ex.relay)
		return errDrained
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cut && !mute || c.gone {
		return errDrained
	}
	return nil
}
