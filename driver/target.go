package driver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

// target says what a statement is to go to.
type target uint8

const (
	targetUnknown target = iota
	targetWriter
	targetReader
	targetAuto
)

// What fpTarget and fpWriterIsReader can be.
const (
	forReader, forAuto             = "reader", "auto"
	writerAlways, writerNever      = "always", "never"
	writerIfNoReader               = "onlyIfNoReader"
	hintReader, hintWriter         = "/* fp:reader */", "/* fp:writer */"
	byConfig, byContext, byHint by = 0, 1, 2
)

// by says who has chosen a target.
type by uint8

type targetKey struct{}

// WithTarget returns a context whose statements go to a reader (topology.Reader) or to the
// writer (topology.Writer), whatever fpTarget says; topology.Unknown leaves it to fpTarget again.
// A comment before a statement's first word, /* fp:reader */ or /* fp:writer */, comes before
// both. The context of a transaction is the one that it was begun with: its statements stay
// where it is.
//
// What may write, locks or sets a global variable does not go to a reader: it gets
// [failover.ErrReadOnlyTarget] and is not sent.
// Which readers there are to choose from, and when the writer is one, say fpMaxReplicaLag,
// fpReadYourWrites and fpWriterIsReader. A read that is directed to the writer waits for it while
// there is none, whatever fpReadFallback says.
func WithTarget(ctx context.Context, role topology.Role) context.Context {
	return context.WithValue(ctx, targetKey{}, role)
}

// aim finds out what the statement is to go to.
func (c *conn) aim(ctx context.Context, x *exchange) {
	switch {
	case x.facts.HintsReader():
		x.target, x.by = targetReader, byHint
		return
	case x.facts.HintsWriter():
		x.target, x.by = targetWriter, byHint
		return
	}
	switch role, _ := ctx.Value(targetKey{}).(topology.Role); role {
	case topology.Reader:
		x.target, x.by = targetReader, byContext
		return
	case topology.Writer:
		x.target, x.by = targetWriter, byContext
		return
	case topology.Unknown:
	}
	switch target := c.cluster.cfg.Target; {
	case c.writerTx && c.inTransaction():
		x.target = targetWriter // its context is the one that it was begun with
	case target == forReader:
		x.target = targetReader
	case target == forAuto:
		x.target = targetAuto
	default:
		x.target = targetWriter
	}
}

// inTransaction reports whether a transaction is open, or is to begin again.
func (c *conn) inTransaction() bool { return c.inTx || c.session.InTx() || c.beginning.again }

// forReaders reports whether the statement, to which the session binds no backend, is one for
// readers: it is directed to them, or surely has no effect and nobody has refused it.
func (c *conn) forReaders(x *exchange) bool {
	if c.beginning.again {
		return c.beginning.onReader && x.readOnly == nil
	}
	switch x.target {
	case targetReader:
		return true
	case targetAuto:
		return (x.reads && !x.facts.Local() || x.beginsReadOnly) && x.readOnly == nil && c.oneShot == "" && !c.manual
	case targetUnknown, targetWriter:
	}
	return false
}

// routeToReaders is route for what readers are for.
func (c *conn) routeToReaders(ctx context.Context, x *exchange, s *topology.Snapshot) (*pool.Instance, failover.Need) {
	cl := c.cluster
	need := failover.Need{Role: topology.Unknown, Seen: s.Version}
	in, wait, unheard := cl.reader(s, time.Since(c.wroteLast(ctx)))
	writer, unheardWriter := cl.writer(s)
	switch cl.cfg.WriterIsReader {
	case writerAlways:
		if writer != nil && (in == nil || rand.IntN(1+cl.readers(s)) == 0) {
			return writer, need
		}
	case writerNever:
		// What must see a write that readers may not have yet is the writer's, and no matter of
		// how many readers there are.
		if wait == 0 || x.target != targetAuto {
			need.Role, writer, unheardWriter = topology.Reader, nil, false
			break
		}
		need.Role = topology.Writer
	default:
	}
	switch {
	case in != nil:
		return in, need
	case writer != nil:
		if wait == 0 && !unheard {
			cl.missReaders(s)
		}
		return writer, need
	}
	need.Content = wait
	if unheard || unheardWriter {
		need.Seen-- // the pool is about to hear of this version
	}
	return nil, need
}

// readers counts the readers that are not too far behind.
func (cl *cluster) readers(s *topology.Snapshot) (n int) {
	for i := range s.Instances {
		if cl.current(&s.Instances[i]) {
			n++
		}
	}
	return n
}

// beginsElsewhere reports whether the statement is a BEGIN in a transaction on a reader, which it
// ends, and the next one is none for readers.
func (c *conn) beginsElsewhere(x *exchange) bool {
	return x.facts.Kind == sqlscan.Begin && x.facts.Statements == 1 && !c.inTx && c.session.InTx() && c.session.Pins() == 0 &&
		c.session.Instance().Role != writerRole && !c.forReaders(x)
}

// leaveReader ends the session's transaction on a reader, in which nothing can have been written.
func (c *conn) leaveReader(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), restTimeout)
	defer cancel()
	b := c.session.Backend()
	if _, err := b.ExecContext(bounded, sqlscan.Rollback.String(), nil); err == nil && !b.InTransaction() {
		c.session.SetInTx(false)
		c.session.Release(ctx)
	} else {
		c.session.Discard()
	}
	c.beginning = beginning{}
	c.ended()
}

// refusal is the error of a statement that may write and does not go to a reader, nil if it
// may go where it would.
func (c *conn) refusal(x *exchange) error {
	if !x.facts.MayWrite() && !x.facts.Concerns() || x.raw {
		return nil
	}
	if x.target == targetReader {
		return c.misdirected(x, nil)
	}
	inTx := c.inTransaction()
	onReader := c.session.Bound() && c.session.Instance().Role != writerRole
	detail := "its transaction was begun for readers: begin it with driver.WithTarget(ctx, topology.Writer)"
	switch {
	case inTx && c.readerTx: // wherever it is
	case !onReader, inTx && c.readOnly && !x.facts.Concerns(): // the server says that itself
		return nil
	case inTx && c.readOnly:
		detail = "its READ ONLY transaction is on a reader, where locks keep nobody out and variables are another server's: begin it with driver.WithTarget(ctx, topology.Writer)"
	case inTx:
	case c.session.Pins() != 0:
		detail = fmt.Sprintf("its session is bound to reader %s by %s: end that, or take another session", c.session.Instance().ID, c.session.Pins())
	default:
		return nil
	}
	e := c.failure(x, failover.ErrReadOnlyTarget, failover.NotExecuted)
	e.Detail = detail
	return e
}

// misdirected is the error of a write that was directed to a reader, by the server's answer or
// without asking it.
func (c *conn) misdirected(x *exchange, answer error) error {
	if answer != nil {
		x.cause = answer
	}
	e := c.failure(x, failover.ErrReadOnlyTarget, failover.NotExecuted)
	switch x.by {
	case byHint:
		e.Detail = "its text begins with " + hintReader + ": leave that out, or write " + hintWriter
	case byContext:
		e.Detail = "its context is of driver.WithTarget(ctx, topology.Reader): use another one"
	case byConfig:
		e.Detail = "fpTarget is reader"
		if c.cluster.cfg.usualTarget() == forReader {
			e.Detail += ", as all hosts of the DSN are reader endpoints"
		}
		e.Detail += ": use a *sql.DB with fpTarget=auto or writer, driver.WithTarget(ctx, topology.Writer), or " + hintWriter
	}
	return e
}

// stays reports whether the statement goes nowhere else than to the reader that it was sent to,
// which may refuse it. That a transaction's read or its end is refused says that the transaction
// is gone, with the role that the instance had.
func (c *conn) stays(x *exchange) bool {
	if x.in == nil || x.in.Role == writerRole {
		return false
	}
	if c.session.Bound() {
		return x.facts.MayWrite()
	}
	return x.target == targetReader
}

// astray reports whether the session is bound to a reader by a transaction or a pin that whoever
// gets it out of database/sql's pool would not expect.
func (c *conn) astray() bool {
	return c.session.Bound() && c.session.Instance().Role != writerRole && c.cluster.cfg.Target != forReader &&
		(c.session.InTx() || c.session.Pins() != 0)
}

// manually reports whether the session, on a lease of a reader, has no autocommit. What is not
// directed there would begin a transaction, in which the session may want to write later.
func (c *conn) manually(in *pool.Instance, x *exchange) bool {
	return in.Role != writerRole && x.target != targetReader && c.session.Backend().Status()&backend.StatusAutocommit == 0
}
