package topology

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Succession in a replication
//
// Servers of asynchronous replication have no table that names the writer. What one
// says of itself is whether it is read-only, whom it replicates from and which
// transactions it has. One that is not read-only claims to be the writer, unless it
// replicates from a member that does not replicate from it, be it through others, or
// from one that may be a member: then it is a replica without read_only. An old source
// that comes back without having been demoted gives the same answer as a promoted
// replica, so a claim alone makes nobody the writer:
//
//   - Whoever was the writer and has lost that to another one is not believed again
//     before it has been read-only or a replica, whatever becomes of the others.
//   - Of two that claim, the better one has replicas, and the other none; or, it has all
//     transactions of the other and more. If these two say different things, or
//     nothing, the writer that we know stays the writer; if we know none, there is none.
//   - While the writer that we know is in doubt it takes replicas to succeed it. When it
//     is down, or is no writer any more, it takes one of three: that we saw the claim
//     begin, that replicas follow, or to have all transactions that the old one had when
//     we asked it last.
//   - Whoever knows nothing yet asks all members first. It does not believe
//     one while a replica of a member that does not answer has transactions that
//     the claimant has not (or has no GTIDs to tell): then that member may be the writer.
//
// What cannot be known: with two servers that both claim, of which neither has all of
// the other's transactions, a process that has just started has no writer. If the only
// replica follows the wrong one, that one is believed. A process that starts
// while the new writer and its replicas are all out of reach believes the old one. A
// replica without read_only that was stopped, not promoted, is believed if the writer
// dies. In a ring in which two take writes there is no writer. Nor is there one
// for a process that starts while the writer replicates from elsewhere, or from the
// other one of a ring, and a member is down, or the writer was never connected to that
// source: it may be a replica of a member.

// claims reports whether an instance's last answer was a claim to be the writer.
func (s *Snapshot) claims(in *Instance) bool {
	if in.said != Writer {
		return false
	}
	for i := range s.Instances {
		source := &s.Instances[i]
		// The writer of a ring stays it when the other one stops replicating.
		if in.replicates(source) && !s.descends(source, in) && (in.Role != Writer || source.said == Writer) {
			return false
		}
	}
	return in.Role == Writer || !slices.ContainsFunc(in.lineage.Sources, s.obscure)
}

// lineal reports whether there is no more than succession to tell the writer by.
func (s *Snapshot) lineal() bool { return s.Provider == replicationName || s.Provider == multiAZName }

// elect makes the one the writer that is to be it.
func (d *draft) elect(now uint64) {
	s := d.current()
	if !s.lineal() {
		return
	}
	for i := range s.Instances {
		// What another one said made a replica of it, or took its source from it.
		if in := &s.Instances[i]; (in.pretends || in.Role == Writer) && !s.claims(in) {
			d.stepDown(in.ID)
		}
	}
	s = d.current()
	w := d.incumbent()
	heir := s.heir(w)
	switch {
	case heir != nil && (w == nil || w.ID != heir.ID):
		d.enthrone(heir.ID, time.Time{}, now)
	case w != nil && w.State == StateUp && d.rivalled(w):
		d.doubt(w.ID, now, ReasonSuperseded) // its last answer may be an old one
	}
	d.trust()
	d.complain()
}

// complain warns, once, of instances that take writes and are not the writer.
func (d *draft) complain() {
	dispute, settled := d.current().dispute()
	if !settled || dispute == d.current().disputed {
		return
	}
	d.edit().disputed = dispute
	if dispute != "" {
		d.event(Event{Kind: Warning, Detail: dispute})
	}
}

// heir is the instance that is to be the writer, w if that is to stay it; nil if nobody
// can be believed or it is too early to tell.
func (s *Snapshot) heir(w *Instance) *Instance {
	last := s.Lookup(s.lastWriter)
	var claimants []*Instance
	for i := range s.Instances {
		in := &s.Instances[i]
		if in.State == StateUnknown && last == nil {
			return nil
		}
		if in.State != StateUp || in.deposed || !s.claims(in) {
			continue
		}
		if in == w || last == nil && !s.overtaken(in) || last != nil && s.succeeds(in, last, w) {
			claimants = append(claimants, in)
		}
	}
	for _, in := range claimants {
		if !slices.ContainsFunc(claimants, func(other *Instance) bool { return other != in && !s.better(in, other, w) }) {
			return in
		}
	}
	return nil
}

// better reports whether the claim of a is the better one of two. That of the writer
// is, unless something speaks for the other one.
func (s *Snapshot) better(a, b, w *Instance) bool {
	weight := 0
	put := func(ours, theirs bool) {
		switch {
		case ours && !theirs:
			weight++
		case theirs && !ours:
			weight--
		}
	}
	put(s.followed(a, b), s.followed(b, a))
	if !a.replicates(b) && !b.replicates(a) { // or the one is merely behind the other
		put(a.history().covers(b.history()), b.history().covers(a.history()))
	}
	return weight > 0 || weight == 0 && a == w
}

// followed reports whether an instance that is up, and is not the rival, replicates
// from in.
func (s *Snapshot) followed(in, rival *Instance) bool {
	return slices.ContainsFunc(s.Instances, func(other Instance) bool {
		return other.State == StateUp && other.ID != rival.ID && other.replicates(in)
	})
}

// succeeds reports whether in may follow the last writer. If that still has the role
// and is not down it is w.
func (s *Snapshot) succeeds(in, last, w *Instance) bool {
	if s.followed(in, last) && !s.followed(last, in) {
		return true
	}
	switch {
	case w == nil || w.State == StateDown:
		return in.risen || in.history().covers(last.history())
	case w.State == StateUp:
		return true // it was weighed against w
	default:
		return false
	}
}

// overtaken reports whether a replica of a member that does not answer has transactions
// that in has not.
func (s *Snapshot) overtaken(in *Instance) bool {
	for i := range s.Instances {
		replica := &s.Instances[i]
		if replica.State != StateUp || replica.ID == in.ID || replica.replicates(in) || in.history().covers(replica.history()) {
			continue
		}
		if replica.lineage != nil && slices.ContainsFunc(replica.lineage.Sources, s.out) {
			return true
		}
	}
	return false
}

// out reports whether a source is a member that does not answer, or may be one.
func (s *Snapshot) out(source Server) bool {
	for i := range s.Instances {
		if in := &s.Instances[i]; in.answersTo(source) {
			return in.State != StateUp
		}
	}
	return s.obscure(source) && slices.ContainsFunc(s.Instances, func(in Instance) bool { return in.State == StateDown })
}

// obscure reports whether a source is none of the members that we know and may be one all
// the same: one that never answered, of which no more than the address is known; or any,
// if the replica does not know itself who that is, as MariaDB does not between a restart
// and its first connection.
func (s *Snapshot) obscure(source Server) bool {
	obscure := source.UUID == "" && (source.Number == "" || source.Number == "0")
	for i := range s.Instances {
		in := &s.Instances[i]
		if in.answersTo(source) {
			return false
		}
		obscure = obscure || in.lineage == nil && in.State == StateDown
	}
	return obscure
}

// rivalled reports whether an instance has begun to claim what w has.
func (d *draft) rivalled(w *Instance) bool {
	return slices.ContainsFunc(d.current().Instances, func(in Instance) bool {
		before := d.old.Lookup(in.ID)
		return in.ID != w.ID && in.pretends && !in.deposed && in.State == StateUp && !(before != nil && before.pretends)
	})
}

// dispute says who takes writes and is not the writer, "" if nobody does; settled is
// false while that may be about to change.
func (s *Snapshot) dispute() (text string, settled bool) {
	var names, replicas []string
	deposed := false
	for i := range s.Instances {
		in := &s.Instances[i]
		if in.State == StateUnknown && s.lastWriter == "" || in.Role == Writer && in.State == StateSuspect {
			return "", false
		}
		if in.pretends && in.State == StateUp {
			names, deposed = append(names, in.ID), in.deposed
		} else if in.said == Writer && in.State == StateUp {
			replicas = append(replicas, in.ID)
		}
	}
	who := strings.Join(names, " and ")
	switch w := s.Writer(); {
	case len(names) == 0 && len(replicas) > 0 && s.writer < 0 && s.lastWriter == "":
		text = "not read-only, but a replica of a member, or of a server that may be one; not the writer before that has answered, " +
			"or it replicates no more: " + strings.Join(replicas, " and ")
	case len(names) == 0:
	case w != nil:
		text = fmt.Sprintf("not read-only, though %s is the writer, and not used until read-only once: %s", w.ID, who)
	case len(names) > 1:
		text = "not read-only, and neither replicas nor GTIDs tell which one is the writer; none is used until the others are read-only: " + who
	case deposed:
		text = fmt.Sprintf("not read-only, though %s was promoted later, and not used until read-only once: %s", s.lastWriter, who)
	default:
		text = "not read-only, but perhaps an old writer that is back, as replicas, GTIDs or what is known of it speak against it; " +
			"not used until read-only once: " + who
	}
	return text, true
}
