package pool

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// Member is one instance of the cluster as [Pool.Apply] is told of it.
type Member struct {
	ID   string
	Addr string
	Role string // "writer" or "reader"
	Down bool   // known dead: what is in use is cut
	// Draining: nothing new is to go to it, what has begun may finish.
	Draining bool
	// Weight is its share of what others could do as well, see [Balance].
	Weight int
}

// Config says how a [Pool] behaves. All fields are read once, by [New].
type Config struct {
	// Connect makes a backend and checks that it is the instance it should be. The
	// context ends when the instance is retired. Required.
	Connect func(ctx context.Context, m Member) (*backend.Backend, error)
	// Size is how many backends an instance may have, at least 1.
	Size int
	// Limit asks a server how many backends it may have instead, over the first one; nil
	// means Size.
	Limit func(ctx context.Context, b *backend.Backend) (int, error)
	// Fleet makes Size, or Limit's, the most that an instance may have, and its share of what
	// several processes may have together the number that it has; nil = off.
	Fleet *Fleet
	// MinIdle is how many idle backends are kept ready per instance; MaxIdle is how many
	// are kept at most, 0 none. Both may depend on the number that there may be.
	MinIdle, MaxIdle Share
	// Schema is the default schema of new connections.
	Schema string
	// NoSchema reports whether a server refused a default schema for good: there is none of that
	// name, or not for this user. nil = never.
	NoSchema func(err error) bool
	// SessionMode gives a session one backend for as long as it lives.
	SessionMode bool
	// IdleTimeout closes a backend that was idle for so long; 0 = never.
	IdleTimeout time.Duration
	// MaxLifetime closes a backend of that age, ±10 %, when it comes back; 0 = never.
	MaxLifetime time.Duration
	// BorrowTimeout ends a wait for a backend with [ErrBorrowTimeout]; 0 = never.
	BorrowTimeout time.Duration
	// ConnectConcurrency is how many backends of one instance are connected at a
	// time, at least 1.
	ConnectConcurrency int
	// StallTimeout is how long an instance may be silent, with answers due, before
	// Silent is called: never later, and by a twentieth earlier at most; 0 = for ever.
	StallTimeout time.Duration
	// Silent is called from the pool's own goroutine, without locks, for an instance
	// of which no connection received a byte for StallTimeout while answers were due.
	// It may be one that is not used any more: see [Pool.Cut].
	Silent func(m Member)
	// Standstill is how long this process must have stood still to be treated so, see
	// [Pool.Wake]: several seconds, as nothing else is to be taken for it; 0 = never.
	Standstill time.Duration
	// Thawed is called when the process goes on after a standstill, with the
	// time that it took. It must not block, nor call the pool: all who use it wait.
	Thawed func(took time.Duration)
	// Balance is how [Pool.Choose] chooses.
	Balance Balance
	// GaugeInterval is how often the round trip to each instance is measured; 0 = never.
	GaugeInterval time.Duration
}

// Share is a number that may depend on a whole; nil is 0.
type Share func(whole int) int

// Fixed is a number that does not.
func Fixed(n int) Share { return func(int) int { return n } }

func (f Share) of(whole int) int {
	if f == nil {
		return 0
	}
	return f(whole)
}

// Pool holds the backends of all instances of a cluster. It is safe for
// concurrent use. It starts its one goroutine with the first instance and stops it
// in [Pool.Close].
type Pool struct {
	cfg       Config
	instances atomic.Pointer[map[string]*Instance] // immutable, replaced by Apply
	clock     atomic.Int64                         // Unix ns as of the keeper's last round: coarse, free to read; 0 before the first
	thawed    atomic.Int64                         // the clock as of the end of the last standstill; 0 = none
	pins      pinCounters                          // in force
	pinned    pinCounters                          // since the start
	normal    normals
	turns     atomic.Uint64 // see Choose

	waking  sync.Mutex         // serialises what follows a standstill
	apply   sync.Mutex         // serialises Apply and Close
	leaving []*Instance        // retired, with backends still out; guarded by apply
	health  map[string]*health // of all members, by id; guarded by apply
	started bool
	closed  atomic.Bool
	stop    chan struct{}
	running sync.WaitGroup // keeper and the retired instances' closing
}

// New makes a pool without instances; it starts nothing.
func New(cfg Config) *Pool {
	p := &Pool{cfg: cfg, stop: make(chan struct{}), health: make(map[string]*health)}
	p.cfg.Size = max(cfg.Size, 1)
	if p.cfg.NoSchema == nil {
		p.cfg.NoSchema = func(error) bool { return false }
	}
	p.cfg.ConnectConcurrency = max(cfg.ConnectConcurrency, 1)
	p.instances.Store(&map[string]*Instance{})
	return p
}

// Apply makes the pool's instances those of members, as of epoch. An instance that
// is in another role, at another address, down or gone is retired; one that is back
// begins anew. It does not wait for connections to close.
func (p *Pool) Apply(epoch uint64, members []Member) {
	p.apply.Lock()
	defer p.apply.Unlock()
	if p.closed.Load() {
		return
	}
	old := *p.instances.Load()
	next := make(map[string]*Instance, len(members))
	cut, draining := make(map[string]bool), make(map[string]string)
	for _, m := range members {
		if m.Down {
			cut[m.ID] = true
			continue
		}
		if m.Draining {
			draining[m.ID] = m.Role
			continue
		}
		if have := old[m.ID]; have != nil && have.Member == m {
			next[m.ID] = have
			continue
		}
		next[m.ID] = newInstance(p, epoch, m, p.arrive(m.ID))
	}
	p.instances.Store(&next)
	maps.DeleteFunc(p.health, func(id string, _ *health) bool {
		return !slices.ContainsFunc(members, func(m Member) bool { return m.ID == id })
	})
	for id, have := range old {
		if next[id] != have {
			have.draining.Store(draining[id] == have.Role)
			have.retire()
			p.leaving = append(p.leaving, have)
		}
	}
	// An instance may lose its role first and turn out to be dead later.
	p.leaving = slices.DeleteFunc(p.leaving, func(in *Instance) bool {
		if cut[in.ID] {
			in.cut()
		}
		if now := next[in.ID]; draining[in.ID] != in.Role && (now == nil || now.Role != in.Role) {
			in.draining.Store(false) // what has begun there cannot finish
		}
		return in.drained()
	})
	if !p.started && len(next) > 0 {
		p.started = true
		p.clock.Store(time.Now().UnixNano())
		p.running.Go(p.keep)
	}
}

// arrive is the health of an instance that has come, or come back.
func (p *Pool) arrive(id string) *health {
	h := p.health[id]
	if h == nil {
		h = &health{}
		p.health[id] = h
	}
	h.arrive(time.Now().UnixNano())
	return h
}

// Adopt takes a connection that somebody else has made to an instance, if there is room for it, for
// the next who asks: ready makes it what [Config.Connect] makes, or closes it. It reports whether
// the connection is the pool's now.
func (p *Pool) Adopt(ctx context.Context, id, role string, ready func(ctx context.Context, m Member) (*backend.Backend, error)) bool {
	in := p.Instance(id, role)
	if in == nil {
		return false
	}
	called := false
	_ = in.backends.CreateResource(context.WithValue(ctx, adopted{}, func(ctx context.Context, m Member) (*backend.Backend, error) {
		called = true
		return ready(ctx, m)
	}))
	return called
}

// adopted is the key of what replaces Config.Connect for one connection.
type adopted struct{}

// Doubt notes whether an instance is in doubt: it is in use still, but see
// [Session.SetElsewhere].
func (p *Pool) Doubt(id string, now bool) {
	if in := (*p.instances.Load())[id]; in != nil {
		in.doubted(now)
	}
}

// Instance returns the instance with that id in that role, nil if there is none.
func (p *Pool) Instance(id, role string) *Instance {
	if in := (*p.instances.Load())[id]; in != nil && in.Role == role {
		return in
	}
	return nil
}

// Cut ends what is under way on an instance that was at m's address and is not used any more: it is
// known dead.
func (p *Pool) Cut(m Member) {
	p.apply.Lock()
	defer p.apply.Unlock()
	for _, in := range p.leaving {
		if in.ID == m.ID && in.Addr == m.Addr {
			in.draining.Store(false)
			in.cut()
		}
	}
}

// Left describes what is left of an instance that is not used any more, "" if nothing is.
func (p *Pool) Left(id string) string {
	p.apply.Lock()
	defer p.apply.Unlock()
	for _, in := range p.leaving {
		if in.ID == id && !in.drained() {
			return in.left()
		}
	}
	return ""
}

// Close retires every instance and waits until all backends are closed, or ctx
// ends. With force, backends in use are cut; without, they are waited for.
func (p *Pool) Close(ctx context.Context, force bool) error {
	p.apply.Lock()
	if !p.closed.Swap(true) {
		close(p.stop)
	}
	for _, in := range *p.instances.Swap(&map[string]*Instance{}) {
		in.draining.Store(true)
		in.retire()
		p.leaving = append(p.leaving, in)
	}
	if force {
		for _, in := range p.leaving {
			in.cut()
		}
	}
	p.apply.Unlock()

	done := make(chan struct{})
	go func() {
		p.running.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(closePoll):
			// What was cut and waits for no answer is held by a session that somebody forgot
			// to close: there is nothing left to wait for.
			if force && p.forgotten() {
				return nil
			}
		}
	}
}

const closePoll = 20 * time.Millisecond

// forgotten reports whether no statement is being executed any more.
func (p *Pool) forgotten() bool {
	p.apply.Lock()
	defer p.apply.Unlock()
	for _, in := range p.leaving {
		if in.executing() {
			return false
		}
	}
	return true
}

// Stats returns the state of every instance and the pins in force.
func (p *Pool) Stats() Stats {
	s := Stats{Pins: p.pins.snapshot(), Pinned: p.pinned.snapshot()}
	for _, in := range sortedByID(maps.Values(*p.instances.Load())) {
		s.Instances = append(s.Instances, in.stats())
	}
	return s
}
