package topology

import (
	"slices"
	"time"
)

// Lists of instances
//
// The writer's list counts in full: what is not in it is removed. While there is no
// writer to use, the lists of others may add instances, so that a promoted one is
// found that is new, or a cluster that is back under other addresses. They remove only
// what is down. A list that is no newer than what we have counts for nothing: it comes
// from a reader that is behind.

// adopt takes over the list of the instance that was just believed to be the writer.
func (d *draft) adopt(o observation) {
	if o.report.Members == nil {
		return
	}
	d.edit().view = o.report.newest()
	d.remove(o, func(in *Instance) bool {
		// One that is in doubt stays until it is known whether it is dead: those who use
		// it are told so only by its being down.
		return in.State != StateSuspect
	})
	for _, m := range o.report.Members {
		d.list(m)
		d.measure(o, m, true)
	}
}

// hear takes over from the list of any other instance what may be believed of it.
func (d *draft) hear(o observation) {
	if o.report.Members == nil {
		return
	}
	if d.current().Writer() == nil && d.fresh(o) {
		d.edit().view = o.report.newest()
		d.remove(o, func(in *Instance) bool { return in.State == StateDown })
		for _, m := range o.report.Members {
			d.list(m)
		}
	}
	for _, m := range o.report.Members {
		d.measure(o, m, false)
	}
	d.follow(o)
	d.name(o)
}

// enrol takes over the list of a member of a replication that has one. Whoever is new is
// asked before anything is believed of it, and before anybody is who knew nothing before.
func (d *draft) enrol(o observation) {
	w := d.current().Writer()
	if o.report.Members == nil || w != nil && (w.ID != o.report.ID || o.report.Role != Writer) {
		return
	}
	d.remove(o, func(in *Instance) bool { return in.State == StateDown || w != nil && in.State != StateSuspect })
	for _, m := range o.report.Members {
		d.list(m)
	}
}

// fresh reports whether the list is newer than the one we have. The list of an
// instance that is new to us belongs to another cluster than we knew, and to
// another clock.
func (d *draft) fresh(o observation) bool {
	newest := o.report.newest()
	return newest.IsZero() || newest.After(d.current().view) || d.old.Lookup(o.report.ID) == nil
}

// remove takes those instances out that the list does not have and that may go.
func (d *draft) remove(o observation, may func(*Instance) bool) {
	gone := func(in Instance) bool {
		return in.ID != o.report.ID && may(&in) &&
			!slices.ContainsFunc(o.report.Members, func(m Member) bool { return m.ID == in.ID })
	}
	if !slices.ContainsFunc(d.current().Instances, gone) {
		return
	}
	s := d.edit()
	s.Instances = slices.DeleteFunc(s.Instances, func(in Instance) bool {
		if gone(in) {
			d.event(Event{Kind: InstanceRemoved, Instance: in.ID})
			return true
		}
		return false
	})
	d.reindex()
}

// list adds an instance, or moves it to another address.
func (d *draft) list(m Member) {
	in := d.current().Lookup(m.ID)
	if in == nil {
		in := Instance{ID: m.ID, Addr: m.Addr}
		if !m.Writer {
			// The cluster reports of it as of one that works.
			in.Role, in.State = Reader, StateUp
		}
		d.add(in)
		return
	}
	if in.Role == Unknown && !in.pretends && !m.Writer {
		in = d.instance(m.ID)
		in.Role = Reader
		if in.State == StateUnknown {
			in.State = StateUp
		}
	}
	if in.Addr != m.Addr {
		in = d.instance(m.ID)
		in.Addr, in.reached, in.Since = m.Addr, false, 0
		if in.Role == Writer && in.State == StateUp {
			return // it has just said so itself, over a connection
		}
		in.State, in.reasons = StateUnknown, 0
	}
}

// measure takes over lag and load, unless there is newer knowledge.
func (d *draft) measure(o observation, m Member, always bool) {
	in := d.current().Lookup(m.ID)
	if in == nil || !always && m.Updated.Before(in.row.Updated) {
		return
	}
	seen := in.seen(o, m)
	if seen.Equal(in.LagSeen) && m.sameRow(in.row) {
		return // what it says was known, and may have got old since
	}
	in = d.instance(m.ID)
	in.Lag, in.LagKnown, in.CPU, in.row, in.LagSeen = m.Lag, m.LagKnown, m.CPU, m, seen
}

// name notes the time at which the table named an instance the writer. What an
// instance says of itself is its claim, and is dealt with as such; what a claimant says
// of others is no third opinion.
func (d *draft) name(o observation) {
	for _, m := range o.report.Members {
		in := d.current().Lookup(m.ID)
		if in != nil && m.Writer && m.ID != o.report.ID && m.Updated.After(in.proof) {
			in = d.instance(m.ID)
			in.proof = m.Updated
			if o.report.Role == Reader {
				in.named = m.Updated
			}
		}
	}
}

// follow makes the writer a suspect when the table names another one at a later time
// than it was named at itself. That is a hint, no more: the writer's own answer
// settles it. What was known when the writer was believed is not followed, so that
// the row of a dead instance with a wrong clock does no harm, and hints that do not come
// true are not followed all the time.
func (d *draft) follow(o observation) {
	w := d.current().Writer()
	if w == nil || o.report.ID == w.ID || o.ticket < w.Verified {
		return
	}
	for _, m := range o.report.Members {
		if !m.Writer || m.ID == w.ID || !m.Updated.After(w.proof) || m.Updated.Before(d.current().hinted.Add(hintPause)) {
			continue
		}
		if named := d.current().Lookup(m.ID); named != nil && !m.Updated.After(named.proof) {
			continue // known, and weighed when the writer was believed
		}
		d.edit().hinted = m.Updated
		d.doubt(w.ID, o.now, ReasonSuperseded)
		return
	}
}

// hintPause is how long, by the table's time, no second hint is followed.
const hintPause = 10 * time.Second

// newest is the time of the view: that of its newest row.
func (r Report) newest() time.Time {
	var newest time.Time
	for _, m := range r.Members {
		newest = later(newest, m.Updated)
	}
	return newest
}
