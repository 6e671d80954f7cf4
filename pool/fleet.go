package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// Fleet makes the number of backends that an instance may have a share of what all processes
// together may have there. Each process asks the server how many there are and adapts.
type Fleet struct {
	// Survey asks a server how many connections there are of the fleet. Required.
	Survey func(ctx context.Context, b *backend.Backend) (Survey, error)
	// Budget is how many of a server's connections the fleet may have. Required.
	Budget func(max int) int
	// Size is the number of processes, who share evenly; 0 finds a share without knowing it.
	Size int
	// Crowded reports whether a server refused a connection for want of room.
	Crowded func(err error) bool
	// Surveyed is called after each survey, without locks. It may be nil.
	Surveyed func(id string, limit int, f FleetStats, err error)
}

// Survey is what a server says of a fleet's connections.
type Survey struct {
	Max         int // connections that the server allows
	Connections int // of the fleet, from all processes; 0 where Fleet.Size is given
}

// FleetStats is a fleet as an instance's server showed it last. Zero without Config.Fleet, and
// before the first look.
type FleetStats struct {
	Survey
	Budget int       // connections that the fleet may have
	At     time.Time // of that look
}

// fleet is an instance's part in a fleet; guarded by the instance's lock but for the atomics.
type fleet struct {
	share  share
	wanted int      // backends that sessions would have used at most, at one time since the last look
	asker  *Session // our own that asks, if any
	seen   FleetStats

	next      atomic.Int64 // look; Unix ns
	surveying atomic.Bool
}

func (p *Pool) newFleet() *fleet {
	if p.cfg.Fleet == nil {
		return nil
	}
	return &fleet{share: share{size: 1, lot: rand.Float64(), most: p.cfg.Size}}
}

// demandLocked notes how many backends sessions would use now.
func (in *Instance) demandLocked() {
	if f := in.fleet; f != nil {
		f.wanted = max(f.wanted, in.busy.len()+in.waitingLocked()-f.has(&in.busy))
	}
}

// waitingLocked counts the sessions that wait for a backend, without our own.
func (in *Instance) waitingLocked() int { return in.waiters.len() - in.fleet.has(&in.waiters) }

// has is 1 if our own session is in a list of the instance.
func (f *fleet) has(l *sessionList) int {
	if f != nil && f.asker != nil && f.asker.list == l {
		return 1
	}
	return 0
}

// resizeLocked changes how many slots there are. Slots that are taken stay so: free is below
// zero then, and what comes back pays for it.
func (in *Instance) resizeLocked(size int) {
	more := size - in.size
	in.size = size
	in.limit.Store(int64(size))
	in.free += min(more, 0)
	for range more {
		in.freeSlotLocked()
	}
}

// refusedLocked notes that the server has no room for another connection: what there is has to
// do for now.
func (in *Instance) refusedLocked() {
	f := in.fleet
	f.share.refuse(time.Now(), in.livingLocked())
	in.resizeLocked(min(in.size, f.share.limit(), max(in.livingLocked(), 1)))
}

// crowded reports whether a connect failed for want of room while there are other backends,
// so that one of them can be waited for.
func (in *Instance) crowded(err error) bool {
	if in.fleet == nil || !in.pool.cfg.Fleet.Crowded(err) {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.livingLocked() > 0
}

// survey looks at the fleet from time to time, on instances that are in use.
func (in *Instance) survey(now time.Time) {
	f := in.fleet
	if f == nil || now.UnixNano() < f.next.Load() || !in.used() || f.surveying.Swap(true) {
		return
	}
	in.pool.running.Go(func() {
		defer f.surveying.Store(false)
		pause := in.look()
		jitter := 1 + lookJitter*(2*rand.Float64()-1)
		f.next.Store(time.Now().Add(time.Duration(float64(pause) * jitter)).UnixNano())
	})
}

// used reports whether there is a backend.
func (in *Instance) used() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.livingLocked() > 0
}

// look asks the server once, and adapts.
func (in *Instance) look() (pause time.Duration) {
	survey, err := in.ask()
	if in.Retired() {
		return lookCalm
	}
	pause = in.adapt(survey, err)
	in.shed()
	return pause
}

// meet makes the first look over the first backend, before anybody uses it.
func (in *Instance) meet(ctx context.Context, b *backend.Backend) {
	in.mu.Lock()
	met := in.fleet == nil || !in.fleet.seen.At.IsZero()
	in.mu.Unlock()
	if met {
		return
	}
	survey, err := in.pool.cfg.Fleet.Survey(ctx, b)
	if ctx.Err() == nil {
		in.adapt(survey, err)
	}
}

// adapt makes the limit what a survey makes of it.
func (in *Instance) adapt(survey Survey, err error) (pause time.Duration) {
	f, cfg := in.fleet, in.pool.cfg.Fleet
	in.mu.Lock()
	pause = lookSteady
	if err == nil {
		f.seen = FleetStats{Survey: survey, Budget: max(cfg.Budget(survey.Max), 1), At: time.Now()}
		if cfg.Size > 0 {
			pause = f.share.fix(f.seen.At, in.livingLocked(), f.seen.Budget, cfg.Size)
		} else {
			pause = f.share.see(look{now: f.seen.At, budget: f.seen.Budget, seen: survey.Connections, open: in.livingLocked(), wanted: f.wanted})
		}
		f.wanted = 0
		in.demandLocked()
		in.resizeLocked(f.share.limit())
	}
	limit, seen := in.size, f.seen
	in.mu.Unlock()
	if cfg.Surveyed != nil {
		cfg.Surveyed(in.ID, limit, seen, err)
	}
	return pause
}

// patience is how long a look waits in line for a backend, and for the answer.
const patience = time.Second

// ask asks on a backend of the pool. If all are out for long, on a connection of its own: that
// there may be more of them is what is to be found out.
func (in *Instance) ask() (Survey, error) {
	asker := &Session{in: in}
	in.setAsker(asker)
	survey, err := in.askInLine(asker)
	in.setAsker(nil)
	if !errors.Is(err, errBusy) {
		return survey, err
	}
	ctx, cancel := context.WithTimeout(in.ended, patience)
	defer cancel()
	b, err := in.pool.cfg.Connect(ctx, in.Member)
	if err != nil {
		return Survey{}, err
	}
	survey, err = in.pool.cfg.Fleet.Survey(ctx, b)
	return survey, errors.Join(err, b.Close())
}

func (in *Instance) setAsker(s *Session) {
	in.mu.Lock()
	in.fleet.asker = s
	in.mu.Unlock()
}

// errBusy: no backend came free for a look. Never leaves the package.
var errBusy = errors.New("all backends are out")

func (in *Instance) askInLine(asker *Session) (Survey, error) {
	ctx, cancel := context.WithTimeout(in.ended, patience)
	defer cancel()
	if err := asker.Borrow(ctx, in, ""); err != nil {
		if ctx.Err() != nil && !in.Retired() || errors.Is(err, ErrBorrowTimeout) {
			err = errBusy
		}
		return Survey{}, err
	}
	ctx, stop := context.WithTimeout(in.ended, patience)
	defer stop()
	c := asker.res.Value()
	survey, err := in.pool.cfg.Fleet.Survey(ctx, c.Backend)
	if ctx.Err() != nil || !c.IsValid() {
		asker.Discard()
		return survey, err
	}
	c.Settled() // what the server says of changes was for our question
	asker.Release(ctx)
	return survey, err
}

// shed closes what is over the limit: idle connections first, then those of sessions at rest. Those
// that sessions keep between statements go by and by: a look takes one where nothing is idle.
func (in *Instance) shed() {
	in.mu.Lock()
	surplus := min(int(in.backends.Stat().IdleResources()), in.livingLocked()-in.size)
	in.mu.Unlock()
	if surplus > 0 {
		for _, res := range in.acquireIdle() {
			if surplus > 0 {
				surplus--
				in.destroy(res)
			} else {
				res.ReleaseUnused()
			}
		}
	}
	over, counted := 0, false
	in.disturb(&in.resting, func(*Session) bool {
		if !counted {
			over, counted = -in.free, true // not later: a connection that is asked something first goes by and by
		}
		over--
		return over >= 0
	})
}
