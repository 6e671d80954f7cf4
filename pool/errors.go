package pool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

var (
	// ErrBorrowTimeout: no backend became free within Config.BorrowTimeout. The
	// error that carries it says who holds the backends.
	ErrBorrowTimeout = errors.New("no backend became free in time")

	// ErrRetired: the instance left its role while the session waited for one of
	// its backends, or see [Session.SetElsewhere]. Nothing was sent; choose an instance anew.
	ErrRetired = errors.New("instance is no longer in its role")

	// ErrClosed: the pool is closed.
	ErrClosed = errors.New("pool is closed")
)

// BorrowTimeoutError explains an [ErrBorrowTimeout]: what the backends of an
// instance were doing when a session had waited in vain.
type BorrowTimeoutError struct {
	Instance string
	Waited   time.Duration
	Size     int  // backends that the instance may have
	Fleet    bool // Size is the share of a fleet
	Waiting  int  // other sessions in line
	InTx     int  // backends held by open transactions
	Pinned   int  // backends bound to sessions by pins
	Reasons  string
	Dialing  int      // connections being made
	Ending   int      // connections cut, whose statements the server is still to be told to stop
	Longest  []Holder // who has held a backend for longest, up to three
}

// Holder is a session that holds a backend.
type Holder struct {
	For       time.Duration
	InTx      bool
	Pins      string // "" = none
	Statement string // digest of the statement that it took the backend for
	Rows      bool   // that statement's rows are open
}

// String tells it in a few words.
func (h Holder) String() string {
	what := "statement"
	switch {
	case h.Pins != "":
		what = "session pinned by " + h.Pins + ", since"
	case h.InTx:
		what = "transaction, since"
	case h.Rows:
		what = "rows not closed of"
	}
	if h.Statement == "" {
		return fmt.Sprintf("%s for %s", what, h.For.Round(time.Millisecond))
	}
	return fmt.Sprintf("%s %q for %s", what, h.Statement, h.For.Round(time.Millisecond))
}

// longestShown is how many holders an error lists.
const longestShown = 3

// explainLocked makes the error of a session that waited in vain.
func (in *Instance) explainLocked() error {
	e := &BorrowTimeoutError{
		Instance: in.ID, Waited: in.pool.cfg.BorrowTimeout, Size: in.size, Fleet: in.fleet != nil, Waiting: in.waitingLocked(),
		InTx: in.inTx, Pinned: len(in.pinned), Reasons: in.pool.pins.snapshot().String(), Dialing: int(in.dialing.Load()), Ending: in.ending,
	}
	now := time.Now().UnixNano()
	for s := in.busy.first; s != nil; s = s.after {
		h := Holder{For: time.Duration(max(now-s.since, 0)), InTx: s.inTx, Rows: s.reading.Load(), Statement: sqlscan.Digest(s.statement, sqlscan.AnyMode)}
		for _, p := range s.pins {
			h.Statement = p.statement
			if h.Pins != "" {
				h.Pins += ", "
			}
			h.Pins += p.effect.String()
		}
		e.Longest = append(e.Longest, h)
	}
	slices.SortStableFunc(e.Longest, func(a, b Holder) int { return cmp.Compare(b.For, a.For) })
	e.Longest = e.Longest[:min(len(e.Longest), longestShown)]
	return e
}

// Error tells the whole story on one line and names the way out.
func (e *BorrowTimeoutError) Error() string {
	var s strings.Builder
	limit := "fpPoolSize"
	if e.Fleet {
		limit = "the share of fpFleetMax"
	}
	fmt.Fprintf(&s, "failoverproxy: no backend of %s became free within %s (fpBorrowTimeout): all %d (%s) are out, %d in transactions, %d pinned",
		e.Instance, e.Waited, e.Size, limit, e.InTx, e.Pinned)
	if e.Reasons != "" {
		s.WriteString(" (" + e.Reasons + ")")
	}
	if e.Dialing > 0 {
		fmt.Fprintf(&s, ", %d connecting", e.Dialing)
	}
	if e.Ending > 0 {
		fmt.Fprintf(&s, ", %d cut while their statements are being stopped", e.Ending)
	}
	fmt.Fprintf(&s, "; %d others wait", e.Waiting)
	for i, h := range e.Longest {
		if i == 0 {
			s.WriteString("; held longest by: ")
		} else {
			s.WriteString(", ")
		}
		s.WriteString(h.String())
	}
	if e.InTx+e.Pinned >= e.Size {
		s.WriteString("; a transaction that needs a second session waits for itself: use the transaction's own, or raise fpPoolSize")
	}
	return s.String()
}

// Is makes errors.Is(err, ErrBorrowTimeout) true.
func (e *BorrowTimeoutError) Is(target error) bool { return target == ErrBorrowTimeout }
