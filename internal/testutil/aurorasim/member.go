package aurorasim

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Members of the cluster come and go: a reader is added or removed, an instance is
// renamed, a cluster is restored from a snapshot under the name of the old one. An instance
// that is gone has no name and no row, and nobody listens at its address. Its successor has
// another address, also if it has the same name.

// all are the instances of this moment, to be read.
func (c *Cluster) all() []*Instance { return *c.instances.Load() }

// found makes a cluster of these instances. The first is the writer, and all names lead to
// them.
func (c *Cluster) found(ids []string) error {
	var made []*Instance
	for _, id := range ids {
		i, err := c.make(id)
		if err != nil {
			for _, i := range made {
				i.reach.close()
			}
			return err
		}
		made = append(made, i)
	}
	c.mu.Lock()
	c.master = made[0]
	c.mu.Unlock()
	made[0].update(func() { made[0].writer, made[0].session = true, masterSession })
	c.instances.Store(&made)
	c.point()
	return nil
}

// make makes an instance that can be reached.
func (c *Cluster) make(id string) (*Instance, error) {
	c.mu.Lock()
	n := c.made
	c.made++
	c.mu.Unlock()
	if n >= maxMade {
		return nil, fmt.Errorf("aurorasim: more than %d instances", maxMade)
	}
	i := newInstance(c, id, n)
	if c.cfg.TLS {
		if err := i.certify(); err != nil {
			return nil, err
		}
	}
	return i, i.listen()
}

// maxMade keeps addresses in one byte, as maxInstances does.
const maxMade = 200

// Add adds a reader. The reader endpoint leads to it, too, from now on.
func (c *Cluster) Add(id string) (*Instance, error) {
	if c.Instance(id) != nil {
		return nil, fmt.Errorf("aurorasim: there is an instance %q", id)
	}
	i, err := c.make(id)
	if err != nil {
		return nil, err
	}
	c.replace(nil, i)
	c.flipDNS()
	c.journal.event(EventReturn, id, "added")
	return i, nil
}

// replace puts an instance in the place of another one; nil is none.
func (c *Cluster) replace(old, next *Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(c.all()), func(i *Instance) bool { return i == old })
	if next != nil {
		all = append(all, next)
	}
	c.instances.Store(&all)
}

// Remove deletes an instance, as a crash that nobody comes back from. A writer that is
// removed has no successor until Failover or Promote makes one. The last instance stays.
func (c *Cluster) Remove(ctx context.Context, id string) error {
	i := c.Instance(id)
	if i == nil || len(c.all()) == 1 {
		return fmt.Errorf("aurorasim: there is no instance %q, or no other one", id)
	}
	c.replace(i, nil)
	err := c.destroy(ctx, i)
	c.flipDNS()
	return err
}

func (c *Cluster) destroy(ctx context.Context, i *Instance) error {
	err := i.stop(ctx, endReset)
	i.reach.close()
	c.journal.event(EventCrash, i.ID, "deleted")
	return err
}

// Rename restarts an instance under another name. It keeps its role, and the endpoints
// follow.
func (c *Cluster) Rename(ctx context.Context, from, to string) error {
	old := c.Instance(from)
	if old == nil || c.Instance(to) != nil {
		return fmt.Errorf("aurorasim: cannot rename %q to %q", from, to)
	}
	writer := old.Writer()
	err := c.destroy(ctx, old)
	next, made := c.make(to)
	if made != nil {
		return errors.Join(err, made)
	}
	c.replace(old, next)
	if writer {
		c.promote(next, nil, Failover{})
	}
	c.flipDNS()
	return err
}

// Restore deletes all instances and puts others in their place, the first as the writer:
// what is left is the endpoints' names. The upstream's data stays as it is.
func (c *Cluster) Restore(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return errors.New("aurorasim: a cluster without instances")
	}
	var errs []error
	for _, i := range c.all() {
		errs = append(errs, c.destroy(ctx, i))
	}
	return errors.Join(append(errs, c.found(ids))...)
}
