package topology

import (
	"cmp"
	"slices"
	"time"
)

// observation is something that was heard about the cluster.
type observation struct {
	kind   observationKind
	id     string // the instance that was asked or is suspected
	addr   string // where it was asked
	ticket uint64 // orders probes (as of their start) and suspicions
	epoch  uint64 // suspicion: of the snapshot by which the instance was chosen
	reason Reason // suspicion
	cause  error  // failure
	report Report // answer
}

type observationKind uint8

const (
	answered observationKind = iota
	failed
	suspected
)

// step makes the next snapshot from the last one and an observation. It is pure:
// s is not changed, and nothing but s and o decides. If nothing changed it returns s.
func step(s *Snapshot, o observation) (*Snapshot, []Event) {
	d := draft{old: s}
	switch o.kind {
	case answered:
		d.answer(o)
	case failed:
		d.failure(o)
	case suspected:
		d.suspicion(o)
	}
	return d.finish()
}

// draft is a snapshot in the making.
type draft struct {
	old    *Snapshot
	new    *Snapshot // nil until something is changed
	events []Event
}

// edit returns the draft's own copy to be changed.
func (d *draft) edit() *Snapshot {
	if d.new == nil {
		c := *d.old
		c.Instances = slices.Clone(d.old.Instances)
		d.new = &c
	}
	return d.new
}

func (d *draft) current() *Snapshot {
	if d.new != nil {
		return d.new
	}
	return d.old
}

func (d *draft) event(kind EventKind, id string) {
	d.events = append(d.events, Event{Kind: kind, Instance: id})
}

func (d *draft) answer(o observation) {
	d.members(o)
	i := d.current().index(o.report.ID)
	if i < 0 {
		return // it is not in the newest view of the cluster: an old one that came back, say
	}
	if in := d.current().Instances[i]; o.ticket < in.suspected || o.ticket < in.verified {
		return // the probe began before the doubt: it does not settle it
	}
	s := d.edit()
	in := &s.Instances[i]
	in.verified = o.ticket
	if in.State != StateUp {
		if in.State == StateDown {
			in.Since = 0 // set by finish
		}
		in.State = StateUp
		d.event(InstanceUp, in.ID)
	}
	if o.report.Role == Writer && !d.contradicted(i, o.report) {
		d.enthrone(i, o.report.proof())
	} else if o.report.Role != Unknown {
		in.Role = Reader
	}
}

// contradicted reports whether a claim to be the writer is not to be believed: the
// claimant's own view names another one, or what it proves is older than what the
// instance that we hold for the writer has proved. The times compared are those that
// the cluster's shared status table notes for its writer, so they are of one series,
// whoever reads them: a true new writer's passes the old one's at once. Where there is
// no such table a claim is as good as any.
func (d *draft) contradicted(claimant int, r Report) bool {
	if r.Members == nil {
		return false
	}
	s, proof := d.current(), r.proof()
	return proof.IsZero() || slices.ContainsFunc(s.Instances, func(in Instance) bool {
		return in.ID != s.Instances[claimant].ID && in.Role == Writer && in.proof.After(proof)
	})
}

// enthrone makes instance i the writer. Another that had the role is a suspect: it
// may not know yet.
func (d *draft) enthrone(i int, proof time.Time) {
	s := d.edit()
	for j := range s.Instances {
		if in := &s.Instances[j]; j != i && in.Role == Writer {
			in.Role = Reader
			if in.State == StateUp {
				in.State = StateSuspect
				in.suspected = s.Instances[i].verified
			}
		}
	}
	in := &s.Instances[i]
	in.Role = Writer
	if proof.After(in.proof) {
		in.proof = proof
	}
}

// members takes over the list of instances from an answer, unless it is older than
// the list at hand.
func (d *draft) members(o observation) {
	r := o.report
	if r.Members == nil || r.stamp().Before(d.current().view) {
		return
	}
	listed := make(map[string]Member, len(r.Members))
	for _, m := range r.Members {
		listed[m.ID] = m
	}
	s := d.edit()
	s.view = r.stamp()
	s.Instances = slices.DeleteFunc(s.Instances, func(in Instance) bool {
		_, ok := listed[in.ID]
		if !ok {
			d.event(InstanceRemoved, in.ID)
		}
		return !ok
	})
	for _, m := range r.Members {
		i := s.index(m.ID)
		if i < 0 {
			s.Instances = append(s.Instances, Instance{ID: m.ID, Addr: m.Addr})
			slices.SortFunc(s.Instances, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
			i = s.index(m.ID)
			d.event(InstanceAdded, m.ID)
		}
		in := &s.Instances[i]
		if in.Addr != m.Addr {
			in.Addr, in.State, in.Since = m.Addr, StateUnknown, 0
		}
		in.Lag, in.LagKnown, in.CPU = m.Lag, m.LagKnown, m.CPU
		// What others say makes a reader of an instance of which nothing is known, never
		// a writer.
		if in.Role == Unknown && !m.Writer {
			in.Role = Reader
		}
		if in.State == StateUnknown && !m.Writer {
			in.State = StateUp
		}
		if m.Writer && in.Role != Writer {
			d.doubtWriter(m, o.ticket)
		}
	}
}

// doubtWriter makes the writer a suspect when the cluster's table names another one
// at a later time than it has proved itself.
func (d *draft) doubtWriter(named Member, ticket uint64) {
	s := d.edit()
	for i := range s.Instances {
		if in := &s.Instances[i]; in.Role == Writer && in.State == StateUp && named.Updated.After(in.proof) && ticket >= in.verified {
			in.State, in.suspected = StateSuspect, ticket
			d.events = append(d.events, Event{Kind: InstanceSuspected, Instance: in.ID, Reason: ReasonSuperseded})
		}
	}
}

func (d *draft) failure(o observation) {
	i := d.current().index(o.id)
	if i < 0 {
		return
	}
	if in := d.current().Instances[i]; in.Addr != o.addr || o.ticket < in.verified || in.State == StateDown {
		return
	}
	d.edit().Instances[i].State = StateDown
	d.events = append(d.events, Event{Kind: InstanceDown, Instance: o.id, Cause: o.cause})
}

func (d *draft) suspicion(o observation) {
	i := d.current().index(o.id)
	if i < 0 {
		return
	}
	// More of the same while it is being looked into changes nothing.
	if in := d.current().Instances[i]; in.State != StateUp || o.epoch < in.Since {
		return
	}
	in := &d.edit().Instances[i]
	in.State, in.suspected = StateSuspect, o.ticket
	d.events = append(d.events, Event{Kind: InstanceSuspected, Instance: o.id, Reason: o.reason})
}

// finish numbers the new snapshot and says what became of the writer.
func (d *draft) finish() (*Snapshot, []Event) {
	if d.new == nil {
		return d.old, nil
	}
	s := d.new
	s.writer = slices.IndexFunc(s.Instances, func(in Instance) bool { return in.Role == Writer })
	s.Version++
	if reigning(s) != reigning(d.old) || !slices.EqualFunc(s.Instances, d.old.Instances, sameMember) {
		s.Epoch++
	}
	for i := range s.Instances {
		in := &s.Instances[i]
		if before := d.old.Lookup(in.ID); in.Since == 0 || before == nil || before.Role != in.Role {
			in.Since = s.Epoch
		}
	}
	before, now := d.old.Writer(), s.Writer()
	switch {
	case now != nil && now.ID != s.lastWriter:
		s.lastWriter = now.ID
		d.event(WriterChanged, now.ID)
	case now != nil && before == nil:
		d.event(WriterBack, now.ID)
	case now == nil && before != nil:
		d.event(WriterLost, before.ID)
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

// first is the snapshot of a cluster of which nothing is known but its members.
func first(provider string, members []Member) *Snapshot {
	s := &Snapshot{Provider: provider, writer: -1}
	for _, m := range members {
		s.Instances = append(s.Instances, Instance{ID: m.ID, Addr: m.Addr})
	}
	slices.SortFunc(s.Instances, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
	return s
}
