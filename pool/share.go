package pool

import (
	"math"
	"time"
)

// The law by which one process of a fleet sizes its pool on one instance: additive increase,
// multiplicative decrease, with nothing to go by but how many connections the server has of all
// of them together. Every process follows it for itself. That the sum keeps within the budget,
// and that each gets about as much as the others that want it, is proven by simulation in
// share_test.go.
//
// Below roomy, who wants more gets it fast. From there on connections have a price, which all
// see alike: 0 at roomy, 1 at full, and above. A share that is wanted grows by a little at each
// look, a small one faster for its size than a large one, and every share pays a part of itself
// by the square of the price. So shares move towards the size at which the two are equal, which
// is the same for all, and the number of processes need not be known; nor do they swing about
// it, as they would if all gave way at one point.
//
// The price that keeps shares of n up is the root of probing/dear/√n: large shares live at 0.85
// of the budget, shares of 2 at 0.93.
const (
	roomy = 0.80
	aim   = 0.90 // what fast growth makes for
	full  = 0.95

	probing = 0.3 // backends that a look adds, times the root of the share
	dear    = 0.3 // part of itself that a share pays at the price 1
	dearest = 0.5 // and at any

	tremble = 0.4  // of one backend, that a share may lose
	lending = 0.25 // part of what lies idle that a process gives up at a look while there is a price
)

const (
	hushed   = 5 * time.Second // no growth after the server refused a connection
	crowding = time.Second     // refusals within are of one crowd
)

// Pauses between looks at the fleet. They vary by lookJitter, so that processes started
// together do not look together.
const (
	lookCalm   = 3 * time.Second         // nobody wants more, and there is no price
	lookSteady = 1500 * time.Millisecond // otherwise
	lookHungry = 500 * time.Millisecond  // while the share grows fast
	lookJitter = 1.0 / 3
)

// share is how many backends a process allows itself on an instance.
type share struct {
	size    float64 // at least 1
	lot     float64 // from 0 to below 1, constant: shares of 2.5 are 2 for one half of the fleet and 3 for the other
	most    int     // fpPoolSize
	whole   int     // see limit
	refused time.Time
	ceiling int  // of backends, above which the server refused one; 0 = none
	given   bool // a fixed part of the budget, once
}

// look is what there is to go by.
type look struct {
	now    time.Time
	budget int // connections that the fleet may have
	seen   int // that it has
	open   int // backends that this process has
	wanted int // that it would have used at most at one time since the last look
}

// limit is the share in whole backends. It falls later than it rises, so that a share that
// trembles closes and opens nothing.
func (s *share) limit() int {
	up, down := int(s.size+s.lot), int(s.size+s.lot+tremble)
	if s.size <= 1 {
		down = 1
	}
	s.whole = min(max(min(s.whole, down), up, 1), s.most)
	return s.whole
}

// see adapts the share, and says how long to wait for the next look.
func (s *share) see(l look) (pause time.Duration) {
	budget, seen := float64(l.budget), float64(max(l.seen, 1))
	price := max(seen-roomy*budget, 0) / ((full - roomy) * budget)
	hungry := l.wanted > s.limit() && l.now.Sub(s.refused) > hushed
	pause = lookSteady
	switch {
	case price > 1 && l.open > s.limit():
		return pause // what is out already, on a long statement, cannot be given up twice
	case hungry && price == 0:
		// As much for each as if all grew at once, and all had two connections: their
		// monitor's and one more, which is the least that they can have.
		s.size += max(min((aim*budget-seen)/seen, s.size), probing*math.Sqrt(s.size))
		pause = lookHungry
	case hungry:
		s.size += probing * math.Sqrt(s.size)
	case l.wanted <= s.limit():
		// A right to connections that there are not would be used by all at once one day.
		s.size = min(s.size, float64(max(l.open, l.wanted)))
		if price == 0 {
			pause = lookCalm
		} else {
			s.size = max(min(s.size, float64(l.wanted)), s.size*(1-lending))
		}
	}
	s.size -= min(dear*price*price, dearest) * s.size
	s.bound(l.open)
	return pause
}

// bound keeps the share within what there may be. Where there was no room, one more backend has to
// find some before others are tried.
func (s *share) bound(open int) {
	if open > s.ceiling {
		s.ceiling = 0
	}
	if s.ceiling > 0 {
		s.size = min(s.size, float64(s.ceiling+1)-s.lot)
	}
	s.size = min(max(s.size, 1), float64(s.most))
}

// fix is see where the program said how many processes there are, who share the budget evenly.
// One connection of each part is its monitor's.
func (s *share) fix(now time.Time, open, budget, processes int) (pause time.Duration) {
	part := float64(min(max(budget/processes-1, 1), s.most))
	switch {
	case !s.given:
		s.given, s.lot, s.size = true, 0, part
	case now.Sub(s.refused) > hushed:
		s.size *= 2
	}
	s.size = min(s.size, part)
	s.bound(open)
	return lookCalm
}

// refuse notes that the server had no room for another connection while so many were open.
func (s *share) refuse(now time.Time, open int) {
	if now.Sub(s.refused) > crowding {
		s.size /= 2
	}
	s.refused, s.ceiling = now, max(open, 1)
	s.size = max(min(s.size, float64(open)), 1)
}
