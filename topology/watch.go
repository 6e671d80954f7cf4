package topology

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// watcher is the monitor's main goroutine. It alone owns the connections that lie
// between two probes: one, to the writer, while all is well; one for each instance
// while not.
type watcher struct {
	*Monitor
	slots   map[place]*slot
	results chan result
	timer   *time.Timer   // of the next round
	aging   *time.Timer   // of the first lag that gets too old
	pace    time.Duration // of rounds while it is fast
	recall  uint64        // ticket of the last Recall: what was asked before is of no use
	resolve bool          // each question takes a connection of its own, see provider_dns.go
	fast    bool
	idle    bool // nothing is to be asked until something happens
	warned  bool // of rows that cannot be an instance's
	lacking bool // warned of what the provider may not ask
	over    switchover
}

// place is what is asked: an instance, by its id, or a seed, or one of green, by its address.
type place struct{ id, seed, green string }

// slot is what the watcher knows of a place. Only one attempt is under way for each.
type slot struct {
	link    *link              // idle; nil while an attempt is under way
	leaving *leave             // the connection that was hung up last
	cancel  context.CancelFunc // of the attempt under way; nil = none
	ticket  uint64             // drawn when the newest attempt was launched
	last    time.Time          // when that was
	refused *backoff.ExponentialBackOff
	after   time.Time // not to be asked before
	problem Problem   // that was warned of
}

// leave is the end of a connection. Its server may have died meanwhile, and nobody
// should wait for that who need not.
type leave struct {
	link *link
	done chan struct{}
}

// hasten ends it now. Nil has ended.
func (l *leave) hasten() {
	if l != nil {
		l.link.cut()
		<-l.done
	}
}

// result is what an attempt brought back.
type result struct {
	attempt
	place     place
	slot      *slot
	cancelled bool
}

// watch polls until the monitor is closed.
func (m *Monitor) watch(d discovery) {
	w := &watcher{
		Monitor: m, slots: make(map[place]*slot), results: make(chan result), timer: time.NewTimer(jittered(m.cfg.Interval)),
		aging: time.NewTimer(m.cfg.lagLife()),
		pace:  m.cfg.IntervalFast,
	}
	defer w.close()
	w.heed(d.choice.report)
	if d.choice.provider.Name() == dnsName {
		w.resolve, w.pace = true, min(max(w.pace, dnsPause), m.cfg.Interval)
	}
	w.first(d)
	w.rest()
	for {
		w.plan()
		select {
		case <-m.ctx.Done():
			return
		case <-m.wake:
		case <-m.again:
			w.hurry()
		case <-m.recall:
			w.renew()
		case r := <-w.results:
			w.take(r)
		case <-w.timer.C:
			w.round()
		case <-w.aging.C:
			w.observe(observation{kind: aged})
		}
	}
}

// unsettled reports whether somebody waits for an answer: there is no writer, an
// instance is suspected or was never asked.
func unsettled(s *Snapshot) bool {
	if s.Writer() == nil {
		return true
	}
	for i := range s.Instances {
		if state := s.Instances[i].State; state == StateSuspect || state == StateUnknown {
			return true
		}
	}
	return false
}

// first keeps the connection of the discovery, or that of its lookout if somebody has adopted it, or makes
// one; and has the first look for a deployment begin, unless the discovery has looked.
func (w *watcher) first(d discovery) {
	p := place{id: d.choice.report.ID}
	slot := w.slot(p)
	looks := w.orient(d) && !d.looked
	if d.sight != nil {
		w.sighted(*d.sight)
	}
	link := d.link
	if l := d.lookout; l != nil && (d.link != nil || !d.looked) {
		l.drop(w.Monitor)
	} else if l != nil {
		link = l.link
	}
	keeps := !w.resolve && !w.cfg.onDemand
	if looks && link != nil || link == nil && keeps {
		a := attempt{id: p.id, addr: d.seed, link: link, errand: errandLook, look: looks}
		if in := w.Snapshot().Lookup(p.id); in != nil && !looks {
			a.addr = in.Addr
		}
		w.launch(p, a, nil)
		return
	}
	if keeps {
		slot.link = link
	} else {
		w.hangUp(slot, link)
	}
	w.haveLooked()
}

// rest sets the clock for the next steady poll, if there is to be one.
func (w *watcher) rest() {
	w.idle = w.cfg.onDemand && !slices.ContainsFunc(w.Snapshot().Instances, func(in Instance) bool { return in.State == StateDown || in.pretends })
	if w.idle {
		w.timer.Stop()
	} else {
		w.timer.Reset(jittered(w.cfg.Interval))
	}
}

// plan changes between slow and fast, and has new doubts looked into at once.
func (w *watcher) plan() {
	s := w.Snapshot()
	if oldest := s.oldestLag(); !oldest.IsZero() {
		w.aging.Reset(time.Until(oldest.Add(w.cfg.lagLife())))
	}
	switch fast := unsettled(s) || w.hurries(); {
	case fast && !w.fast:
		w.fast, w.idle = true, false
		w.round()
	case !fast && w.fast:
		w.fast = false
		w.trim()
		w.rest()
	case w.idle:
		w.rest()
	}
	for i := range s.Instances {
		in := &s.Instances[i]
		slot := w.slot(place{id: in.ID})
		doubt := w.recall
		if in.State == StateSuspect {
			doubt = max(doubt, in.doubt)
		}
		if doubt == 0 || doubt < slot.ticket {
			continue
		}
		// Asked before the doubt or not at all. What is under way cannot settle it, and
		// may be held up by the very thing that the doubt is about.
		if slot.cancel != nil {
			slot.cancel()
		} else if !time.Now().Before(slot.after) {
			w.askInstance(in)
		}
	}
}

// round asks whom it is time to ask, and sets the clock for the next round.
func (w *watcher) round() {
	w.learn(w.known().wait(time.Now()))
	w.scout()
	w.retrace()
	s := w.Snapshot()
	w.forget(s)
	lost, turn := true, w.turn(s)
	for i := range s.Instances {
		in := &s.Instances[i]
		lost = lost && in.State == StateDown
		if w.due(s, in) || slices.Contains(turn, in) {
			w.askInstance(in)
		}
	}
	if lost {
		w.askSeeds(s)
	}
	switch {
	case w.waits():
		w.timer.Reset(w.cfg.IntervalFast)
	case w.fast:
		w.timer.Reset(w.pace)
	default:
		w.rest()
	}
}

// hurry has the steady poll come now, unless there was one a moment ago.
func (w *watcher) hurry() {
	writer := w.Snapshot().Writer()
	if writer != nil && time.Since(w.slot(place{id: writer.ID}).last) >= w.pace {
		w.round()
	}
}

// renew begins anew, with everybody and over fresh connections.
func (w *watcher) renew() {
	w.recall = w.tickets.Add(1)
	for _, slot := range w.slots {
		w.hangUp(slot, slot.link)
		slot.link = nil
	}
}

// due reports whether it is time to ask an instance. In quiet times only the writer
// is asked, whose view has all the others. An instance that is down, or is no writer
// and does not know, is asked at the slow pace as long as there is a writer.
func (w *watcher) due(s *Snapshot, in *Instance) bool {
	slot := w.slot(place{id: in.ID})
	now := time.Now()
	if slot.cancel != nil || now.Before(slot.after) || w.resolve && w.fast && now.Sub(slot.last) < w.pace*9/10 {
		return false
	}
	if s.Writer() != nil && (in.State == StateDown || in.pretends) {
		return now.Sub(slot.last) >= w.cfg.Interval*9/10 // the jitter's lower end
	}
	return w.fast || in.Role == Writer
}

// turn are the readers whose turn it is to be asked in quiet times, where the writer does
// not know of the others: the half that was not asked for the longest time, so that each is
// asked at every second poll at least, and its lag does not get too old.
func (w *watcher) turn(s *Snapshot) (next []*Instance) {
	if w.fast || !s.lineal() {
		return nil
	}
	readers := 0
	for i := range s.Instances {
		in := &s.Instances[i]
		if in.Role != Reader || in.State != StateUp {
			continue
		}
		readers++
		if slot := w.slot(place{id: in.ID}); slot.cancel == nil && !time.Now().Before(slot.after) {
			next = append(next, in)
		}
	}
	slices.SortStableFunc(next, func(a, b *Instance) int {
		return w.slot(place{id: a.ID}).last.Compare(w.slot(place{id: b.ID}).last)
	})
	return next[:min(len(next), (readers+1)/2)]
}

// askSeeds asks the program's own addresses: perhaps the cluster is not where it was.
// They may lead to instances that have other addresses, too, so they are asked only
// when none of those works, lest an instance gets two connections.
func (w *watcher) askSeeds(s *Snapshot) {
	for _, seed := range w.cfg.Seeds {
		p := place{seed: seed}
		slot := w.slot(p)
		if slot.cancel != nil || time.Now().Before(slot.after) || hasAddr(s, seed) {
			continue
		}
		w.launch(p, attempt{addr: seed}, nil)
	}
}

func hasAddr(s *Snapshot, addr string) bool {
	for i := range s.Instances {
		if s.Instances[i].Addr == addr {
			return true
		}
	}
	return false
}

// askInstance asks an instance, over the connection that there is if that can tell.
// If nobody gets through to the instance, or not at its own address, it cannot.
func (w *watcher) askInstance(in *Instance) {
	p := place{id: in.ID}
	slot := w.slot(p)
	a := attempt{id: in.ID, addr: in.Addr, link: slot.link, look: w.looks(in)}
	var stale *link
	if in.State != StateUp && a.link != nil && (a.link.addr != in.Addr || in.reasons.unreachable()) {
		a.link, stale = nil, a.link
	}
	slot.link = nil
	w.launch(p, a, stale)
}

// launch starts an attempt. Connections that are to go have gone before it makes another.
func (w *watcher) launch(p place, a attempt, stale *link) {
	slot := w.slot(p)
	ctx, cancel := context.WithCancel(w.ctx)
	slot.cancel, slot.last, slot.ticket = cancel, time.Now(), w.tickets.Add(1)
	leaving := slot.leaving
	slot.leaving = nil
	w.runs.Go(func() {
		defer cancel()
		stale.abandon()
		leaving.hasten()
		a.run(ctx, w.Monitor)
		select {
		case w.results <- result{attempt: a, place: p, slot: slot, cancelled: ctx.Err() != nil}:
		case <-w.ctx.Done():
			a.link.close()
		}
	})
}

// take draws the consequences of an attempt.
func (w *watcher) take(r result) {
	slot := r.slot
	slot.cancel = nil
	if r.errand == errandLook {
		defer w.haveLooked()
	}
	if slot != w.slots[r.place] {
		r.link.close() // asked in a cluster that was left
		return
	}
	if !r.cancelled && r.errand == errandProbe {
		w.probed(r.probe())
	}
	if r.sight != nil {
		r.sight.leader = r.errand != errandScout && r.id == w.Snapshot().LastWriter()
		w.sighted(*r.sight)
	}
	switch {
	case r.errand == errandLook:
		w.keep(r.id, r.link)
	case r.errand == errandScout:
		w.found(slot, r)
	case r.errand == errandRetrace:
		w.retraced(r)
		w.hangUp(slot, r.link)
	case r.err == nil:
		w.note(r)
		w.observe(r.observation())
		w.heed(r.report)
		w.keep(r.report.ID, r.link)
		if in := w.Snapshot().Lookup(r.report.ID); r.id == "" && (in == nil || in.State != StateUp) {
			w.slacken(slot) // a seed that leads to what cannot be used
			return
		}
		slot.refused, slot.after, slot.problem = nil, time.Time{}, ProblemOther
	case r.cancelled, errors.Is(r.err, errAstray), w.cfg.Explain(r.err) == ProblemLocal && (w.resolve || w.inPower(r.id)):
		// Says nothing about the server: one to which connections work is not to lose them.
	case w.cfg.Explain(r.err).answer():
		w.refusal(slot, r, "answers, but not the monitor")
	case w.cfg.Explain(r.err) == ProblemNoCredentials:
		w.refusal(slot, r, "cannot be asked by the monitor")
	case r.id != "":
		w.observe(r.observation())
	}
}

// inPower reports whether an instance is the writer, and in no doubt.
func (w *watcher) inPower(id string) bool {
	in := w.Snapshot().Writer()
	return in != nil && in.ID == id && in.State == StateUp
}

// refusal deals with a server that answers and does not let the monitor do its work, or that
// nobody has a password for. That is no sign of death, and asking ten times a second makes it worse.
func (w *watcher) refusal(slot *slot, r result, what string) {
	w.slacken(slot)
	if problem := w.cfg.Explain(r.err); slot.problem != problem {
		slot.problem = problem
		w.warn(Event{Kind: Warning, Instance: r.id, Cause: r.err, Detail: r.addr + " " + what})
	}
	// Where all members must be heard before one is believed, one that lets nobody in
	// must not hold up the others. Nor must the others be asked all the time for a reader's sake.
	s := w.Snapshot()
	if in := s.Lookup(r.id); in != nil && in.State == StateUnknown && (s.lineal() || in.Role == Reader) { // it may have left meanwhile
		w.observe(r.observation())
	}
}

// slacken has a place asked less and less often, down to the slow pace.
func (w *watcher) slacken(slot *slot) {
	if slot.refused == nil {
		slot.refused = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(w.pace), backoff.WithMaxInterval(w.cfg.Interval),
			backoff.WithRandomizationFactor(0.1), backoff.WithMaxElapsedTime(0)) // 0: never gives up
	}
	slot.after = time.Now().Add(slot.refused.NextBackOff())
}

// heed warns, once, of what was left out of a report.
func (w *watcher) heed(r Report) {
	if r.Ignored > 0 && !w.warned {
		w.warned = true
		w.warn(Event{Kind: Warning, Instance: r.ID, Detail: "its list of instances has names that cannot be host names; they are ignored"})
	}
	if r.Partial != nil && !w.lacking {
		w.lacking = true
		w.warn(Event{Kind: Warning, Instance: r.ID, Cause: r.Partial, Detail: "not all that the monitor asks is answered"})
	}
}

// keep puts a connection aside for the next question to the instance that it leads
// to, or closes it: one each, and one altogether while all is well, or none. nil is none to keep.
func (w *watcher) keep(id string, l *link) {
	s := w.Snapshot()
	in := s.Lookup(id)
	slot := w.slot(place{id: id})
	if l == nil || in == nil || w.resolve || (in.Role != Writer || w.cfg.onDemand) && !unsettled(s) || in.State != StateUp && l.addr != in.Addr ||
		slot.link != nil || slot.cancel != nil {
		w.hangUp(slot, l)
		return
	}
	slot.link = l
}

// trim closes the connections that are not kept while all is well.
func (w *watcher) trim() {
	writer := w.Snapshot().Writer()
	for p, slot := range w.slots {
		if writer == nil || p.id != writer.ID || w.cfg.onDemand {
			w.hangUp(slot, slot.link)
			slot.link = nil
		}
	}
}

// hangUp closes a connection in the background.
func (w *watcher) hangUp(slot *slot, l *link) {
	if l == nil {
		return
	}
	end := &leave{link: l, done: make(chan struct{})}
	slot.leaving = end
	w.runs.Go(func() {
		defer close(end.done)
		l.close()
	})
}

func (w *watcher) slot(p place) *slot {
	s := w.slots[p]
	if s == nil {
		s = &slot{}
		w.slots[p] = s
	}
	return s
}

// forget drops what is known of instances that are gone.
func (w *watcher) forget(s *Snapshot) {
	for p, slot := range w.slots {
		if p.id == "" && (p.green == "" || slot.cancel != nil || w.waits()) || s.Lookup(p.id) != nil {
			continue
		}
		w.hangUp(slot, slot.link)
		slot.link = nil
		if slot.cancel == nil {
			delete(w.slots, p)
		}
	}
}

func (w *watcher) close() {
	w.timer.Stop()
	w.aging.Stop()
	for _, slot := range w.slots {
		slot.link.close()
	}
}
