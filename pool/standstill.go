package pool

import "time"

// A process can stand still for minutes or hours and go on as if nothing had been: a Lambda
// environment between two requests, a laptop, a machine that is moved. What it knew is as old as
// that then, and connections that nobody used may be dead without a sign: the end that a server
// sends is seen, but a NAT gateway in between forgets connections without a word, after 350 s
// (https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html#nat-gateway-troubleshooting-timeout).
// So these are not used any more after a standstill: new ones cost a few round trips, and
// their servers say who they are.

// Wake is to be called before a statement is routed. If the process stood still it calls
// Config.Thawed and gives up the connections that nobody uses. It knows by the keeper's clock, which
// had stopped, and by the time of day: the monotonic clock stops with some machines.
//
// The keeper and the sessions wake up together: who comes second waits for the first.
func (p *Pool) Wake() {
	if p.cfg.Standstill <= 0 || p.stood() == 0 {
		return
	}
	p.waking.Lock()
	defer p.waking.Unlock()
	took := p.stood()
	if took == 0 {
		return
	}
	if p.cfg.Thawed != nil {
		p.cfg.Thawed(took)
	}
	for _, in := range *p.instances.Load() {
		for _, res := range in.backends.AcquireAllIdle() {
			res.Value().Cut() // without a word: nobody may be there to hear it
			in.destroy(res)
		}
		unused := func(s *Session) bool {
			s.res.Value().Cut()
			return true
		}
		in.disturb(&in.resting, unused)
		in.disturb(&in.kept, unused)
	}
	now := time.Now().UnixNano()
	p.thawed.Store(now)
	p.clock.Store(now) // last: those who see it go on
}

// stood is how long the process has stood still, 0 if it has not. Without a keeper, as before there
// is an instance, and in a pool that closes, nobody knows.
func (p *Pool) stood() time.Duration {
	last := p.clock.Load()
	if took := time.Duration(time.Now().UnixNano() - last); took > p.cfg.Standstill && last != 0 && !p.closed.Load() {
		return took
	}
	return 0
}
