package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
)

// conn is a session: what database/sql calls a connection. database/sql uses it
// from one goroutine at a time.
type conn struct {
	cluster *cluster
	session pool.Session
	owned   *Connector // to be closed with the session, see Driver.Open

	// inTx: a driver.Tx is open. The lease is held until its end, whatever the
	// server's flags say (a DDL statement commits implicitly).
	inTx bool

	// lost is the error of a transaction whose backend is gone. It stays until the
	// transaction's end is asked for, so that nothing of it runs in autocommit.
	lost error
	// stateLost is the error for the next statement of a session that lost its pins.
	stateLost error
	closed    bool
	wrote     time.Time // when the last write was answered
	// hungUp: the program has asked the server to, by COMMIT RELEASE.
	hungUp bool
	memory
	rows *rows // of the statement that is open, if one is; used again and again
	open *tx   // the transaction begun last
}

// memory is what the session knows of its statements so far and pool.Session does not. A
// session that is to be a new one gets a new one as a whole.
type memory struct {
	// assumed: a transaction may be open, the server has not said.
	assumed bool
	// blank: the last statement was only prepared, here or earlier: it left no answers.
	blank bool
	// silenced: it could not be prepared, and its error is not on the server any more.
	silenced bool
	// stale: and earlier indeed, so the server still has the warnings of its predecessor.
	stale bool
	// readsOnly: the program has asked for READ ONLY transactions, somehow.
	readsOnly bool
	// manual: the session has no autocommit.
	manual bool
	// readOnly: the open transaction was begun as a READ ONLY one.
	readOnly bool
	// readerTx, writerTx: the open transaction was directed to readers, to the writer.
	readerTx, writerTx bool
	// silent: the last statement left ROW_COUNT() what it was, perhaps another session's.
	silent bool
	// oneShot holds the SET TRANSACTIONs for the transaction to come, with a NUL behind each.
	oneShot   string
	beginning beginning
	// mode is how the server reads the session's quotes.
	mode sqlscan.Mode
}

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
)

func newConn(cl *cluster) *conn {
	c := &conn{cluster: cl, memory: newMemory(cl)}
	c.rows = noRows(c)
	return c
}

func newMemory(cl *cluster) memory { return memory{mode: sqlscan.AnyMode | cl.charset} }

// QueryContext executes a statement for its rows. Arguments go through a prepared
// statement of the backend, unless interpolateParams is on.
func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	x, err := c.begin(text, args)
	if err != nil {
		return nil, c.queryLost(&x, err)
	}
	return c.query(ctx, &x)
}

// ExecContext executes a statement for its result.
func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	x, err := c.begin(text, args)
	if err != nil {
		return c.execLost(&x, err)
	}
	return c.exec(ctx, &x)
}

// begin makes the exchange for a statement of the session.
func (c *conn) begin(text string, args []driver.NamedValue) (exchange, error) {
	x := exchange{text: text, args: args, facts: c.cluster.facts.Scan(text, c.mode)}
	x.prepared = len(args) > 0 && !c.cluster.cfg.MySQL.InterpolateParams
	return x, c.admit(&x)
}

// admit finds out whether the statement may be executed twice, and whether the
// session can execute it at all.
func (c *conn) admit(x *exchange) error {
	over := c.abandon(x)
	x.reads = x.facts.Read()
	x.beginsReadOnly = x.beginsReadOnly || x.facts.BeginsReadOnly()
	x.again = x.reads || x.facts.Kind == sqlscan.Begin && x.facts.Statements <= 1
	switch {
	case c.closed, c.hungUp:
		return driver.ErrBadConn
	case over != nil:
		return over
	case c.lost != nil:
		return c.lost
	case c.stateLost != nil:
		err := c.stateLost
		c.stateLost = nil
		return err
	case c.rows.open():
		return errRowsOpen // the wrapped driver would give its connection up for lost
	}
	return nil
}

var errRowsOpen = errors.New("failoverproxy: rows of the session are open still: close them before its next statement")

// ErrAnswerGone answers a question about the session's previous statement whose answer
// went with its connection: another connection would answer for somebody else.
var ErrAnswerGone = errors.New("failoverproxy: LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS() and SHOW WARNINGS ask for what the session's previous statement left on its connection, " +
	"and the session does not hold that connection any more: ask in the same transaction or sql.Conn right after that statement, or use Result.LastInsertId and Result.RowsAffected")

// Ping asks the writer for a sign of life, or a reader if the session's statements are directed
// to readers.
func (c *conn) Ping(ctx context.Context) error {
	x := exchange{only: true, aside: true, facts: sqlscan.Facts{Kind: sqlscan.Read}}
	if err := c.admit(&x); err != nil {
		return err
	}
	x.again = true
	err := c.ping(ctx, &x)
	c.finish(&x, err)
	return err
}

func (c *conn) ping(ctx context.Context, x *exchange) error {
	for {
		b, inner, err := c.backend(ctx, x)
		if err != nil {
			return err
		}
		if err = b.Ping(inner); err == nil {
			if c.settle(ctx, x, nil) {
				return ctx.Err()
			}
			return nil
		}
		if err = c.fault(ctx, x, err); err != nil {
			return err
		}
	}
}

// ResetSession is called by database/sql before the session is used again. A
// session keeps its state, as with the wrapped driver; one whose state died with
// its backend is replaced by database/sql without anybody noticing.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.over() || c.session.Bereft(ctx) {
		return driver.ErrBadConn
	}
	if c.session.Bound() {
		b := c.session.Backend()
		if c.session.Instance().Lost() || b.IsCut() || b.ResetSession(ctx) != nil {
			if c.session.InTx() || c.session.Pins() != 0 {
				return driver.ErrBadConn
			}
		}
	}
	return nil
}

// over reports whether the session is of no use to anybody else.
func (c *conn) over() bool { return c.closed || c.hungUp || c.lost != nil || c.stateLost != nil }

// IsValid is called by database/sql when the session comes back to its pool: from then on
// its kept lease is the first to go to others.
func (c *conn) IsValid() bool {
	if c.over() || c.astray() {
		return false
	}
	if c.cluster.cfg.SessionReset {
		c.session.Reset()
		c.memory = newMemory(c.cluster)
		return true
	}
	c.rest()
	return true
}

// restTimeout bounds what a session asks the server for itself.
const restTimeout = 2 * time.Second

// rest lets others have the session's lease, if they can.
func (c *conn) rest() {
	if b := c.session.Backend(); c.assumed && !c.inTx && b != nil && c.refresh(b) {
		c.session.SetInTx(b.InTransaction())
	}
	c.assumed = false
	c.session.Rest(context.Background())
}

// refresh reports whether the server answers. Then its flags are those of now.
func (c *conn) refresh(b *backend.Backend) bool {
	ctx, cancel := context.WithTimeout(context.Background(), restTimeout)
	defer cancel()
	c.silent = true // a Ping has a ROW_COUNT() of its own
	return b.Ping(ctx) == nil
}

// Close ends the session. State that was bound to its backend ends with it.
func (c *conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.session.Close()
	if c.owned != nil {
		return c.owned.Close()
	}
	return nil
}

// CheckNamedValue converts an argument as the wrapped driver does.
func (c *conn) CheckNamedValue(nv *driver.NamedValue) error {
	return c.cluster.dialer.CheckNamedValue(nv)
}

// Raw calls f with the wrapped driver's connection. What f does with it cannot be
// known, so the session is bound to that connection from then on. f must not keep
// it. From a *sql.Conn:
//
//	err := sqlConn.Raw(func(dc any) error {
//		return dc.(interface{ Raw(func(any) error) error }).Raw(func(inner any) error {
//			...
//		})
//	})
func (c *conn) Raw(f func(inner any) error) error {
	ctx := context.Background()
	x := exchange{text: "Raw", raw: true, aside: true, facts: sqlscan.Facts{Effects: sqlscan.EffectUnknown}}
	if err := c.admit(&x); err != nil {
		return err
	}
	b, _, err := c.backend(ctx, &x)
	c.finish(&x, err)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // it panicked: what it did is bound to nothing yet, and nobody else may have it
			c.session.Discard()
		}
	}()
	err = f(b.Inner())
	returned = true
	if errors.Is(err, driver.ErrBadConn) {
		err = failover.New(failover.ErrUnavailable, failover.Unknown, err)
	}
	c.settle(ctx, &x, nil)
	return err
}

// Query and Exec are the wrapped driver's older methods without context.

// Query is QueryContext without a context.
func (c *conn) Query(text string, args []driver.Value) (driver.Rows, error) {
	return c.QueryContext(context.Background(), text, named(args))
}

// Exec is ExecContext without a context.
func (c *conn) Exec(text string, args []driver.Value) (driver.Result, error) {
	return c.ExecContext(context.Background(), text, named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	n := make([]driver.NamedValue, len(args))
	for i, v := range args {
		n[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return n
}
