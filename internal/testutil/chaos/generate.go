package chaos

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// Options change what plans are made.
type Options struct {
	// Real makes plans for real servers, where time passes: short ones.
	Real bool
	// Calls is about how many operations the load does in all. 0 = 150.
	Calls int
	// Extra is added to the parameters of the driver.
	Extra string
}

// generator makes one plan.
type generator struct {
	*rand.Rand
	Options
	plan Plan
}

// Generate makes the plan of a seed.
func (o Options) Generate(seed uint64) Plan {
	if o.Calls == 0 {
		o.Calls = 150
	}
	g := generator{Rand: rand.New(rand.NewPCG(seed, 4)), Options: o}
	g.plan = Plan{Seed: seed, Instances: pick(&g, 1, 2, 2, 3, 3, 3, 4)}
	if g.chance(30) {
		g.plan.Latency = g.between(200*time.Microsecond, 5*time.Millisecond)
	}
	g.load()
	g.driver()
	g.steps()
	length := g.plan.end() + g.plan.Driver.ProbeInterval
	g.plan.Pause = max(length*time.Duration(g.plan.sessions())/time.Duration(o.Calls), 5*time.Millisecond).Round(time.Millisecond)
	return g.plan
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// between is a time from a range, short ones as likely as long ones.
func (g *generator) between(least, most time.Duration) time.Duration {
	d := time.Duration(g.Int64N(int64(most-least) + 1))
	if g.chance(50) {
		d /= 8
	}
	return (least + d).Round(100 * time.Microsecond)
}

// load chooses who works.
func (g *generator) load() {
	sessions := 1 + g.IntN(10)
	switch {
	case g.chance(12) && !g.Real:
		sessions = 40 + g.IntN(161)
	case g.chance(40):
		sessions = 10 + g.IntN(30)
	}
	kinds := min(1+g.IntN(8), sessions)
	for _, n := range g.Perm(len(Kinds))[:kinds] {
		g.plan.Load = append(g.plan.Load, Load{Kinds[n], 1})
	}
	for range sessions - kinds {
		g.plan.Load[g.IntN(kinds)].Sessions++
	}
}

// driver chooses the driver's parameters.
func (g *generator) driver() {
	d := &g.plan.Driver
	d.PoolSize = pick(g, 1, 2, 3, 5, 10, 25)
	d.PoolMaxIdle = pick(g, d.PoolSize, d.PoolSize, d.PoolSize, 0, (d.PoolSize+1)/2)
	d.ConnectConcurrent = pick(g, 1, 2, 10, 10)
	d.GateSize = pick(g, 10000, 10000, 10000, 10000, 3)
	d.PreparedCache = pick(g, 256, 256, 0, 1, 3)
	d.FailoverTimeout, d.BorrowTimeout = longTimeout, longTimeout
	if g.chance(25) {
		d.FailoverTimeout = g.between(3*time.Second, 30*time.Second)
	}
	if g.chance(12) {
		d.BorrowTimeout = g.between(500*time.Millisecond, 5*time.Second)
	}
	d.ProbeInterval = pick(g, 5*time.Second, time.Second, time.Second, 2*time.Second, 2*time.Second)
	d.ProbeIntervalFast = pick(g, 100*time.Millisecond, 100*time.Millisecond, 20*time.Millisecond, 250*time.Millisecond)
	d.ProbeTimeout = pick(g, time.Second, 300*time.Millisecond)
	d.StallTimeout = pick(g, 2*time.Second, time.Second)
	if g.Real {
		d.ProbeInterval, d.ProbeIntervalFast = pick(g, 500*time.Millisecond, 300*time.Millisecond), pick(g, 50*time.Millisecond, 100*time.Millisecond)
		d.ProbeTimeout, d.StallTimeout = 300*time.Millisecond, 400*time.Millisecond
	}
	d.SessionReset = g.chance(25)
	d.NoRetryReads = g.chance(10)
	d.NoCancelQuery = g.chance(20)
	d.Interpolate = g.chance(25)
	if g.chance(12) {
		d.SessionMode = true
		d.PoolSize = 2*g.plan.sessions() + 5 // a session keeps its connection until it is closed
		d.PoolMaxIdle = d.PoolSize
	}
	if g.chance(25) {
		d.InitQuery = initQuery
	}
	if g.plan.Seed%4 == 1 && !d.SessionMode { // not by chance: the plans of seeds stay what they were
		d.Target = "auto"
	}
	d.Extra = g.Extra
}

const initQuery = "SET @fp_init = 1"

// steps chooses what happens.
func (g *generator) steps() {
	at := g.between(0, 300*time.Millisecond)
	scenes := 1 + g.IntN(3)
	if g.Real {
		scenes = 1 + g.IntN(2)
	}
	for range scenes {
		g.scene(at)
		at = g.plan.end()
		if g.chance(60) {
			at = g.plan.Steps[len(g.plan.Steps)-1].At // in the middle of the last one
		}
		at += g.between(0, g.short(2*time.Second))
	}
	slices.SortStableFunc(g.plan.Steps, func(a, b Step) int { return int(a.At - b.At) })
}

// short is d, or less of it on real servers.
func (g *generator) short(d time.Duration) time.Duration {
	if g.Real {
		return min(d/5, 700*time.Millisecond)
	}
	return d
}

func (g *generator) add(s Step) { g.plan.Steps = append(g.plan.Steps, s) }

// scene is one story.
func (g *generator) scene(at time.Duration) {
	switch n := g.IntN(100); {
	case n < 25: // a failover, and something else
		g.failover(at)
		for range g.IntN(3) {
			g.fault(at + g.between(0, g.short(3*time.Second)))
		}
	case n < 45: // faults
		for range 1 + g.IntN(4) {
			g.fault(at)
			at += g.between(0, g.short(time.Second))
		}
	case n < 57: // two at once
		g.fault(at)
		g.fault(at)
	case n < 69: // there and back again
		for range 2 + g.IntN(2) {
			g.failover(at)
			at += g.between(0, g.short(2*time.Second))
		}
	case n < 77: // in place
		g.add(Step{At: at, Act: pick(g, Crash, Crash, AllDown), On: g.instance(), For: g.between(10*time.Millisecond, g.short(8*time.Second))})
	case n < 82:
		g.failover(at)
		if !g.Real { // a slow promotion
			g.plan.Steps[len(g.plan.Steps)-1].Failover.PromoteAfter = g.between(5*time.Second, time.Minute)
		}
	case n < 88: // writer and reader both
		g.failover(at)
		g.add(Step{At: at + g.between(0, g.short(time.Second)), Act: pick(g, Crash, Freeze), On: "reader", For: g.between(50*time.Millisecond, g.short(4*time.Second))})
	default: // connections that take long, and a switchover that keeps the old ones
		s := Step{At: at, Act: Delay, On: pick(g, "writer", "1", "2"), Aim: pick(g, AtLogin, AtSet, AtSet, AtMonitor), N: 1 + g.IntN(1000)}
		s.For = g.between(100*time.Millisecond, g.short(3*time.Second))
		if s.Aim == AtSet {
			if g.chance(60) { // it is over before the switchover breaks what is under way
				s.N = 1 + g.IntN(18)
			}
			g.plan.Driver.InitQuery = initQuery // there is something to hold up
		}
		g.add(s)
		g.add(Step{At: at, Act: pick(g, Reset, Close), On: "writer"})
		g.failover(at + g.between(0, min(100, time.Duration(s.N))*time.Millisecond))
		f := g.plan.Steps[len(g.plan.Steps)-1].Failover
		f.Kind, f.KeepConnections, f.BelievesWriter = aurorasim.Switchover, true, 0
		f.PromoteAfter = g.between(0, 200*time.Millisecond)
	}
}

// instance says where something happens: at the writer, as a rule.
func (g *generator) instance() string {
	return pick(g, "writer", "writer", "writer", "reader", strconv.Itoa(1+g.IntN(g.plan.Instances)))
}

// failover adds one of any kind.
func (g *generator) failover(at time.Duration) {
	f := &aurorasim.Failover{
		Kind:         pick(g, aurorasim.Kill, aurorasim.Kill, aurorasim.Switchover, aurorasim.Frozen),
		PromoteAfter: g.between(0, g.short(4*time.Second)),
		RestartAfter: g.between(0, g.short(3*time.Second)),
		DNSAfter:     g.between(0, g.short(5*time.Second)),
	}
	f.KeepConnections = f.Kind == aurorasim.Switchover && g.chance(50)
	f.DropPromoted = g.chance(20)
	f.DropRow = g.chance(25)
	if g.chance(25) {
		f.StaleViews = g.between(10*time.Millisecond, g.short(5*time.Second))
	}
	if g.chance(20) && !f.KeepConnections {
		f.BelievesWriter = g.between(10*time.Millisecond, g.short(3*time.Second))
	}
	g.add(Step{At: at, Act: Failover, Failover: f})
}

// numbersOf are the errors that a fault sends.
var numbersOf = map[Act][]int{
	Error:      {1040, 1053, 1290, 1836, 1792, 1927, 1205, 1213, 1317, 1203, 1180, 3101, 4031},
	ErrorAfter: {1053, 1317, 1927, 1205, 1028},
	Goodbye:    {1053, 1927, 4031},
}

// fault adds one of any kind.
func (g *generator) fault(at time.Duration) {
	s := Step{At: at, On: g.instance()}
	s.Act = pick(g, Refuse, BlackHole, AcceptSilent, Freeze, TooMany, Delay, NoName, WrongName, DenyView, HoldView, BelieveWriter,
		Mute, MuteAfter, Cut, Cut, Swallow, Swallow, Swallow, Error, Error, Error, ErrorAfter, Reset, Close, Goodbye, Goodbye)
	switch s.Act {
	case Refuse, BlackHole, AcceptSilent, Freeze, TooMany, DenyView, HoldView, BelieveWriter:
		s.For = g.between(5*time.Millisecond, g.short(6*time.Second))
	case NoName, WrongName:
		s.For = g.between(5*time.Millisecond, g.short(6*time.Second))
		s.On = pick(g, "endpoint", s.On)
		s.N = g.IntN(4)
	case Delay:
		s.Aim, s.N = g.aim(), 1+g.IntN(400)
		s.For = g.between(100*time.Millisecond, g.short(5*time.Second))
	case Mute, MuteAfter:
		s.Aim = g.aim()
		s.For = g.between(100*time.Millisecond, g.short(6*time.Second))
		if s.Act == MuteAfter && g.chance(50) {
			s.Aim = AtScan
		}
	case Cut, ErrorAfter:
		s.Aim = pick(g, AtScan, AtScan, g.aim())
	case Reset, Close:
	default:
		if s.Act != Goodbye {
			s.Aim = g.aim()
		}
		if of := numbersOf[s.Act]; of != nil {
			s.N = pick(g, of...)
		}
	}
	if s.Act == MuteAfter || s.Act == Cut {
		s.N = g.IntN(12)
	}
	if s.Aim != "" && s.Act != Delay && g.chance(30) {
		s.Skip = 1 + g.IntN(6)
	}
	if s.Aim == AtLogin && s.Act == Error {
		s.N = pick(g, 1040, 1203, 1053, 1129, 1226)
	}
	g.add(s)
}

func (g *generator) aim() Aim { return pick(g, aims...) }
