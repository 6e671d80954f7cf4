package topology

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// playReplication plays random answers of servers of a replication, and checks that one
// that lost its reign is not the writer again before it was demoted.
func playReplication(t *testing.T, s *source) (writers, changes int) {
	snapshot := first(replicationName, newReplication(Config{Seeds: randomIDs}).Members())
	listed := s.n(3) == 0
	if listed {
		snapshot = first(multiAZName, nil)
	}
	deposed := make(map[string]bool)
	var ticket uint64
	for !s.empty() {
		ticket += 2
		o := observation{kind: observationKind(s.n(3)), id: s.id(), ticket: ticket, now: ticket + 1}
		o.addr = o.id
		switch o.kind {
		case failed:
			o.cause = errors.New("refused")
		case suspected:
			o.epoch = snapshot.Epoch
		case answered:
			o.report = s.lineage(o.id)
			if listed {
				o.report.Addr, o.report.Members = o.id, s.list(o.id)
			}
		}
		before := deepCopy(snapshot)
		next, events := step(snapshot, o)
		if !slices.Equal(before.Instances, snapshot.Instances) {
			t.Errorf("step changed its argument")
		}
		checkInvariants(t, snapshot, next, events)
		for id := range deposed {
			if in := next.Lookup(id); in == nil || !next.claims(in) { // one that is gone is another one when it is back
				delete(deposed, id)
			}
		}
		w := next.Writer()
		if w != nil {
			writers++
			if deposed[w.ID] || w.said != Writer {
				t.Errorf("%s is the writer: %s", w.ID, next)
			}
		}
		if reigned := holder(snapshot); w != nil && reigned != "" && reigned != w.ID && next.Lookup(reigned) != nil && next.claims(next.Lookup(reigned)) {
			deposed[reigned] = true
		}
		if next.Epoch != snapshot.Epoch {
			changes++
		}
		if t.Failed() {
			t.Logf("after %+v %+v: %s", o, o.report.Lineage, next)
			return writers, changes
		}
		snapshot = next
	}
	return writers, changes
}

// lineage makes up what an instance of a replication answers.
func (s *source) lineage(id string) Report {
	l := &Lineage{Self: Server{UUID: id}, Adrift: s.n(4) == 0}
	if s.n(30) == 0 {
		l.Self.UUID = s.id()
	}
	if s.n(2) == 0 {
		l.Sources = []Server{{UUID: s.id()}}
	}
	if s.n(4) != 0 {
		l.History = fmt.Sprintf("a:1-%d,b:1-%d", 1+s.n(3), 1+s.n(3))
	}
	r := Report{ID: id, Role: []Role{Writer, Reader}[s.n(2)], Lineage: l, LagKnown: s.n(2) == 0}
	r.ReadOnly = r.Role == Reader
	return r
}

// list makes up the members that an instance lists.
func (s *source) list(id string) (members []Member) {
	for _, other := range randomIDs {
		if other != id && s.n(6) == 0 {
			continue
		}
		m := Member{ID: other, Addr: other, Writer: true}
		if s.n(30) == 0 {
			m.Addr = "moved-" + other
		}
		members = append(members, m)
	}
	return members
}

// holder is who has the writer's role, in whatever state.
func holder(s *Snapshot) string {
	if s.writer < 0 {
		return ""
	}
	return s.Instances[s.writer].ID
}
