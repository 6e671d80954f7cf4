package topology

import "time"

// Claims to be the writer
//
// This is about clusters with a table of their own; for those without see succession.go.
//
// Only an instance's own answer makes it the writer. But an old writer that has not
// noticed, because it was frozen or cut off or has just come back, gives the same
// answer. Storage or replication keeps it from doing harm; we must keep from using
// it. Two things tell a new writer from an old one.
//
// What we know: reigns are numbered (Instance.term) as we learn of them. An instance
// keeps the number of its reign until it says itself that it is read-only, so an old
// writer that comes back with its old claim comes back with its old number, and loses
// to a newer one. Only if the newer writer is down is it believed again, under
// its old number, and gives way when the other is back. An instance without
// a number that claims to be the writer begins a new reign, unless the present writer
// is in no doubt at all: then both cannot be right, and the present writer must repeat
// its claim first. If it does, the other's claim was an old one. If we learn of two
// reigns in the wrong order, because we came late, a third instance can put it right:
// one that claims to be the writer and is newly named so by a third one prevails.
//
// The status table's time: LAST_UPDATE_TIMESTAMP of the row that names the writer.
// Comparing it between instances is sound for two reasons. It is never compared to a
// clock of ours, only to other such times; and there is one table in the cluster's
// shared storage, where only the instance that storage takes for the writer can
// have its row renewed. So the times of these rows are one series, whoever reads
// them, and a claim with an older time than another instance's was read from an
// older state of that table. The clocks of two instances may differ, though, or jump.
// So the time can refuse a claim, but alone it makes nobody the writer, and if the
// instance with the newer time does not answer, a claim whose time goes on is
// believed all the same: a fenced writer's row stands still.

// believe decides about an instance's claim to be the writer, which revive has taken
// note of. It reports whether the instance is the writer now.
func (d *draft) believe(o observation) bool {
	id, proof := o.report.ID, o.report.Proof
	w := d.incumbent()
	if w != nil && w.ID == id {
		return d.repeat(id, proof, o.now)
	}
	if d.outdated(id, proof) || d.disowned(o) || !d.prevails(id, w) {
		d.refuse(id, proof)
		if w != nil && w.contested && w.State == StateUp {
			d.doubt(w.ID, o.now, ReasonSuperseded)
		}
		return false
	}
	d.enthrone(id, proof, o.now)
	return true
}

// prevails weighs the claim of an instance against the present writer w.
func (d *draft) prevails(id string, w *Instance) bool {
	if w == nil || w.State == StateDown {
		return true
	}
	in := d.instance(id)
	if in.term != 0 {
		if in.backedAgainst(w) {
			in.term = 0 // a newer reign than we thought
			return true
		}
		return in.term > w.term
	}
	if w.State == StateSuspect && !w.contested {
		return true
	}
	d.instance(w.ID).contested = true
	return false
}

// backedAgainst reports whether a third instance's view has named in the writer since
// w became it, and later than any named w. An old state of the table has older times.
func (in *Instance) backedAgainst(w *Instance) bool {
	return in.named.After(w.named) && in.named.After(w.acceded)
}

// outdated reports whether the status table's time says that the claim of an
// instance is an old one.
func (d *draft) outdated(id string, proof time.Time) bool {
	if proof.IsZero() {
		return false
	}
	newer := false
	for _, in := range d.current().Instances {
		if in.ID == id || !in.proof.After(proof) {
			continue
		}
		if in.Role == Writer && in.State != StateDown {
			return true
		}
		newer = true
	}
	last := d.current().Lookup(id).claim
	return newer && (last.IsZero() || !proof.After(last))
}

// disowned reports whether an instance that claims to be the writer has another one in
// that place in its own view. An old writer's variable may lag behind the table, as
// well as the table behind a new writer's variable: so it depends on what becomes of
// that other one, unless the table follows first.
func (d *draft) disowned(o observation) bool {
	if !o.report.Proof.IsZero() {
		return false
	}
	for _, m := range o.report.Members {
		if !m.Writer {
			continue
		}
		other := d.current().Lookup(m.ID)
		return other != nil && (other.Role == Writer && other.State != StateDown || other.State == StateUnknown)
	}
	return false
}

// refuse notes a claim that was not believed. The instance is not to be used until
// it is the writer or says that it is none.
func (d *draft) refuse(id string, proof time.Time) {
	in := d.instance(id)
	in.Role, in.claim, in.pretends = Unknown, proof, true
}

// repeat deals with a claim of the instance that is the writer. It reports whether it
// still is.
func (d *draft) repeat(id string, proof time.Time, now uint64) bool {
	s := d.edit()
	in := s.Lookup(id)
	in.proof = later(in.proof, proof)
	contested := in.contested
	in.contested = false
	for i := range s.Instances {
		rival := &s.Instances[i]
		if !rival.pretends || rival.State != StateUp {
			continue
		}
		// Part of the table that stands still while another's goes on is a fenced writer's.
		stands := contested && rival.term == 0 && !proof.IsZero() && rival.claim.After(proof)
		if stands || rival.backedAgainst(in) {
			rival.term = 0 // to be newer than the writer's
			d.enthrone(rival.ID, rival.claim, now)
			d.refuse(id, proof)
			d.reindex()
			return false
		}
		if contested && rival.term == 0 {
			s.terms++
			rival.term = s.terms
		}
	}
	if contested {
		s.terms++
		in.term = s.terms
	}
	return true
}

// enthrone makes an instance the writer. The one that was it has not said yet that
// it is none, so it must answer before it can be used as a reader.
func (d *draft) enthrone(id string, proof time.Time, now uint64) {
	s := d.edit()
	if w := d.incumbent(); w != nil && w.ID != id {
		if w.State == StateUp {
			d.doubt(w.ID, now, ReasonSuperseded)
		}
		w = d.instance(w.ID)
		w.Role, w.contested, w.deposed = Reader, false, true
	}
	in := s.Lookup(id)
	in.Role, in.pretends, in.claim = Writer, false, time.Time{}
	in.proof, in.acceded = later(in.proof, proof), proof
	if in.term == 0 {
		s.terms++
		in.term = s.terms
	}
	for i := range s.Instances {
		s.Instances[i].named = time.Time{} // weighed
	}
	d.reindex()
}

// stepDown notes that an instance says itself that it is no writer.
func (d *draft) stepDown(id string) {
	in := d.instance(id)
	in.Role = Reader
	in.term, in.proof, in.named, in.claim = 0, time.Time{}, time.Time{}, time.Time{}
	in.pretends, in.contested, in.risen, in.deposed = false, false, false, false
	d.reindex()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
