package pool

import (
	"cmp"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// Stats is the state of a pool at one moment.
type Stats struct {
	Instances []InstanceStats // by id
	Pins      Pins            // sessions pinned now, by reason
	Pinned    Pins            // pins since the start, by reason
}

// InstanceStats is the state of one instance's backends. Counters count from the
// moment at which the instance took its role.
type InstanceStats struct {
	ID, Addr, Role string
	Epoch          uint64 // under which it took its role
	Open           int    // backends connected
	Size           int    // backends that there may be, now; Config.Fleet makes it change
	InUse          int    // of the open ones, on lease, kept ones included
	Kept           int    // leases kept by sessions in use for their next statement
	Resting        int    // idle backends that still have the state of a session at rest
	Pinned         int    // backends bound to sessions by pins
	InTx           int    // backends in transactions
	Waiting        int    // sessions in line for a backend
	Connecting     int    // connections being made
	Borrowed       uint64 // leases granted; a session that finds its own again needs none
	Reclaimed      uint64 // kept leases taken from sessions, at rest or idle
	Timeouts       uint64 // waits that ended with ErrBorrowTimeout
	Dials          uint64 // connections begun, that of the discovery included
	DialErrors     uint64 // of them, failed

	Fleet FleetStats // what the share of a fleet is found by

	// How a reader is chosen by, see Candidate. Latency and RoundTrip are 0 where nothing
	// was measured: latencies of readers only, round trips with Config.GaugeInterval only.
	Outstanding        int // leases out for statements and transactions, and sessions in line
	Latency, RoundTrip time.Duration
	Weight             float64   // less than Member.Weight in its Warmup, 0 while it is shunned
	ShunnedUntil       time.Time // zero = it is not
}

func (in *Instance) stats() InstanceStats {
	c, now := in.Candidate(), time.Now().UnixNano()
	in.mu.Lock()
	defer in.mu.Unlock()
	s := InstanceStats{
		ID: in.ID, Addr: in.Addr, Role: in.Role, Epoch: in.epoch,
		Open: len(in.open), Size: in.size, InUse: in.size - in.free - in.resting.len(), Kept: in.kept.len(), Resting: in.resting.len(), Pinned: len(in.pinned),
		InTx: in.inTx, Waiting: in.waitingLocked(), Connecting: int(in.dialing.Load()),
		Borrowed: in.borrowed.Load(), Reclaimed: in.reclaimed.Load(), Timeouts: in.timeouts.Load(),
		Dials: in.dials.Load(), DialErrors: in.dialErrors.Load(),
		Outstanding: c.Outstanding, Latency: c.Latency, RoundTrip: c.RoundTrip, Weight: float64(c.Weight) * c.warm(now),
	}
	if in.fleet != nil {
		s.Fleet = in.fleet.seen
	}
	if left(c.ShunnedUntil, now) > 0 {
		s.Weight, s.ShunnedUntil = 0, time.Unix(0, c.ShunnedUntil)
	}
	return s
}

// Pins counts by the reason for which sessions are pinned.
type Pins map[sqlscan.Effects]int

// String lists the reasons, most frequent first: "temporary table: 3, lock: 1".
func (p Pins) String() string {
	reasons := make([]sqlscan.Effects, 0, len(p))
	for r := range p {
		reasons = append(reasons, r)
	}
	slices.SortFunc(reasons, func(a, b sqlscan.Effects) int {
		return cmp.Or(cmp.Compare(p[b], p[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(reasons))
	for i, r := range reasons {
		parts[i] = fmt.Sprintf("%s: %d", r, p[r])
	}
	return strings.Join(parts, ", ")
}

// pinCounters count the sessions pinned, by reason.
type pinCounters [32]atomic.Int64

func (c *pinCounters) add(reasons sqlscan.Effects, n int64) {
	for r := uint32(reasons); r != 0; r &= r - 1 {
		c[bits.TrailingZeros32(r)].Add(n)
	}
}

func (c *pinCounters) snapshot() Pins {
	pins := Pins{}
	for i := range c {
		if n := c[i].Load(); n > 0 {
			pins[sqlscan.Effects(1)<<i] = int(n)
		}
	}
	return pins
}

func sortedByID(instances iter.Seq[*Instance]) []*Instance {
	return slices.SortedFunc(instances, func(a, b *Instance) int { return cmp.Compare(a.ID, b.ID) })
}
