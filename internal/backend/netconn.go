package backend

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// wire is the net.Conn between the wrapped driver and the network. Its counters
// may be read from any goroutine while the connection is in use.
type wire struct {
	net.Conn
	written  atomic.Uint64 // bytes that the kernel took
	received atomic.Uint64 // bytes that came
	waiting  atomic.Bool   // the last thing done was a write: an answer is due
	cut      atomic.Bool   // we closed it ourselves, see Backend.Cut

	hello handshake // used by the goroutine that connects only
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.received.Add(uint64(n))
		w.waiting.Store(false)
		if !w.hello.read {
			w.hello.received(p[:n])
			if w.hello.broken {
				return 0, io.ErrUnexpectedEOF
			}
		}
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.waiting.Store(true)
	if !w.hello.sent {
		p = w.hello.first(p)
	}
	n, err := w.Conn.Write(p)
	if n > 0 {
		w.written.Add(uint64(n))
	}
	return n, err
}

// sysWire is a wire over a connection that has a file descriptor. The wrapped
// driver's liveness check needs it (one non-blocking read before a connection is
// used again); a net.Pipe must not pretend to have one.
type sysWire struct {
	*wire
	sys syscall.Conn
}

func (w *sysWire) SyscallConn() (syscall.RawConn, error) {
	return w.sys.SyscallConn()
}

var (
	_ net.Conn     = (*wire)(nil)
	_ syscall.Conn = (*sysWire)(nil)
)

// wrap puts a wire over conn. The second result is what the wrapped driver gets.
func wrap(conn net.Conn) (*wire, net.Conn) {
	w := &wire{Conn: conn}
	if sys, ok := conn.(syscall.Conn); ok {
		return w, &sysWire{wire: w, sys: sys}
	}
	return w, w
}
