package aurorasim

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind is how a writer ends.
type Kind int

const (
	// Kill is a crash: connections are reset, new ones refused.
	Kill Kind = iota
	// Switchover is planned: the writer is demoted first, its connections end
	// orderly (FIN) or, with KeepConnections, stay and become read-only.
	Switchover
	// Frozen is a writer that falls silent: connections stay open, nothing moves.
	// Storage fences it when the next writer is promoted.
	Frozen
)

func (k Kind) String() string {
	switch k {
	case Kill:
		return "kill"
	case Switchover:
		return "switchover"
	case Frozen:
		return "frozen"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Failover is the script of one failover. All durations may be 0: at once.
type Failover struct {
	Kind Kind
	// To is the instance to promote; empty = the next one that is up and not
	// frozen.
	To string
	// PromoteAfter is the time from the fault to the promotion. The promotion
	// comes later if the upstream takes longer to end the old writer's threads.
	PromoteAfter time.Duration
	// RestartAfter is the time from the promotion until the old writer is back as
	// a reader; negative = it stays away until Instance.Return.
	RestartAfter time.Duration
	// DNSAfter is the time from the promotion until the endpoints' names follow.
	DNSAfter time.Duration
	// StaleViews lets the other readers name the old writer for so long after the
	// promotion.
	StaleViews time.Duration
	// BelievesWriter lets the old writer, when it is back, say for so long that it
	// is the writer. Writes to it hang and never reach the volume; when it learns
	// better its connections are reset.
	BelievesWriter time.Duration
	// KeepConnections, for Switchover: the old writer goes on as a reader without
	// a restart, and its row stays. Its connections stay, but those with a command under way that does
	// not end soon; what transactions were open is rolled back, and they get error
	// 1290 until they end. RestartAfter, BelievesWriter and DropRow then mean nothing.
	KeepConnections bool
	// StillWrites lets the old writer go on for so long after the promotion as if nothing had
	// happened: it keeps its connections, takes new ones and takes writes. Then it crashes for
	// good. No cluster should do that; where names are all that tell who is the writer,
	// clients must not rely on it. There is one upstream, so nothing that it takes is lost
	// here: look at Relays for what went there. Kind then means nothing.
	StillWrites time.Duration
	// DropPromoted closes (FIN) the promoted instance's connections at promotion,
	// as engine versions do that restart it.
	DropPromoted bool
	// DropRow takes the old writer out of every instance's topology until it is
	// back. Otherwise its row stays as it was, with MASTER_SESSION_ID and a
	// timestamp that gets older: two rows name a writer, the newer is right.
	DropRow bool
}

// Failover carries a script out up to the promotion; what comes later (the old
// writer's return, names, views) goes on in the background, see Settled. One script
// runs up to its promotion at a time, others wait. If ctx ends before, or the upstream
// does not end the old writer's threads, the cluster is left without a writer; a later
// Failover promotes one. An error without any change means that no reader was there
// to promote.
func (c *Cluster) Failover(ctx context.Context, f Failover) error {
	select {
	case <-c.script:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.stop:
		return errClosed
	}
	defer func() { c.script <- struct{}{} }()
	old := c.Writer()
	if _, err := c.candidate(f.To, old); err != nil {
		return err
	}
	start := time.Now()
	name := ""
	if old != nil {
		name = old.ID
	}
	c.journal.event(EventFailover, name, "%v", f.Kind)
	if old != nil && f.StillWrites == 0 {
		if err := old.fail(ctx, f); err != nil {
			return err
		}
	}
	if err := c.pause(ctx, f.PromoteAfter-time.Since(start)); err != nil {
		return err
	}
	if old != nil && f.Kind == Frozen && f.StillWrites == 0 {
		if err := old.fence(ctx, old.connections()); err != nil {
			return err
		}
		c.journal.event(EventFence, old.ID, "")
	}
	next, err := c.candidate(f.To, old)
	if err != nil {
		return err
	}
	c.promote(next, old, f)
	c.afterwards(next, old, f)
	return nil
}

// Promote makes an instance the writer when there is none.
func (c *Cluster) Promote(ctx context.Context, id string) error {
	if w := c.Writer(); w != nil {
		return fmt.Errorf("aurorasim: %s is the writer: use Failover", w.ID)
	}
	return c.Failover(ctx, Failover{To: id})
}

// pause is wait that also ends with the cluster.
func (c *Cluster) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.stop:
		return errClosed
	}
}

// candidate is who will be promoted.
func (c *Cluster) candidate(to string, old *Instance) (*Instance, error) {
	if to != "" {
		i := c.Instance(to)
		switch {
		case i == nil:
			return nil, fmt.Errorf("aurorasim: no instance %q", to)
		case i == old:
			return nil, fmt.Errorf("aurorasim: %s is the writer already", to)
		case !i.healthy():
			return nil, fmt.Errorf("aurorasim: %s is down or frozen and cannot be promoted", to)
		}
		return i, nil
	}
	after := 0
	all := c.all()
	for n, i := range all {
		if i == old {
			after = n + 1
		}
	}
	for n := range all {
		if i := all[(after+n)%len(all)]; i != old && i.healthy() {
			return i, nil
		}
	}
	return nil, errors.New("aurorasim: no reader is up that could be promoted")
}

func (i *Instance) healthy() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.up && i.frozen == 0
}

// fail takes the role from the old writer, in the way of the script.
func (i *Instance) fail(ctx context.Context, f Failover) error {
	j := &i.cluster.journal
	var err error
	switch {
	case f.Kind == Frozen:
		i.update(func() {
			if !i.scripted {
				i.scripted = true
				i.frozen++
				i.beat = time.Now()
			}
			i.writer = false
		})
		i.settled()
		j.event(EventFreeze, i.ID, "")
		return nil
	case f.Kind == Switchover && f.KeepConnections:
		err = i.demote(ctx)
		j.event(EventDemote, i.ID, "connections stay")
	case f.Kind == Switchover:
		err = i.stop(ctx, endClosed)
		j.event(EventDemote, i.ID, "connections closed")
	default:
		err = i.stop(ctx, endReset)
		j.event(EventCrash, i.ID, "")
	}
	if err == nil {
		j.event(EventFence, i.ID, "")
	}
	return err
}

// demoteGrace is how long a demoted writer that keeps running waits for what is under
// way, before it breaks these connections.
const demoteGrace = 20 * time.Millisecond

// demote makes a reader of a writer that keeps running. Open transactions are rolled
// back, connections with something under way end.
func (i *Instance) demote(ctx context.Context) error {
	i.update(func() { i.writer = false })
	i.settled()
	patience, cancel := context.WithTimeout(ctx, demoteGrace)
	defer cancel()
	var doomed []*conn
	for _, c := range i.connections() {
		if !c.demoted(ctx, patience.Done()) {
			c.end(endClosed)
			doomed = append(doomed, c)
		}
	}
	return i.fence(ctx, doomed)
}

// thawScriptLocked ends the freeze of a Frozen failover.
func (i *Instance) thawScriptLocked() {
	if i.scripted {
		i.scripted = false
		i.frozen--
	}
}

// promote is the moment of the change.
func (c *Cluster) promote(next, old *Instance, f Failover) {
	if f.StaleViews > 0 {
		c.staleViews(next, old, f.StaleViews)
	}
	if f.DropPromoted {
		for _, conn := range next.connections() {
			conn.end(endClosed)
		}
	}
	if old != nil {
		old.update(func() {
			if f.Kind == Switchover && f.KeepConnections {
				old.session = sessionID()
			} else {
				old.gone = f.DropRow && (!old.up || old.scripted) // unless it is back already
			}
		})
	}
	c.mu.Lock()
	c.master = next
	c.mu.Unlock()
	next.update(func() {
		next.writer, next.session, next.gone = true, masterSession, false
		c.journal.record(EventPromote, next.ID, "") // before the first write can be
	})
	c.journal.dispatch()
}

// staleViews lets the readers that take no part keep their view for a while.
func (c *Cluster) staleViews(next, old *Instance, d time.Duration) {
	var held []*Fault
	for _, i := range c.Readers() {
		if i != next && i != old {
			held = append(held, i.HoldView())
		}
	}
	c.background(func(ctx context.Context) {
		_ = wait(ctx, d)
		for _, f := range held {
			f.Clear()
		}
	})
}

// afterwards leaves the rest of the script to the background.
func (c *Cluster) afterwards(next, old *Instance, f Failover) {
	c.background(func(ctx context.Context) {
		if wait(ctx, f.DNSAfter) == nil {
			c.flipDNS()
		}
	})
	if old != nil && f.StillWrites > 0 {
		c.background(func(ctx context.Context) {
			if wait(ctx, f.StillWrites) == nil {
				_ = old.Crash(ctx)
			}
		})
		return
	}
	if old == nil || f.RestartAfter < 0 || f.Kind == Switchover && f.KeepConnections {
		return
	}
	c.background(func(ctx context.Context) {
		if wait(ctx, f.RestartAfter) != nil {
			return
		}
		if f.BelievesWriter > 0 {
			old.believe(true)
		}
		if err := old.Return(); err != nil {
			c.journal.event(EventReturn, old.ID, "failed: %v", err)
		}
		if f.BelievesWriter > 0 && wait(ctx, f.BelievesWriter) == nil {
			old.believe(false)
		}
		if wait(ctx, f.DNSAfter) == nil {
			c.flipDNS() // the reader endpoint has one more
		}
	})
}

// BelieveWriter lets a reader say that it is the writer until the fault is cleared:
// by @@innodb_read_only and in its own topology. Writes to it hang and never reach
// the volume. When the fault is cleared its connections are reset.
func (i *Instance) BelieveWriter() *Fault {
	i.believe(true)
	return newFault("believes that it is the writer", i, func() { i.believe(false) })
}

func (i *Instance) believe(on bool) {
	if !on {
		// While it still believes: what hangs is to be reset, not refused.
		for _, c := range i.connections() {
			c.end(endReset)
		}
	}
	i.update(func() { i.believes = on })
}
