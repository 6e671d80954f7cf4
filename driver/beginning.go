package driver

import (
	"context"
	"database/sql/driver"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// beginning is how the session's open transaction began, as long as it has answered no
// statement: then nothing is lost with its connection, and it can begin again elsewhere.
type beginning struct {
	fresh    bool // it is known, and nothing was answered
	again    bool // the connection is gone: the next one is to begin with it
	onReader bool // it began on a reader, and is to begin on one again
	text     string
	opts     driver.TxOptions // of the driver.Tx, if one is open
}

// began notes that a transaction has begun. One that has used up a SET TRANSACTION cannot begin
// again: that is gone.
func (c *conn) began(x *exchange, opts driver.TxOptions) {
	c.readOnly, c.readerTx, c.writerTx = x.beginsReadOnly, x.target == targetReader && !x.beginsReadOnly, x.target == targetWriter
	c.beginning = beginning{
		fresh: c.oneShot == "" && !c.session.Once(), text: x.text, opts: opts,
		onReader: x.in.Role != writerRole || c.readerTx,
	}
}

// ended notes that no transaction is open any more.
func (c *conn) ended() { c.readOnly, c.readerTx, c.writerTx = false, false, false }

// restart reports whether the transaction can begin again elsewhere, and makes it so. x is the
// statement that would be its first; repeatable says that nothing of it ran.
func (c *conn) restart(x *exchange, repeatable bool) bool {
	if !c.beginning.fresh || x.final || !repeatable && !x.reads || c.session.Pins() != 0 {
		return false
	}
	c.beginning.again = true
	c.session.Discard()
	return true
}

// beginAgain begins the transaction on another backend. It reports whether that is to be tried
// once more.
func (c *conn) beginAgain(ctx, inner context.Context, x *exchange, b *backend.Backend) (again bool, err error) {
	if err = c.repeat(inner, b); err == nil {
		c.beginning.again = false
		c.session.SetInTx(true)
		return false, nil
	}
	v := failover.Verdict{Class: c.classify(ctx, x, err).Class, Outcome: failover.NotExecuted, Repeatable: true}
	c.suspect(v.Class)
	c.session.Discard() // nobody knows whether it has begun there
	switch {
	case ctx.Err() != nil: // whatever came of the KILL; it can still begin with the next statement
		return false, ctx.Err()
	case v.Class == failover.ClassStatement:
		c.beginning = beginning{}
		x.cause = err
		return false, c.loseTx(x, failover.NotExecuted)
	}
	c.startClock(x)
	x.cause = err
	return true, c.retry(ctx, x, v)
}

// repeat sends what the transaction began with.
func (c *conn) repeat(ctx context.Context, b *backend.Backend) error {
	defer b.Unsent()
	if !c.inTx {
		_, err := b.ExecContext(ctx, c.beginning.text, nil)
		return err
	}
	begun, err := b.BeginTx(ctx, c.beginning.opts)
	if err == nil {
		c.open.inner = begun
	}
	return err
}

// answeredIn notes that the transaction has answered a statement, if that is not the one that
// it began with.
func (c *conn) answeredIn(x *exchange) {
	if !x.only && (x.facts.Kind != sqlscan.Begin || x.text != c.beginning.text) {
		c.beginning = beginning{}
	}
}
