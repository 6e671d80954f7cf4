package topology

import (
	"cmp"
	"context"
	"errors"
	"net"
	"time"
)

// link is a connection of the monitor to one address. Nil is a valid link: none.
type link struct {
	Conn
	addr    string
	monitor *Monitor
}

// dial makes a connection, which the caller must close or abandon.
func (m *Monitor) dial(ctx context.Context, addr string) (*link, error) {
	conn, err := m.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if conn == nil {
		return nil, errors.New("failoverproxy: topology.Config.Dial returned neither a connection nor an error")
	}
	m.open.Add(1)
	return &link{Conn: conn, addr: addr, monitor: m}, nil
}

// close says goodbye to a server that is there.
func (l *link) close() {
	if l != nil {
		_ = l.Conn.Close()
		l.monitor.open.Add(-1)
	}
}

// abandon closes a connection without a word to a server that may not be there.
func (l *link) abandon() {
	if l != nil {
		l.cut()
		l.close()
	}
}

// RemoteAddr is where the connection leads, nil if nobody knows.
func (l *link) RemoteAddr() net.Addr {
	if c, ok := l.Conn.(interface{ RemoteAddr() net.Addr }); ok {
		return c.RemoteAddr()
	}
	return nil
}

func (l *link) cut() {
	if c, ok := l.Conn.(interface{ Cut() }); ok {
		c.Cut()
	}
}

// attempt is a probe: a question to whoever is at an address, and what came of it.
type attempt struct {
	id     string    // of the instance that should be there; "" = a seed, whoever it is
	addr   string    // where a fresh connection is to go
	link   *link     // to be used if there is one; afterwards the one to be used next
	asked  string    // address of the connection that was asked over last
	ticket uint64    // drawn when the last question began
	began  time.Time // when the last question did
	took   time.Duration
	report Report
	err    error

	errand errand
	look   bool      // to ask for a blue/green deployment, too
	sight  *sighting // what came of that; nil = nobody knows
}

// errand is what an attempt is for.
type errand uint8

const (
	errandProbe   errand = iota
	errandLook           // to ask for a blue/green deployment and for nothing else
	errandScout          // to ask one of green
	errandRetrace        // to see where a name leads
)

// run asks over the link, if there is one. If that does not work a fresh connection
// decides: that a connection of the monitor's own was lost says nothing about the
// instance. Each question takes no longer than a probe may.
func (a *attempt) run(ctx context.Context, m *Monitor) {
	if a.link != nil {
		if a.ask(ctx, m); a.err == nil || ctx.Err() != nil || m.cfg.Explain(a.err).answer() {
			return
		}
	}
	a.ask(ctx, m)
}

// ask is one question, over the link or a fresh connection.
func (a *attempt) ask(ctx context.Context, m *Monitor) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	a.ticket = m.tickets.Add(1)
	a.began = time.Now()
	defer func() { a.took = time.Since(a.began) }()
	if a.errand == errandRetrace {
		ctx = context.WithValue(ctx, direct{}, true)
	}
	if a.asked = a.addr; a.link == nil {
		if a.link, a.err = m.dial(ctx, a.addr); a.err != nil {
			return
		}
	}
	a.asked = a.link.addr
	a.report, a.err = a.question(ctx, *m.provider.Load())
	if a.err == nil && a.look {
		a.sight, _ = m.glance(ctx, a.link) // whether it is there the question before has told
	}
	if a.err != nil {
		a.link.abandon()
		a.link = nil
	}
}

func (a *attempt) question(ctx context.Context, p Provider) (Report, error) {
	if f, ok := p.(follower); ok && a.errand == errandScout {
		return f.scout(ctx, a.link, a.asked)
	}
	if a.errand == errandRetrace || a.errand == errandLook {
		return Report{}, nil
	}
	return p.Probe(ctx, a.link, a.asked)
}

func (a *attempt) observation() observation {
	o := observation{kind: answered, id: a.id, addr: a.asked, ticket: a.ticket, at: a.began, report: a.report}
	if a.err != nil {
		o.kind, o.cause = failed, a.err
	}
	return o
}

// probe is what hooks are told of it.
func (a *attempt) probe() Probe {
	p := Probe{Instance: a.id, Addr: a.asked, Took: a.took, Err: a.err}
	if a.err == nil {
		p.Instance, p.Role = cmp.Or(a.report.ID, a.id), a.report.Role
	}
	return p
}
