package driver

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// tx is the session's open transaction.
type tx struct {
	conn  *conn
	inner driver.Tx
	ctx   context.Context //nolint:containedctx // when it ends, database/sql rolls back, sooner or later
}

var _ driver.Tx = (*tx)(nil)

// Begin is BeginTx with the defaults.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a transaction. A BEGIN that meets a fault is done again: nothing
// can have happened in it.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	x := exchange{facts: sqlscan.Facts{Kind: sqlscan.Begin, Statements: 1}, beginsReadOnly: opts.ReadOnly, aside: true}
	if err := c.admit(&x); err != nil {
		return nil, err
	}
	ctx, o := c.cluster.telemetry.observe(ctx)
	t, err := c.beginTx(ctx, &x, opts)
	c.done(ctx, o, "BEGIN", &x, err)
	return t, err
}

func (c *conn) beginTx(ctx context.Context, x *exchange, opts driver.TxOptions) (driver.Tx, error) {
	for {
		b, inner, err := c.backend(ctx, x)
		if err != nil {
			return nil, err
		}
		begun, err := b.BeginTx(inner, opts)
		if err == nil {
			c.inTx = true
			c.began(x, opts)
			c.settle(ctx, x, nil)
			c.open = &tx{conn: c, inner: begun, ctx: ctx}
			return c.open, nil
		}
		if err = c.fault(ctx, x, err); err != nil {
			return nil, err
		}
	}
}

// abandon ends what belongs to a context that has ended: database/sql is about to, but the
// program's next statement on its sql.Conn may come first, and is none of it. If it may be one of
// the transaction's instead, of whose end sql.Tx does not know yet, it gets the context's error: a
// sql.Tx looks at its statement's context only, and the remainder must not run in autocommit.
func (c *conn) abandon(x *exchange) error {
	over := c.inTx && c.open != nil && c.open.ctx.Err() != nil
	if over && !x.aside {
		return c.open.ctx.Err()
	}
	if c.rows.open() && (over || c.rows.ctx.Err() != nil) {
		_ = c.rows.Close()
		c.rows = noRows(c) // database/sql still has the others to close
	}
	if over {
		_ = c.end(sqlscan.Rollback, c.open.inner.Rollback)
		c.open = nil
	}
	return nil
}

// readOnlyTx reports whether the program asked for a read-only transaction.
func (c *conn) readOnlyTx() bool {
	// A stored routine may have asked for it, too.
	if c.readOnly && (c.inTx || c.session.InTx()) || c.readsOnly || c.session.Pins() != 0 {
		return true
	}
	b := c.session.Backend()
	return c.session.InTx() && b != nil && b.InReadOnlyTransaction()
}

// Commit ends the transaction. If its answer is lost, the outcome is unknown.
func (t *tx) Commit() error {
	if t != t.conn.open {
		return errTxDone
	}
	return t.conn.end(sqlscan.Commit, t.inner.Commit)
}

// Rollback ends the transaction. One that was lost is rolled back already.
func (t *tx) Rollback() error {
	if t != t.conn.open {
		return nil
	}
	err := t.conn.end(sqlscan.Rollback, t.inner.Rollback)
	if errors.Is(err, failover.ErrTransactionLost) {
		return nil
	}
	return err
}

// end ends the open driver.Tx by way of send. driver.Tx has no context: the
// transaction's own, if it is cancelled, ends it with Rollback.
func (c *conn) end(kind sqlscan.Kind, send func() error) error {
	if !c.inTx {
		return errTxDone
	}
	c.inTx = false
	if c.hungUp {
		return driver.ErrBadConn
	}
	if err := c.lost; err != nil {
		c.lost = nil
		return err
	}
	if c.beginning.again {
		c.beginning = beginning{} // nothing was ever done in it
		c.ended()
		return nil
	}
	ctx, o := c.cluster.telemetry.observe(c.open.ctx) // for what it carries; it may have ended
	x := exchange{text: kind.String(), facts: sqlscan.Facts{Kind: kind, Statements: 1}}
	fresh := c.beginning.fresh
	b, err := c.boundBackend(ctx, &x)
	if err == nil && b != nil {
		b.Unsent()
		if err = b.Conclude(x.text, send); err != nil {
			err = c.fault(context.Background(), &x, err)
		} else {
			c.settle(context.Background(), &x, nil)
		}
	}
	if err != nil && c.session.InTx() && (kind == sqlscan.Rollback || !c.assumed) {
		// The server has refused: what it does not roll back now it does when the connection
		// ends, and nothing else may run in it before.
		c.lose(&x, failover.NotExecuted, err)
		if kind == sqlscan.Rollback {
			err = nil
		}
	}
	if fresh && lostInFailover(err) {
		err = nil // there was nothing to commit
	}
	c.beginning = beginning{}
	c.done(ctx, o, x.text, &x, err)
	return err
}

func lostInFailover(err error) bool {
	return errors.Is(err, failover.ErrTransactionLost) || errors.Is(err, failover.ErrOutcomeUnknown)
}

var errTxDone = errors.New("failoverproxy: transaction is over already")

// execLost is Exec on a session whose text transaction was lost: ROLLBACK succeeds,
// since it is rolled back; COMMIT gets the error for the last time.
func (c *conn) execLost(x *exchange, err error) (driver.Result, error) {
	if c.lost == nil || c.inTx || !x.facts.EndsTransaction() {
		return nil, err
	}
	c.lost = nil
	return c.rolledBack(x, err)
}

// queryLost is execLost for Query, which has no rows to return: the error is the last one.
func (c *conn) queryLost(x *exchange, err error) error {
	if c.lost != nil && !c.inTx && x.facts.EndsTransaction() {
		c.lost = nil
	}
	return err
}

// noResult is the result of a statement that did not have to be sent.
type noResult struct{}

func (noResult) LastInsertId() (int64, error) { return 0, nil }
func (noResult) RowsAffected() (int64, error) { return 0, nil }
func (noResult) AllRowsAffected() []int64     { return []int64{0} }
func (noResult) AllLastInsertIds() []int64    { return []int64{0} }
