package backend

import (
	"database/sql/driver"
	"net"
	"reflect"
	"sync/atomic"
	"time"
)

// Backend is one physical connection to one instance. Like the wrapped driver's
// connection it is used by one goroutine at a time, except where a method says
// otherwise.
type Backend struct {
	conn                 // the wrapped driver's
	wire        *wire    // nil under a network registered with mysql.RegisterDialContext, and with foreign
	foreign     *foreign // nil unless somebody else made the connection
	status      reflect.Value
	reader      reader
	statements  statements
	addr        string
	login       *Login // nil = the configuration's
	created     time.Time
	guard       guard
	pending     atomic.Int32
	identity    string
	tracks      bool
	unreported  bool
	sentBefore  uint64 // wire.written when the current statement began
	heardBefore uint64
}

// conn is what the wrapped driver's connections are; anything less is refused
// when it is made.
type conn interface {
	driver.Conn
	driver.Pinger
	driver.QueryerContext
	driver.ExecerContext
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// Status returns the server's status flags of the last OK or EOF packet. They
// are right once a result's rows are closed. An ERR packet carries none: after
// one they are stale both ways (a deadlock ends a transaction, a procedure that
// fails may have begun one) until [Backend.Ping] refreshes them.
func (b *Backend) Status() Status { return Status(b.status.Uint()) }

// InTransaction reports whether the server said last that a transaction is open.
func (b *Backend) InTransaction() bool { return b.Status()&StatusInTransaction != 0 }

// InReadOnlyTransaction reports whether that transaction is a READ ONLY one.
func (b *Backend) InReadOnlyTransaction() bool { return b.Status()&StatusInReadOnlyTx != 0 }

// Progress tells how far the statement has come that began with [Backend.Begin]:
// whether any byte was written and whether any byte of an answer came. Where the network
// connection is out of reach, see [Config].Make, it cannot be known and both are true.
func (b *Backend) Progress() (sent, answered bool) {
	if b.wire == nil {
		return true, true
	}
	return b.wire.written.Load() != b.sentBefore, b.wire.received.Load() != b.heardBefore
}

// Pulse tells whether an answer is due and how many bytes came so far. A backend
// whose answer is due while the number stands still is silent. It may be called
// from any goroutine.
func (b *Backend) Pulse() (waiting bool, received uint64) {
	if b.wire == nil {
		return false, 0
	}
	return b.wire.waiting.Load(), b.wire.received.Load()
}

// Cut closes the connection under a statement that may be running, which then
// fails. It may be called from any goroutine, more than once; the owner still
// has to Close. Under a network of mysql.RegisterDialContext it does nothing.
func (b *Backend) Cut() {
	if b.foreign != nil {
		b.foreign.interrupt()
	}
	if b.wire != nil && !b.wire.cut.Swap(true) {
		_ = b.wire.Close()
	}
}

// IsCut reports whether [Backend.Cut] was called. From any goroutine.
func (b *Backend) IsCut() bool {
	return b.wire != nil && b.wire.cut.Load() || b.foreign != nil && b.foreign.cut.Load()
}

// Close says goodbye to the server, for a second at most, and closes the connection.
func (b *Backend) Close() error {
	b.guard.close(b)
	if b.foreign != nil {
		return b.foreign.release()
	}
	if b.wire != nil {
		if b.wire.cut.Load() || !b.conn.IsValid() {
			b.Cut()
		} else {
			_ = b.wire.SetWriteDeadline(time.Now().Add(time.Second))
		}
	}
	return b.conn.Close()
}

// Unsent notes that nothing of the statement itself was sent so far, whatever was sent to
// make way for it.
func (b *Backend) Unsent() {
	if b.wire != nil {
		b.sentBefore = b.wire.written.Load()
		b.heardBefore = b.wire.received.Load()
	}
}

// RemoteAddr is where the connection leads, nil if nobody knows: where it is out of reach.
func (b *Backend) RemoteAddr() net.Addr {
	if b.wire == nil {
		return nil
	}
	return b.wire.RemoteAddr()
}

// Addr is the address that the backend was dialled at.
func (b *Backend) Addr() string { return b.addr }

// Created is when the backend was connected.
func (b *Backend) Created() time.Time { return b.created }

// Identify notes which server this is. Servers with one identity number their connections
// together.
func (b *Backend) Identify(server string) { b.identity = server }

// Identity is what [Backend.Identify] noted, "" if nobody knows.
func (b *Backend) Identity() string { return b.identity }

// Inner returns the wrapped driver's connection.
func (b *Backend) Inner() driver.Conn { return b.conn }
