package pool

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// member is a process of a simulated fleet. Its connections come and go at once, as those of
// short statements do.
type member struct {
	share  share
	at     time.Time // of the next look
	demand int       // backends that its sessions would use
	open   int
	tells  bool // the process is there, with a monitor's connection
}

// crew is a fleet in virtual time, its members in the order of their next looks.
type crew struct {
	members  []*member
	now      time.Time
	rng      *rand.Rand
	budget   int
	worst    int // connections at most
	connects int
}

func (c *crew) Len() int           { return len(c.members) }
func (c *crew) Less(i, j int) bool { return c.members[i].at.Before(c.members[j].at) }
func (c *crew) Swap(i, j int)      { c.members[i], c.members[j] = c.members[j], c.members[i] }
func (c *crew) Push(m any)         { c.members = append(c.members, m.(*member)) }
func (c *crew) Pop() any {
	m := c.members[len(c.members)-1]
	c.members = c.members[:len(c.members)-1]
	return m
}

// join starts n processes within a second.
func (c *crew) join(n, demand int) {
	for range n {
		m := &member{share: share{size: 1, lot: c.rng.Float64(), most: 1000}, demand: demand}
		m.at = c.now.Add(time.Duration(c.rng.Int64N(int64(time.Second))))
		heap.Push(c, m)
	}
}

func (c *crew) connections() (n int) {
	for _, m := range c.members {
		n += m.open
		if m.tells {
			n++
		}
	}
	return n
}

// run lets the fleet live for d.
func (c *crew) run(d time.Duration) {
	end := c.now.Add(d)
	c.worst = 0
	for c.members[0].at.Before(end) {
		m := c.members[0]
		c.now = m.at
		m.tells = true
		m.use()
		l := look{now: c.now, budget: c.budget, seen: c.connections(), open: m.open, wanted: m.demand}
		before := m.open
		pause := m.share.see(l)
		m.use()
		c.connects += max(m.open-before, 0)
		m.at = c.now.Add(time.Duration(float64(pause) * (1 + lookJitter*(2*c.rng.Float64()-1))))
		heap.Fix(c, 0)
		c.worst = max(c.worst, c.connections())
	}
	c.now = end
}

// use opens connections as they are wanted; what is open stays, unless the limit is lower.
func (m *member) use() { m.open = max(min(m.share.limit(), m.demand), min(m.open, m.share.limit())) }

func (c *crew) spread() (least, most int) {
	least = c.members[0].share.limit()
	for _, m := range c.members {
		least, most = min(least, m.share.limit()), max(most, m.share.limit())
	}
	return least, most
}

// TestShare: the law, followed by each of a fleet for itself, keeps the sum within the budget
// and gives to each about as much.
func TestShare(t *testing.T) {
	for _, test := range []struct{ processes, budget int }{{50, 600}, {50, 1200}, {20, 60}, {3, 300}, {2, 12}, {1, 100}, {5, 2000}} {
		t.Run(fmt.Sprintf("%d processes, budget %d", test.processes, test.budget), func(t *testing.T) {
			for seed := range uint64(10) {
				c := &crew{budget: test.budget, now: time.Unix(1e9, 0), rng: rand.New(rand.NewPCG(seed, 1))}
				c.live(t, test.processes)
			}
		})
	}
}

// live is what a fleet goes through.
func (c *crew) live(t *testing.T, processes int) {
	const busy = 500
	c.join(processes, busy)
	c.check(t, "start", 2*time.Minute)
	c.run(3 * time.Minute)
	c.connects = 0
	c.run(time.Minute)
	if each := float64(c.connects) / float64(processes); each > 10 {
		t.Errorf("%.1f connects a process in a minute of rest", each)
	}
	if half := processes / 2; half > 0 {
		c.members = c.members[half:]
		heap.Init(c)
		c.check(t, "half were killed", 2*time.Minute)
		c.join(half, busy)
		c.check(t, "half are back", 5*time.Minute)
	}
	c.members = nil
	c.join(processes, busy)
	c.check(t, "all restarted", 2*time.Minute)
	for _, m := range c.members {
		m.demand = 0
	}
	lone := c.members[0]
	lone.demand = busy
	c.run(10 * time.Second)
	c.run(2 * time.Minute)
	if got, want := lone.open, min(busy, int(roomy*float64(c.budget))-2*processes); c.worst > c.budget || got < want*8/10 {
		t.Errorf("the only one that wants any has %d, want %d; up to %d connections", got, want, c.worst)
	}
	for _, m := range c.members {
		m.demand = busy
	}
	c.check(t, "all are busy again", 5*time.Minute)
	asleep := c.members[:(processes+1)/2]
	asleep = append(make([]*member, 0, len(asleep)), asleep...)
	for _, m := range asleep { // and their connections are closed for it
		m.demand, m.open = 0, 0
	}
	c.run(2 * time.Minute)
	before := c.connections()
	for _, m := range asleep {
		m.demand = busy
		m.use()
	}
	if n := c.connections(); n > before+len(asleep) { // one each is everybody's right
		t.Errorf("%d connections when %d wake up, %d before", n, len(asleep), before)
	}
	c.check(t, "all woke up", 5*time.Minute)
}

// check lets the fleet live, 10 seconds of grace first.
func (c *crew) check(t *testing.T, what string, d time.Duration) {
	t.Helper()
	early := c.now
	c.run(10 * time.Second)
	start := c.worst
	c.run(d - 10*time.Second)
	least, most := c.spread()
	if c.worst > c.budget || start > c.budget*5/4 {
		t.Errorf("%s: up to %d connections, %d in the first 10s, budget %d", what, c.worst, start, c.budget)
	}
	if now := c.connections(); now < c.budget*7/10 && most < 500 {
		t.Errorf("%s: only %d of %d connections after %s", what, now, c.budget, c.now.Sub(early))
	}
	if most > 2*least+1 {
		t.Errorf("%s: from %d to %d backends each after %s", what, least, most, c.now.Sub(early))
	}
}
