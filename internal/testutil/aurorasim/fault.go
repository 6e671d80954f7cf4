package aurorasim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Fault is something wrong with an instance, or with a name, until Clear. A fault
// for one statement ends by itself when it has hit one.
type Fault struct {
	name  string
	inst  *Instance // nil for those of the cluster
	undo  func()
	clear sync.Once

	// For statements:
	action  action
	match   Match
	delay   time.Duration
	packets int
	err     *wire.Error // of actError; of actCut: what comes in place of the next packet
	mute    bool        // of actCut: silence comes in place of the FIN
	hits    atomic.Int64
	hit     chan struct{} // closed at the first hit
}

// action is what a fault does to a statement.
type action uint8

const (
	actNone    action = iota
	actDelay          // permanent; the others hit one statement
	actError          // ERR instead of relaying, then FIN
	actSwallow        // relayed, the answer dropped, then RST
	actMute           // relayed, the answer dropped, then silence
	actCut            // relayed, so many packets of the answer, then the end
)

func newFault(name string, inst *Instance, undo func()) *Fault {
	f := &Fault{name: name, inst: inst, undo: undo, hit: make(chan struct{})}
	if inst != nil {
		inst.cluster.journal.event(EventFault, inst.ID, "%s", name)
	}
	return f
}

// Clear ends the fault. More calls do nothing.
func (f *Fault) Clear() {
	f.clear.Do(func() {
		f.undo()
		if f.inst != nil {
			f.inst.cluster.journal.event(EventClear, f.inst.ID, "%s", f.name)
		}
	})
}

// Hits is how many statements the fault has hit.
func (f *Fault) Hits() int { return int(f.hits.Load()) }

// Hit is closed when the fault hits its first statement.
func (f *Fault) Hit() <-chan struct{} { return f.hit }

func (f *Fault) count() {
	if f.hits.Add(1) == 1 {
		close(f.hit)
	}
}

// Refuse closes the listener: new connections are refused.
func (i *Instance) Refuse() *Fault {
	return i.reachFault("refuse", &i.refusing)
}

// BlackHole lets new connections hang without an answer. BlackHoled tells who does
// that.
func (i *Instance) BlackHole() *Fault {
	return i.reachFault("black hole", &i.hole)
}

// BlackHoled tells whether a black hole is the kernel's: the SYN packets of every
// client are dropped, because the listener's backlog is full. Where the kernel does
// not do that (only Linux does for sure) and with Memory, it is only the cluster's
// DialContext that hangs; other dialers find the listener's backlog and then silence.
func (i *Instance) BlackHoled() (kernel bool) { return i.reach.kernel() }

// reachFault changes what new connections meet. An endpoint that cannot be brought
// back (its port was taken) refuses, and the event says why.
func (i *Instance) reachFault(name string, n *int) *Fault {
	add := func(d int) {
		i.update(func() { *n += d })
		if err := i.syncReach(); err != nil {
			i.cluster.journal.event(EventFault, i.ID, "%s: %v", name, err)
		}
	}
	add(1)
	return newFault(name, i, func() { add(-1) })
}

// AcceptSilent accepts connections and never greets. When it is cleared those that
// still wait get their greeting.
func (i *Instance) AcceptSilent() *Fault {
	return i.countFault("accept and stay silent", &i.silent)
}

// TooManyConnections answers new connections with error 1040 in place of a greeting.
func (i *Instance) TooManyConnections() *Fault {
	return i.countFault("too many connections", &i.tooMany)
}

// Freeze makes the instance silent: established connections stay open, nothing goes
// through in either direction, new ones are accepted and not greeted. Clear (Thaw)
// lets everything go on where it was. Nothing that clients send after Freeze has
// returned reaches the upstream; statements that were there run on.
func (i *Instance) Freeze() *Fault {
	i.freeze()
	return newFault("freeze", i, i.thaw)
}

func (i *Instance) freeze() {
	i.update(func() {
		if i.frozen == 0 {
			i.beat = time.Now()
		}
		i.frozen++
	})
	i.settled()
}

func (i *Instance) thaw() { i.update(func() { i.frozen-- }) }

func (i *Instance) countFault(name string, n *int) *Fault {
	i.update(func() { *n++ })
	return newFault(name, i, func() { i.update(func() { *n-- }) })
}

// ResetConnections resets (RST) all established connections. Statements that had
// reached the upstream run to their end there.
func (i *Instance) ResetConnections() { i.endConnections(endReset) }

// CloseConnections closes (FIN) all established connections.
func (i *Instance) CloseConnections() { i.endConnections(endClosed) }

func (i *Instance) endConnections(how ending) {
	conns := i.connections()
	for _, c := range conns {
		c.end(how)
	}
	i.cluster.journal.event(EventFault, i.ID, "%d connections: %v", len(conns), how)
}

// Goodbye sends this error to every idle connection, unasked, and closes it, as
// servers do before they shut down (1053) or when a connection idled too long (4031).
// Connections with a statement under way that does not end soon are closed without it.
func (i *Instance) Goodbye(number uint16, text string) {
	e := &wire.Error{Number: number, State: sqlState(number), Message: text}
	patience, cancel := context.WithTimeout(context.Background(), demoteGrace)
	defer cancel()
	for _, c := range i.connections() {
		c.goodbye(e, patience.Done())
	}
	i.cluster.journal.event(EventFault, i.ID, "goodbye %d", number)
}

// Delay holds each statement that m matches (nil = all) back for d before anything
// else happens to it.
func (i *Instance) Delay(d time.Duration, m Match) *Fault {
	return i.statementFault(&Fault{name: fmt.Sprintf("delay %v", d), action: actDelay, delay: d}, m)
}

// CutAfter cuts the connection (FIN) after so many packets of the answer to the next
// statement that m matches (nil = any). A result of two columns in the text protocol
// is: the column count, two definitions, rows, the end; an EOF packet behind the
// definitions for clients without CLIENT_DEPRECATE_EOF.
func (i *Instance) CutAfter(packets int, m Match) *Fault {
	return i.statementFault(&Fault{name: fmt.Sprintf("cut after %d packets", packets), action: actCut, packets: packets}, m)
}

// MuteAfter is CutAfter with a connection that stays open and silent.
func (i *Instance) MuteAfter(packets int, m Match) *Fault {
	return i.statementFault(&Fault{name: fmt.Sprintf("mute after %d packets", packets), action: actCut, packets: packets, mute: true}, m)
}

// ErrorAfter is CutAfter with this error before the FIN, as servers tell in the middle of a
// result that they shut down. An answer that has no more packets is followed by the FIN
// alone.
func (i *Instance) ErrorAfter(packets int, number uint16, text string, m Match) *Fault {
	return i.statementFault(&Fault{
		name: fmt.Sprintf("error %d after %d packets", number, packets), action: actCut, packets: packets,
		err: &wire.Error{Number: number, State: sqlState(number), Message: text},
	}, m)
}

// SwallowAnswer lets the next statement that m matches (nil = any) be executed, drops
// its answer and resets the connection.
func (i *Instance) SwallowAnswer(m Match) *Fault {
	return i.statementFault(&Fault{name: "swallow an answer", action: actSwallow}, m)
}

// MuteAnswer is SwallowAnswer with a connection that stays open and silent.
func (i *Instance) MuteAnswer(m Match) *Fault {
	return i.statementFault(&Fault{name: "mute an answer", action: actMute}, m)
}

// SwallowCommitAnswer is SwallowAnswer for the next COMMIT.
func (i *Instance) SwallowCommitAnswer() *Fault { return i.SwallowAnswer(Commits) }

// ErrorThenClose answers the next statement that m matches (nil = any) with this
// error and closes the connection. The statement is not relayed.
func (i *Instance) ErrorThenClose(number uint16, text string, m Match) *Fault {
	return i.statementFault(&Fault{
		name: fmt.Sprintf("error %d, then close", number), action: actError,
		err: &wire.Error{Number: number, State: sqlState(number), Message: text},
	}, m)
}

func (i *Instance) statementFault(f *Fault, m Match) *Fault {
	if m == nil {
		m = Any
	}
	f.inst, f.match, f.hit = i, m, make(chan struct{})
	f.undo = func() { i.drop(f) }
	i.mu.Lock()
	i.faults = append(slices.Clip(i.faults), f)
	i.mu.Unlock()
	i.cluster.journal.event(EventFault, i.ID, "%s", f.name)
	return f
}

// drop takes a fault off the list. It tells whether it was there.
func (i *Instance) drop(f *Fault) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	kept := make([]*Fault, 0, len(i.faults))
	for _, other := range i.faults {
		if other != f {
			kept = append(kept, other)
		}
	}
	found := len(kept) < len(i.faults)
	i.faults = kept
	return found
}

func (i *Instance) statementFaults() []*Fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.faults
}

// claim finds the fault for a statement that is about to be relayed, and uses it up.
func (i *Instance) claim(s Statement) *Fault {
	for _, f := range i.statementFaults() {
		if f.action != actDelay && f.match(s) && i.drop(f) {
			f.count()
			return f
		}
	}
	return nil
}

// delayOf is how long the statement is held back.
func (i *Instance) delayOf(s Statement) time.Duration {
	var d time.Duration
	for _, f := range i.statementFaults() {
		if f.action == actDelay && f.match(s) {
			f.count()
			d += f.delay
		}
	}
	return d
}

// sqlState is the SQLSTATE of the errors that are worth injecting.
func sqlState(number uint16) string {
	switch number {
	case 1040:
		return "08004"
	case 1053:
		return "08S01"
	case 1203, 1226:
		return "42000"
	case 1213:
		return "40001"
	case 1317, 1927:
		return "70100"
	case 1792:
		return "25006"
	}
	return "HY000"
}
