package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
)

// exchange is one statement on its way: what it is, and what has happened to it.
// It lives on the stack of whoever executes it, so the undisturbed way costs nothing.
type exchange struct {
	text     string
	args     []driver.NamedValue
	facts    sqlscan.Facts
	prepared bool // through the backend's prepared statements
	again    bool // may be executed a second time though its answer was lost
	final    bool // not executed again whatever it is: somebody has a part of its answer

	attempts int
	in       *pool.Instance // tried last
	refused  *pool.Instance // answered "read-only" last
	faulted  *pool.Instance // where the last fault was met
	since    time.Time      // of the first fault
	limit    time.Time      // end of fpFailoverTimeout
	pause    failover.Pause
	cause    error // of the last fault
}

// backend gets the session a backend for the next attempt: the one it is bound to,
// or one of the instance that the statement belongs to, waiting at the gate while
// there is none.
func (c *conn) backend(ctx context.Context, x *exchange) (*backend.Backend, error) {
	if c.lost != nil {
		return nil, c.lost
	}
	if c.session.Bound() {
		return c.boundBackend(x)
	}
	if x.facts.AsksLastStatement() && (!c.session.Hold(ctx) || c.session.Instance().Retired()) {
		return nil, errAnswerGone
	}
	for {
		in, version := c.cluster.route()
		if in == nil {
			if err := c.wait(ctx, x, version); err != nil {
				return nil, err
			}
			continue
		}
		x.in = in
		err := c.session.Borrow(ctx, in)
		if err == nil {
			x.attempts++
			if x.attempts > 1 {
				c.cluster.retried.Add(1)
			}
			b := c.session.Backend()
			b.Mark()
			return b, nil
		}
		if err = c.connectFault(ctx, x, err); err != nil {
			return nil, err
		}
	}
}

// boundBackend returns the backend that holds the session's transaction or pins,
// unless it is gone or its instance has lost its role.
func (c *conn) boundBackend(x *exchange) (*backend.Backend, error) {
	b := c.session.Backend()
	x.in = c.session.Instance()
	x.attempts++
	if x.in.Lost() || b.IsCut() || !b.IsValid() {
		return nil, c.loseBound(x, failover.NotExecuted, nil)
	}
	b.Mark()
	return b, nil
}

// wait lets the statement wait at the gate for a version of the snapshot after
// the one that it saw.
func (c *conn) wait(ctx context.Context, x *exchange, version uint64) error {
	if failover.IsWithoutRetry(ctx) {
		return c.failure(x, failover.ErrUnavailable, failover.NotExecuted)
	}
	c.startClock(x)
	err := c.cluster.gate.Wait(ctx, writerTarget, version, time.Until(x.limit))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return err
	default:
		return c.failure(x, err, failover.NotExecuted)
	}
}

// startClock begins the count of fpFailoverTimeout, at a statement's first fault.
func (c *conn) startClock(x *exchange) {
	if !x.since.IsZero() {
		return
	}
	x.since = time.Now()
	limit := c.cluster.cfg.FailoverTimeout
	if limit <= 0 {
		limit = unbounded
	}
	x.limit = x.since.Add(limit)
}

// unbounded stands for "no limit but the context's".
const unbounded = 10 * 365 * 24 * time.Hour

// failure makes the error that the application gets, with all that is known.
func (c *conn) failure(x *exchange, kind error, outcome failover.Outcome) *failover.Error {
	e := failover.New(kind, outcome, x.cause)
	e.Attempts = x.attempts
	if x.in != nil {
		e.Instance, e.Epoch = x.in.ID, x.in.Epoch()
	}
	if !x.since.IsZero() {
		e.Elapsed = time.Since(x.since)
	}
	return e
}

// query executes x for its rows, as often as it takes.
func (c *conn) query(ctx context.Context, x *exchange) (driver.Rows, error) {
	ctx, o := c.cluster.telemetry.observe(ctx)
	inner, err := c.innerRows(ctx, x)
	c.cluster.telemetry.done(ctx, o, x.text, x, err)
	if err != nil {
		return nil, err
	}
	c.rows = rows{conn: c, inner: inner, ctx: ctx, x: *x}
	return &c.rows, nil
}

func (c *conn) innerRows(ctx context.Context, x *exchange) (innerRows, error) {
	for {
		b, err := c.backend(ctx, x)
		if err != nil {
			return nil, err
		}
		r, err := x.queryOn(ctx, b)
		if err == nil {
			inner, ok := r.(innerRows)
			if !ok {
				_ = r.Close()
				return nil, fmt.Errorf("failoverproxy: rows of unexpected type %T from the wrapped driver", r)
			}
			return inner, nil
		}
		if err = c.fault(ctx, x, err); err != nil {
			return nil, err
		}
	}
}

func (x *exchange) queryOn(ctx context.Context, b *backend.Backend) (driver.Rows, error) {
	if !x.prepared {
		return b.QueryContext(ctx, x.text, x.args)
	}
	st, err := x.prepareOn(ctx, b)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, x.args)
}

// exec executes x for its result, as often as it takes.
func (c *conn) exec(ctx context.Context, x *exchange) (driver.Result, error) {
	ctx, o := c.cluster.telemetry.observe(ctx)
	result, err := c.innerResult(ctx, x)
	c.cluster.telemetry.done(ctx, o, x.text, x, err)
	return result, err
}

func (c *conn) innerResult(ctx context.Context, x *exchange) (driver.Result, error) {
	for {
		b, err := c.backend(ctx, x)
		if err != nil {
			return nil, err
		}
		result, err := x.execOn(ctx, b)
		if err == nil {
			c.settle(ctx, x.facts, nil)
			return result, nil
		}
		if err = c.fault(ctx, x, err); err != nil {
			return c.rolledBack(x, err)
		}
	}
}

// rolledBack turns the loss of a transaction that was to be rolled back into the
// success that it is.
func (c *conn) rolledBack(x *exchange, err error) (driver.Result, error) {
	if x.facts.Kind == sqlscan.Rollback && x.facts.EndsTransaction() && errors.Is(err, failover.ErrTransactionLost) {
		c.lost = nil
		return noResult{}, nil
	}
	return nil, err
}

func (x *exchange) execOn(ctx context.Context, b *backend.Backend) (driver.Result, error) {
	if !x.prepared {
		return b.ExecContext(ctx, x.text, x.args)
	}
	st, err := x.prepareOn(ctx, b)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, x.args)
}

// prepareOn gets the statement prepared on b. Whatever goes wrong, the statement
// itself was not sent.
func (x *exchange) prepareOn(ctx context.Context, b *backend.Backend) (*backend.Statement, error) {
	st, err := b.Prepared(ctx, x.text)
	b.Mark()
	if err != nil {
		return nil, err
	}
	if want := st.NumInput(); want != len(x.args) {
		return nil, fmt.Errorf("sql: expected %d arguments, got %d", want, len(x.args))
	}
	return st, nil
}

// settle ends a statement on the session's backend: what the server's flags and
// the statement's text say of the session's state is taken over, and the lease is
// kept or held. err is the statement's own error, if it had one.
func (c *conn) settle(ctx context.Context, facts sqlscan.Facts, err error) {
	b := c.session.Backend()
	if b == nil {
		return
	}
	pins := pinsOf(facts)
	if err != nil && b.IsValid() && (c.session.InTx() || pins != 0) {
		// An ERR packet carries no flags: ask. A failure shows in IsValid.
		_ = b.Ping(context.WithoutCancel(ctx))
	}
	if !b.IsValid() {
		c.lose(&exchange{facts: facts, in: c.session.Instance(), attempts: 1}, failover.NotExecuted, nil)
		return
	}
	c.session.SetInTx(c.inTx || b.InTransaction())
	c.session.Pin(pins)
	c.session.Keep()
}
