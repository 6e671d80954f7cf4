package topology

import (
	"context"
)

// A process may start in the middle of a switchover, or after one of which its resolver knows
// nothing: then the name leads it to a server that must not be used. So before the connection over
// which the cluster was found is given away, the server is asked for a deployment, over another connection that
// is made beside it, as one answer less to wait for. It becomes the monitor's.

// lookout is that other connection.
type lookout struct {
	done   chan struct{} // closed when the rest may be read
	cancel context.CancelFunc
	link   *link     // nil if there is none
	sight  *sighting // nil: nobody knows
}

// lookOut begins a look at the server of a seed, if there may be a deployment: nil otherwise.
func (m *Monitor) lookOut(ctx context.Context, seed string) *lookout {
	switch kind := EndpointOf(seed); {
	case m.cfg.Adopt == nil, kind == EndpointOther, kind == EndpointProxy, kind == EndpointGlobal:
		return nil
	case m.cfg.Provider != "" && m.cfg.Provider != "auto" && m.cfg.Provider != "aurora" && m.cfg.Provider != dnsName:
		return nil
	}
	// A discovery may end before, and with it its context.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discoverTimeouts*m.cfg.Timeout)
	l := &lookout{done: make(chan struct{}), cancel: cancel}
	m.runs.Go(func() {
		defer cancel()
		defer close(l.done)
		defer context.AfterFunc(m.ctx, cancel)()
		link, err := m.dial(ctx, seed)
		if err != nil {
			return
		}
		if l.sight, err = m.glance(ctx, link); err != nil {
			link.abandon()
			return
		}
		l.link = link
	})
	return l
}

// drop ends a lookout that nobody needs. Nil is none.
func (l *lookout) drop(m *Monitor) {
	if l != nil {
		l.cancel()
		m.runs.Go(func() {
			<-l.done
			l.link.close()
		})
	}
}

// reconnoitre finds out whether the connection of a discovery may be given away: there is nothing to
// be looked for, or it was, and no switchover has begun.
func (m *Monitor) reconnoitre(ctx context.Context, d *discovery) bool {
	if _, ok := d.choice.provider.(follower); !ok || d.remote == "" {
		m.haveLooked()
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	if d.lookout == nil {
		var err error
		d.sight, err = m.glance(ctx, d.link)
		d.looked = err == nil
	} else {
		select {
		case <-d.lookout.done:
		case <-ctx.Done():
			return false
		}
		d.looked, d.sight = d.lookout.link != nil, d.lookout.sight
	}
	if d.sight != nil {
		d.sight.leader = d.choice.report.Role == Writer
	}
	if !d.looked || d.sight != nil && d.sight.phase >= phaseInitiated {
		return false
	}
	m.haveLooked()
	return true
}

// haveLooked lets new connections be used: see admit.
func (m *Monitor) haveLooked() { m.look.Do(func() { close(m.looked) }) }
