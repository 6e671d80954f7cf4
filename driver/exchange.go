package driver

import (
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
	silenced bool   // it could not be prepared, and its error is not on the server any more
	again    bool   // may be executed a second time though its answer was lost
	reads    bool   // without any effect: a reader may answer it
	// beginsReadOnly: it begins a READ ONLY transaction.
	beginsReadOnly bool
	raw            bool   // whatever the program does with the connection
	aside          bool   // Ping, BeginTx, Raw: no statement of a sql.Tx, which has none of them
	target         target // what it is to go to, see aim
	by             by     // who says so
	final          bool   // not executed again whatever it is: somebody has a part of its answer

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
	losses   int   // how often it may have been executed and its answer was lost

	shadow *shadow // for the mirror; nil if it is not sent there
}

// query executes x for its rows, as often as it takes.
func (c *conn) query(ctx context.Context, x *exchange) (driver.Rows, error) {
	ctx, o := c.cluster.telemetry.observe(ctx)
	x.rows = true
	if c.cluster.mirror != nil {
		x.shadow = c.cluster.mirror.draw(ctx, c, x)
	}
	inner, err := c.innerRows(ctx, x)
	c.done(ctx, o, x.text, x, err)
	if err != nil {
		return nil, err
	}
	*c.rows = rows{conn: c, inner: x.shadow.answered(inner), ctx: ctx, x: *x}
	return c.rows, nil
}

func (c *conn) innerRows(ctx context.Context, x *exchange) (innerRows, error) {
	for {
		b, inner, err := c.backend(ctx, x)
		if err != nil {
			return nil, err
		}
		asked := x.timed()
		r, err := x.queryOn(inner, b)
		x.answered(ctx, asked, err)
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
	c.done(ctx, o, x.text, x, err)
	return result, err
}

func (c *conn) innerResult(ctx context.Context, x *exchange) (driver.Result, error) {
	for {
		b, inner, err := c.backend(ctx, x)
		if err != nil {
			return nil, err
		}
		asked := x.timed()
		result, err := x.execOn(inner, b)
		x.answered(ctx, asked, err)
		if err == nil {
			c.inserted(x, result)
			if x.facts.Kind == sqlscan.Begin && x.facts.Statements == 1 && !c.inTx {
				c.began(x, driver.TxOptions{})
			}
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
