package topology

import (
	"time"
)

// watcher is the monitor's main goroutine. It alone owns the connections that lie
// between two probes: one while all is well, one for each instance while not.
type watcher struct {
	*Monitor
	idle   map[string]*link // by instance id, not in use by a probe
	asking map[string]bool  // instance ids, and addresses of seeds, with a probe under way
	seen   chan result
	fast   bool
	timer  *time.Timer
}

// result is what a probe brought back.
type result struct {
	id, addr string // id "" = a seed
	ticket   uint64
	report   Report
	conn     *link
	err      error
}

// watch polls until the monitor is closed: slowly over one connection, or fast and
// everybody while the snapshot leaves something to be settled.
func (m *Monitor) watch(d discovery) {
	w := &watcher{
		Monitor: m, idle: map[string]*link{d.report.ID: d.conn}, asking: make(map[string]bool),
		seen: make(chan result), timer: time.NewTimer(m.cfg.Interval),
	}
	defer w.close()
	if w.fast = w.unsettled(); w.fast {
		w.round()
	}
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.wake:
			w.hurry()
		case r := <-w.seen:
			w.take(r)
			w.hurry()
		case <-w.timer.C:
			w.fast = w.unsettled()
			w.round()
		}
	}
}

// unsettled reports whether somebody waits for an answer: there is no writer, or an
// instance is suspected or was never asked.
func (w *watcher) unsettled() bool {
	s := w.Snapshot()
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

// hurry changes between slow and fast. One round of probes begins when it gets fast;
// after that the interval paces them, however many suspicions come.
func (w *watcher) hurry() {
	before := w.fast
	w.fast = w.unsettled()
	switch {
	case w.fast && !before:
		w.round()
	case before && !w.fast:
		w.timer.Reset(jittered(w.cfg.Interval))
		w.trim()
	}
}

// round asks whom it is time to ask, and sets the clock for the next round.
func (w *watcher) round() {
	s := w.Snapshot()
	alive := false
	steady := w.steadyTarget(s)
	for i := range s.Instances {
		in := &s.Instances[i]
		alive = alive || in.State == StateUp
		if w.fast || in.ID == steady || in.State == StateDown {
			w.launch(in.ID, in.Addr, in.State == StateSuspect)
		}
	}
	if w.fast && !alive {
		// Perhaps the cluster is not where it was: the program's own names may know.
		for _, seed := range w.cfg.Seeds {
			if s.Lookup(seed) == nil {
				w.launch("", seed, false)
			}
		}
	}
	if w.fast {
		w.timer.Reset(w.cfg.IntervalFast)
	} else {
		w.timer.Reset(jittered(w.cfg.Interval))
	}
}

// steadyTarget is the instance that the one steady connection leads to, or should.
func (w *watcher) steadyTarget(s *Snapshot) string {
	writer := s.Writer()
	if writer == nil {
		return ""
	}
	if w.idle[writer.ID] != nil {
		return writer.ID
	}
	for id := range w.idle {
		if s.Lookup(id) != nil {
			return id
		}
	}
	return writer.ID
}

// launch starts a probe unless one is under way. A doubted instance is asked over a
// fresh connection: an old one may be dead, or alive where new ones are not.
func (w *watcher) launch(id, addr string, fresh bool) {
	key := id
	if id == "" {
		key = addr
	}
	if w.asking[key] {
		return
	}
	w.asking[key] = true
	conn := w.idle[id]
	delete(w.idle, id)
	ticket := w.ticket()
	w.runs.Go(func() {
		if fresh {
			conn.close()
			conn = nil
		}
		r := result{id: id, addr: addr, ticket: ticket}
		r.report, r.conn, r.err = w.probe(w.ctx, addr, conn)
		select {
		case w.seen <- r:
		case <-w.ctx.Done():
			r.conn.close()
		}
	})
}

// take draws the consequences of a probe.
func (w *watcher) take(r result) {
	if r.id == "" {
		delete(w.asking, r.addr)
	} else {
		delete(w.asking, r.id)
	}
	if r.err != nil {
		if r.id != "" {
			w.observe(observation{kind: failed, id: r.id, addr: r.addr, ticket: r.ticket, cause: r.err})
		}
		return
	}
	w.observe(observation{kind: answered, id: r.id, addr: r.addr, ticket: r.ticket, report: r.report})
	w.keep(r.report.ID, r.conn)
	// A doubt that came while the probe was under way is not settled by its answer.
	if in := w.Snapshot().Lookup(r.id); in != nil && in.State == StateSuspect {
		w.launch(in.ID, in.Addr, true)
	}
}

// keep puts a connection aside for the next probe of its instance, or closes it: one
// an instance, and one altogether while all is well.
func (w *watcher) keep(id string, conn *link) {
	if w.idle[id] != nil || w.asking[id] || w.Snapshot().Lookup(id) == nil {
		conn.close()
		return
	}
	w.idle[id] = conn
	if !w.fast {
		w.trim()
	}
}

// trim closes all connections but the steady one.
func (w *watcher) trim() {
	steady := w.steadyTarget(w.Snapshot())
	for id, conn := range w.idle {
		if id != steady {
			conn.close()
			delete(w.idle, id)
		}
	}
}

func (w *watcher) close() {
	w.timer.Stop()
	for _, conn := range w.idle {
		conn.close()
	}
}
