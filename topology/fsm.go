package topology

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// observation is something that was heard about the cluster.
type observation struct {
	kind   observationKind
	id     string // the instance that was asked or is suspected; "" = whoever is at addr
	addr   string // where it was asked
	ticket uint64 // drawn when the probe began
	now    uint64 // drawn when the observation was made; what begins later has a higher ticket
	epoch  uint64 // suspicion: of the snapshot by which the instance was chosen
	reason Reason // suspicion
	cause  error  // failure
	report Report // answer
	aside  bool   // answer: taken note of, but ends no doubt
	drain  bool   // directed: to be drained, or no longer
	hold   bool   // held: to be held, or no longer

	at  time.Time // answer: when it was asked for
	old time.Time // lags that were seen until then are old
}

type observationKind uint8

const (
	answered  observationKind = iota // a probe was answered
	failed                           // a probe was not answered
	suspected                        // a statement met a fault
	directed                         // an operator wants it
	aged                             // nothing, but time has passed
	held                             // nothing new is to be sent to the cluster, or it may be again
	abandoned                        // what the instances were is another cluster's business now
	switched                         // an answer of the writer of the cluster that takes their place
)

// step makes the next snapshot from the last one and an observation. It is pure:
// s is not changed, and nothing but s and o decides. If nothing changed it returns s;
// if nothing changed that is worth telling, a snapshot of the same Version.
func step(s *Snapshot, o observation) (*Snapshot, []Event) {
	d := draft{old: s}
	switch o.kind {
	case answered:
		d.answer(o)
	case failed:
		d.failure(o)
	case suspected:
		d.suspicion(o)
	case directed:
		d.direct(o.id, o.drain)
	case held:
		d.edit().held = o.hold
	case abandoned:
		d.abandon()
	case switched:
		d.replaceAll(o)
	case aged:
	}
	if o.kind != suspected {
		d.age(o.old)
		d.elect(o.now)
	}
	return d.finish()
}

// first is the snapshot of a cluster of which nothing is known but what was configured.
func first(provider string, members []Member) *Snapshot {
	s := &Snapshot{Provider: provider, writer: -1}
	for _, m := range members {
		in := Instance{ID: m.ID, Addr: m.Addr}
		if !m.Writer {
			in.Role = Reader
		}
		s.Instances = append(s.Instances, in)
	}
	sortInstances(s.Instances)
	return s
}

func sortInstances(instances []Instance) {
	slices.SortFunc(instances, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
}

// draft is a snapshot in the making.
type draft struct {
	old    *Snapshot
	new    *Snapshot // nil until something is changed
	events []Event
}

// current is the draft as it stands, to be read.
func (d *draft) current() *Snapshot {
	if d.new != nil {
		return d.new
	}
	return d.old
}

// edit returns the draft's own copy, to be changed.
func (d *draft) edit() *Snapshot {
	if d.new == nil {
		c := *d.old
		c.Instances = slices.Clone(d.old.Instances)
		d.new = &c
	}
	return d.new
}

// instance returns an instance to be changed.
func (d *draft) instance(id string) *Instance { return d.edit().Lookup(id) }

// incumbent returns the instance with the writer's role to be read, in whatever
// state, nil if there is none.
func (d *draft) incumbent() *Instance {
	s := d.current()
	if s.writer < 0 {
		return nil
	}
	return &s.Instances[s.writer]
}

// reindex is to be called when roles or the list have changed.
func (d *draft) reindex() {
	s := d.edit()
	s.writer = slices.IndexFunc(s.Instances, func(in Instance) bool { return in.Role == Writer })
}

func (d *draft) event(e Event) { d.events = append(d.events, e) }

// answer takes over what an instance says of itself, and of the others.
func (d *draft) answer(o observation) {
	id := o.report.ID
	if o.id != "" && o.id != id {
		// Whoever answered, it is not the one that was asked: that one is not there.
		d.failure(observation{
			kind: failed, id: o.id, addr: o.addr, ticket: o.ticket, now: o.now,
			cause: fmt.Errorf("%w: %s", ErrIdentity, id),
		})
	}
	in := d.current().Lookup(id)
	if in == nil {
		if in = d.welcome(o); in == nil {
			return
		}
	}
	if o.ticket < in.heard || o.ticket < in.doubt && in.State == StateSuspect {
		return // begun before its last answer, or before the doubt: says nothing
	}
	d.instance(id).heard = o.ticket
	if d.impostor(o) {
		return
	}
	if o.addr != in.Addr && (in.State == StateSuspect || in.State == StateDown) {
		// By a way around, such as the cluster's endpoint. It lives, but nobody can use
		// it until its own address works.
		if o.report.Role == Reader {
			d.stepDown(id)
		}
		return
	}
	vague := o.report.Role == Unknown && in.Role == Writer // a writer must say so
	if (o.aside || vague) && in.State != StateUp {
		d.instance(id).Verified = o.ticket
		return
	}
	d.revive(o)
	if o.report.Lineage != nil {
		d.enrol(o) // first: who is gone is nobody's source
		d.inherit(o)
		return
	}
	role := o.report.Role
	if w := d.incumbent(); o.report.Spare && w != nil && w.ID != id && w.State != StateDown {
		role = Reader // it could be the writer, and need not
	}
	switch role {
	case Writer:
		d.name(o)
		if d.believe(o) {
			d.adopt(o)
		}
		return // a list that comes with a claim is as good as the claim
	case Reader:
		d.stepDown(id)
	case Unknown: // it lives, and cannot tell
	}
	d.hear(o)
}

// welcome adds an instance that was not in the list. While there is a writer to
// use, its list is right, and the instance belongs to another cluster or is gone from
// this one.
func (d *draft) welcome(o observation) *Instance {
	if d.current().Writer() != nil {
		return nil
	}
	d.add(Instance{ID: o.report.ID, Addr: cmp.Or(o.report.Addr, o.addr)})
	return d.current().Lookup(o.report.ID)
}

// add puts an instance into the list.
func (d *draft) add(in Instance) {
	s := d.edit()
	s.Instances = append(s.Instances, in)
	sortInstances(s.Instances)
	d.reindex()
	d.event(Event{Kind: InstanceAdded, Instance: in.ID})
}

// revive notes that an instance answered.
func (d *draft) revive(o observation) {
	in := d.instance(o.report.ID)
	in.Verified = o.ticket
	in.ReadOnly = o.report.ReadOnly
	in.reached = in.reached || o.addr == in.Addr
	if in.State == StateUp {
		return
	}
	if in.State == StateDown {
		in.Since = 0 // finish sets it
	}
	in.State, in.reasons = StateUp, 0
	d.event(Event{Kind: InstanceUp, Instance: in.ID})
}

// failure takes an instance down that did not answer.
func (d *draft) failure(o observation) {
	in := d.current().Lookup(o.id)
	if in == nil || in.Addr != o.addr || o.ticket < in.Verified || in.State == StateDown {
		return
	}
	in = d.instance(o.id)
	in.State, in.reasons, in.contested = StateDown, 0, false
	e := Event{Kind: InstanceDown, Instance: in.ID, Cause: o.cause}
	if !in.reached {
		e.Detail = d.old.neverReached(in.Addr)
	}
	d.event(e)
}

// neverReached is said of an instance that was never found at its own address, which
// may be a wrong one.
func (s *Snapshot) neverReached(addr string) string {
	detail := "no probe has reached its address " + addr + " yet"
	if s.Provider == auroraName {
		detail += ", which fpInstanceHost makes"
	}
	return detail
}

// relevant reports whether a suspicion would change anything: what was met in an
// earlier epoch than the instance's last change is about something else, and more of
// the same while it is looked into is nothing new.
func (in *Instance) relevant(epoch uint64, reason Reason) bool {
	switch {
	case in == nil || epoch < in.Since:
		return false
	case in.State == StateSuspect:
		return !in.reasons.has(reason)
	default:
		return in.State == StateUp
	}
}

// suspicion makes an instance unusable until it has answered.
func (d *draft) suspicion(o observation) {
	if d.current().Lookup(o.id).relevant(o.epoch, o.reason) {
		d.doubt(o.id, o.now, o.reason)
	}
}

// doubt makes an instance unusable until it has answered a probe that began after now.
func (d *draft) doubt(id string, now uint64, reason Reason) {
	in := d.instance(id)
	// Whoever met anything but a refused connection was connected.
	in.reached = in.reached || reason != ReasonConnect && reason != ReasonSuperseded
	if in.State != StateSuspect {
		d.event(Event{Kind: InstanceSuspected, Instance: id, Reason: reason})
	}
	in.State = StateSuspect
	in.doubt = max(in.doubt, now)
	in.reasons |= 1 << reason
}

// abandon takes all instances down: what is under way there cannot finish.
func (d *draft) abandon() {
	for i := range d.edit().Instances {
		if in := &d.new.Instances[i]; in.State != StateDown {
			in.State, in.reasons, in.contested = StateDown, 0, false
			d.event(Event{Kind: InstanceDown, Instance: in.ID, Detail: "left, as another cluster takes its place"})
		}
	}
}

// replaceAll puts another cluster in the place of the one that was left, though its instances may
// have the same names. Nothing that was known is true of them.
func (d *draft) replaceAll(o observation) {
	s := d.edit()
	for _, in := range s.Instances {
		d.event(Event{Kind: InstanceRemoved, Instance: in.ID})
	}
	s.Instances, s.writer, s.held, s.lastWriter = nil, -1, false, ""
	s.view, s.hinted = time.Time{}, time.Time{} // by another clock
	o.kind, o.old = answered, time.Time{}
	d.answer(o)
	for i := range d.new.Instances {
		in := &d.new.Instances[i]
		in.Verified, in.heard = o.now, o.now // what was asked before is about the others
	}
}

// finish numbers the new snapshot and says what became of the writer.
func (d *draft) finish() (*Snapshot, []Event) {
	if d.new == nil {
		return d.old, nil
	}
	s := d.new
	if s.Epoch == 0 || reigning(s) != reigning(d.old) || !slices.EqualFunc(s.Instances, d.old.Instances, sameMember) {
		s.Epoch++
	}
	for i := range s.Instances {
		in := &s.Instances[i]
		before := d.old.Lookup(in.ID)
		turned := before == nil || before.Role != in.Role
		if in.Since == 0 || turned {
			in.Since = s.Epoch
		}
		in.Held = s.held
		if in.Drained && (turned || in.State == StateDown) {
			d.direct(in.ID, false)
		}
	}
	before, now := d.old.Writer(), s.Writer()
	switch {
	case now != nil && now.ID != s.lastWriter:
		s.lastWriter = now.ID
		d.event(Event{Kind: WriterChanged, Instance: now.ID})
	case now != nil && before == nil:
		d.event(Event{Kind: WriterBack, Instance: now.ID})
	case now == nil && before != nil:
		d.event(Event{Kind: WriterLost, Instance: before.ID})
	}
	if len(d.events) > 0 || s.Epoch != d.old.Epoch || !slices.EqualFunc(s.Instances, d.old.Instances, looksSame) {
		s.Version++
	}
	return s, d.events
}

// reigning is the ID of the writer unless it is known to be dead: losing it and
// having it back are changes of writer, doubting it is none.
func reigning(s *Snapshot) string {
	if s.writer < 0 || s.Instances[s.writer].State == StateDown {
		return ""
	}
	return s.Instances[s.writer].ID
}

func sameMember(a, b Instance) bool { return a.ID == b.ID && a.Addr == b.Addr }

// looksSame compares what hooks are told of. When an instance was asked last is not.
func looksSame(a, b Instance) bool {
	return sameMember(a, b) && a.Role == b.Role && a.State == b.State && a.ReadOnly == b.ReadOnly && a.Drained == b.Drained && a.Held == b.Held &&
		a.Lag == b.Lag && a.LagKnown == b.LagKnown && a.CPU == b.CPU
}
