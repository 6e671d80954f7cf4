package failover

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What happened, to be tested with errors.Is. Every one of them reaches the
// application inside an [*Error].
var (
	// ErrOutcomeUnknown: a write was sent and its answer never came. It took
	// effect once or not at all; failoverproxy never sends it a second time.
	ErrOutcomeUnknown = errors.New("outcome unknown")

	// ErrTransactionLost: the transaction's connection is gone, and with it the
	// transaction: nothing of it was committed. Every later statement of it gets
	// the same error; Rollback returns nil. Begin it again.
	ErrTransactionLost = errors.New("transaction lost")

	// ErrSessionStateLost: a session in somebody's hands (sql.Conn) lost state
	// that cannot be brought back, such as a temporary table or a lock. It is
	// reported once; the session goes on as a clean one.
	ErrSessionStateLost = errors.New("session state lost")

	// ErrResultInterrupted: the connection was lost after some rows of a result
	// had been delivered.
	ErrResultInterrupted = errors.New("result interrupted")

	// ErrUnavailable: the statement met a fault, or there was no usable instance,
	// and it was not to be tried again (WithoutRetry, fpRetryReads=off).
	ErrUnavailable = errors.New("instance unavailable")

	// ErrReadOnlyTarget: a statement that may write was directed to readers, by fpTarget=reader,
	// driver.WithTarget or a comment, or its session is bound to a reader. It was not sent.
	ErrReadOnlyTarget = errors.New("a statement that may write does not go to a reader")

	// ErrGateFull: fpGateSize statements wait for a usable instance already.
	ErrGateFull = errors.New("too many statements wait for a usable instance (fpGateSize)")

	// ErrGateTimeout: there was no usable instance within fpFailoverTimeout.
	ErrGateTimeout = errors.New("no usable instance within fpFailoverTimeout")

	// ErrCredentials: a new connection was needed, and the provider of driver.WithCredentials
	// gave no user and password for it. No server is to blame.
	ErrCredentials = errors.New("no credentials")

	// ErrClosed: the connector was closed while the statement waited.
	ErrClosed = errors.New("connector closed")
)

// Outcome says what became of a statement that met a fault.
type Outcome uint8

// The zero value is Unknown: whoever forgets to say more has said nothing false.
const (
	Unknown     Outcome = iota // sent, no answer: executed once or not at all
	NotExecuted                // surely without effect
	Executed                   // surely took effect
)

// String returns "unknown", "not executed" or "executed".
func (o Outcome) String() string {
	switch o {
	case NotExecuted:
		return "not executed"
	case Executed:
		return "executed"
	default:
		return "unknown"
	}
}

// Error is what an application gets when a fault could not be hidden from it.
// It is immutable; get it with errors.As.
type Error struct {
	// Kind is one of this package's sentinels.
	Kind error
	// Outcome of the statement, or of the COMMIT.
	Outcome Outcome
	// Instance that the statement was sent to last; "" if it was never sent.
	Instance string
	// Epoch of the snapshot by which that instance was chosen; 0 if none was.
	Epoch uint64
	// Attempts counts how often the statement was tried, at least 1 unless it
	// waited at the gate all the time.
	Attempts int
	// Elapsed is the time since the statement met its first fault.
	Elapsed time.Duration
	// Detail names what was lost, such as a pin's reason; may be empty.
	Detail string

	cause error
}

// New makes an [*Error] of kind with the cause that led to it, nil if there is
// none. A driver.ErrBadConn in cause is replaced: whoever finds it in a chain,
// as database/sql does, runs the statement again.
func New(kind error, outcome Outcome, cause error) *Error {
	if errors.Is(cause, driver.ErrBadConn) {
		cause = errConnectionLost
	}
	return &Error{Kind: kind, Outcome: outcome, cause: cause}
}

var errConnectionLost = errors.New("connection lost")

// Error tells kind, outcome, where and why, on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("failoverproxy: ")
	b.WriteString(e.Kind.Error())
	if e.Detail != "" {
		b.WriteString(" (" + e.Detail + ")")
	}
	fmt.Fprintf(&b, ": %s", e.Outcome)
	if e.Instance != "" {
		fmt.Fprintf(&b, " on %s", e.Instance)
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " after %d attempts", e.Attempts)
	}
	if e.Elapsed > 0 {
		fmt.Fprintf(&b, " in %s", e.Elapsed.Round(time.Millisecond))
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// Cause is the error that the wrapped driver reported last, nil if there was none.
func (e *Error) Cause() error { return e.cause }
