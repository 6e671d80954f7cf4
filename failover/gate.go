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
// first come, first served, bounded in number and time. It is safe for
// concurrent use. Make it with [NewGate].
//
// The gate knows versions of the cluster's snapshot rather than the snapshot:
// a statement that found no instance in version n waits for a later version in
// which there is one. So it can never miss the change that it waits for, however
// the change and its arrival at the gate interleave.
type Gate struct {
	size int

	mu       sync.Mutex
	queue    list.List // of *waiter, front = oldest
	version  uint64    // newest version that Open was told of
	open     [roles]bool
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
// instance of the role, for need.Timeout at most and never past ctx. It returns nil
// when there is one or the statement is content without, ctx's error, or
// [ErrGateTimeout], [ErrGateFull] or [ErrClosed], bare.
func (g *Gate) Wait(ctx context.Context, need Need) error {
	g.mu.Lock()
	g.counters.Entered++
	switch {
	case g.closed:
		g.counters.Refused++
		g.mu.Unlock()
		return ErrClosed
	case g.version > need.Seen && g.open[need.Role]:
		g.counters.Drained++
		g.mu.Unlock()
		return nil
	case g.queue.Len() >= g.size:
		g.counters.Refused++
		g.mu.Unlock()
		return ErrGateFull
	}
	w := &waiter{Need: need, done: make(chan error, 1)}
	element := g.queue.PushBack(w)
	g.mu.Unlock()

	patience, counter, reason := need.Timeout, &g.counters.TimedOut, ErrGateTimeout
	if need.Content > 0 && need.Content < patience {
		patience, counter, reason = need.Content, &g.counters.Drained, nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return g.leave(element, w, ctx.Err(), &g.counters.Cancelled)
	case <-timer.C:
		return g.leave(element, w, reason, counter)
	}
}

// leave takes a waiter out that gives up, unless it was let through meanwhile.
func (g *Gate) leave(element *list.Element, w *waiter, reason error, counter *uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case err := <-w.done:
		return err
	default:
	}
	g.queue.Remove(element)
	*counter++
	return reason
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
	for e := g.queue.Front(); e != nil; {
		next := e.Next()
		if w := e.Value.(*waiter); g.open[w.Role] && version > w.Seen {
			g.queue.Remove(e)
			g.counters.Drained++
			w.done <- nil
		}
		e = next
	}
}

// Close turns away whoever waits and whoever comes, with [ErrClosed].
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for e := g.queue.Front(); e != nil; e = g.queue.Front() {
		g.queue.Remove(e)
		g.counters.Refused++
		e.Value.(*waiter).done <- ErrClosed
	}
}

// Counters returns the counters as of now.
func (g *Gate) Counters() GateCounters {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.counters
	c.Waiting = g.queue.Len()
	return c
}
