package driver

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

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
	prepared bool   // through the backend's prepared statements
	state    string // the session's, by which they are told apart
	stmt     *stmt  // nil if the program did not prepare it
	only     bool   // to be prepared, not executed
	kept     bool   // it was prepared already
	again    bool   // may be executed a second time though its answer was lost
	final    bool   // not executed again whatever it is: somebody has a part of its answer

	clear   bool     // there must be no warnings
	refused bool     // GET_LOCK did not get its lock
	rows    bool     // executed for its rows
	idGone  bool     // nobody knows what LAST_INSERT_ID() was before it
	unknown bool     // it sets a variable that there is not
	letters *letters // of the connection, where the statement changes them
	changed bool     // the server said so, at the end of one of several results

	attempts int
	in       *pool.Instance // tried last
	readOnly *pool.Instance // answered "read-only" last
	faulted  *pool.Instance // where the last fault was met
	since    time.Time      // of the first fault
	pause    failover.Pause
	cause    error // of the last fault
}

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
		v.Outcome = failover.NotExecuted // it was about to be
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
	if c.session.Bound() {
		b, err := c.boundBackend(x)
		if b != nil && x.facts.AsksFoundRows() && !c.session.Found() {
			return nil, ErrAnswerGone
		}
		if b != nil && x.facts.AsksWarnings() {
			if !c.session.Answered() {
				return nil, ErrAnswerGone
			}
			x.clear = c.stale && !b.MariaDB() // where preparing leaves warnings alone
		}
		if b != nil || err != nil {
			return b, err
		}
	}
	if x.facts.AsksLastStatement() && !c.answerHeld(ctx, x) {
		c.session.Keep(ctx)
		return nil, ErrAnswerGone
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
		err := c.session.Borrow(ctx, in, x.text)
		if lost := c.session.Lost(); lost != "" {
			err = c.loseVariables(x, lost)
			c.session.Keep(ctx)
			return nil, err
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
	case c.blank, c.silent && !x.facts.AsksWarnings(), x.facts.AsksFoundRows() && !c.session.Found():
		return false
	case held:
		return c.session.Answered() || !x.facts.AsksWarnings()
	case x.facts.AsksWarnings() && !c.session.HasAnswered():
		x.clear = true // there is none yet, and nobody else's may show
		return true
	}
	return false
}

// boundBackend returns the backend that holds the session's transaction or pins,
// unless it is gone or its instance has lost its role. It returns nothing if nothing
// was lost with it.
func (c *conn) boundBackend(x *exchange) (*backend.Backend, error) {
	b := c.session.Backend()
	x.in = c.session.Instance()
	x.attempts++
	if x.in.Lost() || b.IsCut() || !b.IsValid() {
		return nil, c.loseBound(x, failover.NotExecuted, nil)
	}
	return b, nil
}

// wait lets the statement wait at the gate for a version of the snapshot after
// the one that it saw.
func (c *conn) wait(ctx context.Context, x *exchange, version uint64) error {
	if failover.IsWithoutRetry(ctx) {
		return c.failure(x, failover.ErrUnavailable, failover.NotExecuted)
	}
	x.startClock()
	err := c.cluster.gate.Wait(ctx, writerTarget, version, time.Until(c.limit(x)))
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
func (x *exchange) startClock() {
	if x.since.IsZero() {
		x.since = time.Now()
	}
}

// limit is the end of fpFailoverTimeout.
func (c *conn) limit(x *exchange) time.Time {
	limit := c.cluster.cfg.FailoverTimeout
	if limit <= 0 {
		limit = unbounded
	}
	return x.since.Add(limit)
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
	x.rows = true
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
		b, inner, err := c.backend(ctx, x)
		if err != nil {
			return nil, err
		}
		r, err := x.queryOn(inner, b)
		if err == nil {
			rows, ok := r.(innerRows)
			if !ok {
				_ = r.Close()
				return nil, fmt.Errorf("failoverproxy: rows of unexpected type %T from the wrapped driver", r)
			}
			if err = ctx.Err(); err != nil {
				// Stopped, perhaps: SLEEP returns a row then as if nothing had happened.
				c.settle(ctx, x, rows.Close())
				return nil, err
			}
			c.session.SetReading(true)
			return rows, nil
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
	return executePrepared(ctx, x, b, (*backend.Statement).QueryContext)
}

// executePrepared executes the statement as a prepared one, once more if the server does
// not know it any longer.
func executePrepared[T any](ctx context.Context, x *exchange, b *backend.Backend,
	execute func(*backend.Statement, context.Context, []driver.NamedValue) (T, error),
) (result T, err error) {
	for first := true; ; first = false {
		st, err := x.prepareOn(ctx, b)
		if err != nil {
			return result, err
		}
		r, err := execute(st, ctx, x.args)
		if err == nil || !first || !failover.NeedsPrepare(err) {
			return r, err
		}
		_ = b.Forget(st)
	}
}

// note takes note of what the server says at the end of one of several results: the next
// one says nothing of it. The beginning of a result says nothing.
func (x *exchange) note(b *backend.Backend) {
	if x.facts.Effects&sqlscan.EffectRoutine != 0 && b.Changed() {
		x.changed = true
	}
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
		b, inner, err := c.backend(ctx, x)
		if err != nil {
			return nil, err
		}
		result, err := x.execOn(inner, b)
		if err == nil {
			c.inserted(x, result)
			if c.settle(ctx, x, nil) {
				return nil, ctx.Err()
			}
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
	return executePrepared(ctx, x, b, (*backend.Statement).ExecContext)
}

// preparedOn gets it as it was prepared first: a default schema or a sql_mode that changed
// since does not change what it means.
func (x *exchange) preparedOn(ctx context.Context, b *backend.Backend) (st *backend.Statement, err error) {
	if st = b.Kept(x.text, x.state, x.args); st != nil {
		x.kept = true
		return st, nil
	}
	if x.stmt == nil {
		return b.Prepared(ctx, x.text, x.state, x.args)
	}
	err = x.stmt.conn.session.Under(ctx, x.stmt.state, func() error {
		st, err = b.Prepared(ctx, x.text, x.state, x.args)
		return err
	})
	return st, err
}

// inserted takes over what a result says of LAST_INSERT_ID(), and notes that a routine's
// intermediate results have gone by unseen.
func (c *conn) inserted(x *exchange, result driver.Result) {
	if id, err := result.LastInsertId(); err == nil {
		c.session.Inserted(id)
	}
	if x.facts.Effects&sqlscan.EffectRoutine != 0 {
		if all, ok := result.(mysql.Result); ok && len(all.AllRowsAffected()) > 1 {
			x.changed = true
		}
	}
}

// prepareOn gets the statement prepared on b. Whatever goes wrong, the statement
// itself was not sent.
func (x *exchange) prepareOn(ctx context.Context, b *backend.Backend) (*backend.Statement, error) {
	st, err := x.preparedOn(ctx, b)
	if failover.PreparedLimit(err) && b.ForgetAll() == nil {
		st, err = x.preparedOn(ctx, b)
	}
	b.Unsent()
	if err != nil {
		return nil, err
	}
	if err := x.flush(ctx, b); err != nil {
		return nil, err
	}
	if err := b.Ended(); err != nil {
		return nil, err
	}
	if want := st.NumInput(); x.prepared && want != len(x.args) {
		return nil, fmt.Errorf("sql: expected %d arguments, got %d", want, len(x.args))
	}
	return st, nil
}

// answered notes which questions about its last statement the session's backend can answer
// now.
func (c *conn) answered(x *exchange, err error) {
	if x.only && x.text == "" { // a Ping leaves what it found, which is the session's or not
		c.blank = c.blank || !c.session.Answered()
		return
	}
	c.blank, c.stale, c.silent = x.only, x.only && x.kept, x.facts.LeavesCounts()
	if err == nil && x.facts.Kind == sqlscan.Read {
		c.session.SetFound()
	}
	_, failed := failover.Number(err)
	c.session.SetAnswered(failed || err == nil && (!c.session.Backend().MariaDB() || x.facts.UsesTable()))
}

// mayTurn reports whether a transaction may have begun or ended in a statement that failed.
func (c *conn) mayTurn(x *exchange, err error) bool {
	if !c.session.InTx() {
		return (x.facts.Statements > 1 || x.facts.Opaque()) && !failover.Unparsed(err)
	}
	return x.facts.MayCommit() && !failover.Unparsed(err) || failover.EndsTransaction(err)
}

// flush lets the server report what was prepared or closed, so that what it reports at the
// end of the statement is the statement's. One that only reads can change nothing.
func (x *exchange) flush(ctx context.Context, b *backend.Backend) error {
	reads := x.facts.Kind == sqlscan.Read && x.facts.Effects|x.facts.Ends == 0
	if !b.Unreported() || x.only || reads || !b.Tracks() {
		return nil
	}
	if err := b.Ping(ctx); err != nil {
		return err
	}
	b.Settled()
	b.Unsent()
	return nil
}

// settle ends a statement on the session's backend: what the server's flags and
// the statement's text say of the session's state is taken over, and the lease is
// kept or held. err is the statement's own error, if it had one. It reports whether the
// statement was stopped because its context had ended.
func (c *conn) settle(ctx context.Context, x *exchange, err error) (stopped bool) {
	b := c.session.Backend()
	if b == nil {
		return false
	}
	// An ERR packet carries no flags: where a transaction may have begun or ended, the
	// server must be asked. A failure shows in IsValid.
	current := err == nil
	// Without autocommit a transaction is taken to be open then: the next answer tells, and a
	// Ping would change what ROW_COUNT() says.
	assumed := err != nil && b.Status()&backend.StatusAutocommit == 0 && (c.session.InTx() || !x.only && !failover.Unparsed(err))
	if err != nil && !assumed && b.IsValid() && c.mayTurn(x, err) {
		current = b.Ping(context.WithoutCancel(ctx)) == nil
	}
	stopped = b.End()
	if !b.IsValid() {
		c.lose(&exchange{facts: x.facts, in: c.session.Instance(), attempts: 1}, failover.NotExecuted, nil)
		return stopped
	}
	if err != nil && x.facts.Inserts() && !failover.Unresolved(err) && sqlscan.SeveralRows(x.text, c.mode) {
		c.session.MayHaveInserted()
	}
	c.session.SetReading(false)
	c.answered(x, err)
	before := c.session.InTx()
	c.session.SetInTx(c.inTx || assumed || b.InTransaction())
	c.assumed = assumed
	// MySQL reports the begin and the end of a transaction, too: where it does not say what it
	// reports, one that is seen explains it.
	turned := before != c.session.InTx() && x.facts.Effects == 0
	// Servers go to the default schema of a prepared statement and back, and report that.
	went := x.stmt != nil && x.stmt.state.Schema() != c.session.State().Schema()
	changed := x.changed
	if !changed && current && !x.only && b.Changed() && !b.Unreported() && !went {
		state, known := b.Reported()
		changed = state && (known || !turned)
	}
	if current && !x.only && (b.Changed() || !x.rows) {
		b.Settled() // a result's end may have kept it back
	}
	if went && !current {
		b.Withhold()
	}
	if changed || !x.facts.Plain() || x.unseen() {
		c.learn(x, err, changed)
	}
	if c.oneShot != "" || c.session.Pins()&sqlscan.EffectNextTransaction != 0 {
		c.consumed(x, err)
	}
	c.mode = modeOf(b) | c.cluster.charset
	if err == nil && x.facts.Releases() {
		c.hungUp = true
		c.session.Discard() // before anybody else is given what the server is about to close
		return stopped
	}
	c.session.Keep(ctx)
	return stopped
}
