package aurorasim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Cluster is a running simulation.
type Cluster struct {
	cfg       Config
	instances atomic.Pointer[[]*Instance] // replaced, never changed in place
	authority atomic.Pointer[authority]   // nil without TLS
	journal   journal

	deployment atomic.Pointer[BlueGreen] // that it is part of; nil = none

	dns    dns
	script chan struct{} // holds one token: one failover at a time

	// wg counts connections and what scripts left to do in the background.
	wg   sync.WaitGroup
	stop chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	master *Instance                  // the newest writer, as the volume knows it
	tasks  map[int]context.CancelFunc // of scripts in the background
	serial int                        // of tasks
	forged []viewRow                  // rows of nobody
	made   int                        // instances so far, which gives each its address
	idle   chan struct{}              // closed and replaced when the last task ends
	denied map[string]int             // users without the privilege on the view
}

// Start starts a cluster. ctx bounds the start only; Close ends the cluster.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &Cluster{
		cfg:     cfg,
		made:    cfg.offset,
		journal: journal{discard: cfg.DiscardLog, onEvent: cfg.OnEvent},
		dns:     dns{custom: make(map[string][]string), missing: make(map[string]int)},
		script:  make(chan struct{}, 1),
		stop:    make(chan struct{}),
		idle:    make(chan struct{}),
		tasks:   make(map[int]context.CancelFunc),
		denied:  make(map[string]int),
	}
	c.script <- struct{}{}
	for _, user := range cfg.Denied {
		c.denied[user]++
	}
	c.instances.Store(new([]*Instance))
	if cfg.TLS {
		a, err := newAuthority()
		if err != nil {
			return nil, err
		}
		c.authority.Store(a)
	}
	if err := c.found(cfg.IDs); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the cluster: listeners and connections are closed, scripts end where
// they are, upstream threads are killed, goroutines waited for. More calls do nothing.
func (c *Cluster) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	for _, cancel := range c.tasks {
		cancel()
	}
	c.mu.Unlock()
	close(c.stop)
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	var errs []error
	for _, i := range c.all() {
		if i.reach == nil {
			continue
		}
		errs = append(errs, i.stop(ctx, endClosed))
		i.reach.close()
	}
	c.wg.Wait()
	if c.cfg.Upstream.Close != nil {
		errs = append(errs, c.cfg.Upstream.Close())
	}
	return errors.Join(errs...)
}

// begin counts a goroutine that Close will wait for; not after Close.
func (c *Cluster) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Add(1)
	return true
}

// background runs a part of a script.
func (c *Cluster) background(task func(ctx context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.serial++
	serial := c.serial
	c.tasks[serial] = cancel
	c.wg.Go(func() {
		task(ctx)
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		if delete(c.tasks, serial); len(c.tasks) == 0 {
			close(c.idle)
			c.idle = make(chan struct{})
		}
	})
}

// Settled waits until the scripts of all failovers have done everything: the old
// writer is back, names and views are up to date.
func (c *Cluster) Settled(ctx context.Context) error {
	for {
		c.mu.Lock()
		tasks, idle := len(c.tasks), c.idle
		c.mu.Unlock()
		if tasks == 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.stop:
			return errClosed
		}
	}
}

var errClosed = errors.New("aurorasim: the cluster is closed")

// wait lets time pass. It gives an error if ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Instances returns the instances in the order of their numbers.
func (c *Cluster) Instances() []*Instance { return slices.Clone(c.all()) }

// Instance returns the instance with this identifier, nil if there is none.
func (c *Cluster) Instance(id string) *Instance {
	for _, i := range c.all() {
		if i.ID == id {
			return i
		}
	}
	return nil
}

// Writer returns the instance through which writes reach the volume, nil while
// there is none. One that Freeze froze still is one; in a Frozen failover there is none
// from the start of the script.
func (c *Cluster) Writer() *Instance {
	c.mu.Lock()
	master := c.master
	c.mu.Unlock()
	if master.Writer() {
		return master
	}
	return nil
}

// Readers returns the other instances that are up.
func (c *Cluster) Readers() []*Instance {
	writer := c.Writer()
	var readers []*Instance
	for _, i := range c.all() {
		if i != writer && i.Up() {
			readers = append(readers, i)
		}
	}
	return readers
}

// DenyView takes a user's privilege to read replica_host_status until the fault is
// cleared: queries get error 1142.
func (c *Cluster) DenyView(user string) *Fault {
	add := func(n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.denied[user] += n
	}
	add(1)
	return newFault("no privilege on the view for "+user, nil, func() { add(-1) })
}

func (c *Cluster) isDenied(user string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.denied[user] > 0
}

// sessionID makes a random UUID, which is what a reader's SESSION_ID looks like.
func sessionID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
