package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/topology"
)

// gather asks the cluster, and each of its instances. An error is one of the configuration.
func gather(ctx context.Context, cfg *driver.Config, o options) (*facts, error) {
	f := &facts{cfg: cfg, processes: o.processes, now: o.now()}
	if err := f.find(ctx, o.timeout); err != nil {
		return nil, err
	}
	var asking sync.WaitGroup
	for _, in := range f.instances {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, o.timeout)
			defer cancel()
			in.err = in.ask(ctx, cfg)
		})
	}
	asking.Wait()
	f.sort()
	return f, nil
}

// sort puts the writer first, then what the DSN names, in its order.
func (f *facts) sort() {
	w := f.writer()
	place := func(in *instance) int {
		switch i := slices.Index(f.cfg.Hosts, in.addr); {
		case in == w:
			return -1
		case i < 0:
			return len(f.cfg.Hosts)
		default:
			return i
		}
	}
	slices.SortStableFunc(f.instances, func(a, b *instance) int { return cmp.Compare(place(a), place(b)) })
}

// find lets the driver find the cluster, as it does in a program. If it does not, what there is to
// be asked are the hosts of the DSN.
func (f *facts) find(ctx context.Context, timeout time.Duration) error {
	cfg := f.cfg.Clone()
	if cfg.FailoverTimeout <= 0 || cfg.FailoverTimeout > timeout { // 0 has no bound
		cfg.FailoverTimeout = timeout
	}
	cfg.ProbeTimeout, cfg.ProbeIntervalFast = min(cfg.ProbeTimeout, timeout), min(cfg.ProbeIntervalFast, timeout)
	cfg.PoolMinIdle = 0
	cfg.InitQuery = "" // may change something, and the pool takes over the connection of the discovery
	// Replicas are asked in turn, half of them at each poll.
	cfg.ProbeInterval = max(min(cfg.ProbeInterval, 300*time.Millisecond), cfg.ProbeIntervalFast)
	var heard sync.Mutex
	c, err := driver.NewConnector(cfg, driver.WithLogger(slog.New(slog.DiscardHandler)), driver.WithHooks(driver.Hooks{
		SnapshotChanged: func(_, _ *topology.Snapshot, events []topology.Event) {
			heard.Lock()
			defer heard.Unlock()
			f.hear(events)
		},
	}))
	if err != nil {
		return err
	}
	session, err := c.Connect(ctx)
	if err == nil {
		f.watch(ctx, c, min(timeout, 2*time.Second))
		err = session.Close()
	} else {
		f.err, err = err, nil
		for _, host := range f.cfg.Hosts {
			f.instances = append(f.instances, &instance{id: host, addr: host})
		}
	}
	if closing := c.Close(); err == nil { // no hook is called after it
		err = closing
	}
	return err
}

// hear notes what the driver has to say of the cluster.
func (f *facts) hear(events []topology.Event) {
	for _, e := range events {
		switch e.Kind {
		case topology.ProviderChosen:
			f.decided = e.Detail
		case topology.Warning:
			text := e.Detail
			if e.Instance != "" {
				text = e.Instance + ": " + text
			}
			if e.Cause != nil {
				text = fmt.Sprintf("%s (%s)", text, topology.Shown(e.Cause))
			}
			f.warnings = append(f.warnings, text)
		default:
		}
	}
}

// watch notes the cluster as soon as it is known, what comes later than at once included, such as the
// lag of replicas.
func (f *facts) watch(ctx context.Context, c *driver.Connector, most time.Duration) {
	s := c.Snapshot()
	for end := time.Now().Add(most); time.Now().Before(end) && ctx.Err() == nil && !known(s); s = c.Snapshot() {
		time.Sleep(10 * time.Millisecond)
	}
	f.provider = s.Provider
	for _, in := range s.Instances {
		f.instances = append(f.instances, &instance{id: in.ID, addr: in.Addr, role: in.Role, state: in.State, lag: in.Lag, lagKnown: in.LagKnown})
	}
}

// known reports whether there is nothing left to wait for.
func known(s *topology.Snapshot) bool {
	for _, in := range s.Instances {
		if in.State != topology.StateDown && in.Role == topology.Reader && !in.LagKnown && s.Provider != "static" {
			return false
		}
	}
	return s.Writer() != nil
}
