package driver

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

var writerRole, readerRole = topology.Writer.String(), topology.Reader.String()

// route chooses the instance for a statement. Without one it says what to wait for.
func (c *conn) route(ctx context.Context, x *exchange) (*pool.Instance, failover.Need) {
	cl := c.cluster
	s := cl.monitor.Snapshot()
	if c.forReaders(x) {
		return c.routeToReaders(ctx, x, s)
	}
	need := failover.Need{Role: topology.Writer, Seen: s.Version}
	in, unheard := cl.writer(s)
	if in != nil {
		return in, need
	}
	if unheard {
		need.Seen-- // the pool is about to hear of this version
		return nil, need
	}
	if !c.mayFallBack(x) {
		return nil, need
	}
	in, wait, unheard := cl.reader(s, time.Since(c.wroteLast(ctx)))
	if in != nil {
		return in, need
	}
	need.Content = wait
	if unheard {
		need.Seen-- // as above
	}
	if unheard || wait == 0 {
		need.Role = topology.Unknown
	}
	return nil, need
}

// serves reports whether the instance that the session happens to be bound to is one for the
// statement still: a reader may have fallen behind, or not have a write yet that must be seen.
func (c *conn) serves(ctx context.Context, x *exchange) bool {
	if x.in.Role == writerRole {
		return true
	}
	cl := c.cluster
	r := cl.monitor.Snapshot().Lookup(x.in.ID)
	return c.forReaders(x) && r != nil && cl.current(r) && cl.missing(r, time.Since(c.wroteLast(ctx))) == 0
}

// writer is the writer's instance; without one, unheard reports whether the pool is about to
// hear of it.
func (cl *cluster) writer(s *topology.Snapshot) (in *pool.Instance, unheard bool) {
	w := s.Writer()
	if w == nil {
		return nil, false
	}
	if in = cl.pool.Instance(w.ID, writerRole); in == nil || in.Addr != w.Addr {
		return nil, true
	}
	return in, false
}

// mayFallBack reports whether a reader may answer while there is no writer: the statement is
// a plain read outside of transactions, nobody has refused it, and the program did not say that
// it is for the writer.
func (c *conn) mayFallBack(x *exchange) bool {
	if x.target == targetWriter && x.by != byConfig {
		return false
	}
	return c.cluster.cfg.ReadFallback && x.reads && !x.facts.Local() && x.readOnly == nil && c.oneShot == "" && !c.beginning.again && c.cluster.cfg.PoolMode != "session"
}

// lastWrite is when somebody wrote last. It goes along a context.
type lastWrite struct{ at atomic.Pointer[time.Time] }

type lastWriteKey struct{}

// WithReadYourWrites returns a context that carries along when a statement wrote last that was
// run with it or with a context made from it, in whichever session. A read with that context is
// not served by a reader that may not have that write yet (fpReadYourWrites): the writer serves it. Without it, only the
// writes of the read's own session count; and what one request of a program does on a *sql.DB
// may use several. The context of a transaction is the one that it was begun with.
func WithReadYourWrites(ctx context.Context) context.Context {
	if ctx.Value(lastWriteKey{}) != nil {
		return ctx
	}
	return context.WithValue(ctx, lastWriteKey{}, new(lastWrite))
}

// wroteLast is when a write was answered last that a read with ctx must see.
func (c *conn) wroteLast(ctx context.Context) time.Time {
	if l, ok := ctx.Value(lastWriteKey{}).(*lastWrite); ok {
		if at := l.at.Load(); at != nil && at.After(c.wrote) {
			return *at
		}
	}
	return c.wrote
}

// noteWrite notes that a statement wrote, or committed what others did, or may have.
func (c *conn) noteWrite(ctx context.Context, x *exchange) {
	wrote := x.facts.Kind == sqlscan.Write || x.facts.Kind == sqlscan.DDL || x.facts.MayCommit() || x.readOnly != nil
	if !wrote {
		return
	}
	if x.attempts == 0 || x.in != nil && x.in.Role != writerRole || c.cluster.cfg.ReadYourWrites <= 0 {
		return // it was not sent, or not to where it could write
	}
	c.wrote = time.Now() // with its monotonic reading, so that no clock that is set can mislead
	if l, ok := ctx.Value(lastWriteKey{}).(*lastWrite); ok {
		at := c.wrote
		l.at.Store(&at)
	}
}
