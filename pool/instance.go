package pool

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/puddle/v2"

	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// Instance is the pool of one instance's backends, for as long as that instance
// stays in one role at one address. After that it is retired for good.
//
// Its slots, not puddle, say who may have a backend: they know the kept leases and
// the retirement, which puddle's queue does not. Whoever holds a slot gets a
// backend from puddle without waiting for anybody, or connects one.
type Instance struct {
	Member
	pool     *Pool
	epoch    uint64 // of the snapshot that admitted it
	backends *puddle.Pool[*backend.Backend]
	connects chan struct{} // semaphore of Config.ConnectConcurrency
	retired  atomic.Bool
	draining atomic.Bool     // retired because the pool closes: what has begun may finish
	ended    context.Context //nolint:containedctx // done when retired; ends dials
	end      context.CancelFunc

	dialing                                          atomic.Int64
	dials, dialErrors, borrowed, timeouts, reclaimed atomic.Uint64
	inTx                                             atomic.Int64

	mu      sync.Mutex
	free    int                        // slots that nobody holds
	waiters sessionList                // those who wait for a slot
	kept    sessionList                // those who keep a lease for their next statement
	open    map[*backend.Backend]int64 // and when its lifetime is over, Unix ns
	pinned  int

	// The keeper's alone.
	heard      uint64
	quietSince time.Time
	nextSweep  time.Time
}

// grant is what a waiter gets: a slot, perhaps with a kept lease's backend, or an error.
type grant struct {
	res *puddle.Resource[*backend.Backend]
	err error
}

func newInstance(p *Pool, epoch uint64, m Member) *Instance {
	in := &Instance{
		Member: m, pool: p, epoch: epoch, free: p.cfg.Size,
		connects: make(chan struct{}, p.cfg.ConnectConcurrency),
		open:     make(map[*backend.Backend]int64),
	}
	in.ended, in.end = context.WithCancel(context.Background())
	// MaxSize ≥ 1 is the only thing that NewPool can complain about.
	in.backends, _ = puddle.NewPool(&puddle.Config[*backend.Backend]{
		Constructor: in.connect, Destructor: in.close, MaxSize: int32(p.cfg.Size),
	})
	return in
}

// Epoch is the epoch of the snapshot under which the instance took its role.
func (in *Instance) Epoch() uint64 { return in.epoch }

// Retired reports whether the instance has left its role. Its leases must not be
// used for a new statement.
func (in *Instance) Retired() bool { return in.retired.Load() }

// Lost reports whether the instance has left its role, so that what is bound to a
// lease of it is lost. It is not when the pool closes gently.
func (in *Instance) Lost() bool { return in.retired.Load() && !in.draining.Load() }

// connect is puddle's constructor.
func (in *Instance) connect(ctx context.Context) (*backend.Backend, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(in.ended, cancel)()

	in.dialing.Add(1)
	defer in.dialing.Add(-1)
	select {
	case in.connects <- struct{}{}:
		defer func() { <-in.connects }()
	case <-ctx.Done():
		return nil, ErrRetired
	}
	in.dials.Add(1)
	b, err := in.pool.cfg.Connect(ctx, in.Member)
	if err != nil {
		in.dialErrors.Add(1)
		if in.Retired() {
			return nil, ErrRetired
		}
		return nil, err
	}
	in.mu.Lock()
	in.open[b] = in.expiry(b)
	in.mu.Unlock()
	return b, nil
}

// close is puddle's destructor.
func (in *Instance) close(b *backend.Backend) {
	in.mu.Lock()
	delete(in.open, b)
	in.mu.Unlock()
	_ = b.Close()
}

// acquire gets a slot and a backend that was alive a moment ago.
func (in *Instance) acquire(ctx context.Context, s *Session) (*puddle.Resource[*backend.Backend], error) {
	res, err := in.slot(ctx, s)
	if err != nil {
		return nil, err
	}
	for {
		if res == nil {
			if res, err = in.backends.Acquire(ctx); err != nil {
				in.freeSlot()
				if errors.Is(err, puddle.ErrClosedPool) {
					err = ErrRetired
				}
				return nil, err
			}
		}
		if in.Retired() { // checked after acquiring: a connect may have outlived the retirement
			res.Destroy()
			in.freeSlot()
			return nil, ErrRetired
		}
		// ResetSession is the wrapped driver's liveness check: one non-blocking read.
		if b := res.Value(); !b.IsCut() && b.ResetSession(ctx) == nil {
			in.borrowed.Add(1)
			return res, nil
		}
		res.Destroy()
		res = nil
	}
}

// slot waits in line for a slot. It may come with the backend of a kept lease.
func (in *Instance) slot(ctx context.Context, s *Session) (*puddle.Resource[*backend.Backend], error) {
	in.mu.Lock()
	if in.Retired() {
		in.mu.Unlock()
		return nil, ErrRetired
	}
	if in.free > 0 {
		in.free--
		in.mu.Unlock()
		return nil, nil
	}
	if in.kept.first != nil {
		res := in.takeKeptLocked(in.kept.first)
		in.reclaimed.Add(1)
		in.mu.Unlock()
		return res, nil
	}
	if s.turn == nil {
		s.turn = make(chan grant, 1)
	}
	in.waiters.push(s)
	in.mu.Unlock()

	var expired <-chan time.Time
	if d := in.pool.cfg.BorrowTimeout; d > 0 {
		expired = s.alarm(d)
		defer s.timer.Stop()
	}
	select {
	case g := <-s.turn:
		return g.res, g.err
	case <-ctx.Done():
		return in.leave(s, ctx.Err())
	case <-expired:
		return in.leave(s, ErrBorrowTimeout)
	}
}

// leave takes a session out of the line that gives up, unless its turn has come.
func (in *Instance) leave(s *Session, reason error) (*puddle.Resource[*backend.Backend], error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	select {
	case g := <-s.turn:
		return g.res, g.err
	default:
	}
	in.waiters.remove(s)
	if !errors.Is(reason, ErrBorrowTimeout) {
		return nil, reason
	}
	in.timeouts.Add(1)
	return nil, &BorrowTimeoutError{
		Instance: in.ID, Waited: in.pool.cfg.BorrowTimeout, Size: in.pool.cfg.Size, Waiting: in.waiters.n,
		InTx: int(in.inTx.Load()), Pinned: in.pinned, Reasons: in.pool.pins.snapshot().String(), Dialing: int(in.dialing.Load()),
	}
}

// freeSlot hands a slot to whoever waits longest, or back.
func (in *Instance) freeSlot() {
	in.mu.Lock()
	in.freeSlotLocked()
	in.mu.Unlock()
}

func (in *Instance) freeSlotLocked() {
	if in.waiters.first == nil {
		in.free++
		return
	}
	in.grantLocked(grant{})
}

// grantLocked serves the session that waits longest.
func (in *Instance) grantLocked(g grant) {
	s := in.waiters.first
	in.waiters.remove(s)
	s.turn <- g
}

// put ends a lease. The backend goes to the session that waits longest, or back, unless
// it is too old or there are too many idle ones.
func (in *Instance) put(res *puddle.Resource[*backend.Backend]) {
	b := res.Value()
	usable := !b.IsCut() && b.IsValid() && !in.Retired()
	in.mu.Lock()
	usable = usable && !in.outlivedLocked(b)
	if usable && in.waiters.first != nil {
		in.grantLocked(grant{res: res})
		in.mu.Unlock()
		return
	}
	idle := len(in.open) - (in.pool.cfg.Size - in.free) // without this one
	in.mu.Unlock()
	if usable && idle < in.pool.cfg.MaxIdle {
		res.Release()
	} else {
		res.Destroy()
	}
	in.freeSlot()
}

// expiry is when b's lifetime is over. It varies by ±10 % from backend to backend, so
// that those connected together do not end together.
func (in *Instance) expiry(b *backend.Backend) int64 {
	limit := float64(in.pool.cfg.MaxLifetime)
	if limit <= 0 {
		return math.MaxInt64
	}
	return b.Created().UnixNano() + int64(limit*(0.9+0.2*rand.Float64()))
}

func (in *Instance) outlivedLocked(b *backend.Backend) bool {
	return in.pool.clock.Load() > in.open[b]
}

// takeKeptLocked takes a session's kept lease away from it.
func (in *Instance) takeKeptLocked(s *Session) *puddle.Resource[*backend.Backend] {
	res := s.res
	in.kept.remove(s)
	s.res = nil
	return res
}

// retire ends the instance. Idle and kept backends are closed now, those in use when
// they come back. Waiters get [ErrRetired].
func (in *Instance) retire() {
	in.retired.Store(true)
	in.end()
	in.mu.Lock()
	for in.waiters.first != nil {
		in.grantLocked(grant{err: ErrRetired})
	}
	for in.kept.first != nil {
		in.takeKeptLocked(in.kept.first).Destroy()
		in.free++
	}
	in.mu.Unlock()
	in.pool.running.Go(in.backends.Close)
}

// drained reports whether no connection is left.
func (in *Instance) drained() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.open) == 0
}

// cut closes every connection under whatever runs on it.
func (in *Instance) cut() {
	in.mu.Lock()
	open := make([]*backend.Backend, 0, len(in.open))
	for b := range in.open {
		open = append(open, b)
	}
	in.mu.Unlock()
	for _, b := range open {
		b.Cut()
	}
}
