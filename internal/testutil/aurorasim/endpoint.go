package aurorasim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// reach says what happens to a client that connects to an instance.
type reach uint8

const (
	reachable  reach = iota
	refusing         // connection refused
	swallowing       // no answer to the SYN
)

// endpoint is where an instance is reached.
type endpoint interface {
	addr() string
	// set changes what new connections meet. It is not safe for concurrent use.
	set(to reach) error
	dial(ctx context.Context) (net.Conn, error)
	// kernel tells whether swallowing is done by the operating system, for
	// every client, and not only by dial.
	kernel() bool
	close()
}

// acceptPause is how long an endpoint rests after a failed accept.
const acceptPause = 5 * time.Millisecond

// tcpEndpoint is a listener that can go and come back on the same port. Between
// times the port stays ours: a bound socket that does not listen keeps it (where
// the platform can do that).
type tcpEndpoint struct {
	address string
	accept  func(net.Conn)
	keep    func() // gives the port up

	wg sync.WaitGroup // the accepting goroutine

	mu       sync.Mutex
	state    reach
	listener net.Listener
	hole     *blackHole
	changed  chan struct{} // closed when state changes
}

// newTCPEndpoint binds host:port, 0 = a free one, and listens.
func newTCPEndpoint(host string, port int, accept func(net.Conn)) (*tcpEndpoint, error) {
	address, keep, err := reservePort(host, port)
	if err != nil {
		return nil, fmt.Errorf("aurorasim: %w", err)
	}
	e := &tcpEndpoint{
		address: address, accept: accept, keep: keep,
		state: refusing, changed: make(chan struct{}),
	}
	if err := e.set(reachable); err != nil {
		keep()
		return nil, err
	}
	return e, nil
}

func (e *tcpEndpoint) addr() string { return e.address }

func (e *tcpEndpoint) set(to reach) error {
	if e.now() == to {
		return nil
	}
	e.leave()
	var listener net.Listener
	var hole *blackHole
	var err error
	switch to {
	case reachable:
		var lc net.ListenConfig
		listener, err = lc.Listen(context.Background(), "tcp", e.address)
	case swallowing:
		hole, err = newBlackHole(e.address)
	case refusing:
	}
	if err != nil {
		to = refusing
		err = fmt.Errorf("aurorasim: %w", err)
	}
	e.mu.Lock()
	e.listener, e.hole = listener, hole
	e.state = to
	close(e.changed)
	e.changed = make(chan struct{})
	e.mu.Unlock()
	if listener != nil {
		e.wg.Go(func() { e.acceptAll(listener) })
	}
	return err
}

// leave closes what the state at hand has open.
func (e *tcpEndpoint) leave() {
	e.mu.Lock()
	listener, hole := e.listener, e.hole
	e.listener, e.hole = nil, nil
	e.mu.Unlock()
	if listener != nil {
		_ = listener.Close()
		e.wg.Wait()
	}
	if hole != nil {
		hole.close()
	}
}

func (e *tcpEndpoint) acceptAll(l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			e.accept(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, most likely: it may pass
			time.Sleep(acceptPause)
		}
	}
}

func (e *tcpEndpoint) now() reach {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

func (e *tcpEndpoint) kernel() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hole != nil && e.hole.full
}

// dial goes through the real network, but for black holes that the kernel does not
// make.
func (e *tcpEndpoint) dial(ctx context.Context) (net.Conn, error) {
	for {
		e.mu.Lock()
		hang, changed := e.state == swallowing && !e.hole.full, e.changed
		e.mu.Unlock()
		if !hang {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", e.address)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: strAddr(e.address), Err: ctx.Err()}
		}
	}
}

func (e *tcpEndpoint) close() {
	_ = e.set(refusing)
	e.keep()
}

type strAddr string

func (strAddr) Network() string  { return "tcp" }
func (a strAddr) String() string { return string(a) }

// blackHole is a listener that accepts nothing, with a full backlog: the kernel
// then drops a client's SYN and lets it wait.
type blackHole struct {
	stop  func()
	conns []net.Conn
	full  bool
}

// holeProbe is how long a connect on the loopback interface must hang for the
// backlog to count as full. Without a hole it takes microseconds.
const holeProbe = 50 * time.Millisecond

// newBlackHole fills the backlog until a connect hangs. If that does not happen the
// platform has no black holes; the endpoint's own dial hangs then.
func newBlackHole(address string) (*blackHole, error) {
	stop, err := listenBacklog(address)
	if errors.Is(err, errors.ErrUnsupported) {
		return &blackHole{stop: func() {}}, nil
	}
	if err != nil {
		return nil, err
	}
	h := &blackHole{stop: stop}
	for range 16 { // a backlog of 0 holds one or two
		ctx, cancel := context.WithTimeout(context.Background(), holeProbe)
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		cancel()
		if err != nil {
			h.full = true
			return h, nil
		}
		h.conns = append(h.conns, conn)
	}
	return h, nil
}

func (h *blackHole) close() {
	h.stop()
	for _, c := range h.conns {
		_ = c.Close()
	}
}

// memEndpoint has no network: dial makes the connections.
type memEndpoint struct {
	address net.Addr
	accept  func(net.Conn)

	mu      sync.Mutex
	state   reach
	changed chan struct{} // closed when state changes
	dials   int
}

func newMemEndpoint(address net.Addr, accept func(net.Conn)) *memEndpoint {
	return &memEndpoint{address: address, accept: accept, changed: make(chan struct{})}
}

func (e *memEndpoint) addr() string { return e.address.String() }
func (e *memEndpoint) kernel() bool { return false }
func (e *memEndpoint) close()       { _ = e.set(refusing) }

func (e *memEndpoint) set(to reach) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = to
	close(e.changed)
	e.changed = make(chan struct{})
	return nil
}

func (e *memEndpoint) dial(ctx context.Context) (net.Conn, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: e.address, Err: err}
		}
		e.mu.Lock()
		state, changed := e.state, e.changed
		e.dials++
		port := 32768 + e.dials%28000
		e.mu.Unlock()
		switch state {
		case reachable:
			local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port}
			client, server := newMemPipe(local, e.address)
			e.accept(server)
			return client, nil
		case refusing:
			return nil, refused(e.address)
		case swallowing:
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func refused(addr net.Addr) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: syscall.ECONNREFUSED}
}
