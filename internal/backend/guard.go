package backend

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// DefaultStopLimit is that of [Config]: so the caller is told within 100 ms.
const DefaultStopLimit = 80 * time.Millisecond

// guard watches a statement's context, so that the wrapped driver need not: it would
// close the connection. A guard has one goroutine, started by the first statement
// whose context can end.
type guard struct {
	stop  func(ctx context.Context, b *Backend) error // nil = leave it to the wrapped driver
	limit time.Duration

	begin   chan context.Context
	end     chan struct{}
	closed  chan struct{}
	running sync.WaitGroup

	ctx     context.Context //nolint:containedctx // of the statement that is watched
	active  bool            // owner's: one is
	stopped bool            // its context has ended; the owner's once it is told of the end
}

func (d *Dialer) guard() guard {
	return guard{stop: d.cfg.Stop, limit: cmp.Or(d.cfg.StopLimit, DefaultStopLimit)}
}

// Begin begins a statement, for [Backend.Progress], and watches its context until
// [Backend.End]: when it ends, Config.Stop is called, and if the statement goes on
// nevertheless, the connection is cut. It returns the context to give to the wrapped
// driver, or the error of one that has ended already.
func (b *Backend) Begin(ctx context.Context) (context.Context, error) {
	b.Unsent()
	g := &b.guard
	if ctx.Done() == nil || g.stop == nil || b.wire == nil && b.foreign == nil || g.active {
		return b.foreign.begin(ctx), nil
	}
	if err := ctx.Err(); err != nil {
		return ctx, err
	}
	if g.begin == nil {
		g.begin, g.end, g.closed = make(chan context.Context), make(chan struct{}), make(chan struct{})
		g.running.Go(func() { g.watch(b) })
	}
	g.ctx, g.active, g.stopped = ctx, true, false
	g.begin <- ctx
	return b.foreign.begin(context.Background()), nil
}

// End ends what [Backend.Begin] began, once the statement's answer was read or given up.
// It waits for a Stop that is under way, and reports whether there was one.
func (b *Backend) End() (stopped bool) {
	g := &b.guard
	b.foreign.end()
	if !g.active {
		return false
	}
	g.ctx, g.active = nil, false
	g.end <- struct{}{}
	return g.stopped
}

// Ended returns the error of the context that [Backend.Begin] was given, if it has ended:
// then nothing more must be sent for it.
func (b *Backend) Ended() error {
	if !b.guard.active {
		return nil
	}
	return b.guard.ctx.Err()
}

func (g *guard) watch(b *Backend) {
	for {
		select {
		case <-g.closed:
			return
		case ctx := <-g.begin:
			select {
			case <-g.end:
			case <-ctx.Done():
				g.stopped = true
				g.interrupt(b)
			}
		}
	}
}

// interrupt stops the statement and waits for its end. The lease is kept meanwhile: so
// what is stopped can be nobody else's statement.
func (g *guard) interrupt(b *Backend) {
	limit := time.AfterFunc(g.limit, b.Cut)
	defer limit.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), g.limit)
	defer cancel()
	for {
		if g.stop(ctx, b) != nil {
			b.Cut()
			<-g.end
			return
		}
		// It may have come before the statement did.
		again := time.NewTimer(stopPause)
		select {
		case <-g.end:
			again.Stop()
			return
		case <-again.C:
		}
	}
}

// stopPause comes before a statement is stopped once more.
const stopPause = 10 * time.Millisecond

// AddPending counts what somebody else has still to do for the backend, such as a KILL that
// stands in line. It may be called from any goroutine.
func (b *Backend) AddPending(n int32) { b.pending.Add(n) }

// Pending reports whether there is anything: until it is done, the backend's statement may go
// on on the server, though the connection is cut.
func (b *Backend) Pending() bool { return b.pending.Load() > 0 }

// close ends the goroutine.
func (g *guard) close(b *Backend) {
	if g.begin == nil {
		return
	}
	b.End()
	close(g.closed)
	g.running.Wait()
	g.begin = nil
}

// ThreadID is the connection's number on its server, 0 if it is not known.
func (b *Backend) ThreadID() uint32 {
	switch {
	case b.wire != nil:
		return b.wire.hello.threadID
	case b.foreign != nil:
		return b.foreign.threadID
	}
	return 0
}

// MariaDB reports whether the server says that it is one.
func (b *Backend) MariaDB() bool {
	return b.wire != nil && b.wire.hello.mariaDB || b.foreign != nil && b.foreign.mariaDB
}

// Tracks reports whether the server will say when session state changed, by
// [StatusSessionChanged].
func (b *Backend) Tracks() bool { return b.tracks }

// Changed reports whether the server said with its last OK or EOF packet that session
// state changed.
func (b *Backend) Changed() bool { return b.Status()&StatusSessionChanged != 0 }

// Withhold notes that the server has a change to report that is none, and met an error, which
// says nothing, before it could.
func (b *Backend) Withhold() { b.unreported = true }

// Unreported reports whether statements were prepared or closed since the server said
// anything of changes, or Withhold was called: it will say that state changed, and mean this.
func (b *Backend) Unreported() bool { return b.unreported }

// Settled notes that it has.
func (b *Backend) Settled() { b.unreported = false }

// Track asks the server to say so. It takes one round trip, none if the server or the
// network cannot do it.
func (b *Backend) Track(ctx context.Context) error {
	if b.wire == nil || !b.wire.hello.tracks {
		return nil
	}
	if _, err := b.ExecContext(ctx, "SET session_track_state_change = ON", nil); err != nil {
		return err
	}
	b.tracks = true
	return nil
}
