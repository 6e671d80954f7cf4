package driver

import (
	"context"
	"errors"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

// fault decides what becomes of a statement whose attempt on a backend ended with
// err: nil means that it is to be tried again, anything else goes to the
// application. This is the table of faults; its rows are in order of precedence.
func (c *conn) fault(ctx context.Context, x *exchange, err error) error {
	return c.decide(ctx, x, c.classify(ctx, x, err), err)
}

// decide is fault for an error that is classified already.
func (c *conn) decide(ctx context.Context, x *exchange, v failover.Verdict, err error) error {
	if v.Class == failover.ClassStatement {
		misdirected := x.target == targetReader && c.stays(x) && failover.ReadOnly(err)
		if c.settle(ctx, x, err) {
			return ctx.Err() // stopped by KILL QUERY; the connection lives on
		}
		if misdirected {
			return c.misdirected(x, err)
		}
		return err
	}
	if v.Class == failover.ClassCancelled {
		if b := c.session.Backend(); b.IsValid() && !b.IsCut() {
			c.settle(ctx, x, err) // it ended between two round trips
			return ctx.Err()
		}
		// The connection was closed under a statement that did not end.
		c.lose(x, v.Outcome, err)
		return ctx.Err()
	}
	c.suspect(v.Class)
	c.cluster.blame(c.session.Instance(), v.Class)
	c.startClock(x)
	x.cause = err
	if c.session.Bound() && !c.restart(x, v.Repeatable) {
		// It may be bound by nothing but fpPoolMode=session.
		if err := c.loseBound(x, v.Outcome, err); err != nil {
			return err
		}
	}
	c.session.Discard()
	return c.retry(ctx, x, v)
}

// retry decides about a statement whose backend is gone and that nothing bound to it.
func (c *conn) retry(ctx context.Context, x *exchange, v failover.Verdict) error {
	switch {
	case x.final && x.facts.Read():
		c.cluster.interrupted.Add(1)
		return c.failure(x, failover.ErrResultInterrupted, v.Outcome)
	case x.final || !v.Repeatable && !x.again && !failover.IsIdempotent(ctx):
		c.cluster.outcomeUnknown.Add(1)
		return c.failure(x, failover.ErrOutcomeUnknown, v.Outcome)
	case failover.IsWithoutRetry(ctx) && (v.Class != failover.ClassRefused || x.in.Role == writerRole): // which was to be asked first
		return c.failure(x, failover.ErrUnavailable, v.Outcome)
	case !v.Repeatable && x.again && !c.cluster.cfg.RetryReads && !failover.IsIdempotent(ctx):
		return c.failure(x, failover.ErrUnavailable, v.Outcome)
	}
	if !v.Repeatable {
		if x.losses++; x.losses == maxExecutions {
			return c.failure(x, failover.ErrUnavailable, v.Outcome)
		}
	}
	return c.next(ctx, x, v.Class)
}

// maxExecutions is how often a statement is executed whose answer is lost each time: it may be
// the statement itself that ends connections, or servers. On an instance that is well each
// time, the pauses between make it some two seconds.
const maxExecutions = 8

// next prepares another attempt. Where no change of the snapshot will call for it, it
// comes after a pause.
func (c *conn) next(ctx context.Context, x *exchange, class failover.Class) error {
	before := x.faulted
	x.faulted = x.in
	if before != x.in && class != failover.ClassBusy {
		return nil
	}
	err := x.pause.Wait(ctx, c.limit(x))
	if errors.Is(err, failover.ErrGateTimeout) {
		return c.failure(x, err, failover.NotExecuted)
	}
	return err
}

// connectFault is fault for an attempt that got no backend.
func (c *conn) connectFault(ctx context.Context, x *exchange, err error) error {
	if errors.Is(err, pool.ErrRetired) {
		c.startClock(x)
		if failover.IsWithoutRetry(ctx) {
			return c.failure(x, failover.ErrUnavailable, failover.NotExecuted)
		}
		if now := c.cluster.monitor.Snapshot().Lookup(x.in.ID); now != nil && now.State == topology.StateUp && now.Role.String() == x.in.Role && !x.in.Retired() {
			return c.next(ctx, x, failover.ClassBusy) // the doubt is over, and the pool is about to hear of it
		}
		return nil
	}
	if errors.Is(err, pool.ErrBorrowTimeout) {
		return c.gaveUp(x, err)
	}
	v := failover.Classify(ctx, err, failover.PhaseConnect)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// A reader is not needed: who finds one that cannot be trusted has the monitor see to
	// it, and goes elsewhere. A writer may have connections from better days.
	shunned := x.in.Role == readerRole && failover.Untrusted(err)
	if v.Class == failover.ClassStatement && !errors.Is(err, topology.ErrIdentity) && !shunned {
		return c.gaveUp(x, err) // credentials, an unknown database: waiting does not help
	}
	c.startClock(x)
	x.cause = err
	if failover.IsWithoutRetry(ctx) {
		return c.failure(x, failover.ErrUnavailable, failover.NotExecuted)
	}
	switch {
	case failover.Local(err):
		c.cluster.monitor.Look()
		return c.next(ctx, x, failover.ClassBusy) // nothing will say when it passes
	case v.Class != failover.ClassBusy:
		c.cluster.monitor.Suspect(x.in.ID, x.in.Epoch(), topology.ReasonConnect)
	}
	c.cluster.blame(x.in, v.Class)
	return c.next(ctx, x, v.Class)
}

// gaveUp is the error of a statement that got no backend: err, unless it was sent before.
func (c *conn) gaveUp(x *exchange, err error) error {
	if x.losses == 0 || x.again {
		return err
	}
	x.cause = err
	c.cluster.outcomeUnknown.Add(1)
	return c.failure(x, failover.ErrOutcomeUnknown, failover.Unknown)
}

// classify tells package failover what the session knows of the statement.
func (c *conn) classify(ctx context.Context, x *exchange, err error) failover.Verdict {
	v := failover.Situation{
		Phase:         c.phase(err),
		InTransaction: c.inTx || c.session.InTx(),
		MayCommit:     x.facts.MayCommit(),
		Compound:      x.facts.Compound(),
		AsksReadOnly:  c.readOnlyTx(),
		Stays:         c.stays(x),
		Confirmed:     x.readOnly == x.in && x.in != nil, // it was routed there again
	}.Classify(ctx, err)
	if v.Class == failover.ClassRefused {
		x.readOnly = x.in
	}
	return v
}

// phase says how far the statement had come on the session's backend when err appeared.
func (c *conn) phase(err error) failover.Phase {
	b := c.session.Backend()
	switch sent, answered := b.Progress(); {
	case !sent, b.Unasked(err):
		return failover.PhaseUnsent
	case answered:
		return failover.PhaseAnswering
	}
	return failover.PhaseSent
}

// suspect tells the monitor of a fault on the session's instance.
func (c *conn) suspect(class failover.Class) {
	if !class.Suspicious() {
		return
	}
	reason := topology.ReasonConnectionLost
	switch class {
	case failover.ClassRefused:
		if c.session.Instance().Role != writerRole {
			return // as readers do
		}
		reason = topology.ReasonReadOnly
	case failover.ClassGoodbye:
		reason = topology.ReasonGoodbye
	default:
	}
	in := c.session.Instance()
	c.cluster.monitor.Suspect(in.ID, in.Epoch(), reason)
}

// loseBound ends what was bound to the session's backend, which is gone, and returns
// the error for the statement that found out; nil if nothing was bound.
func (c *conn) loseBound(x *exchange, outcome failover.Outcome, cause error) error {
	if cause != nil {
		x.cause = cause
	}
	inTx, pins := c.inTx || c.session.InTx(), c.session.Pins()
	c.session.Discard()
	var state error
	if pins != 0 {
		c.cluster.stateLost.Add(1)
		e := c.failure(x, failover.ErrSessionStateLost, outcome)
		e.Detail = pins.String()
		state = e
	}
	switch {
	case inTx:
		c.stateLost = state
		return c.loseTx(x, outcome)
	case state != nil && outcome != failover.NotExecuted && !x.again:
		c.stateLost = state
		c.cluster.outcomeUnknown.Add(1)
		return c.failure(x, failover.ErrOutcomeUnknown, outcome)
	}
	return state
}

// loseTx is loseBound's part for an open transaction.
func (c *conn) loseTx(x *exchange, outcome failover.Outcome) error {
	c.beginning = beginning{} // nor is there anything to begin again
	c.ended()
	lost := c.failure(x, failover.ErrTransactionLost, failover.NotExecuted)
	if !x.facts.EndsTransaction() {
		c.lost = lost
	}
	if outcome == failover.NotExecuted {
		if x.facts.Kind != sqlscan.Rollback { // which asked for just that
			c.cluster.transactionLost.Add(1)
		}
		return lost
	}
	c.cluster.outcomeUnknown.Add(1)
	return c.failure(x, failover.ErrOutcomeUnknown, outcome)
}

// lose is loseBound where somebody else's error goes to the application now: what
// was lost shows at the session's next statement.
func (c *conn) lose(x *exchange, outcome failover.Outcome, cause error) {
	err := c.loseBound(x, outcome, cause)
	if errors.Is(err, failover.ErrSessionStateLost) {
		c.stateLost = err
	}
}

// loseVariables is the error of a session whose variables went with a connection before
// their values were known, or whose default schema is gone. refusal is the server's answer, if any.
func (c *conn) loseVariables(x *exchange, lost string, refusal error) error {
	c.cluster.stateLost.Add(1)
	if refusal != nil {
		x.cause = refusal
	}
	e := c.failure(x, failover.ErrSessionStateLost, failover.NotExecuted)
	e.Detail = lost
	return e
}
