package aurorasim

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// ending is how a client's connection ends.
type ending uint8

const (
	endClosed ending = iota // FIN
	endReset                // RST
)

func (e ending) String() string {
	if e == endReset {
		return "reset"
	}
	return "closed"
}

// conn is one client's connection to an instance, and the instance's own to the
// upstream for it. Two goroutines relay: commands (client to upstream) and answers.
//
// The protocol is half-duplex, and the turn says whose move it is: commands takes
// it for each command, answers gives it back with the end of the answer. Who has it
// owns the fields under "turn", and may write to both sides.
type conn struct {
	inst    *Instance
	socket  net.Conn      // the client's, under TLS
	ended   chan struct{} // closed by end
	drained chan struct{} // closed when nobody reads the upstream's answers any more

	in    *packetReader // from the client
	upIn  *packetReader
	watch chan struct{} // closed by watchClient's goroutine; nil = there is none

	outMu sync.Mutex
	out   *packetWriter // to the client

	turn chan struct{}
	raw  chan rawMode // answers to commands: the next packets are no commands

	// Set before the first command, then constant.
	id   uint32 // of the upstream's thread
	user string
	host string
	caps wire.Capability

	// Owned by who has the turn.
	upOut        *packetWriter
	status       uint16 // newest flags of the server
	statements   map[uint32]*statement
	locals       uint32 // statements prepared here
	readOnly     bool   // the upstream's session is READ ONLY by our doing
	readOnlyTrx  bool   // a transaction began under it
	rolledBack   bool   // its transaction is gone and the client does not know
	statusBroken bool   // the newest answer was an error: flags may be wrong

	mu       sync.Mutex
	over     bool     // ended is closed
	gone     bool     // the client is gone
	cut      bool     // the upstream's side is closed
	cancel   func()   // of the upstream's dial
	upstream net.Conn // nil before it is there
	thread   uint32   // id, once there is a thread
	ready    bool     // authenticated
	busy     *exchange
}

// rawMode says how many packets of the client go to the upstream as they are.
type rawMode uint8

const (
	rawOne  rawMode = iota // an answer to an authentication request
	rawFile                // up to and with an empty one
)

func newConn(i *Instance, client net.Conn) *conn {
	c := &conn{
		inst: i, socket: client,
		ended:      make(chan struct{}),
		drained:    make(chan struct{}),
		turn:       make(chan struct{}, 1),
		raw:        make(chan rawMode, 1),
		statements: make(map[uint32]*statement),
	}
	c.host, _, _ = net.SplitHostPort(client.RemoteAddr().String())
	return c
}

// serve relays until the connection is over on both sides.
func (c *conn) serve() {
	defer c.finish()
	if !c.connect() {
		return
	}
	c.mu.Lock()
	c.ready = true
	c.mu.Unlock()
	c.turn <- struct{}{}
	go func() {
		defer close(c.drained)
		c.answers()
	}()
	c.commands()
	c.clientGone()
	<-c.drained
}

func (c *conn) finish() {
	c.end(endClosed)
	c.cutUpstream()
	if c.watch != nil {
		<-c.watch
	}
}

// end closes the client's side. The upstream's side is closed too unless a
// statement is under way there: then answers waits for its end, as a server whose
// client has gone does, and a crash or a fence still finds the thread.
func (c *conn) end(how ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over = true
	close(c.ended)
	if how == endReset {
		setReset(c.socket)
	}
	_ = c.socket.Close()
	c.goneLocked()
	if c.cancel != nil {
		c.cancel()
	}
	if c.busy == nil || c.busy.waits {
		c.cutLocked()
	}
}

// goneLocked counts the client out.
func (c *conn) goneLocked() {
	if !c.gone {
		c.gone = true
		c.inst.counts.open.Add(-1)
	}
}

// clientGone is called when the client has hung up.
func (c *conn) clientGone() {
	c.mu.Lock()
	c.goneLocked()
	busy := c.busy != nil && !c.busy.waits
	c.mu.Unlock()
	if !busy {
		c.end(endClosed)
	}
}

// sever lets no more commands begin and returns the number of the upstream's thread,
// 0 if there is none.
func (c *conn) sever() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	return c.thread
}

// cutUpstream closes the upstream's side. Its thread may live on until a KILL.
func (c *conn) cutUpstream() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutLocked()
}

func (c *conn) cutLocked() {
	c.cut = true
	if c.upstream != nil {
		_ = c.upstream.Close()
	}
}

// dialUpstream connects to the upstream, until the client's side ends.
func (c *conn) dialUpstream() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	c.mu.Lock()
	c.cancel = cancel
	if c.over {
		cancel()
	}
	c.mu.Unlock()
	up, err := c.inst.cluster.cfg.Upstream.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upstream = up
	if c.over || c.cut {
		c.cutLocked()
		return nil, net.ErrClosed
	}
	return up, nil
}

// gate waits while the instance is frozen. It gives false if the client's side has
// ended.
func (c *conn) gate() bool {
	return c.waitFor(func() bool { return c.inst.frozen == 0 })
}

// waitFor waits until ok, which is called under the instance's lock.
func (c *conn) waitFor(ok func() bool) bool {
	for {
		c.inst.mu.Lock()
		now, changed := ok(), c.inst.changed
		c.inst.mu.Unlock()
		if now {
			return true
		}
		select {
		case <-changed:
		case <-c.ended:
			return false
		}
	}
}

// pause holds the connection back for d.
func (c *conn) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ended:
		return false
	}
}

// toClient writes one packet to the client at once.
func (c *conn) toClient(seq byte, payload []byte) error {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	return c.out.send(seq, payload)
}

// escapes tells whether backslashes escape in the session.
func (c *conn) escapes() bool { return c.status&wire.StatusNoBackslashEscapes == 0 }

func (c *conn) inTransaction() bool { return c.status&wire.StatusInTrans != 0 }

// goodbye sends an error unasked and closes an idle connection; one that is busy until
// patience ends is closed without it. A connection whose answer has just gone out is idle
// soon.
func (c *conn) goodbye(e *wire.Error, patience <-chan struct{}) {
	idle := true
	select {
	case <-c.turn: // and it never comes back
	default:
		select {
		case <-c.turn:
		case <-patience:
			idle = false
		case <-c.ended:
			return
		}
	}
	if idle {
		_ = c.toClient(0, e.Append(nil))
	}
	c.end(endClosed)
}

// demoted makes the connection one to a reader. It gives false if it must end: a
// command is under way when patience ends, or its transaction could not be rolled back.
func (c *conn) demoted(ctx context.Context, patience <-chan struct{}) bool {
	c.mu.Lock()
	ready := c.ready
	c.mu.Unlock()
	if !ready {
		return true // nothing happened yet, and what will happen finds a reader
	}
	select {
	case <-c.turn:
	default:
		select {
		case <-c.turn:
		case <-patience:
			return false
		case <-c.ended:
			return false
		}
	}
	defer func() { c.turn <- struct{}{} }()
	was := c.inTransaction()
	if !was && !c.statusBroken {
		return true
	}
	if c.inject(ctx, "ROLLBACK") != nil {
		return false
	}
	c.rolledBack = was
	return true
}
