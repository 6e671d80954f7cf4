package driver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/topology"
)

// credentials gets what connections log in with from a provider, and keeps it. Nothing runs in
// it but calls of the provider, and those begin when a connection is made: so a process that
// was frozen for an hour finds nothing that was trusted meanwhile.
type credentials struct {
	first, again func(context.Context, topology.Instance) (user, password string, expiry time.Time, err error)

	direct   bool // the provider sees by itself whether there is anything new, at no cost
	inClear  bool
	limit    time.Duration // of one call: the connect deadline
	log      *slog.Logger
	instance func(addr string) topology.Instance
	ended    context.Context //nolint:containedctx // done when the cluster closes; ends calls
	end      context.CancelFunc
	running  sync.WaitGroup

	calls, refreshes, forced, failures atomic.Uint64

	mu       sync.Mutex
	accounts map[string]*account // by address
	proven   bool                // a server has let us in
	lately   *grant              // that a server took last, whichever
	closed   bool
}

// account is what is known of the logins at one address. credentials.mu guards it.
type account struct {
	addr   string
	last   *grant // what the provider gave; nil = nothing yet
	proven *grant // what the server took last
	call   *call  // under way; there is one at most

	failure error         // of the last call
	pause   time.Duration // that was made last, see rest
	next    time.Time     // not to be called before, if it failed or had nothing new

	refused time.Time // since when the server takes nothing; zero = it does
	seen    time.Time // when it was seen last that it does not
}

// grant is a login and for how long it is good. It is not changed. Its times have no monotonic
// clock, which stands still while a machine is frozen.
type grant struct {
	*backend.Login
	renew  time.Time // from then on another is fetched, in the background; zero = never
	late   time.Time // from then on it is used only if there is no other
	expiry time.Time
}

// Bounds of when a login is renewed: parts of its validity, but not more than these.
const (
	renewAhead = 5 * time.Minute
	lateAhead  = 10 * time.Second // for the connection to be made with it
)

func newGrant(l *backend.Login, now, expiry time.Time) *grant {
	g := &grant{Login: l}
	if !expiry.IsZero() {
		g.expiry = expiry.Round(0)
		left := g.expiry.Sub(now.Round(0))
		g.renew = g.expiry.Add(-min(left/5, renewAhead))
		g.late = g.expiry.Add(-min(left/20, lateAhead))
	}
	return g
}

// before reports whether t, one of a grant's times, is still to come.
func before(t time.Time) bool { return t.IsZero() || time.Now().Before(t) }

func (g *grant) valid() bool { return g != nil && before(g.expiry) }

// call is one call of the provider, which its callers share.
type call struct {
	done chan struct{}
	got  *grant
	err  error
}

// The pause after a call that failed, or that gave again what the server had refused.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = time.Second
)

func newCredentials(o options, limit time.Duration, instance func(addr string) topology.Instance) *credentials {
	if limit <= 0 {
		limit = backend.DefaultTimeout
	}
	c := &credentials{
		first: o.credentials.Credentials, again: o.credentials.Credentials,
		inClear: o.inClear(), limit: limit, log: o.log(), instance: instance, accounts: make(map[string]*account),
	}
	if p, ok := o.credentials.(CredentialsRefresher); ok {
		c.again = p.Refresh
	}
	_, c.direct = o.credentials.(*fileCredentials)
	c.ended, c.end = context.WithCancel(context.Background())
	return c
}

// stats of nil is that of no provider.
func (c *credentials) stats() CredentialsStats {
	if c == nil {
		return CredentialsStats{}
	}
	return CredentialsStats{
		Calls: c.calls.Load(), Refreshes: c.refreshes.Load(), Forced: c.forced.Load(), Failures: c.failures.Load(),
	}
}

func (c *credentials) account(addr string) *account {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[addr]
	if a == nil {
		a = &account{addr: addr}
		c.accounts[addr] = a
	}
	return a
}

// current returns what to log in with, and asks the provider if that has to be.
func (c *credentials) current(ctx context.Context, a *account) (*grant, error) {
	g, k, err := c.look(ctx, a)
	if k == nil {
		return g, err
	}
	got, err := c.wait(ctx, a, k)
	if err != nil && ctx.Err() == nil && g.valid() {
		return g, nil
	}
	return got, err
}

// look returns the login that there is, or the call to wait for. Beside a call it returns what
// will do if that fails, perhaps nil.
func (c *credentials) look(ctx context.Context, a *account) (*grant, *call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := a.last
	resting := a.call == nil && a.failure != nil && time.Now().Before(a.next)
	switch {
	case g != nil && !c.direct && before(g.late):
		if !before(g.renew) && a.call == nil && !resting {
			c.refreshes.Add(1)
			c.callLocked(ctx, a, c.first)
		}
		return g, nil, nil
	case !resting:
		return g, c.callLocked(ctx, a, c.first), nil
	case g.valid():
		return g, nil, nil
	}
	return nil, nil, a.failure
}

// another returns what the provider gives in place of g, which the server has refused: what
// somebody else has got since, or what it says when it is asked anew. It may be the same.
func (c *credentials) another(ctx context.Context, a *account, g *grant) (*grant, error) {
	for {
		c.mu.Lock()
		switch k := a.call; {
		case a.last != nil && !a.last.Same(g.Login):
			defer c.mu.Unlock()
			return a.last, nil
		case k != nil: // perhaps not one that asks the source
			c.mu.Unlock()
			if _, err := c.wait(ctx, a, k); err != nil {
				return nil, err
			}
		case time.Now().Before(a.next):
			defer c.mu.Unlock()
			return a.last, a.failure
		default:
			c.forced.Add(1)
			k = c.callLocked(ctx, a, c.again)
			c.mu.Unlock()
			return c.wait(ctx, a, k)
		}
	}
}

// wait waits for a call, and no longer than ctx allows: the provider may not heed it.
func (c *credentials) wait(ctx context.Context, a *account, k *call) (*grant, error) {
	began := time.Now()
	backend.DebtOf(ctx).Waits()
	select {
	case <-k.done:
		return k.got, k.err
	case <-ctx.Done():
		return nil, c.failed(a.addr, c.late(time.Since(began)), ctx.Err())
	}
}

// callLocked begins a call of the provider, unless one is under way.
func (c *credentials) callLocked(ctx context.Context, a *account, ask func(context.Context, topology.Instance) (string, string, time.Time, error)) *call {
	if a.call != nil {
		return a.call
	}
	k := &call{done: make(chan struct{})}
	if c.closed {
		k.err = failover.New(failover.ErrClosed, failover.NotExecuted, nil)
		close(k.done)
		return k
	}
	a.call = k
	values := context.WithoutCancel(ctx) // others will wait for it, too
	c.running.Go(func() {
		defer close(k.done)
		k.got, k.err = c.ask(values, a.addr, ask)
		c.settle(a, k.got, k.err)
	})
	return k
}

// ask calls the provider. Its error is one for applications.
func (c *credentials) ask(ctx context.Context, addr string, ask func(context.Context, topology.Instance) (string, string, time.Time, error)) (g *grant, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	defer context.AfterFunc(c.ended, cancel)()
	c.calls.Add(1)
	began := time.Now()
	defer func() {
		if r := recover(); r != nil {
			err = c.failed(addr, fmt.Sprintf("the provider panicked: %v", r), nil)
			c.log.Error("failoverproxy: the provider of driver.WithCredentials panicked", slog.String("stack", string(debug.Stack())))
		}
	}()
	user, password, expiry, err := ask(ctx, c.instance(addr))
	now := time.Now()
	switch {
	case err != nil && ctx.Err() == context.DeadlineExceeded:
		return nil, c.failed(addr, c.late(now.Sub(began)), err, password)
	case err != nil:
		return nil, c.failed(addr, err.Error(), err, password)
	case user == "":
		return nil, c.failed(addr, "the provider returned no user", nil)
	case !expiry.IsZero() && !now.Round(0).Before(expiry):
		return nil, c.failed(addr, "the provider returned a password that expired at "+expiry.UTC().Format(time.RFC3339)+
			", "+now.Round(0).Sub(expiry.Round(0)).Round(time.Millisecond).String()+" ago", nil)
	}
	return newGrant(backend.NewLogin(user, password, c.inClear), now, expiry), nil
}

// pending is what to say to somebody who cannot wait for a call that is under way; nil if none is.
func (c *credentials) pending() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.accounts {
		if a.call != nil {
			return &credentialsError{addr: a.addr, problem: "the provider has not answered yet"}
		}
	}
	return nil
}

// late says for how long the provider has not answered, and what limits it.
func (c *credentials) late(waited time.Duration) string {
	if waited >= c.limit {
		return fmt.Sprintf("the provider has not answered within %s (timeout)", c.limit)
	}
	return fmt.Sprintf("the provider has not answered for %s", waited.Round(time.Millisecond))
}

// settle takes over what a call has brought.
func (c *credentials) settle(a *account, g *grant, err error) {
	if err != nil {
		c.failures.Add(1)
	}
	c.mu.Lock()
	a.call = nil
	was, healthy := a.last, a.failure == nil
	a.failure = err
	if g != nil {
		a.last = g
	}
	if err != nil || was != nil && g.Same(was.Login) && !a.refused.IsZero() {
		a.pause = min(max(2*a.pause, shortestPause), longestPause)
		a.next = time.Now().Add(a.pause)
	} else {
		a.pause, a.next = 0, time.Time{}
	}
	c.mu.Unlock()
	switch {
	case c.ended.Err() != nil:
	case err != nil && healthy:
		c.log.Warn("failoverproxy: the credentials provider failed", slog.String("error", err.Error()), slog.Bool("usable", was.valid()))
	case err == nil && was != nil && !g.Same(was.Login):
		c.log.Info("failoverproxy: new credentials are in force for new connections", slog.String("addr", a.addr), slog.String("user", g.User))
	}
}

// close ends all calls and waits for them, until ctx ends: the provider may not heed it. There
// are none of nil.
func (c *credentials) close(ctx context.Context) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.running.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
