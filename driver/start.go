package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/topology"
)

// start finds the cluster, the first time. A program that begins in the middle of a
// failover waits as its later statements would: for fpFailoverTimeout or until ctx ends, if
// waiting can help. An error leaves everything as it was.
func (c *Connector) start(ctx context.Context) error {
	cl := c.cluster
	if cl.monitor.Snapshot() != nil {
		return nil
	}
	begin := time.Now()
	limit := cl.patience(begin)
	bounded, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	var pause failover.Pause
	var last error // what the last attempt that came to an end said
	for {
		_, err := cl.monitor.Discover(bounded)
		switch {
		case err == nil:
			return nil
		case c.closed.Load():
			return failover.New(failover.ErrClosed, failover.NotExecuted, nil)
		case last == nil || bounded.Err() == nil:
			last = err
		}
		if bounded.Err() == nil {
			if !failover.Transient(err) || failover.IsWithoutRetry(ctx) {
				return err
			}
			cl.warnOnce(err)
			err = pause.Wait(bounded, limit)
		}
		switch {
		case ctx.Err() != nil:
			if cl.credentials != nil {
				last = cmp.Or(cl.credentials.pending(), last)
			}
			return interrupted(ctx, last)
		case err != nil && (bounded.Err() != nil || errors.Is(err, failover.ErrGateTimeout)):
			e := failover.New(failover.ErrGateTimeout, failover.NotExecuted, last)
			e.Elapsed = time.Since(begin)
			return e
		}
	}
}

// interrupted is the error of a context that ended before the cluster was found. The cause
// is there as text: it may be one that makes database/sql try again.
func interrupted(ctx context.Context, cause error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("failoverproxy: the cluster was not found in time: %w (%s)", ctx.Err(), cause.Error())
}

// patience is the end of fpFailoverTimeout for what met its first fault at since.
func (cl *cluster) patience(since time.Time) time.Time {
	limit := cl.cfg.FailoverTimeout
	if limit <= 0 {
		limit = unbounded
	}
	return since.Add(limit)
}

// unbounded stands for "no limit but the context's".
const unbounded = 10 * 365 * 24 * time.Hour

// warnOnce says that everybody waits for the cluster to be found, so that nobody has to
// wait for the error to learn why.
func (cl *cluster) warnOnce(err error) {
	if cl.warned.Swap(true) {
		return
	}
	cl.log.Warn("failoverproxy: the cluster cannot be reached yet, statements wait",
		slog.String("error", topology.Shown(err)), slog.Duration("fpFailoverTimeout", cl.cfg.FailoverTimeout))
}
