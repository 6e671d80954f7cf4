package topology

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// FuzzStep plays observations made of arbitrary bytes and checks after each what must
// always be true.
func FuzzStep(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			data = data[:2000]
		}
		playRandom(t, &source{data: data})
	})
}

// TestStepAtRandom is the same with seeds, so that every test run has some of it.
func TestStepAtRandom(t *testing.T) {
	var writers, changes int
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 500)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		w, c := playRandom(t, &source{data: data})
		writers += w
		changes += c
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if writers < 1000 || changes < 1000 {
		t.Errorf("with %d usable writers and %d changes of epoch this has tested little", writers, changes)
	}
}

// source gives small numbers out of bytes; zeros when they are used up.
type source struct{ data []byte }

func (s *source) empty() bool { return len(s.data) == 0 }

func (s *source) n(limit int) int {
	if s.empty() {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % limit
}

var randomIDs = []string{"a", "b", "c", "d"}

func (s *source) id() string { return randomIDs[s.n(len(randomIDs))] }

func (s *source) role() Role { return []Role{Writer, Writer, Reader, Reader, Reader, Unknown}[s.n(6)] }

// playRandom returns how often there was a usable writer and how often the epoch changed.
func playRandom(t *testing.T, s *source) (writers, changes int) {
	snapshot := first("test", nil)
	if s.n(3) == 0 {
		return playReplication(t, s)
	}
	if s.n(4) == 0 {
		snapshot = first("static", []Member{{ID: "a", Addr: "a", Writer: true}, {ID: "b", Addr: "b"}})
	}
	own := make(map[string]observation) // the newest answer of each
	var ticket uint64
	var clock int64 = 100
	for !s.empty() {
		ticket += 2
		clock += int64(s.n(3))
		o := s.observation(snapshot, ticket, clock)
		before := deepCopy(snapshot)
		next, events := step(snapshot, o)
		if !slices.Equal(before.Instances, snapshot.Instances) {
			t.Errorf("step changed its argument")
		}
		checkInvariants(t, snapshot, next, events)
		checkDoubts(t, snapshot, next, o)
		if last := own[o.report.ID]; o.kind == answered && o.ticket >= last.ticket {
			if o.report.Role == Unknown {
				o.report.Role = last.report.Role
			}
			own[o.report.ID] = o
		}
		for id := range own {
			if next.Lookup(id) == nil {
				delete(own, id)
			}
		}
		if w := next.Writer(); w != nil {
			writers++
			if own[w.ID].report.Role != Writer {
				t.Errorf("%s is the writer, but said last that it is %s: %s", w.ID, own[w.ID].report.Role, next)
			}
		}
		if next.Epoch != snapshot.Epoch {
			changes++
		}
		if t.Failed() {
			t.Logf("after %+v: %s", o, next)
			return writers, changes
		}
		snapshot = next
	}
	return writers, changes
}

// observation makes one up.
func (s *source) observation(snapshot *Snapshot, ticket uint64, clock int64) observation {
	o := observation{kind: []observationKind{answered, failed, suspected, aged}[s.n(4)], id: s.id(), now: ticket}
	o.at = time.Unix(clock, 0)
	o.old = o.at.Add(-15 * time.Second)
	o.ticket = ticket - min(ticket-1, uint64(s.n(6))) // some began long ago
	if s.n(8) == 0 {
		o.addr = "around"
	} else {
		o.addr = o.id
	}
	if in := snapshot.Lookup(o.id); in != nil && s.n(8) != 0 {
		o.addr = in.Addr
	}
	switch o.kind {
	case failed:
		o.cause = errors.New("refused")
	case suspected:
		o.reason = Reason(s.n(5))
		o.epoch = snapshot.Epoch - min(snapshot.Epoch, uint64(s.n(4)))
	case answered:
		o.aside = s.n(10) == 0
		o.report = s.report(o.id, clock)
		if s.n(6) == 0 {
			o.id = "" // a seed
		} else if s.n(10) == 0 {
			o.id = s.id()
		}
	}
	return o
}

func (s *source) report(id string, clock int64) Report {
	r := Report{ID: id, Addr: id, Role: s.role()}
	r.Spare = r.Role == Writer && s.n(6) == 0
	at := func() time.Time { return time.Unix(clock-int64(s.n(12))+int64(s.n(2)), 0) }
	writer := id
	if r.Role != Writer || s.n(4) == 0 {
		writer = s.id()
	}
	if s.n(5) == 0 {
		return r
	}
	for _, other := range randomIDs {
		if other != id && s.n(5) == 0 {
			continue
		}
		m := Member{ID: other, Addr: other, Updated: at(), Writer: other == writer, Lag: time.Duration(s.n(3)), LagKnown: true}
		if s.n(20) == 0 {
			m.Addr = "moved-" + other
		}
		r.Members = append(r.Members, m)
		if other == id && m.Writer {
			r.Proof = m.Updated
		}
	}
	return r
}

// checkDoubts checks that only what may does end a doubt.
func checkDoubts(t *testing.T, old, next *Snapshot, o observation) {
	t.Helper()
	if o.kind == suspected {
		if in := old.Lookup(o.id); (in == nil || o.epoch < in.Since || in.State == StateDown) && next != old {
			t.Errorf("a suspicion of epoch %d changed %s to %s", o.epoch, old, next)
		}
		if in := old.Lookup(o.id); in != nil && in.State == StateUp && o.epoch >= in.Since && next.Lookup(o.id).State != StateSuspect {
			t.Errorf("a suspicion changed nothing: %s", next)
		}
	}
	for _, before := range old.Instances {
		now := next.Lookup(before.ID)
		if now == nil || now.State != StateUp || before.State == StateUp || before.State == StateUnknown {
			continue
		}
		self := o.kind == answered && o.report.ID == before.ID && o.addr == before.Addr && o.ticket >= before.Verified
		if now.Role == Writer && o.report.Role != Writer {
			t.Errorf("%s is the writer again by %+v", before.ID, o)
		}
		if !self || before.State == StateSuspect && o.ticket < before.doubt || o.aside {
			t.Errorf("%s came up by %+v", before.ID, o)
		}
	}
}
