package topology

import (
	"fmt"
	"slices"
	"time"
)

// Server names a server of a replication in the ways in which others name it. What is
// not known is empty.
type Server struct {
	UUID   string // MySQL's server_uuid; MariaDB has none
	Number string // its server_id
	Addr   string // host:port, as the server itself, or one that replicates from it, has it
}

// same reports whether both are one server. The numbers alone do not say so: they may
// be all alike where servers do not replicate from each other.
func (s Server) same(other Server) bool {
	if s.UUID != "" || other.UUID != "" {
		return s.UUID == other.UUID
	}
	return s.Number == other.Number && s.Addr == other.Addr
}

// Lineage is an instance's place in a replication, as it says itself. Once it is in a
// report it does not change.
type Lineage struct {
	Self Server
	// Sources are those that it replicates from: that a thread of it is at work for, or
	// was until it failed.
	Sources []Server
	// Adrift says that it is not connected to a source, applies what it has, and that
	// nothing else is known to be wrong. Then its lag is not known to the server.
	Adrift bool
	// History is the set of transactions that it has, MySQL's gtid_executed or MariaDB's
	// gtid_binlog_state and gtid_slave_pos; "" if not known.
	History string
}

// renamed reports whether a server is the one that was at its address before, though the
// host has another name, as a container has that was made anew. Of MariaDB no more is known
// than its number, which another server may have been given, too: so it must have all
// transactions of that one.
func (l *Lineage) renamed(before *Lineage) bool {
	return l.Self.UUID == "" && before.Self.UUID == "" && l.Self.Number == before.Self.Number &&
		parseTransactions(l.History).covers(parseTransactions(before.History))
}

// history is what an instance had when it answered last.
func (in *Instance) history() transactions {
	if in.lineage == nil {
		return nil
	}
	return parseTransactions(in.lineage.History)
}

// answersTo reports whether source, as one that replicates from it names it, is the
// instance. The address is what was configured for the replica, perhaps another name
// than ours, so it only counts where the server itself is not known by more.
func (in *Instance) answersTo(source Server) bool {
	if in.lineage == nil {
		return in.Addr == source.Addr
	}
	self := in.lineage.Self
	switch {
	case self.UUID != "" && source.UUID != "":
		return self.UUID == source.UUID
	case self.UUID == "" && source.UUID == "" && source.Number != "" && source.Number != "0":
		// Servers that replicate from each other have different numbers.
		return self.Number == source.Number
	default:
		return in.Addr == source.Addr || self.Addr == source.Addr
	}
}

// replicates reports whether an instance replicates from another one.
func (in *Instance) replicates(from *Instance) bool {
	return in.lineage != nil && in.ID != from.ID && slices.ContainsFunc(in.lineage.Sources, from.answersTo)
}

// descends reports whether what an instance replicates comes from another one, directly or
// through others.
func (s *Snapshot) descends(in, from *Instance) bool {
	line := []*Instance{in}
	for i := 0; i < len(line); i++ {
		for j := range s.Instances {
			if source := &s.Instances[j]; line[i].replicates(source) && !slices.Contains(line, source) {
				line = append(line, source)
			}
		}
	}
	return slices.Contains(line, from)
}

// twin returns another instance that is alive and is the same server as the one that
// reports, nil if there is none.
func (s *Snapshot) twin(r Report) *Instance {
	if r.Lineage == nil {
		return nil
	}
	for i := range s.Instances {
		in := &s.Instances[i]
		if in.ID != r.ID && in.lineage != nil && (in.State == StateUp || in.State == StateSuspect) && in.lineage.Self.same(r.Lineage.Self) {
			return in
		}
	}
	return nil
}

// impostor reports whether what answered at an instance's address is not the instance,
// which therefore is down: a server that is known under another address already, or
// another one than before. The latter is a new instance from its next answer on; the
// former says nothing about the instance, which may be somewhere.
func (d *draft) impostor(o observation) bool {
	in := d.current().Lookup(o.report.ID)
	if o.report.Lineage == nil {
		return false
	}
	who := "another server than before"
	twin := d.current().twin(o.report)
	switch {
	case twin != nil:
		who = twin.ID
	case in.lineage == nil || in.lineage.Self.same(o.report.Lineage.Self) || o.report.Lineage.renamed(in.lineage):
		return false
	}
	d.failure(observation{
		kind: failed, id: in.ID, addr: o.addr, ticket: o.ticket, now: o.now, cause: fmt.Errorf("%w: %s", ErrIdentity, who),
	})
	if twin == nil {
		d.replace(in.ID)
	}
	return true
}

// replace forgets what was known of the server that was at an instance's address.
func (d *draft) replace(id string) {
	d.stepDown(id)
	in := d.instance(id)
	in.Role, in.lineage, in.said, in.behind = Unknown, nil, Unknown, lateness{}
}

// inherit takes over what an instance says of its place in the replication.
func (d *draft) inherit(o observation) {
	in := d.instance(o.report.ID)
	heard, claimed := in.said != Unknown, d.current().claims(in)
	if s := d.edit(); !heard && s.lastWriter == in.ID {
		s.lastWriter = "" // it was replaced; until now nobody was to profit from that
	}
	in.lineage, in.said = o.report.Lineage, o.report.Role
	in.lag(o)
	switch {
	case !d.current().claims(in):
		d.stepDown(in.ID)
	case in.Role != Writer:
		in.Role, in.pretends, in.risen = Unknown, true, in.risen || heard && !claimed
	}
}

// lateness is how far a replica is behind its sources, in whole seconds, as servers
// tell it.
type lateness struct {
	lag    time.Duration
	known  bool
	seen   time.Time // when it was asked last
	adrift uint64    // ticket of the first answer since which it has no source; 0 = it has
}

// lag takes over how far an instance is behind. One that has lost its source may not be
// further behind than it was.
func (in *Instance) lag(o observation) {
	switch r := o.report; {
	case !r.Lineage.Adrift:
		in.behind = lateness{lag: r.Lag, known: r.LagKnown}
	case in.behind.adrift == 0:
		in.behind.adrift = o.ticket
	}
	in.behind.seen = o.at
}

// current reports whether an instance is as far behind as it said last. Without a source
// it is, if that is lost to us, too. If that lives it is not: forsaken is whether
// the source has answered since.
func (s *Snapshot) current(in *Instance) (current, forsaken bool) {
	current = in.behind.known
	if in.behind.adrift == 0 {
		return current, false
	}
	for i := range s.Instances {
		if source := &s.Instances[i]; source.State == StateUp && in.replicates(source) {
			current, forsaken = false, forsaken || source.Verified > in.behind.adrift
		}
	}
	return current, forsaken
}

// trust gives the readers their lag: that behind the writer, or behind the one that was
// the writer last. How far a replica is behind anybody else, such as an old source that is back,
// says nothing.
func (d *draft) trust() {
	s := d.current()
	leader := s.lastWriter
	if w := d.incumbent(); w != nil {
		leader = w.ID
	}
	for i := range s.Instances {
		in := &s.Instances[i]
		now := lateness{}
		current, forsaken := s.current(in)
		if in.Role == Reader && current && s.leads(leader, in) {
			now = in.behind
		}
		if forsaken && in.behind.known {
			in = d.instance(in.ID)
			in.behind.known = false
		}
		if in.Lag != now.lag || in.LagKnown != now.known || now.known && !in.LagSeen.Equal(now.seen) {
			in = d.instance(in.ID)
			in.Lag, in.LagKnown = now.lag, now.known
			if now.known {
				in.LagSeen = now.seen
			}
		}
	}
}

// leads reports whether what an instance replicates comes from the leader, directly or through
// others, each of which knows its own lag. Replicas may replicate in circles.
func (s *Snapshot) leads(leader string, in *Instance) bool {
	line := []*Instance{in}
	for i := 0; i < len(line); i++ {
		for j := range s.Instances {
			source := &s.Instances[j]
			if !line[i].replicates(source) {
				continue
			}
			if source.ID == leader {
				return true
			}
			current, _ := s.current(source)
			if source.Role == Reader && source.State == StateUp && current && !slices.Contains(line, source) {
				line = append(line, source)
			}
		}
	}
	return false
}
