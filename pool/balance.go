package pool

import (
	"math"
	"time"
)

// Strategy is a way to choose one instance of several that could do the same.
type Strategy uint8

// The strategies. Each passes over an instance that has no backend to spare while another one
// has, and gives one that has just come (back) less at first.
const (
	// LeastLoaded draws two by lot, faster ones more often, and takes the one that has fewer
	// leases out for its weight. Two draws even out the load nearly as well as a look at all
	// of them does, and many who choose at once do not choose the same.
	LeastLoaded Strategy = iota
	// RoundRobin takes one after the other.
	RoundRobin
	// Random draws by lot, with even chances.
	Random
	// Weighted draws by lot, with chances by weight.
	Weighted
)

// Warmup is for how long an instance gets less than its share that has just come, or come
// back: a tenth at first, then more in proportion to the time.
const Warmup = 30 * time.Second

const (
	coldest = 0.1      // part of its share that an instance gets at the beginning of Warmup
	slowest = 1.0 / 16 // and one that is however slow, so that it is seen when it recovers
)

// Candidate is what is known of an instance that could be chosen.
type Candidate struct {
	Instance *Instance
	// Weight is its share, relative to the others'; 0 = none, unless all have none.
	Weight int
	// Outstanding is how many have a lease of it for a statement or a transaction, or
	// are in line for one. Size is how many may have one; 0 = nobody knows.
	Outstanding, Size int
	// Latency is how long its statements take until their first answer, RoundTrip how
	// long the way there and back takes; smoothed, 0 = not known.
	Latency, RoundTrip time.Duration
	// Since is when it came, or is to come back; Unix ns.
	Since int64
	// ShunnedUntil is until when it is not to be used, if there is another; Unix ns, 0 = never.
	ShunnedUntil int64

	// Choose's own, found out once.
	standing      standing
	warmth, share float64
}

// Balance says how to choose. The zero value is LeastLoaded among all.
type Balance struct {
	Strategy Strategy
	// Window leaves out instances whose round trip takes longer by more than this than
	// the nearest one's, unless those within have no backend to spare; 0 = off.
	Window time.Duration
}

// Dice is what chance adds to a choice: the number of the turn, and two numbers from 0 to
// below 1.
type Dice struct {
	Turn          uint64
	First, Second float64
}

// Choose returns the index of the candidate to take, at time now in Unix ns. The table must
// not be empty. The choice depends on nothing but the arguments.
func (b Balance) Choose(table []Candidate, now int64, dice Dice) int {
	if len(table) == 1 {
		return 0
	}
	sum := b.shares(table, now)
	if b.Strategy == RoundRobin {
		return inTurn(table, dice)
	}
	first := drawn(table, dice.First*sum)
	if b.Strategy != LeastLoaded {
		return first
	}
	if second := drawn(table, dice.Second*sum); table[second].load() < table[first].load() {
		return second
	}
	return first
}

// shares notes each candidate's part of what there is to do, 0 for those that get none, and
// returns the sum.
func (b Balance) shares(table []Candidate, now int64) (sum float64) {
	best := banned
	for i := range table {
		c := &table[i]
		c.standing, c.warmth, c.share = c.stands(now), c.warm(now), 0
		best = min(best, c.standing)
	}
	near, fast, warm := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64), 0.0
	for i := range table {
		if c := &table[i]; c.standing == best {
			near, fast, warm = least(near, c.RoundTrip), least(fast, c.Latency), max(warm, c.warmth)
		}
	}
	where := farAndFull
	for i := range table {
		if c := &table[i]; c.standing == best {
			where = min(where, b.place(c, near))
		}
	}
	for i := range table {
		c := &table[i]
		if c.standing != best || b.place(c, near) != where {
			continue
		}
		c.share = c.warmth / warm
		if b.Strategy == LeastLoaded || b.Strategy == Weighted {
			c.share *= c.weight()
		}
		if b.Strategy == LeastLoaded && c.Latency > 0 {
			c.share *= max(float64(fast)/float64(c.Latency), slowest)
		}
		sum += c.share
	}
	return sum
}

// standing is whether a candidate is to be used at all. Only those of the best standing are:
// so the last one always is.
type standing uint8

const (
	accepted standing = iota
	shunned
	unwanted // has no weight
	banned   // has no weight and is shunned
)

func (c *Candidate) stands(now int64) standing {
	s := accepted
	if c.Weight <= 0 {
		s = unwanted
	}
	if left(c.ShunnedUntil, now) > 0 {
		s++
	}
	return s
}

// place is where a candidate is and whether it has room. Only those of the best place are used.
type place uint8

const (
	nearWithRoom place = iota
	withRoom
	nearAndFull
	farAndFull
)

func (b Balance) place(c *Candidate, nearest time.Duration) place {
	// While nobody was measured, nobody is far. One that was not when others were waits for that.
	near := b.Window <= 0 || nearest == math.MaxInt64 || c.RoundTrip > 0 && c.RoundTrip-nearest <= b.Window
	room := c.Size == 0 || c.Outstanding < c.Size
	switch {
	case near && room:
		return nearWithRoom
	case room:
		return withRoom
	case near:
		return nearAndFull
	}
	return farAndFull
}

// warm is the part of its share that a candidate may have by its age.
func (c *Candidate) warm(now int64) float64 {
	if now-c.Since >= int64(Warmup) || c.Since-now > int64(longestShun) { // the clock was set back
		return 1
	}
	return max(coldest+(1-coldest)*float64(now-c.Since)/float64(Warmup), coldest)
}

// weight is its weight, or 1 where nobody has one.
func (c *Candidate) weight() float64 { return float64(max(c.Weight, 1)) }

// load is what it has to do already, for its weight.
func (c *Candidate) load() float64 {
	return float64(c.Outstanding) / (c.weight() * c.warmth)
}

// drawn is the candidate at a point of the shares laid end to end.
func drawn(table []Candidate, point float64) (last int) {
	for i := range table {
		if table[i].share == 0 {
			continue
		}
		if last = i; point < table[i].share {
			break
		}
		point -= table[i].share
	}
	return last
}

// inTurn is the candidate whose turn it is. One that is to get less gives some of its turns
// to the next.
func inTurn(table []Candidate, dice Dice) int {
	n := 0
	for i := range table {
		if table[i].share > 0 {
			n++
		}
	}
	k := int(dice.Turn % uint64(n))
	i := nth(table, k)
	if dice.First >= table[i].share {
		i = nth(table, (k+1)%n)
	}
	return i
}

// nth is the one that comes after k others that have a share.
func nth(table []Candidate, k int) (last int) {
	for i := range table {
		if table[i].share > 0 {
			if last = i; k == 0 {
				break
			}
			k--
		}
	}
	return last
}

// least is the shorter one of two times; 0 is none.
func least(d, other time.Duration) time.Duration {
	if other > 0 {
		return min(d, other)
	}
	return d
}
