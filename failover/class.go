package failover

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"

	"github.com/go-sql-driver/mysql"
)

// Phase says how far a statement had come when its error appeared.
type Phase uint8

const (
	PhaseConnect   Phase = iota // no backend was there yet: it was being dialled
	PhaseUnsent                 // on a backend, no byte of the statement had left the process
	PhaseSent                   // bytes were written, no byte of an answer came
	PhaseAnswering              // part of an answer had come
)

// Class says what an error is, and so what is to be done about it.
type Class uint8

const (
	// ClassStatement: the statement's own error (a duplicate key, a syntax
	// error). Instance and connection are fine; the application gets it as it is.
	ClassStatement Class = iota
	// ClassCancelled: the caller's own context ended. Never counts against an
	// instance and is never retried.
	ClassCancelled
	// ClassBusy: the server has no room for another connection.
	ClassBusy
	// ClassRefused: the server does not take writes, so it is not the writer.
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

// Verdict is what [Classify] says of an error.
type Verdict struct {
	Class   Class
	Outcome Outcome
}

// Classify says what err is and what became of the statement that met it. ctx
// is the caller's context: its end is never an instance's fault. err must not
// be nil.
func Classify(ctx context.Context, err error, phase Phase) Verdict {
	if me, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return classifyNumber(me.Number, phase)
	}
	if ctx.Err() != nil && cancellation(err) {
		return Verdict{ClassCancelled, outcomeOf(phase)}
	}
	if own(err) {
		return Verdict{ClassStatement, NotExecuted}
	}
	if lost(err) {
		if errors.Is(err, driver.ErrBadConn) {
			// The wrapped driver returns it bare only if it wrote nothing.
			return Verdict{ClassLost, NotExecuted}
		}
		return Verdict{ClassLost, outcomeOf(phase)}
	}
	if phase == PhaseConnect {
		// A dialer's or a TLS error of whatever type: there is no connection.
		return Verdict{ClassLost, NotExecuted}
	}
	return Verdict{ClassStatement, outcomeOf(phase)}
}

func outcomeOf(phase Phase) Outcome {
	if phase <= PhaseUnsent {
		return NotExecuted
	}
	return Unknown
}

func cancellation(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, mysql.ErrInvalidConn)
}

// own reports errors of the wrapped driver that speak of the statement or the
// configuration, not of a connection.
func own(err error) bool {
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
