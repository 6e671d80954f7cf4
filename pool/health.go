package pool

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// How an instance is shunned that fails.
const (
	failuresInRow = 3           // without an answer in between
	shortestShun  = time.Second // doubled with each that follows
	longestShun   = time.Minute
)

// left is how long until a moment to come, 0 if that is past. One that is further away than any is
// meant to be is, too: the clock was set back.
func left(until, now int64) int64 {
	if d := until - now; d <= int64(longestShun) {
		return max(d, 0)
	}
	return 0
}

// health is how well an instance does what it is asked. It outlives the Instance: one that
// comes and goes is the same still. What is read for every statement is atomic.
type health struct {
	latency   average
	roundTrip average
	fastest   atomic.Int64 // answer since the last gauge, ns; 0 = none
	failures  atomic.Int32 // without an answer in between
	since     atomic.Int64 // when it came, or is to come back; Unix ns
	until     atomic.Int64 // shunned; Unix ns, 0 = never was

	mu    sync.Mutex
	shuns int // in a row
}

// average is an exponentially weighted moving average of times; 0 = of none yet. It is safe
// for concurrent use: of two that come at once, one may be left out.
type average struct{ ns atomic.Int64 }

// outlier is how many averages a time counts at most: one report that runs for a minute is not
// to look like a slow server. Below usual, times are too short to tell what is one.
const (
	outlier = 4
	usual   = time.Millisecond
)

// add lets d count for one part of so many: rise if it is above the average, else fall.
func (a *average) add(d time.Duration, rise, fall int64) {
	old := a.ns.Load()
	next := int64(d)
	switch {
	case old > 0 && next < old:
		next = old + (next-old)/fall
	case old > 0:
		next = old + (min(next, max(outlier*old, int64(usual)))-old)/rise
	}
	a.ns.CompareAndSwap(old, max(next, 1))
}

func (a *average) get() time.Duration { return time.Duration(a.ns.Load()) }

// Of how many the last one is a part. A fast answer says more of an instance than a slow one, and
// one that has become fast again gets few statements to show it.
const (
	latencyRise    = 16
	latencyFall    = 4
	roundTripParts = 5
)

// arrive notes that the instance has come, or come back. It may be another machine.
func (h *health) arrive(now int64) {
	h.latency.ns.Store(0)
	h.roundTrip.ns.Store(0)
	h.fastest.Store(0)
	h.since.Store(now + left(h.until.Load(), now))
}

// Answered notes that a statement was answered on the instance, d after it was sent.
func (in *Instance) Answered(d time.Duration) {
	h := in.health
	h.latency.add(d, latencyRise, latencyFall)
	if f := h.fastest.Load(); f == 0 || int64(d) < f {
		h.fastest.Store(int64(d))
	}
	if h.failures.Load() != 0 {
		h.failures.Store(0)
	}
}

// Unanswered notes that there was no answer after d, when somebody would wait no longer. That
// says something only if there usually was one by then.
func (in *Instance) Unanswered(d time.Duration) {
	if d > in.health.latency.get() {
		in.health.latency.add(d, latencyRise, latencyFall)
	}
}

// Failed notes that the instance did not do what it was asked: the connection was lost, or
// could not be made. If it is to be shunned for that from now on, it says for how long. It comes
// back by and by: as one that is new, and the next failure while it does is one too many.
func (in *Instance) Failed() (shunned time.Duration) {
	h, now := in.health, time.Now().UnixNano()
	h.mu.Lock()
	defer h.mu.Unlock()
	until := h.until.Load()
	if left(until, now) > 0 {
		return 0 // of the same trouble, or there is no other instance
	}
	returning := until > 0 && now >= until && now-until < int64(Warmup)
	if h.failures.Add(1) < failuresInRow && !returning {
		return 0
	}
	if now-until > int64(Warmup+longestShun) {
		h.shuns = 0
	}
	shunned = min(shortestShun<<h.shuns, longestShun)
	if shunned < longestShun {
		h.shuns++
	}
	h.failures.Store(0)
	h.since.Store(now + int64(shunned))
	h.until.Store(now + int64(shunned))
	return shunned
}

// Candidate is what [Balance.Choose] wants to know of the instance. It takes no lock.
func (in *Instance) Candidate() Candidate {
	h := in.health
	return Candidate{
		Instance: in, Weight: in.Weight,
		Outstanding: int(in.busy.n.Load() + in.waiters.n.Load()), Size: int(in.limit.Load()),
		Latency: h.latency.get(), RoundTrip: h.roundTrip.get(),
		Since: h.since.Load(), ShunnedUntil: h.until.Load(),
	}
}

// Choose chooses one of the candidates by Config.Balance.
func (p *Pool) Choose(table []Candidate) *Instance {
	if len(table) == 1 {
		return table[0].Instance
	}
	dice := Dice{First: rand.Float64()}
	switch p.cfg.Balance.Strategy {
	case LeastLoaded:
		dice.Second = rand.Float64()
	case RoundRobin:
		dice.Turn = p.turns.Add(1)
	default:
	}
	return table[p.cfg.Balance.Choose(table, p.clock.Load(), dice)].Instance
}

// gauge measures the instance's round trip from time to time, on a connection that nobody
// uses: what statements take says more about the statements.
func (in *Instance) gauge(now time.Time) {
	every := in.pool.cfg.GaugeInterval
	if every <= 0 || now.Before(in.nextGauge) || in.gauging.Swap(true) {
		return
	}
	in.nextGauge = now.Add(every)
	in.pool.running.Go(func() {
		defer in.gauging.Store(false)
		ctx, cancel := context.WithTimeout(in.ended, every)
		defer cancel()
		in.measure(ctx)
	})
}

// measure takes a slot as a session does, so that nobody who has one looks for its
// connection in vain. Where there is none, the fastest statement has to do: the way took no
// longer than that.
func (in *Instance) measure(ctx context.Context) {
	h := in.health
	fastest := time.Duration(h.fastest.Swap(0))
	asker := &Session{in: in}
	in.mu.Lock()
	spare := in.free > 0 && in.waiters.first == nil && !in.Retired()
	if spare {
		in.free--
		in.busyLocked(asker, "PING")
	}
	in.mu.Unlock()
	if spare {
		if took, ok := in.ping(ctx, asker); ok {
			h.roundTrip.add(least(took, fastest), roundTripParts, roundTripParts)
			return
		}
	}
	if known := h.roundTrip.get(); fastest > 0 && (known == 0 || fastest < known) {
		h.roundTrip.add(fastest, roundTripParts, roundTripParts)
	}
}

// ping asks an idle connection, or a new one, for a sign of life.
func (in *Instance) ping(ctx context.Context, s *Session) (took time.Duration, ok bool) {
	res, err := in.connection(ctx, s)
	if err != nil {
		in.leaveLease(s)
		return 0, false
	}
	c := res.Value()
	if !c.IsCut() && c.ResetSession(ctx) == nil {
		began := time.Now()
		if err = c.Ping(ctx); err == nil {
			took = time.Since(began)
			c.Settled() // it has said what it had to say
			c.user = s  // and answers nobody's questions about a last statement any more
			in.put(s, res)
			return took, true
		}
	}
	c.Cut()
	in.destroy(res)
	in.leaveLease(s)
	return 0, false
}
