package driver

import (
	"context"
	"fmt"
	"time"
)

// drainPoll comes between looks at what is left on a drained instance.
const drainPoll = 20 * time.Millisecond

// Drain takes an instance out of use, for maintenance or before a planned failover: new
// statements and transactions go elsewhere, those for the writer wait at the gate until there
// is another; what has begun may finish, and backends close as it does. Drain returns nil when
// no backend is left, or ctx's error with what holds them. The instance stays drained either way,
// until [Connector.Undrain], until it has another role, or until it was down; if that comes first,
// Drain returns nil. Sessions that are pinned (see [Connector.Pins]), and those of
// fpPoolMode=session, hold their backends until they are not or are used again. While there is
// no writer, the cluster is asked every fpProbeIntervalFast, however long the drain lasts. An instance that
// there is not is an error. It may be called concurrently.
func (c *Connector) Drain(ctx context.Context, instance string) error {
	if err := c.start(ctx); err != nil {
		return err
	}
	if err := c.cluster.monitor.Drain(instance); err != nil {
		return err
	}
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for {
		if in := c.Snapshot().Lookup(instance); in == nil || !in.Drained {
			return nil
		}
		// The pool hears of it a moment later: until then it has the instance still.
		left := "it is in use still"
		if in := c.cluster.pool.Instance(instance, writerRole); in == nil && c.cluster.pool.Instance(instance, readerRole) == nil {
			left = c.cluster.pool.Left(instance)
		}
		if left == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("failoverproxy: %s is not drained yet, %s: %w", instance, left, ctx.Err())
		case <-tick.C:
		}
	}
}

// Undrain lets an instance be used again that [Connector.Drain] took out of use.
func (c *Connector) Undrain(instance string) error { return c.cluster.monitor.Undrain(instance) }
