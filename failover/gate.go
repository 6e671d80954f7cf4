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
	Drained   uint64 // went on when an instance was usable again
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
	role topology.Role
	seen uint64
	done chan error // buffered; whoever removes the waiter from the queue sends
}

// NewGate makes a gate that lets size statements wait; 0 lets none wait.
func NewGate(size int) *Gate {
	return &Gate{size: size}
}

// Wait waits until a version of the snapshot newer than seen has a usable
// instance of the role, for timeout at most and never past ctx. It returns nil
// when there is one, ctx's error, or [ErrGateTimeout], [ErrGateFull] or
// [ErrClosed], bare.
func (g *Gate) Wait(ctx context.Context, role topology.Role, seen uint64, timeout time.Duration) error {
	g.mu.Lock()
	g.counters.Entered++
	switch {
	case g.closed:
		g.counters.Refused++
		g.mu.Unlock()
		return ErrClosed
	case g.version > seen && g.open[role]:
		g.counters.Drained++
		g.mu.Unlock()
		return nil
	case g.queue.Len() >= g.size:
		g.counters.Refused++
		g.mu.Unlock()
		return ErrGateFull
	}
	w := &waiter{role: role, seen: seen, done: make(chan error, 1)}
	element := g.queue.PushBack(w)
	g.mu.Unlock()

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return g.leave(element, w, ctx.Err(), &g.counters.Cancelled)
	case <-timer.C:
		return g.leave(element, w, ErrGateTimeout, &g.counters.TimedOut)
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
	g.open = [roles]bool{topology.Writer: writer, topology.Reader: reader}
	for e := g.queue.Front(); e != nil; {
		next := e.Next()
		if w := e.Value.(*waiter); g.open[w.role] && version > w.seen {
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
