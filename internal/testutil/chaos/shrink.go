package chaos

import (
	"slices"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// Shrink makes a plan that fails smaller: it leaves out steps, then sessions, then what is
// special in what remains, and keeps every plan that goes on to fail. It ends when more
// says so, with what it has found by then.
//
// fails is called for other plans than p only.
func Shrink(p Plan, fails func(Plan) bool, more func() bool) Plan {
	for again := true; again; {
		again = false
		for _, candidate := range p.smaller() {
			if !more() {
				return p
			}
			if fails(candidate) {
				p, again = candidate, true
				break
			}
		}
	}
	return p
}

// smaller are plans that are a little smaller, those first that leave out most.
func (p Plan) smaller() []Plan {
	var all []Plan
	with := func(change func(q *Plan)) {
		q := p
		q.Load, q.Steps = slices.Clone(p.Load), slices.Clone(p.Steps)
		for n, s := range q.Steps {
			if s.Failover != nil {
				f := *s.Failover
				q.Steps[n].Failover = &f
			}
		}
		change(&q)
		all = append(all, q)
	}
	if half := len(p.Steps) / 2; half > 1 {
		with(func(q *Plan) { q.Steps = q.Steps[half:] })
		with(func(q *Plan) { q.Steps = q.Steps[:half] })
	}
	for n := range p.Steps {
		with(func(q *Plan) { q.Steps = slices.Delete(q.Steps, n, n+1) })
	}
	for n, l := range p.Load {
		if len(p.Load) > 1 {
			with(func(q *Plan) { q.Load = slices.Delete(q.Load, n, n+1) })
		}
		if l.Sessions > 1 {
			with(func(q *Plan) { q.Load[n].Sessions = 1 })
			with(func(q *Plan) { q.Load[n].Sessions = (l.Sessions + 1) / 2 })
		}
	}
	p.plainer(with)
	return all
}

// plainer takes away what is special about the plan.
func (p Plan) plainer(with func(change func(q *Plan))) {
	if p.Latency > 0 {
		with(func(q *Plan) { q.Latency = 0 })
	}
	plain := Driver{
		PoolSize: 25, PoolMaxIdle: 25, ConnectConcurrent: 10, GateSize: 10000, PreparedCache: 256,
		FailoverTimeout: longTimeout, BorrowTimeout: longTimeout, ProbeInterval: p.Driver.ProbeInterval,
		ProbeIntervalFast: p.Driver.ProbeIntervalFast, ProbeTimeout: p.Driver.ProbeTimeout, StallTimeout: p.Driver.StallTimeout,
		Extra: p.Driver.Extra,
	}
	if p.Driver != plain {
		with(func(q *Plan) { q.Driver = plain })
	}
	for _, restore := range []func(d *Driver){
		func(d *Driver) { d.PoolSize, d.PoolMaxIdle, d.SessionMode = 25, 25, false },
		func(d *Driver) { d.PoolMaxIdle = d.PoolSize },
		func(d *Driver) { d.Target = "" },
		func(d *Driver) { d.ConnectConcurrent = 10 },
		func(d *Driver) { d.GateSize = 10000 },
		func(d *Driver) { d.PreparedCache = 256 },
		func(d *Driver) { d.FailoverTimeout = longTimeout },
		func(d *Driver) { d.BorrowTimeout = longTimeout },
		func(d *Driver) { d.SessionReset = false },
		func(d *Driver) { d.NoRetryReads = false },
		func(d *Driver) { d.NoCancelQuery = false },
		func(d *Driver) { d.Interpolate = false },
		func(d *Driver) { d.InitQuery = "" },
	} {
		d := p.Driver
		if restore(&d); d != p.Driver {
			with(func(q *Plan) { q.Driver = d })
		}
	}
	for n, s := range p.Steps {
		if s.Skip > 0 {
			with(func(q *Plan) { q.Steps[n].Skip = 0 })
		}
		if f := s.Failover; f != nil {
			if plain := (aurorasim.Failover{Kind: f.Kind, PromoteAfter: f.PromoteAfter, RestartAfter: f.RestartAfter, DNSAfter: f.DNSAfter}); plain != *f {
				with(func(q *Plan) { q.Steps[n].Failover = &plain })
			}
			if plain := (aurorasim.Failover{Kind: f.Kind, PromoteAfter: time.Second}); plain != *f {
				with(func(q *Plan) { q.Steps[n].Failover = &plain })
			}
		}
	}
}
