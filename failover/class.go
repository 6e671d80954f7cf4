package failover

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// Phase says how far a statement had come when its error appeared.
type Phase uint8

const (
	PhaseConnect   Phase = iota // no backend was there yet: it was being dialled
	PhaseUnsent                 // on a backend, but nothing of the statement was sent, or surely nothing of it was read
	PhaseSent                   // bytes were written, no byte of an answer came
	PhaseAnswering              // part of an answer had come
)

// Class says what an error is, and so what is to be done about it.
type Class uint8

const (
	// ClassStatement: the statement's own error (a duplicate key, a syntax
	// error), or one that waiting does not mend (a password, a certificate).
	// Instance and connection are fine; the application gets it as it is.
	ClassStatement Class = iota
	// ClassCancelled: the caller's own context ended. Never counts against an
	// instance and is never retried.
	ClassCancelled
	// ClassBusy: the server, or this process, has no room for another connection.
	ClassBusy
	// ClassRefused: the server does not take the statement in its present role
	// or mode, so it is not the writer.
	ClassRefused
	// ClassHungUp: the server had closed this one idle connection; it is well.
	ClassHungUp
	// ClassGoodbye: the server said that it shuts down or that this connection
	// was killed.
	ClassGoodbye
	// ClassLost: the network or the server is gone, as seen by this connection.
	ClassLost
)

// String names the class for logs and metrics.
func (c Class) String() string {
	switch c {
	case ClassStatement:
		return "statement"
	case ClassCancelled:
		return "cancelled"
	case ClassBusy:
		return "busy"
	case ClassRefused:
		return "refused"
	case ClassHungUp:
		return "hung up"
	case ClassGoodbye:
		return "goodbye"
	case ClassLost:
		return "lost"
	}
	return "unknown"
}

// Suspicious reports whether an error of this class makes its instance suspect.
func (c Class) Suspicious() bool {
	return c == ClassRefused || c == ClassGoodbye || c == ClassLost
}

// Verdict is what [Situation.Classify] says of an error.
type Verdict struct {
	Class   Class
	Outcome Outcome
	// Repeatable: nothing of the statement ran, so that sending it again cannot do it twice.
	// What ran in a transaction that is rolled back is not executed either, but tables without
	// transactions may have kept it.
	Repeatable bool
}

// Situation is what is known of a statement that met an error, beside the error. The zero
// value is a statement in autocommit for which there was no connection yet.
type Situation struct {
	Phase         Phase
	InTransaction bool // a transaction was open when it began
	MayCommit     bool // it may have committed that transaction: COMMIT, DDL, a procedure
	Compound      bool // it may be several statements, some of which ran before one failed: CALL, a; b
	AsksReadOnly  bool // the program may have asked for a READ ONLY transaction itself
	Stays         bool // it goes nowhere else than to the reader that it was sent to
	Confirmed     bool // since the instance refused it for its role, a probe found that it is the writer
}

// Classify says what err is and what became of the statement that met it, in autocommit or
// as far as that is known. ctx is the caller's context: its end is never an instance's
// fault. err must not be nil.
func Classify(ctx context.Context, err error, phase Phase) Verdict {
	return Situation{Phase: phase}.Classify(ctx, err)
}

// Classify says what err is and what became of the statement that met it. ctx is the
// caller's context: its end is never an instance's fault. err must not be nil.
func (s Situation) Classify(ctx context.Context, err error) Verdict {
	class, outcome := s.judge(ctx, err)
	v := Verdict{Class: class, Outcome: outcome, Repeatable: outcome == NotExecuted}
	if s.InTransaction && !s.MayCommit {
		v.Outcome = NotExecuted // without a COMMIT nothing of a transaction stays
	}
	return v
}

// judge does so for the statement by itself, whatever becomes of its transaction.
func (s Situation) judge(ctx context.Context, err error) (Class, Outcome) {
	if errors.Is(err, ErrCredentials) {
		return ClassStatement, NotExecuted // whatever else a provider's error has in it
	}
	if me, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return s.answered(me.Number)
	}
	if ctx.Err() != nil && cancellation(err) {
		return ClassCancelled, s.sent()
	}
	if own(err) {
		return ClassStatement, NotExecuted
	}
	if s.Phase == PhaseConnect && exhausted(err) {
		return ClassBusy, NotExecuted
	}
	if lost(err) {
		if errors.Is(err, driver.ErrBadConn) {
			// The wrapped driver returns it bare only if it wrote nothing.
			return ClassLost, NotExecuted
		}
		return ClassLost, s.sent()
	}
	if s.Phase == PhaseConnect {
		// A dialer's or a TLS error of whatever type: there is no connection.
		return ClassLost, NotExecuted
	}
	return ClassStatement, s.sent()
}

// sent is the outcome of a statement of which nothing is known but how far it came.
func (s Situation) sent() Outcome {
	if s.Phase <= PhaseUnsent {
		return NotExecuted
	}
	return Unknown
}

func cancellation(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, mysql.ErrInvalidConn)
}

// own reports errors of the wrapped driver and of TLS that speak of the statement or the
// configuration, not of a connection.
func own(err error) bool {
	// What crypto/x509 says of a certificate comes inside this one.
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	for _, e := range [...]error{
		mysql.ErrPktTooLarge, mysql.ErrNoTLS, mysql.ErrCleartextPassword, mysql.ErrNativePassword,
		mysql.ErrOldPassword, mysql.ErrUnknownPlugin, mysql.ErrOldProtocol, driver.ErrSkip,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// exhausted reports whether this process or machine has no room for another connection.
func exhausted(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && (errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.ENOBUFS ||
		errno == syscall.ENOMEM || errno == syscall.EADDRNOTAVAIL)
}

func lost(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, e := range [...]error{
		mysql.ErrInvalidConn, driver.ErrBadConn, mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul,
		mysql.ErrBusyBuffer, io.EOF, io.ErrUnexpectedEOF, io.ErrShortWrite, net.ErrClosed,
		os.ErrDeadlineExceeded, context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
