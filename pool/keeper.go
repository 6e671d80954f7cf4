package pool

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/puddle/v2"
)

// keep is the pool's one goroutine: it moves the coarse clock, listens for silent
// instances, measures how far they are and closes what was idle for too long.
func (p *Pool) keep() {
	beat := p.beat()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	last, seen := time.Now(), p.thawed.Load()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.Wake()
			now := time.Now()
			p.clock.Store(now.UnixNano())
			end := p.thawed.Load()
			thawed := end != seen // whatever time of day it was: the clock may be set back
			if seen = end; thawed {
				last = now
			}
			watched := p.retired() // what has begun there may be waited for
			for _, in := range *p.instances.Load() {
				watched = append(watched, in)
				in.sweep(now)
				in.warm(now)
				in.gauge(now)
				in.survey(now)
			}
			for _, in := range watched {
				in.owes = in.owes && !thawed // nobody was listening
				if in.silent(last, now, beat) {
					p.cfg.Silent(in.Member)
				}
			}
			last = now
		}
	}
}

// retired are the instances that are not used any more and may have backends out.
func (p *Pool) retired() []*Instance {
	p.apply.Lock()
	defer p.apply.Unlock()
	if p.closed.Load() {
		return nil
	}
	return slices.Clone(p.leaving)
}

// beat is how often the keeper looks. A silence is noticed by so much too early at most.
func (p *Pool) beat() time.Duration {
	slowest, fastest := time.Second, 5*time.Millisecond
	if p.cfg.Fleet != nil {
		slowest = lookHungry / 3
	}
	if d := p.cfg.StallTimeout / 20; d > 0 {
		return min(max(d, fastest), slowest)
	}
	return slowest
}

// silent reports whether the instance owes an answer and not one byte has come on any
// connection for StallTimeout; then it counts anew. When a byte came or a statement was
// sent is known as "between two looks" only. The silence is taken to have begun at the
// first, and the last look before its limit reports it: so never late. What went
// unanswered is owed though whoever waited for it has hung up.
func (in *Instance) silent(last, now time.Time, beat time.Duration) bool {
	limit := in.pool.cfg.StallTimeout
	if limit <= 0 || in.pool.cfg.Silent == nil {
		return false
	}
	due, heard := in.pulse()
	switch {
	case heard != in.heard:
		in.heard, in.owes, in.quietSince = heard, due, last
	case due && !in.owes:
		in.owes, in.quietSince = true, last
	}
	if !in.owes || now.Add(beat).Sub(in.quietSince) <= limit {
		return false
	}
	in.owes, in.quietSince = due, now
	return true
}

// pulse tells whether an answer is due now, and counts all signs of life: bytes that
// came, connects that ended.
func (in *Instance) pulse() (due bool, heard uint64) {
	due = in.owing.Load() > 0
	in.mu.Lock()
	defer in.mu.Unlock()
	heard = in.connected + in.past
	for c := range in.open {
		waiting, received := c.Pulse()
		due = due || waiting
		heard += received
	}
	return due, heard
}

// sweep closes the backends that were idle for IdleTimeout and those past their
// lifetime, four times within the shorter of the two but twice a minute at least.
func (in *Instance) sweep(now time.Time) {
	idle, life := in.pool.cfg.IdleTimeout, in.pool.cfg.MaxLifetime
	if idle <= 0 && life <= 0 || now.Before(in.nextSweep) {
		return
	}
	const slowest = 30 * time.Second
	every := slowest
	for _, limit := range [...]time.Duration{idle, life} {
		if limit > 0 {
			every = min(every, limit/4)
		}
	}
	in.nextSweep = now.Add(every)
	in.mu.Lock()
	spare := in.readyLocked() - in.pool.cfg.MinIdle.of(in.size)
	in.mu.Unlock()
	for _, res := range in.acquireIdle() {
		if res.Value().outlived(now.UnixNano()) || idle > 0 && res.IdleDuration() > idle && spare > 0 {
			spare--
			in.destroy(res)
		} else {
			res.ReleaseUnused()
		}
	}
	in.disturb(&in.resting, func(s *Session) bool {
		tired := idle > 0 && now.UnixNano()-s.since > int64(idle) && spare > 0
		if tired = tired || s.res.Value().outlived(now.UnixNano()); tired {
			spare--
		}
		return tired
	})
}

// acquireIdle takes all idle connections, to be given back in this order. puddle hands them out in
// the order in which it would lend them, and lends next what is given back last: backwards that
// order stays, otherwise the one that has lain longest would be used next.
func (in *Instance) acquireIdle() []*puddle.Resource[*connection] {
	idle := in.backends.AcquireAllIdle()
	slices.Reverse(idle)
	return idle
}

// readyLocked counts the connections that are there for anybody.
func (in *Instance) readyLocked() int { return in.idleLocked() + in.resting.len() }

// disturb closes the connections of sessions of a list, that of those at rest or that of those
// that keep a lease, whose connections are not to be kept.
func (in *Instance) disturb(l *sessionList, unwanted func(*Session) bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for s := l.first; s != nil; {
		next := s.after
		if unwanted(s) {
			in.dismissLocked(s)
		}
		s = next
	}
}

// dismissLocked closes the connection that a session keeps. What only that knows of the session's
// variables is asked for before, if it is there to answer.
func (in *Instance) dismissLocked(s *Session) {
	res := in.seizeLocked(s)
	if !s.bereft() || res.Value().IsCut() || in.Retired() && (in.Lost() || in.pool.closed.Load()) {
		s.forfeit()
		in.destroyLocked(res)
		in.freeSlotLocked()
		return
	}
	paid, asker := make(chan struct{}), &Session{in: in}
	s.paid = paid
	in.busyLocked(asker, "")
	in.pool.running.Go(func() {
		s.settle(context.Background(), res.Value())
		close(paid)
		in.destroy(res)
		in.leaveLease(asker)
	})
}

// warmPause comes between looks after what is to be kept ready.
const warmPause = time.Second

// warm connects until as many connections are idle as are to be kept ready, one at a time,
// in place of those that the server has closed, too.
func (in *Instance) warm(now time.Time) {
	if in.pool.cfg.MinIdle.of(in.pool.cfg.Size) == 0 || now.Before(in.nextWarm) || in.warming.Swap(true) {
		return
	}
	in.nextWarm = now.Add(warmPause)
	for _, res := range in.acquireIdle() {
		if c := res.Value(); c.IsCut() || c.ResetSession(in.ended) != nil {
			in.destroy(res)
		} else {
			res.ReleaseUnused()
		}
	}
	// One read that does not block. The lock keeps the session from taking it up.
	in.disturb(&in.resting, func(s *Session) bool {
		c := s.res.Value()
		return c.IsCut() || c.ResetSession(in.ended) != nil
	})
	in.pool.running.Go(func() {
		defer in.warming.Store(false)
		for in.missing() && in.backends.CreateResource(in.ended) == nil {
		}
	})
}

// missing reports whether fewer connections are idle than are to be kept ready, and there
// may be another.
func (in *Instance) missing() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.readyLocked() < in.pool.cfg.MinIdle.of(in.size) && in.livingLocked()+int(in.dialing.Load()) < in.size
}
