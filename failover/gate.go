package failover

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// GateCounters count what came to a [Gate]. At any time
// Entered = Drained + TimedOut + Cancelled + Refused + Waiting.
type GateCounters struct {
	Entered   uint64 // statements that found no usable instance
	Drained   uint64 // went on when an instance was usable again, or with what there was
	TimedOut  uint64 // waited for fpFailoverTimeout
	Cancelled uint64 // their context ended first
	Refused   uint64 // turned away: the gate was full or closed
	Waiting   int    // wait now
}

// Gate is where statements wait while there is no usable instance for them:
// first come, first served among those who wait, bounded in number and time. It is
// safe for concurrent use. Make it with [NewGate].
//
// The gate knows versions of the cluster's snapshot rather than the snapshot:
// a statement that found no instance in version n waits for a later version in
// which there is one. So it can never miss the change that it waits for, however
// the change and its arrival at the gate interleave.
type Gate struct {
	size int

	mu       sync.Mutex
	queues   [roles]list.List // by role, of *waiter, front = oldest
	version  uint64           // newest version that Open was told of
	open     [roles]bool
	moving   [roles]bool // somebody has been let through and has not passed yet
	closed   bool
	counters GateCounters
}

const roles = int(topology.Reader) + 1

type waiter struct {
	Need
	done chan error // buffered; whoever removes the waiter from the queue sends
}

// Need is what a statement waits for.
type Need struct {
	// Role that the instance must have. topology.Unknown is either: a reader, or the writer
	// for want of one.
	Role topology.Role
	// Seen is the version of the snapshot in which there was none.
	Seen uint64
	// Timeout is for how long the statement waits at most.
	Timeout time.Duration
	// Content is for how long it waits for better than what it could have already. It goes
	// on then. 0 = it has nothing.
	Content time.Duration
}

// NewGate makes a gate that lets size statements wait; 0 lets none wait.
func NewGate(size int) *Gate {
	return &Gate{size: size}
}

// Wait waits until a version of the snapshot newer than need.Seen has a usable
// instance of the role, for need.Timeout at most and never past ctx. When there is one, or
// the statement is content without, it returns pass, which the statement must call as soon as
// it has its place in line for a backend: the next one is let through then, so that they
// stand there in the order in which they came. Otherwise it returns ctx's error, or
// [ErrGateTimeout], [ErrGateFull] or [ErrClosed], bare.
func (g *Gate) Wait(ctx context.Context, need Need) (pass func(), err error) {
	g.mu.Lock()
	g.counters.Entered++
	switch {
	case g.closed:
		g.counters.Refused++
		g.mu.Unlock()
		return nil, ErrClosed
	case g.version > need.Seen && g.open[need.Role]:
		g.counters.Drained++
		g.mu.Unlock()
		return func() {}, nil
	case g.waitingLocked() >= g.size:
		g.counters.Refused++
		g.mu.Unlock()
		return nil, ErrGateFull
	}
	w := &waiter{Need: need, done: make(chan error, 1)}
	element := g.queues[need.Role].PushBack(w)
	g.mu.Unlock()

	patience, counter, reason := need.Timeout, &g.counters.TimedOut, ErrGateTimeout
	if need.Content > 0 && need.Content < patience {
		patience, counter, reason = need.Content, &g.counters.Drained, nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err = <-w.done:
	case <-ctx.Done():
		return g.leave(element, w, ctx.Err(), &g.counters.Cancelled)
	case <-timer.C:
		return g.leave(element, w, reason, counter)
	}
	return g.passOf(w, err)
}

// passOf is what a waiter returns that was served.
func (g *Gate) passOf(w *waiter, err error) (pass func(), _ error) {
	if err != nil {
		return nil, err
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.moving[w.Role] = false
		g.advanceLocked(w.Role)
	}, nil
}

// advanceLocked lets through who waits longest for the role.
func (g *Gate) advanceLocked(role topology.Role) {
	if !g.open[role] || g.moving[role] || g.closed {
		return
	}
	queue := &g.queues[role]
	for e := queue.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); g.version > w.Seen {
			queue.Remove(e)
			g.counters.Drained++
			g.moving[role] = true
			w.done <- nil
			return
		}
	}
}

// leave takes a waiter out that gives up, unless it was let through meanwhile.
func (g *Gate) leave(element *list.Element, w *waiter, reason error, counter *uint64) (pass func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case err := <-w.done:
		return g.passOf(w, err)
	default:
	}
	g.queues[w.Role].Remove(element)
	*counter++
	if reason != nil {
		return nil, reason
	}
	return func() {}, nil
}

// Open tells the gate for which roles a version of the snapshot has a usable
// instance, and lets those through who wait for one, oldest first. Versions that
// are not newer than the last are ignored.
func (g *Gate) Open(version uint64, writer, reader bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if version <= g.version {
		return
	}
	g.version = version
	g.open = [roles]bool{topology.Writer: writer, topology.Reader: reader, topology.Unknown: writer || reader}
	for role := range topology.Role(roles) {
		g.advanceLocked(role)
	}
}

// Close turns away whoever waits and whoever comes, with [ErrClosed].
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for role := range g.queues {
		queue := &g.queues[role]
		for e := queue.Front(); e != nil; e = queue.Front() {
			queue.Remove(e)
			g.counters.Refused++
			e.Value.(*waiter).done <- ErrClosed
		}
	}
}

// Counters returns the counters as of now.
func (g *Gate) Counters() GateCounters {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.counters
	c.Waiting = g.waitingLocked()
	return c
}

func (g *Gate) waitingLocked() (n int) {
	for role := range g.queues {
		n += g.queues[role].Len()
	}
	return n
}
