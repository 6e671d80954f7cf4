package pool

import "time"

// keep is the pool's one goroutine: it moves the coarse clock, listens for silent
// instances and closes what was idle for too long.
func (p *Pool) keep() {
	tick := time.NewTicker(p.beat())
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-tick.C:
			p.clock.Store(now.UnixNano())
			for _, in := range *p.instances.Load() {
				if in.silent(now) {
					p.cfg.Silent(in.ID)
				}
				in.sweep(now)
			}
		}
	}
}

// beat is how often the keeper looks: often enough to notice a silence within a
// tenth of its limit.
func (p *Pool) beat() time.Duration {
	const slowest, fastest = time.Second, 10 * time.Millisecond
	if d := p.cfg.StallTimeout / 10; d > 0 {
		return min(max(d, fastest), slowest)
	}
	return slowest
}

// silent reports whether answers have been due from the instance and not one byte
// has come on any connection for StallTimeout; then it counts anew.
func (in *Instance) silent(now time.Time) bool {
	limit := in.pool.cfg.StallTimeout
	if limit <= 0 || in.pool.cfg.Silent == nil {
		return false
	}
	due := in.dialing.Load() > 0
	heard := in.dials.Load() - in.dialErrors.Load() // a completed connect is life, too
	in.mu.Lock()
	for b := range in.open {
		waiting, received := b.Pulse()
		due = due || waiting
		heard += received
	}
	in.mu.Unlock()
	if !due || heard != in.heard || in.quietSince.IsZero() {
		in.heard, in.quietSince = heard, now
		return false
	}
	if now.Sub(in.quietSince) < limit {
		return false
	}
	in.quietSince = now
	return true
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
	for _, res := range in.backends.AcquireAllIdle() {
		in.mu.Lock()
		outlived := in.outlivedLocked(res.Value())
		in.mu.Unlock()
		if outlived || idle > 0 && res.IdleDuration() > idle {
			res.Destroy()
		} else {
			res.ReleaseUnused()
		}
	}
}
