package pool

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// pin is one reason why a session must keep its lease.
type pin struct {
	effect    sqlscan.Effects
	name      string // of the table, lock, …; "" if it is not known
	count     int    // how often a named lock was taken
	stays     bool   // ends with the session only
	since     int64  // the pool's clock
	statement string // digest of the one that began it last
}

// PinInfo is one pin in force.
type PinInfo struct {
	Instance  string
	Reason    string // such as "temporary table"
	Statement string // digest of the statement that pinned: without literals
	For       time.Duration
}

// Pin binds the session to its backend because statement left something behind there that
// cannot be moved. What has a name ends with it, see [Session.Unpin]; counted pins as
// often as they were begun. With stays it ends with the session.
func (s *Session) Pin(reason sqlscan.Effects, name string, stays bool, statement string) {
	in := s.in
	digest := sqlscan.Digest(statement, sqlscan.AnyMode)
	in.pool.pinned.add(reason, 1)
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(s.pins) == 0 {
		in.pinned[s] = struct{}{}
	}
	before := s.reasons
	s.reasons |= reason
	in.pool.pins.add(s.reasons&^before, 1)
	i := slices.IndexFunc(s.pins, func(p pin) bool { return p.effect == reason && p.name == name })
	if i < 0 {
		i = len(s.pins)
		s.pins = append(s.pins, pin{effect: reason, name: name, since: in.pool.clock.Load()})
	}
	p := &s.pins[i]
	p.stays = p.stays || stays
	p.statement = digest
	if reason == sqlscan.EffectNamedLock {
		p.count++ // the server counts, too
	} else {
		p.count = 1
	}
}

// Unpin ends the pin of that name: one of its counts. Without a name it ends all of that
// reason. Pins that stay are not touched.
func (s *Session) Unpin(reason sqlscan.Effects, name string) {
	if s.reasons&reason == 0 {
		return
	}
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	var left sqlscan.Effects
	kept := s.pins[:0]
	for _, p := range s.pins {
		if p.effect == reason && !p.stays && (name == "" || p.name == name) {
			p.count--
			if name == "" || p.count <= 0 {
				continue
			}
		}
		left |= p.effect
		kept = append(kept, p)
	}
	s.repinLocked(kept, left)
}

// Stay makes pins of that reason stay that are in force now.
func (s *Session) Stay(reason sqlscan.Effects) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	for i := range s.pins {
		s.pins[i].stays = s.pins[i].stays || s.pins[i].effect == reason
	}
}

// unpinAll ends all pins: their backend is gone, or about to go.
func (s *Session) unpinAll() {
	if s.reasons == 0 {
		return
	}
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.repinLocked(nil, 0)
}

func (s *Session) repinLocked(pins []pin, reasons sqlscan.Effects) {
	s.in.pool.pins.add(s.reasons&^reasons, -1)
	s.pins, s.reasons = pins, reasons
	if len(pins) == 0 {
		s.pins = nil
		delete(s.in.pinned, s)
	}
}

// Pins returns the reasons why the session is bound to its backend.
func (s *Session) Pins() sqlscan.Effects { return s.reasons }

// PinList returns every pin in force, the oldest first.
func (p *Pool) PinList() []PinInfo {
	var list []PinInfo
	now := p.clock.Load()
	for _, in := range sortedByID(maps.Values(*p.instances.Load())) {
		in.mu.Lock()
		for s := range in.pinned {
			for _, pin := range s.pins {
				list = append(list, PinInfo{
					Instance: in.ID, Reason: pin.effect.String(), Statement: pin.statement, For: time.Duration(now - pin.since),
				})
			}
		}
		in.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b PinInfo) int {
		return cmp.Or(cmp.Compare(b.For, a.For), strings.Compare(a.Reason, b.Reason), strings.Compare(a.Statement, b.Statement))
	})
	return list
}
