package driver

import (
	"context"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

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
	// Ping would change what ROW_COUNT() says. But of a driver.Tx nothing may go on in another one.
	assumed := err != nil && b.Status()&backend.StatusAutocommit == 0 && (c.session.InTx() || !x.only && !failover.Unparsed(err)) &&
		!(c.inTx && failover.EndsTransaction(err))
	if err != nil && !assumed && b.IsValid() && c.mayTurn(x, err) {
		current = b.Ping(context.WithoutCancel(ctx)) == nil
	}
	stopped = b.End()
	dead := !b.IsValid()
	if dead && err != nil {
		c.lose(&exchange{facts: x.facts, in: c.session.Instance(), attempts: 1}, failover.NotExecuted, nil)
		return stopped
	}
	if err != nil && x.facts.Inserts() && !failover.Unresolved(err) && sqlscan.SeveralRows(x.text, c.mode) {
		c.session.MayHaveInserted()
	}
	c.answeredIn(x)
	c.session.SetReading(false)
	c.answered(x, err)
	before := c.session.InTx()
	if err != nil && current && c.inTx && !b.InTransaction() && failover.EndsTransaction(err) {
		// Rolled back, by a deadlock say: what comes next in it must not run in autocommit.
		x.cause = err
		_ = c.loseTx(x, failover.NotExecuted)
	}
	c.session.SetInTx(c.inTx && c.lost == nil || assumed || b.InTransaction())
	c.assumed = assumed
	c.manual = b.Status()&backend.StatusAutocommit == 0
	if !c.session.InTx() {
		c.ended()
	}
	changed := c.reported(x, current, before != c.session.InTx())
	if changed || !x.facts.Plain() || x.unseen() {
		c.learn(x, err, changed)
	}
	if c.oneShot != "" || c.session.Pins()&sqlscan.EffectNextTransaction != 0 {
		c.consumed(x, err)
	}
	c.mode = modeOf(b) | c.cluster.charset
	switch {
	case dead: // the statement ended as it should, and what it left behind went with the connection
		c.lose(&exchange{facts: x.facts, in: c.session.Instance(), attempts: 1}, failover.NotExecuted, nil)
	case err == nil && x.facts.Releases():
		c.hungUp = true
		c.session.Discard() // before anybody else is given what the server is about to close
	default:
		c.session.Keep(ctx)
	}
	return stopped
}

// reported reports whether the server has said that the statement changed the session's
// state. current says that the server's flags are the statement's, turned that a transaction
// has begun or ended.
func (c *conn) reported(x *exchange, current, turned bool) bool {
	b := c.session.Backend()
	changed := x.changed
	// Servers go to the default schema of a prepared statement and back, and report that.
	went := x.stmt != nil && x.stmt.state.Schema() != c.session.State().Schema()
	if !changed && current && !x.only && b.Changed() && !b.Unreported() && !went {
		// MySQL reports the begin and the end of a transaction, too: where it does not say what
		// it reports, one that is seen explains it.
		state, known := b.Reported()
		changed = state && (known || !turned || x.facts.Effects != 0)
	}
	if current && !x.only && (b.Changed() || !x.rows) {
		b.Settled() // a result's end may have kept it back
	}
	if went && !current {
		b.Withhold()
	}
	return changed
}

// answered notes which questions about its last statement the session's backend can answer
// now.
func (c *conn) answered(x *exchange, err error) {
	if x.only && x.text == "" { // a Ping leaves what it found, which is the session's or not
		c.blank = c.blank || !c.session.Answered()
		return
	}
	c.blank, c.stale, c.silent, c.silenced = x.only, x.only && x.kept, x.facts.LeavesCounts(), x.silenced
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

// modeOf reads how the server reads quotes, as far as it tells.
func modeOf(b *backend.Backend) sqlscan.Mode {
	if b.Status()&backend.StatusNoBackslashEscapes != 0 {
		return sqlscan.AnyQuotes | sqlscan.NoBackslashEscapes
	}
	return sqlscan.AnyQuotes
}
