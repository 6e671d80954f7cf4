package topology

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// link is a connection of the monitor to one address.
type link struct {
	Conn
	addr  string
	count func(int64)
}

func (l *link) close() {
	if l != nil {
		_ = l.Conn.Close()
		l.count(-1)
	}
}

func (m *Monitor) dial(ctx context.Context, addr string) (*link, error) {
	conn, err := m.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	m.open.Add(1)
	return &link{Conn: conn, addr: addr, count: func(n int64) { m.open.Add(n) }}, nil
}

// discovery is what the first host to answer said.
type discovery struct {
	addr     string
	conn     *link
	provider Provider
	snapshot *Snapshot
	report   Report
}

// stagger is the head start that a host has over the next one in the DSN.
const stagger = 250 * time.Millisecond

// discover asks the seeds, each a little after the one before it, and takes the
// first that answers.
func (m *Monitor) discover(ctx context.Context) (discovery, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		discovery
		err error
	}
	answers := make(chan answer)
	next := make(chan struct{}, len(m.cfg.Seeds)) // a seed failed: the following need not wait
	var asking sync.WaitGroup
	asking.Go(func() {
		for i, seed := range m.cfg.Seeds {
			if i > 0 && !waitFor(ctx, stagger, next) {
				return
			}
			asking.Go(func() {
				d, err := m.ask(ctx, seed)
				if err != nil {
					next <- struct{}{}
				}
				select {
				case answers <- answer{d, err}:
				case <-ctx.Done():
					d.conn.close()
				}
			})
		}
	})
	var failures []string
	var last error
	for range m.cfg.Seeds {
		select {
		case a := <-answers:
			if a.err == nil {
				cancel()
				asking.Wait()
				return a.discovery, nil
			}
			failures = append(failures, a.err.Error())
			last = a.err
		case <-ctx.Done():
			asking.Wait()
			return discovery{}, errClosed
		}
	}
	asking.Wait()
	if len(failures) == 1 {
		return discovery{}, last
	}
	return discovery{}, fmt.Errorf("failoverproxy: no host of the DSN can be used: %s; %w", strings.Join(failures[:len(failures)-1], "; "), last)
}

// waitFor waits for d, for the signal or for ctx; false means the last.
func waitFor(ctx context.Context, d time.Duration, signal <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-signal:
	case <-ctx.Done():
		return false
	}
	return true
}

// ask lets a seed say what kind of cluster it belongs to and what it sees. At a
// program's start there is more to do than in a probe and no hurry: ten probes' time.
func (m *Monitor) ask(ctx context.Context, seed string) (d discovery, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*m.cfg.Timeout)
	defer cancel()
	d.addr = seed
	if d.conn, err = m.dial(ctx, seed); err != nil {
		return discovery{}, fmt.Errorf("failoverproxy: cannot connect to %s: %w", seed, err)
	}
	if d.provider, d.report, err = choose(ctx, m.cfg, d.conn, seed); err != nil {
		d.conn.close()
		return discovery{}, fmt.Errorf("failoverproxy: cannot learn about the cluster from %s: %w", seed, err)
	}
	d.snapshot = first(d.provider.Name(), d.provider.Members())
	return d, nil
}

// probe asks the instance at addr. It uses conn if that is given; if conn is dead, a
// fresh connection decides: a dropped connection of the monitor's own is no failover.
// It returns the connection that is to be used next, nil if there is none.
func (m *Monitor) probe(ctx context.Context, addr string, conn *link) (Report, *link, error) {
	if conn != nil {
		if r, err := m.probeOver(ctx, conn); err == nil {
			return r, conn, nil
		}
		conn.close()
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	conn, err := m.dial(ctx, addr)
	if err != nil {
		return Report{}, nil, err
	}
	r, err := m.probeOver(ctx, conn)
	if err != nil {
		conn.close()
		return Report{}, nil, err
	}
	return r, conn, nil
}

func (m *Monitor) probeOver(ctx context.Context, conn *link) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	return (*m.provider.Load()).Probe(ctx, conn, conn.addr)
}
