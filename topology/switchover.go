package topology

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// follower is a provider whose cluster may be switched over from blue to green. The addresses that
// green has before are known from the table, and from green itself.
type follower interface {
	Provider
	// scout asks one of green, as Probe would ask one of the cluster, and notes nothing of it.
	scout(ctx context.Context, conn Conn, addr string) (Report, error)
	// successor is the provider for the time after a switchover.
	successor() Provider
}

// lookPause is how often a server is asked for a deployment where there is none: one that is made
// takes longer until it can be switched over.
const lookPause = time.Minute

// switchover is what the watcher knows for a blue/green deployment. What the deployment itself is
// like is in Monitor.deployment.
type switchover struct {
	provider follower             // nil: it cannot be followed
	look     time.Time            // not to look for one before
	homes    map[string]uint64    // where instances were found so far; the ticket with which each was first
	scouted  map[string]scouted   // green, by address
	writable bool                 // the writer took writes when it was looked at last
	tried    map[string]time.Time // when it was last looked where a name leads
}

// scouted is what was found at an address of green.
type scouted struct {
	at     time.Time
	remote string
}

// known is what is known of a deployment.
func (m *Monitor) known() deployment {
	if d := m.deployment.Load(); d != nil {
		return *d
	}
	return deployment{}
}

// orient prepares for the first look. Until it is over nobody uses a new connection: a process may
// start in the middle of a switchover. It reports false if nothing is to be looked for.
func (w *watcher) orient(d discovery) bool {
	p, ok := d.choice.provider.(follower)
	if !ok || d.remote == "" { // behind a dialer that does not tell where it leads nobody can be told apart
		return false
	}
	w.over = switchover{provider: p, homes: map[string]uint64{d.remote: d.ticket}, scouted: make(map[string]scouted), tried: make(map[string]time.Time)}
	w.over.look = time.Now().Add(lookPause)
	return true
}

func remoteOf(conn Conn) string {
	if c, ok := conn.(interface{ RemoteAddr() net.Addr }); ok && c.RemoteAddr() != nil {
		return c.RemoteAddr().String()
	}
	return ""
}

// hurries reports whether a switchover is about to begin.
func (w *watcher) hurries() bool {
	d := w.known()
	return d.phase == phaseInitiated && !d.switched && time.Since(d.since) < holdLimit
}

// looks reports whether an instance that is asked now is to be asked for a deployment, too:
// with each poll of the writer while there is one, with each of anybody while it is switched over.
func (w *watcher) looks(in *Instance) bool {
	d, now := w.known(), time.Now()
	switch {
	case w.over.provider == nil:
		return false
	case d.phase >= phaseInitiated && !d.switched:
		return true
	case in.Role != Writer || (d.phase == phaseNone || d.switched) && now.Before(w.over.look):
		return false
	}
	w.over.look = now.Add(lookPause)
	return true
}

// sighted takes over what a server says of a deployment.
func (w *watcher) sighted(s sighting) {
	if s.leader {
		w.over.writable = !s.readOnly
	}
	w.learn(w.known().see(s))
}

// learn draws the consequences of what is known now.
func (w *watcher) learn(now deployment) {
	before := w.known()
	if now == before {
		return
	}
	w.deployment.Store(&now)
	if now.green != before.green {
		clear(w.over.scouted)
	}
	if news := now.news(before); news != "" {
		w.warn(Event{Kind: BlueGreen, Detail: news})
	}
	if hold := now.holds(); hold != w.Snapshot().held {
		w.observe(observation{kind: held, hold: hold})
	}
}

// note remembers where an instance is, for when it is one that was left.
func (w *watcher) note(r result) {
	if w.over.provider == nil || r.place.id == "" {
		return
	}
	if w.known().phase == phaseNone {
		clear(w.over.homes)
	}
	remote := remoteOf(r.link)
	if _, known := w.over.homes[remote]; remote != "" && !known {
		w.over.homes[remote] = r.ticket
	}
}

// waits reports whether green may be what everybody waits for: nothing is sent to blue, or nobody
// there takes writes, perhaps because of a switchover of which nobody there could tell.
func (w *watcher) waits() bool {
	d := w.known()
	return w.over.provider != nil && d.phase != phaseNone && !d.switched && !d.tired && (d.holds() || w.Snapshot().Writer() == nil)
}

// scout asks those of green whom it is time to ask: all of them once in each phase before the
// switchover, and the one that may be the writer in each round while somebody waits for it.
func (w *watcher) scout() {
	d, now := w.known(), time.Now()
	if w.over.provider == nil || d.switched || d.phase == phaseNone || d.tired {
		return
	}
	for _, addr := range w.greens() {
		p := place{green: addr}
		slot := w.slot(p)
		found, ok := w.over.scouted[addr]
		if slot.cancel != nil || now.Before(slot.after) || ok && !found.at.Before(d.since) && !(w.waits() && addr == d.green) {
			continue
		}
		a := attempt{addr: addr, link: slot.link, errand: errandScout, look: true}
		slot.link = nil
		w.launch(p, a, nil)
	}
}

// greens are the addresses of green that are known so far, the endpoint first.
func (w *watcher) greens() []string {
	d := w.known()
	greens := []string{d.green}
	if r := w.routes.Load(); r != nil {
		for _, addr := range slices.Sorted(maps.Keys(r.ways)) {
			if addr != d.green && !r.ways[addr].final {
				greens = append(greens, addr)
			}
		}
	}
	return greens
}

// found takes over what a scout found.
func (w *watcher) found(slot *slot, r result) {
	d := w.known()
	if r.err != nil {
		// Green has its names no more, so that they lead to it where blue had them, if who
		// answers there takes writes: this process came late.
		_, ok := w.over.scouted[r.addr]
		if d.phase >= phasePost && !d.switched && !ok && r.addr == d.green && w.over.writable && w.cfg.Explain(r.err) == ProblemLocal {
			w.learn(d.arrived())
		}
		return
	}
	remote := remoteOf(r.link)
	w.over.scouted[r.addr] = scouted{at: time.Now(), remote: remote}
	routes := w.routes.Load().clone()
	routes.ways[r.addr] = way{pin: remote, green: r.addr}
	for _, m := range r.report.Members {
		if host, _, err := net.SplitHostPort(m.Addr); err == nil && isGreen(host) && routes.ways[m.Addr] == (way{}) {
			routes.ways[m.Addr] = way{green: m.Addr}
		}
	}
	w.routes.Store(routes)
	if d = w.known(); d.phase >= phasePost && !d.switched && r.addr == d.green && r.report.Role == Writer && r.sight != nil && !r.sight.readOnly {
		w.cutOver(r, remote)
		w.hangUp(slot, r.link)
		return
	}
	if w.waits() && r.addr == d.green && !w.resolve {
		slot.link = r.link
		return
	}
	w.hangUp(slot, r.link)
}

// cutOver makes green the cluster: r is the answer of its writer, which says itself that it
// takes writes. First everybody leaves blue, whatever is under way there.
func (w *watcher) cutOver(r result, remote string) {
	d := w.known()
	routes := w.routes.Load().clone()
	clear(routes.ways)
	report := final(r.report)
	routes.ways[net.JoinHostPort(splitAddr(d.green, finalName))] = way{pin: remote, green: d.green, final: true}
	for i, m := range report.Members {
		before := r.report.Members[i]
		at := way{green: before.Addr, pin: w.over.scouted[before.Addr].remote, final: true}
		renamed := before.Addr == m.Addr // it has but the one name
		switch {
		case m.ID == report.ID && renamed:
			at.pin, at.green = remote, d.green
		case m.ID == report.ID:
			at.pin = remote
		case renamed:
			at.home = true // or will be: the name of the cluster leads to the writer
		}
		routes.ways[m.Addr] = at
	}
	// Where the names led to green's writer before it was followed, they have led to green since.
	since, led := w.over.homes[remote]
	for home, found := range w.over.homes {
		if !led || found < since {
			routes.banned[home] = time.Time{}
		}
	}
	for _, w := range routes.ways {
		delete(routes.banned, w.pin)
	}
	w.routes.Store(routes)
	next := w.over.provider.successor()
	w.provider.Store(&next)
	for p, slot := range w.slots {
		if slot.cancel != nil {
			slot.cancel() // take knows by the slot that it belongs to blue
		}
		w.hangUp(slot, slot.link)
		slot.link = nil
		delete(w.slots, p)
	}
	w.observe(observation{kind: abandoned})
	w.observe(observation{kind: switched, addr: report.Addr, ticket: r.ticket, at: r.began, report: report})
	clear(w.over.homes)
	clear(w.over.tried)
	w.learn(d.arrived())
}

// final is a report of green with the names that all have when the switchover is over.
func final(r Report) Report {
	name := func(addr string) string {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return addr
		}
		return net.JoinHostPort(splitAddr(addr, finalName))
	}
	r.ID, r.Addr = finalName(r.ID), name(r.Addr)
	members := make([]Member, len(r.Members))
	for i, m := range r.Members {
		m.ID, m.Addr = finalName(m.ID), name(m.Addr)
		members[i] = m
	}
	r.Members = members
	return r
}

// retrace looks where the names lead that led to blue. Those that lead to green need no route.
func (w *watcher) retrace() {
	routes := w.routes.Load()
	if routes == nil || !w.known().switched {
		return
	}
	for _, addr := range routes.pinned() {
		p := place{green: addr}
		slot := w.slot(p)
		if slot.cancel != nil || time.Since(slot.last) < dnsPause {
			continue
		}
		w.launch(p, attempt{addr: addr, errand: errandRetrace}, nil)
	}
	over := len(routes.pinned()) == 0 && len(routes.banned) > 0
	for _, until := range routes.banned {
		over = over && !until.IsZero() && time.Now().After(until)
	}
	if over {
		w.routes.Store(nil)
	}
}

// retraced takes over where a name leads.
func (w *watcher) retraced(r result) {
	routes := w.routes.Load()
	if r.err != nil || routes == nil || routes.ways[r.addr].pin == "" || routes.check(r.link.RemoteAddr()) != nil {
		return
	}
	routes = routes.clone()
	at := routes.ways[r.addr]
	at.pin, at.home = "", true
	routes.ways[r.addr] = at
	if len(routes.pinned()) == 0 {
		for home := range routes.banned {
			routes.banned[home] = time.Now().Add(banFor)
		}
		w.warn(Event{Kind: BlueGreen, Detail: "all names lead to green"})
	}
	w.routes.Store(routes)
}

// admit lets nobody use a new connection to blue when a switchover has begun that the monitor has
// not seen: this process was stopped for a while, say.
func (m *Monitor) admit(ctx context.Context, conn Conn, role Role) error {
	select {
	case <-m.looked:
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ctx.Done():
		return errClosed
	}
	d := m.known()
	switch {
	case d.holds():
		return errHeld
	case d.phase == phaseNone || d.switched || d.tired:
		return nil
	}
	s, err := m.glance(ctx, conn)
	if err != nil || s == nil {
		return err
	}
	s.leader = role == Writer
	if d.see(*s).holds() {
		m.Look()
		return errHeld
	}
	return nil
}

// errHeld: nothing new is sent to blue.
var errHeld = fmt.Errorf("failoverproxy: %w: a blue/green switchover is under way", ErrIdentity)

// greened is Aurora after a switchover: until its instances have the names of those before
// them they are known by these all the same, so that nobody is cut off when they get them.
type greened struct{ *aurora }

func (a *aurora) scout(ctx context.Context, conn Conn, addr string) (Report, error) {
	return a.Probe(ctx, conn, addr)
}

func (a *aurora) successor() Provider { return greened{a} }

func (g greened) successor() Provider { return g }

func (g greened) Probe(ctx context.Context, conn Conn, addr string) (Report, error) {
	r, err := g.aurora.Probe(ctx, conn, addr)
	if err != nil {
		return r, err
	}
	r = final(r)
	// For a while an instance has a row by either name: the newer is the one.
	slices.SortStableFunc(r.Members, func(a, b Member) int { return cmp.Or(cmp.Compare(a.ID, b.ID), b.Updated.Compare(a.Updated)) })
	r.Members = slices.CompactFunc(r.Members, func(a, b Member) bool { return a.ID == b.ID })
	return r, nil
}

func (g greened) Identify(ctx context.Context, conn Conn, addr string) (string, Role, error) {
	id, role, err := g.aurora.Identify(ctx, conn, addr)
	return finalName(id), role, err
}

// scout does not take note of where the name leads, as Probe does.
func (d *dns) scout(ctx context.Context, conn Conn, _ string) (Report, error) {
	id, role, err := d.Identify(ctx, conn, "")
	return Report{ID: id, Addr: d.seed, Role: role, ReadOnly: role == Reader, Members: []Member{{ID: id, Addr: d.seed, Writer: role == Writer}}}, err
}

func (d *dns) successor() Provider { return d }
