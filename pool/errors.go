package pool

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrBorrowTimeout: no backend became free within Config.BorrowTimeout. The
	// error that carries it says who holds the backends.
	ErrBorrowTimeout = errors.New("no backend became free in time")

	// ErrRetired: the instance left its role while the session waited for one of
	// its backends. Nothing was sent; choose an instance anew.
	ErrRetired = errors.New("instance is no longer in its role")

	// ErrClosed: the pool is closed.
	ErrClosed = errors.New("pool is closed")
)

// BorrowTimeoutError explains an [ErrBorrowTimeout]: what the backends of an
// instance were doing when a session had waited in vain.
type BorrowTimeoutError struct {
	Instance string
	Waited   time.Duration
	Size     int // backends that the instance may have
	Waiting  int // other sessions in line
	InTx     int // backends held by open transactions
	Pinned   int // backends bound to sessions by pins
	Reasons  string
	Dialing  int // connections being made
}

// Error tells the whole story on one line and names the way out.
func (e *BorrowTimeoutError) Error() string {
	s := fmt.Sprintf("failoverproxy: no backend of %s became free within %s (fpBorrowTimeout): all %d (fpPoolSize) are out, %d in transactions, %d pinned",
		e.Instance, e.Waited, e.Size, e.InTx, e.Pinned)
	if e.Reasons != "" {
		s += " (" + e.Reasons + ")"
	}
	if e.Dialing > 0 {
		s += fmt.Sprintf(", %d connecting", e.Dialing)
	}
	s += fmt.Sprintf("; %d others wait", e.Waiting)
	if e.InTx+e.Pinned >= e.Size {
		s += "; a transaction that needs a second session waits for itself: use the transaction's own, or raise fpPoolSize"
	}
	return s
}

// Is makes errors.Is(err, ErrBorrowTimeout) true.
func (e *BorrowTimeoutError) Is(target error) bool { return target == ErrBorrowTimeout }
