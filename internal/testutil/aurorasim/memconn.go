package aurorasim

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// memBuffer is how much a writer may be ahead of its reader, as with a socket's
// buffers. net.Pipe has none: its writers hang on a frozen peer at once, which
// clients of a real socket do not.
const memBuffer = 256 << 10

// memConn is one end of an in-memory connection that behaves like TCP: buffered,
// with orderly ends (FIN), resets and deadlines.
type memConn struct {
	in, out       *memStream
	local, remote net.Addr
}

// newMemPipe makes both ends. client is the one with these addresses.
func newMemPipe(local, remote net.Addr) (client, server *memConn) {
	a, b := newMemStream(), newMemStream()
	return &memConn{in: a, out: b, local: local, remote: remote},
		&memConn{in: b, out: a, local: remote, remote: local}
}

func (c *memConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.opError("read", err)
}

func (c *memConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.opError("write", err)
}

func (c *memConn) opError(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Close ends the connection: the peer reads what is on its way, then io.EOF.
func (c *memConn) Close() error {
	c.end(io.EOF, syscall.EPIPE)
	return nil
}

// reset ends the connection as a TCP RST does: the peer reads what has arrived,
// then ECONNRESET.
func (c *memConn) reset() { c.end(syscall.ECONNRESET, syscall.ECONNRESET) }

func (c *memConn) end(peerReads, peerWrites error) {
	c.out.end(peerReads, net.ErrClosed, false)
	c.in.end(net.ErrClosed, peerWrites, true)
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }

func (c *memConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.deadline(&c.in.readBy, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.deadline(&c.out.writeBy, t)
	return nil
}

// memStream is one direction.
type memStream struct {
	changed *sync.Cond // and the lock of all below

	buf             []byte
	readErr         error // after what is in buf
	writeErr        error
	readBy, writeBy memDeadline
}

type memDeadline struct {
	timer  *time.Timer
	passed bool
}

func newMemStream() *memStream {
	return &memStream{changed: sync.NewCond(new(sync.Mutex))}
}

func (s *memStream) read(p []byte) (int, error) {
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	for {
		switch {
		case s.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			s.buf = s.buf[n:]
			s.changed.Broadcast()
			return n, nil
		case s.readErr != nil:
			return 0, s.readErr
		case len(p) == 0:
			return 0, nil
		}
		s.changed.Wait()
	}
}

func (s *memStream) write(p []byte) (int, error) {
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	written := 0
	for {
		switch {
		case s.writeErr != nil:
			return written, s.writeErr
		case s.writeBy.passed:
			return written, os.ErrDeadlineExceeded
		case len(p) == 0:
			return written, nil
		}
		if n := min(memBuffer-len(s.buf), len(p)); n > 0 {
			s.buf = append(s.buf, p[:n]...)
			p, written = p[n:], written+n
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

// end sets what readers and writers get from now on. The side that ends the
// stream overrides what the other may have set: own says which side that is.
func (s *memStream) end(readErr, writeErr error, ownsReader bool) {
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	if ownsReader {
		s.buf = nil
		s.readBy.stop()
	} else {
		s.writeBy.stop()
	}
	if ownsReader || s.readErr == nil {
		s.readErr = readErr
	}
	if !ownsReader || s.writeErr == nil {
		s.writeErr = writeErr
	}
	s.changed.Broadcast()
}

func (s *memStream) deadline(d *memDeadline, t time.Time) {
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	d.stop()
	d.passed = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		s.changed.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		s.changed.L.Lock()
		defer s.changed.L.Unlock()
		if d.timer == timer { // not replaced meanwhile
			d.passed = true
			s.changed.Broadcast()
		}
	})
	d.timer = timer
}

func (d *memDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
