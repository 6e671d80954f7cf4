package pool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"slices"
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
// backend from puddle without waiting for anybody but a connect that was given up, or
// connects one.
type Instance struct {
	Member
	pool     *Pool
	epoch    uint64 // of the snapshot that admitted it
	backends *puddle.Pool[*connection]
	connects chan struct{} // semaphore of Config.ConnectConcurrency
	retired  atomic.Bool
	doubt    atomic.Pointer[doubt] // never nil
	health   *health
	limit    atomic.Int64    // size, for those who do not have the lock
	draining atomic.Bool     // retired because the pool closes or somebody drains it: what has begun may finish
	fleet    *fleet          // nil without Config.Fleet
	ended    context.Context //nolint:containedctx // done when retired; ends dials
	end      context.CancelFunc

	dialing                                          atomic.Int64
	owing                                            atomic.Int64 // those of them to whom the server owes an answer
	dials, dialErrors, borrowed, timeouts, reclaimed atomic.Uint64

	mu        sync.Mutex
	size      int // slots; 1 until the server was asked, see Config.Limit and Config.Fleet
	free      int // slots that nobody holds; below zero as many as are taken beyond size
	open      map[*connection]struct{}
	closing   int    // of them, those that are about to be closed
	past      uint64 // bytes that came on connections which are closed
	connected uint64 // connects that the server has answered, with an error or not
	pinned    map[*Session]struct{}
	inTx      int
	ending    int         // slots of connections that were cut, see abandon
	waiters   sessionList // those who wait for a slot
	busy      sessionList // those who have one
	kept      sessionList // those who have one and keep a lease for their next statement
	resting   sessionList // and those of them that lie in database/sql's pool
	sized     bool        // size is final

	// The keeper's alone.
	heard      uint64    // signs of life, as of the last look
	owes       bool      // an answer was due, and none came since quietSince
	quietSince time.Time // of use only if it owes one
	nextSweep  time.Time
	nextWarm   time.Time
	nextGauge  time.Time
	warming    atomic.Bool
	gauging    atomic.Bool
}

// grant is what a waiter gets: a slot, perhaps with a connection and the session that owes it a
// question, an error, or the call to look again.
type grant struct {
	res    *puddle.Resource[*connection]
	victim *Session
	err    error
	again  bool
}

func newInstance(p *Pool, epoch uint64, m Member, h *health) *Instance {
	in := &Instance{
		Member: m, pool: p, epoch: epoch, size: p.cfg.Size, health: h,
		connects: make(chan struct{}, p.cfg.ConnectConcurrency),
		open:     make(map[*connection]struct{}),
		pinned:   make(map[*Session]struct{}),
	}
	most := p.cfg.Size
	if p.cfg.Limit != nil || p.cfg.Fleet != nil {
		in.size, most = 1, math.MaxInt32
	}
	in.fleet = p.newFleet()
	in.free = in.size
	in.limit.Store(int64(in.size))
	in.ended, in.end = context.WithCancel(context.Background())
	in.doubt.Store(newDoubt(in.ended))
	// MaxSize ≥ 1 is the only thing that NewPool can complain about.
	in.backends, _ = puddle.NewPool(&puddle.Config[*connection]{
		Constructor: in.connect, Destructor: in.close, MaxSize: int32(most),
	})
	return in
}

// Epoch is the epoch of the snapshot under which the instance took its role.
func (in *Instance) Epoch() uint64 { return in.epoch }

// Retired reports whether the instance has left its role. Its leases must not be
// used for a new statement.
func (in *Instance) Retired() bool { return in.retired.Load() }

// Lost reports whether the instance has left its role, so that what is bound to a
// lease of it is lost. It is not when the pool closes gently or the instance is drained.
func (in *Instance) Lost() bool { return in.retired.Load() && !in.draining.Load() }

// connect is puddle's constructor.
func (in *Instance) connect(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(in.ended, cancel)()

	in.dialing.Add(1)
	defer in.dialing.Add(-1)
	d := &dial{in: in}
	d.Asks()
	defer d.Waits()
	ctx = backend.WithDebt(ctx, d)
	select {
	case in.connects <- struct{}{}:
		defer func() { <-in.connects }()
	case <-ctx.Done():
		return nil, ErrRetired
	}
	in.dials.Add(1)
	connect, ok := ctx.Value(adopted{}).(func(context.Context, Member) (*backend.Backend, error))
	if !ok {
		connect = in.pool.cfg.Connect
	}
	b, err := connect(ctx, in.Member)
	if err == nil {
		if err = in.fix(ctx, b); err != nil {
			b.Cut()
			_ = b.Close()
		} else {
			in.meet(ctx, b)
		}
	}
	in.mu.Lock()
	if !silence(ctx, err) {
		in.connected++
	}
	if err != nil {
		if in.fleet != nil && in.pool.cfg.Fleet.Crowded(err) {
			in.refusedLocked()
		}
		in.mu.Unlock()
		in.dialErrors.Add(1)
		if in.Retired() {
			return nil, ErrRetired
		}
		return nil, err
	}
	c := &connection{Backend: b, expires: in.expiry(b)}
	in.open[c] = struct{}{}
	in.mu.Unlock()
	return c, nil
}

// dial is whether the server owes an answer to one connect.
type dial struct {
	in   *Instance
	owes bool
}

var _ backend.Debt = (*dial)(nil)

func (d *dial) Waits() {
	if d.owes {
		d.owes = false
		d.in.owing.Add(-1)
	}
}

func (d *dial) Asks() {
	if !d.owes {
		d.owes = true
		d.in.owing.Add(1)
	}
}

func (d *dial) Answered() {
	d.in.mu.Lock()
	d.in.connected++
	d.in.mu.Unlock()
}

// silence reports whether a connect ended for want of an answer, or of a question. Anything else is one:
// that there is no room for another connection, say.
func silence(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, backend.ErrNotAsked) {
		return true
	}
	late, ok := errors.AsType[net.Error](err)
	return ctx.Err() != nil || ok && late.Timeout()
}

// fix asks the server how many connections there may be, once.
func (in *Instance) fix(ctx context.Context, b *backend.Backend) error {
	in.mu.Lock()
	sized := in.sized || in.pool.cfg.Limit == nil
	in.mu.Unlock()
	if sized {
		return nil
	}
	n, err := in.pool.cfg.Limit(ctx, b)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.sized {
		return nil
	}
	in.sized = true
	if in.fleet != nil {
		in.fleet.share.most = max(n, 1)
	} else {
		in.resizeLocked(max(n, 1))
	}
	return nil
}

// close is puddle's destructor.
func (in *Instance) close(c *connection) {
	in.mu.Lock()
	delete(in.open, c)
	if c.closing {
		in.closing--
	}
	_, received := c.Pulse()
	in.past += received
	in.mu.Unlock()
	_ = c.Close()
}

// destroy closes a connection. The destructor runs elsewhere and later: until then it counts as open on
// the server, but no more as one of those that there are for sessions.
func (in *Instance) destroy(res *puddle.Resource[*connection]) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.destroyLocked(res)
}

func (in *Instance) destroyLocked(res *puddle.Resource[*connection]) {
	res.Value().closing = true
	in.closing++
	res.Destroy()
}

// livingLocked counts the connections that are not about to be closed.
func (in *Instance) livingLocked() int { return len(in.open) - in.closing }

// acquire gets a slot and a connection that was alive a moment ago.
func (in *Instance) acquire(ctx context.Context, s *Session, statement string) (*puddle.Resource[*connection], error) {
	for {
		res, victim, err := in.slot(ctx, s, statement)
		s.queued()
		if err != nil {
			return nil, err
		}
		if victim != nil && !in.collect(ctx, victim, s, res) {
			return nil, ctx.Err()
		}
		if res, err = in.alive(ctx, s, res); err == nil || !in.crowded(err) {
			return res, err
		}
	}
}

// alive gets whoever has a slot a connection that was alive a moment ago: res, if it is.
func (in *Instance) alive(ctx context.Context, s *Session, res *puddle.Resource[*connection]) (_ *puddle.Resource[*connection], err error) {
	for {
		if res == nil {
			if res, err = in.connection(ctx, s); err != nil {
				in.leaveLease(s)
				return nil, err
			}
		}
		if in.Retired() { // checked after acquiring: a connect may have outlived the retirement
			in.destroy(res)
			in.leaveLease(s)
			return nil, ErrRetired
		}
		// ResetSession is the wrapped driver's liveness check: one non-blocking read.
		if c := res.Value(); !c.IsCut() && c.ResetSession(ctx) == nil {
			in.borrowed.Add(1)
			return res, nil
		}
		in.destroy(res)
		res = nil
	}
}

// connection gets an idle connection, or makes one.
func (in *Instance) connection(ctx context.Context, s *Session) (*puddle.Resource[*connection], error) {
	asked := ctx
	if s.elsewhere && !in.spare() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(in.doubt.Load().ctx, cancel)()
	}
	res, err := in.backends.Acquire(ctx)
	if err != nil && (errors.Is(err, puddle.ErrClosedPool) || ctx.Err() != nil && asked.Err() == nil) {
		return nil, ErrRetired
	}
	return res, err
}

// spare reports whether there surely is a connection for whoever has just taken a slot.
func (in *Instance) spare() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.livingLocked() >= in.size-in.free
}

// idleLocked counts the connections that nobody has.
func (in *Instance) idleLocked() int {
	return in.livingLocked() - (in.size - in.free) + int(in.dialing.Load())
}

// maxIdle is how many connections may be idle: those of sessions at rest count.
func (in *Instance) maxIdle() int {
	return in.pool.cfg.MaxIdle.of(in.size) - in.resting.len()
}

// doubt is a signal: its context ends when somebody doubts that the instance is well.
type doubt struct {
	ctx   context.Context //nolint:containedctx // a signal for those who wait
	begin context.CancelFunc
}

func newDoubt(parent context.Context) *doubt {
	d := &doubt{}
	d.ctx, d.begin = context.WithCancel(parent)
	return d
}

// doubted notes whether the instance is in doubt.
func (in *Instance) doubted(now bool) {
	switch d := in.doubt.Load(); {
	case now:
		d.begin()
	case d.ctx.Err() != nil && !in.Retired():
		in.doubt.Store(newDoubt(in.ended))
	}
}

// leaveLease ends a lease without a connection.
func (in *Instance) leaveLease(s *Session) {
	in.mu.Lock()
	in.busy.remove(s)
	in.freeSlotLocked()
	in.mu.Unlock()
}

// pendingPause comes between looks whether a KILL was sent.
const pendingPause = 5 * time.Millisecond

// abandon ends a lease whose connection was cut. The slot stays taken until its statement
// was killed on the server, if it is about to be: those that were cut count for the
// server, too.
func (in *Instance) abandon(s *Session, c *connection) {
	in.mu.Lock()
	in.busy.remove(s)
	in.ending++
	in.mu.Unlock()
	in.pool.running.Go(func() {
		for c.Pending() {
			time.Sleep(pendingPause)
		}
		in.mu.Lock()
		in.ending--
		in.freeSlotLocked()
		in.mu.Unlock()
	})
}

// put ends a lease. The connection goes to the session that waits longest, or back, unless
// it is too old or there are too many idle ones.
func (in *Instance) put(s *Session, res *puddle.Resource[*connection]) {
	c := res.Value()
	usable := !c.IsCut() && c.IsValid() && !in.Retired() && !c.outlived(in.pool.clock.Load())
	in.mu.Lock()
	in.busy.remove(s)
	if usable && in.waiters.first != nil && in.free >= 0 {
		in.grantLocked(grant{res: res})
		in.mu.Unlock()
		return
	}
	// Who holds one of too many slots may have no connection, and be refused one now: this one is
	// for them then.
	usable = usable && (in.free >= 0 || in.livingLocked() <= in.size) && in.idleLocked() < in.maxIdle()
	if !usable {
		in.destroyLocked(res)
		in.freeSlotLocked()
		in.mu.Unlock()
		return
	}
	in.mu.Unlock()
	res.Release()
	in.mu.Lock()
	in.freeSlotLocked()
	in.mu.Unlock()
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

// retire ends the instance. Idle and kept backends are closed now, those in use when
// they come back. Waiters get [ErrRetired].
func (in *Instance) retire() {
	in.retired.Store(true)
	in.end()
	in.mu.Lock()
	for in.waiters.first != nil {
		in.grantLocked(grant{err: ErrRetired})
	}
	for _, l := range [...]*sessionList{&in.kept, &in.resting} {
		for l.first != nil {
			in.dismissLocked(l.first)
		}
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

// left describes what holds the connections that are left.
func (in *Instance) left() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return fmt.Sprintf("%d backends are out, %d in transactions, %d pinned", len(in.open), in.inTx, len(in.pinned))
}

// executing reports whether a connection is being made, or a statement's answer is due.
func (in *Instance) executing() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.dialing.Load() > 0 {
		return true
	}
	for c := range in.open {
		if waiting, _ := c.Pulse(); waiting {
			return true
		}
	}
	return false
}

// cut closes every connection under whatever runs on it.
func (in *Instance) cut() {
	in.mu.Lock()
	open := slices.Collect(maps.Keys(in.open))
	in.mu.Unlock()
	for _, c := range open {
		c.Cut()
	}
}
