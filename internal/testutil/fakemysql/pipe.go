package fakemysql

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is how much one direction holds before writers wait, in bytes.
const pipeBuffer = 64 << 10

// Pipe is a connection within the process, like net.Pipe but with buffers, as
// sockets have them: a side can write without the other one reading, and what
// was written before a close still arrives. Without that, TLS alerts and a
// server's unasked last words deadlock. It behaves as a Unix socket does: after a
// close the other side's writes fail with EPIPE at once, and its reads end with
// io.EOF. It works in testing/synctest bubbles.
func Pipe() (client, server net.Conn) {
	up, down := newPipeHalf(), newPipeHalf()
	return &pipeEnd{in: down, out: up}, &pipeEnd{in: up, out: down}
}

// pipeEnd is one side of a Pipe.
type pipeEnd struct{ in, out *pipeHalf }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }
func (p *pipeEnd) LocalAddr() net.Addr         { return pipeAddr{} }
func (p *pipeEnd) RemoteAddr() net.Addr        { return pipeAddr{} }

func (p *pipeEnd) Close() error {
	p.in.close(&p.in.reader)
	p.out.close(&p.out.writer)
	return nil
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error {
	return p.in.setDeadline(&p.in.reader, t)
}

func (p *pipeEnd) SetWriteDeadline(t time.Time) error {
	return p.out.setDeadline(&p.out.writer, t)
}

func (p *pipeEnd) SetDeadline(t time.Time) error {
	if err := p.SetReadDeadline(t); err != nil {
		return err
	}
	return p.SetWriteDeadline(t)
}

// pipeHalf is one direction.
type pipeHalf struct {
	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	data    []byte
	reader  pipeUser
	writer  pipeUser
}

// pipeUser is the state of one who reads or writes.
type pipeUser struct {
	closed  bool
	expired bool
	timer   *time.Timer // of the deadline; nil = none to come
}

func newPipeHalf() *pipeHalf {
	h := &pipeHalf{}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *pipeHalf) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.reader.closed:
			return 0, opError("read", net.ErrClosed)
		case h.reader.expired:
			return 0, opError("read", os.ErrDeadlineExceeded)
		case len(h.data) > 0 || len(b) == 0:
			n := copy(b, h.data)
			h.data = h.data[n:]
			h.changed.Broadcast()
			return n, nil
		case h.writer.closed:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *pipeHalf) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for {
		switch {
		case h.writer.closed:
			return written, opError("write", net.ErrClosed)
		case h.reader.closed:
			return written, opError("write", os.NewSyscallError("write", syscall.EPIPE))
		case h.writer.expired:
			return written, opError("write", os.ErrDeadlineExceeded)
		}
		n := min(pipeBuffer-len(h.data), len(b)-written)
		h.data = append(h.data, b[written:written+n]...)
		written += n
		h.changed.Broadcast()
		if written == len(b) {
			return written, nil
		}
		h.changed.Wait()
	}
}

func (h *pipeHalf) close(u *pipeUser) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u.closed = true
	u.stopTimer()
	h.changed.Broadcast()
}

// setDeadline is for reads or writes from now on, and for those that wait.
func (h *pipeHalf) setDeadline(u *pipeUser, t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if u.closed {
		return opError("set", net.ErrClosed)
	}
	u.stopTimer()
	wait := time.Until(t)
	u.expired = !t.IsZero() && wait <= 0
	if !t.IsZero() && wait > 0 {
		var own *time.Timer
		own = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if u.timer == own { // else it was replaced as it fired
				u.expired = true
				h.changed.Broadcast()
			}
		})
		u.timer = own
	}
	h.changed.Broadcast()
	return nil
}

func (u *pipeUser) stopTimer() {
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
}

func opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "pipe", Addr: pipeAddr{}, Err: err}
}

var _ net.Conn = (*pipeEnd)(nil)
