package driver

import (
	"context"
	"errors"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
)

// done ends a statement: its observation, and what the record of an incident says of it.
func (c *conn) done(ctx context.Context, o observation, text string, x *exchange, err error) {
	c.cluster.telemetry.done(ctx, o, text, x, err)
	c.noteWrite(ctx, x)
	c.finish(x, err)
}

// finish ends a statement that met a fault, if it did. The next fault of its rows is another.
func (c *conn) finish(x *exchange, err error) {
	if x.since.IsZero() {
		if err == nil {
			return
		}
		if fe, ok := errors.AsType[*failover.Error](err); !ok || fe.Kind == failover.ErrReadOnlyTarget { //nolint:errorlint // a kind is no chain
			return
		}
		c.cluster.incidents.Enter()
	}
	c.cluster.incidents.Leave(x.fate(err))
	x.since = time.Time{}
}

// fate is what became of a statement that met a fault.
func (x *exchange) fate(err error) failover.Fate {
	switch {
	case err == nil && x.losses > 0:
		return failover.FateReexecuted
	case err == nil:
		return failover.FateWaited
	case errors.Is(err, failover.ErrOutcomeUnknown):
		return failover.FateInDoubt
	case errors.Is(err, failover.ErrTransactionLost), errors.Is(err, failover.ErrSessionStateLost):
		return failover.FateLost
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return failover.FateCancelled
	}
	return failover.FateFailed
}
