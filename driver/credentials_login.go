package driver

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/topology"
)

// instance tells a provider what is known of who is at an address.
func (cl *cluster) instance(addr string) topology.Instance {
	if s := cl.monitor.Snapshot(); s != nil {
		for _, in := range s.Instances {
			if in.Addr == addr {
				return in
			}
		}
	}
	return topology.Instance{Addr: addr}
}

// connect makes a connection by dial, with a login that the server takes.
func (c *credentials) connect(ctx context.Context, addr string, dial func(*backend.Login) (*backend.Backend, error)) (*backend.Backend, error) {
	a := c.account(addr)
	debt := backend.DebtOf(ctx)
	try := func(l *backend.Login) (*backend.Backend, error) {
		debt.Asks()
		b, err := dial(l)
		if failover.Denied(err) {
			debt.Answered()
		}
		return b, err
	}
	g, err := c.current(ctx, a)
	if err != nil {
		return nil, err
	}
	b, err := try(g.Login)
	if !failover.Denied(err) {
		c.took(a, g, err)
		return b, err
	}
	return c.renew(ctx, a, g, err, try)
}

// renew goes on after the server has refused g: with what the provider says when it is asked
// anew, or with what the server took last, if the provider is ahead of the server. If it is
// behind, as in a rotation that has changed the password and is about to say so, there is
// nothing but to wait, for as long as a connect may take. Where nobody was ever let in that
// would only hide a mistake.
func (c *credentials) renew(ctx context.Context, a *account, g *grant, refusal error, dial func(*backend.Login) (*backend.Backend, error)) (*backend.Backend, error) {
	limit, waits := c.refusedSince(a, refusal)
	for try := 0; ; try++ {
		next, failure := c.another(ctx, a, g)
		if failure == nil && (try > 0 || !next.Same(g.Login)) {
			b, err := dial(next.Login)
			switch {
			case failover.Denied(err):
				g, refusal = next, err
			case unheard(ctx, err):
				return nil, denied(a.addr, refusal, failure)
			default:
				c.took(a, next, err)
				return b, err
			}
		}
		if old := c.former(a, g); old != nil {
			b, err := dial(old.Login)
			switch {
			case failover.Denied(err):
				c.forget(a, old)
			case unheard(ctx, err):
				return nil, denied(a.addr, refusal, failure)
			default:
				return b, err
			}
		}
		if !waits || !c.rest(ctx, a, limit) {
			return nil, denied(a.addr, refusal, failure)
		}
	}
}

// unheard reports whether another try ended because there was no time left for it. That says
// nothing about the server, which has answered the one before: it must not be taken for dead.
func unheard(ctx context.Context, err error) bool { return err != nil && ctx.Err() != nil }

// denied is the error of a connection that no login could be found for.
func denied(addr string, refusal, failure error) error {
	what := "was asked anew"
	if failure != nil {
		what = "failed when it was asked anew (" + failure.Error() + ")"
	}
	return fmt.Errorf("failoverproxy: %s refuses the credentials, and their provider %s: %w", addr, what, refusal)
}

// took notes that the server has let us in with g, unless err speaks of something else.
func (c *credentials) took(a *account, g *grant, err error) {
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a.proven, c.lately, c.proven = g, g, true
	a.refused, a.next, a.pause = time.Time{}, time.Time{}, 0
}

// refusedSince notes that the server takes nothing that we have. It returns for how long that may
// be a rotation, and whether it may be one at all.
func (c *credentials) refusedSince(a *account, refusal error) (limit time.Time, waits bool) {
	c.mu.Lock()
	now := time.Now()
	begins := a.refused.IsZero() || now.Sub(a.seen) > c.limit
	if begins {
		a.refused = now
	}
	a.seen = now
	limit, waits = a.refused.Add(c.limit), c.proven
	c.mu.Unlock()
	if begins {
		c.log.Warn("failoverproxy: the server refuses the credentials; their provider is asked anew", slog.String("error", refusal.Error()))
	}
	return limit, waits
}

// former is what the server took before it refused g, or what another of the cluster took, which
// for a password is as good: an endpoint's name leads to an instance. nil if there is nothing else.
func (c *credentials) former(a *account, g *grant) *grant {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, old := range []*grant{a.proven, c.lately} {
		if old != nil && !old.Same(g.Login) && old.valid() {
			return old
		}
	}
	return nil
}

// forget notes that the server does not take any more what it took before.
func (c *credentials) forget(a *account, old *grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.proven == old {
		a.proven = nil
	}
	if c.lately == old {
		c.lately = nil
	}
}

// rest waits until the provider may be asked again. It reports false if that does not come
// within limit and ctx.
func (c *credentials) rest(ctx context.Context, a *account, limit time.Time) bool {
	c.mu.Lock()
	until := a.next
	c.mu.Unlock()
	backend.DebtOf(ctx).Waits()
	pause := max(time.Until(until), shortestPause)
	if time.Now().Add(pause).After(limit) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-c.ended.Done():
	}
	return false
}

// dialToKill makes a connection over which statements of the user victim can be killed: one of
// the same user, whom no privilege is needed for. If the server does not take that one any
// more there is the present one, who may have the privilege.
func (cl *cluster) dialToKill(ctx context.Context, addr string, victim *backend.Login) (*backend.Backend, error) {
	if victim != nil && !cl.credentials.present(addr, victim) {
		b, err := cl.dialer.ConnectAs(ctx, addr, victim)
		if !failover.Denied(err) {
			return b, err
		}
	}
	return cl.dialer.Connect(ctx, addr)
}

// present reports whether the provider still gives the user of l.
func (c *credentials) present(addr string, l *backend.Login) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[addr]
	return a != nil && a.last != nil && a.last.User == l.User
}
