package driver

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/pool"
)

// backend gets the session a backend for the next attempt, ready for the statement, and
// the context to execute it under.
func (c *conn) backend(ctx context.Context, x *exchange) (*backend.Backend, context.Context, error) {
	for {
		b, err := c.lease(ctx, x)
		if err != nil {
			return nil, nil, err
		}
		inner, err := b.Begin(ctx)
		if err != nil {
			c.session.Keep(ctx)
			return nil, nil, err
		}
		if c.beginning.again {
			if again, err := c.beginAgain(ctx, inner, x, b); err != nil {
				return nil, nil, err
			} else if again {
				continue
			}
		}
		x.state = c.session.State().Key()
		if x.stmt != nil {
			x.state = x.stmt.state.Key()
		}
		if !x.prepared && !x.only {
			err = x.flush(inner, b)
		}
		if err == nil && x.facts.Plain() && c.oneShot == "" && !x.unseen() {
			return b, inner, nil
		}
		if err == nil {
			err = cmp.Or(c.ready(inner, x), b.Ended())
		}
		if err == nil {
			return b, inner, nil
		}
		if errors.Is(err, pool.ErrAnswerGone) {
			b.End()
			c.session.Keep(ctx)
			return nil, nil, ErrAnswerGone
		}
		v := c.classify(ctx, x, err)
		v.Outcome, v.Repeatable = failover.NotExecuted, true // it was about to be
		if err = c.decide(ctx, x, v, err); err != nil {
			return nil, nil, err
		}
	}
}

// lease gets the session a backend: the one it is bound to, or one of the instance that
// the statement belongs to, waiting at the gate while there is none.
func (c *conn) lease(ctx context.Context, x *exchange) (*backend.Backend, error) {
	if c.lost != nil {
		return nil, c.lost
	}
	c.cluster.pool.Wake()
	c.aim(ctx, x)
	if err := c.refusal(x); err != nil {
		return nil, err
	}
	if c.beginsElsewhere(x) {
		c.leaveReader(ctx)
	}
	c.session.SetWary(c.harms(x))
	if c.session.Bound() {
		b, err := c.boundBackend(ctx, x)
		if b != nil && !c.answers(x) {
			return nil, ErrAnswerGone
		}
		if b != nil && x.facts.AsksWarnings() {
			x.clear = c.stale && !b.MariaDB() // where preparing leaves warnings alone
		}
		if b != nil || err != nil {
			return b, err
		}
	}
	if x.facts.AsksLastStatement() {
		if !c.answerHeld(ctx, x) || c.session.Backend() != nil && c.session.Instance().Role != writerRole && x.facts.MayWrite() {
			c.session.Keep(ctx)
			return nil, cmp.Or(ctx.Err(), ErrAnswerGone)
		}
		if b := c.session.Backend(); b != nil {
			x.in = c.session.Instance()
			x.attempts++
			return b, nil
		}
	}
	for {
		in, need := c.route(ctx, x)
		if in == nil {
			if err := c.wait(ctx, x, need); err != nil {
				return nil, err
			}
			continue
		}
		x.in = in
		c.session.SetElsewhere(c.forReaders(x) || in.Role == writerRole && c.mayFallBack(x))
		err := c.session.Borrow(ctx, in, x.text)
		if lost := c.session.Lost(); lost != "" {
			err = c.loseVariables(x, lost, err)
			c.session.Keep(ctx)
			return nil, err
		}
		if err == nil && c.manually(in, x) {
			x.reads, x.target = false, targetWriter
			c.session.Keep(ctx)
			continue
		}
		if err == nil {
			x.attempts++
			if x.attempts > 1 {
				c.cluster.retried.Add(1)
			}
			return c.session.Backend(), nil
		}
		if err = c.connectFault(ctx, x, err); err != nil {
			return nil, err
		}
	}
}

// answerHeld reports whether the answer to a question about the last statement is on the
// session's lease.
func (c *conn) answerHeld(ctx context.Context, x *exchange) bool {
	held := c.session.Hold(ctx, x.text) && !c.session.Instance().Retired()
	switch {
	case c.blank, c.silent && !x.facts.AsksWarnings():
		return false
	case held:
		return c.answers(x)
	case x.facts.AsksWarnings() && !x.facts.AsksFoundRows() && !c.session.HasAnswered():
		x.clear = true // there is none yet, and nobody else's may show
		return true
	}
	return false
}

// answers reports whether the session's backend has the FOUND_ROWS() and the warnings, if the
// statement asks for them, of the session and not of another one's statement.
func (c *conn) answers(x *exchange) bool {
	return (c.session.Found() || !x.facts.AsksFoundRows()) && (c.session.Answered() && !c.silenced || !x.facts.AsksWarnings())
}

// boundBackend returns the backend that holds the session's transaction or pins,
// unless it is gone or its instance has lost its role. It returns nothing if nothing
// was lost with it.
func (c *conn) boundBackend(ctx context.Context, x *exchange) (*backend.Backend, error) {
	b := c.session.Backend()
	x.in = c.session.Instance()
	if free := !c.inTx && !c.session.InTx() && c.session.Pins() == 0; free && (x.in.Retired() || !x.facts.AsksLastStatement() && !c.serves(ctx, x)) {
		c.session.Release(ctx) // nothing but fpPoolMode=session binds it
		return nil, nil
	}
	x.attempts++
	if x.in.Lost() || b.IsCut() || !b.IsValid() || c.harms(x) && b.ResetSession(ctx) != nil {
		if c.restart(x, true) {
			return nil, nil
		}
		return nil, c.loseBound(x, failover.NotExecuted, nil)
	}
	return b, nil
}

// harms reports whether the statement would be in doubt if the session's backend turned out to be
// dead by its not being answered: so it is looked at before. In a transaction little is: nothing of that
// stays.
func (c *conn) harms(x *exchange) bool {
	return !x.again && !x.only && (x.facts.MayCommit() || !c.session.InTx())
}

// wait lets the statement wait at the gate.
func (c *conn) wait(ctx context.Context, x *exchange, need failover.Need) error {
	if failover.IsWithoutRetry(ctx) {
		return c.failure(x, failover.ErrUnavailable, failover.NotExecuted)
	}
	c.startClock(x)
	need.Timeout = time.Until(c.limit(x))
	c.session.Queue(nil)
	pass, err := c.cluster.gate.Wait(ctx, need)
	switch {
	case err == nil:
		c.session.Queue(pass)
		return nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return err
	default:
		e := c.failure(x, err, failover.NotExecuted)
		if errors.Is(err, failover.ErrGateTimeout) {
			e.Detail = c.cluster.shortage(need.Role)
		}
		return e
	}
}

// startClock begins the count of fpFailoverTimeout, at a statement's first fault.
func (c *conn) startClock(x *exchange) {
	if x.since.IsZero() {
		x.since = time.Now()
		c.cluster.incidents.Enter()
	}
}

// limit is the end of fpFailoverTimeout.
func (c *conn) limit(x *exchange) time.Time { return c.cluster.patience(x.since) }

// failure makes the error that the application gets, with all that is known.
func (c *conn) failure(x *exchange, kind error, outcome failover.Outcome) *failover.Error {
	if x.losses > 0 && !x.again {
		outcome = failover.Unknown // whatever met it last: it may have been executed before
	}
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
