package pool

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// readers are instances that clients choose from, in a bubble. What an instance takes for a
// statement is slept, while the session has its lease.
type readers struct {
	*rig
	ids   []string
	takes map[string]time.Duration

	mu     sync.Mutex
	served map[string]int
	took   []time.Duration // from the choice to the answer
}

func among(r *rig, weights map[string]int, ids ...string) *readers {
	rs := &readers{rig: r, ids: ids, takes: make(map[string]time.Duration), served: make(map[string]int)}
	rs.apply(weights, ids...)
	return rs
}

func (rs *readers) apply(weights map[string]int, ids ...string) {
	members := make([]Member, len(ids))
	for i, id := range ids {
		members[i] = Member{ID: id, Addr: id + ":3306", Role: "reader", Weight: 1}
		if w, ok := weights[id]; ok {
			members[i].Weight = w
		}
	}
	rs.Apply(1, members)
}

// statement is one statement of a session.
func (rs *readers) statement(ctx context.Context, s *Session) {
	began := time.Now()
	var table []Candidate
	for _, id := range rs.ids {
		if in := rs.Instance(id, "reader"); in != nil {
			table = append(table, in.Candidate())
		}
	}
	in := rs.Choose(table)
	if s.Borrow(ctx, in, "SELECT 1") != nil {
		return // the time is over
	}
	rs.mu.Lock()
	d := cmp.Or(rs.takes[in.ID], 2*time.Millisecond)
	rs.mu.Unlock()
	d = time.Duration(float64(d) * (0.5 + rand.Float64()))
	time.Sleep(d)
	in.Answered(d)
	s.Keep(ctx)
	rs.mu.Lock()
	rs.served[in.ID]++
	rs.took = append(rs.took, time.Since(began))
	rs.mu.Unlock()
}

// run has so many clients at work for so long, and returns the readers' shares of it.
func (rs *readers) run(clients int, d time.Duration) map[string]float64 {
	ctx, cancel := context.WithTimeout(rs.Context(), d)
	defer cancel()
	rs.mu.Lock()
	clear(rs.served)
	rs.took = rs.took[:0]
	rs.mu.Unlock()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			var s Session
			for ctx.Err() == nil {
				rs.statement(ctx, &s)
			}
			s.Close()
		})
	}
	all.Wait()
	sum, shares := 0, make(map[string]float64)
	for _, n := range rs.served {
		sum += n
	}
	for id, n := range rs.served {
		shares[id] = float64(n) / float64(sum)
	}
	if d > time.Second {
		rs.Logf("%d clients, %s: %d statements, %.3v", clients, d, sum, shares)
	}
	return shares
}

// want checks a share.
func (rs *readers) want(shares map[string]float64, id string, low, high float64) {
	rs.Helper()
	if s := shares[id]; s < low || s > high {
		rs.Errorf("%s has %.3f of the statements, want %.3f to %.3f", id, s, low, high)
	}
}

func (rs *readers) statsOf(id string) InstanceStats {
	for _, s := range rs.Stats().Instances {
		if s.ID == id {
			return s
		}
	}
	rs.Fatalf("no %s", id)
	return InstanceStats{}
}

// TestStrategies compares them where one of three readers is ten times slower (2ms, 20ms).
func TestStrategies(t *testing.T) {
	done := make(map[Strategy]int)
	for s, name := range []string{"leastLoaded", "roundRobin", "random", "weighted 10:10:1"} {
		bubble(t, Config{Size: 25, MaxIdle: Fixed(25), Balance: Balance{Strategy: Strategy(s)}}, func(r *rig) {
			var weights map[string]int
			if Strategy(s) == Weighted {
				weights = map[string]int{"a": 10, "b": 10}
			}
			rs := among(r, weights, "a", "b", "c")
			rs.takes["c"] = 20 * time.Millisecond
			for _, clients := range []int{1, 24} {
				rs.run(clients, time.Second) // to learn it
				share := rs.run(clients, 2*time.Second)["c"]
				slices.Sort(rs.took)
				at := func(percent int) time.Duration {
					return rs.took[len(rs.took)*percent/100].Round(100 * time.Microsecond)
				}
				done[Strategy(s)] = len(rs.took)
				r.Logf("| %s | %d | %.1f %% | %d | %s | %s | %s |", name, clients, 100*share, len(rs.took)/2, at(50), at(95), at(99))
			}
		})
	}
	if 10*done[LeastLoaded] < 25*done[RoundRobin] {
		t.Errorf("%d statements leastLoaded, %d roundRobin", done[LeastLoaded], done[RoundRobin])
	}
}

func TestReaders(t *testing.T) {
	cfg := func(s Strategy) Config {
		return Config{Size: 25, MaxIdle: Fixed(25), ConnectConcurrency: 4, Balance: Balance{Strategy: s}}
	}
	slowOne := func(r *rig) *readers {
		rs := among(r, nil, "a", "b", "c")
		rs.takes["c"] = 20 * time.Millisecond
		return rs
	}
	for name, test := range map[string]struct {
		cfg Config
		run func(r *rig)
	}{
		// Its fair share is by its speed, 1 of 21, whether there is a load or none.
		"leastLoaded, one is ten times slower": {cfg(LeastLoaded), func(r *rig) {
			rs := slowOne(r)
			for _, clients := range []int{1, 4, 24} {
				rs.run(clients, time.Second) // to learn it
				shares := rs.run(clients, 4*time.Second)
				rs.want(shares, "c", 0.02, 0.075)
				rs.want(shares, "a", 0.41, 0.55)
			}
			if d := rs.statsOf("c").Latency; d < 11*time.Millisecond || d > 24*time.Millisecond {
				r.Errorf("c takes %s", d)
			}
		}},
		"leastLoaded, it recovers": {cfg(LeastLoaded), func(r *rig) {
			rs := slowOne(r)
			rs.run(4, 2*time.Second)
			rs.mu.Lock()
			rs.takes["c"] = 2 * time.Millisecond
			rs.mu.Unlock()
			rs.run(4, 2*time.Second)
			rs.want(rs.run(4, 4*time.Second), "c", 0.28, 0.38)
		}},
		"leastLoaded by weight": {cfg(LeastLoaded), func(r *rig) {
			rs := among(r, map[string]int{"a": 3, "c": 0}, "a", "b", "c")
			for _, clients := range []int{1, 24} {
				shares := rs.run(clients, 5*time.Second)
				rs.want(shares, "a", 0.7, 0.8)
				rs.want(shares, "c", 0, 0)
			}
		}},
		"roundRobin, one is ten times slower": {cfg(RoundRobin), func(r *rig) {
			rs := slowOne(r)
			rs.want(rs.run(12, 5*time.Second), "c", 0.32, 0.34)
		}},
		"random": {cfg(Random), func(r *rig) {
			rs := among(r, nil, "a", "b", "c")
			rs.want(rs.run(4, 5*time.Second), "a", 0.31, 0.36)
		}},
		"weighted 3:1": {cfg(Weighted), func(r *rig) {
			rs := among(r, map[string]int{"a": 3}, "a", "b")
			rs.want(rs.run(4, 5*time.Second), "a", 0.75*0.95, 0.75*1.05)
		}},
		"who is full is passed over": {Config{Size: 2, MaxIdle: Fixed(2), Balance: Balance{Strategy: Weighted}}, func(r *rig) {
			rs := among(r, map[string]int{"a": 1000}, "a", "b")
			rs.want(rs.run(1, time.Second), "a", 0.98, 1)
			rs.want(rs.run(4, time.Second), "b", 0.45, 0.55)
		}},
		"a new one is warmed up, and nobody's lease ends for it": {cfg(LeastLoaded), func(r *rig) {
			rs := among(r, nil, "a", "b")
			r.delay = 200 * time.Millisecond
			for _, id := range []string{"a", "b", "c"} {
				rs.takes[id] = 20 * time.Millisecond
			}
			time.Sleep(Warmup)
			rs.run(24, 3*time.Second)
			before := rs.statsOf("a")
			rs.ids = append(rs.ids, "c")
			rs.apply(nil, rs.ids...)
			rs.most.Store(0)
			var shares []float64
			for range 6 {
				shares = append(shares, rs.run(24, Warmup/6)["c"])
			}
			// A twentieth at first, then more in even steps, until it has a third.
			for i, s := range shares {
				middle := coldest + (1-coldest)*(float64(i)+0.5)/6
				if fair := middle / (2 + middle); s < fair*0.6 || s > fair*1.3 {
					r.Errorf("c has %.3f of the statements at first, then %.3f, want about %.3f", shares[:i], s, fair)
				}
			}
			rs.want(rs.run(24, 5*time.Second), "c", 0.3, 0.36)
			after := rs.statsOf("a")
			if after.Open < before.Open || after.Open != int(after.Dials) {
				r.Errorf("a had %d connections after %d dials, now %d after %d", before.Open, before.Dials, after.Open, after.Dials)
			}
			if n := r.most.Load(); n == 0 || n > 4 {
				r.Errorf("%d connects at a time", n)
			}
		}},
		"what is too much after that ages out": {Config{Size: 25, MaxIdle: Fixed(25), IdleTimeout: time.Minute}, func(r *rig) {
			rs := among(r, nil, "a")
			rs.run(20, time.Second)
			rs.ids = append(rs.ids, "b", "c", "d")
			rs.apply(nil, rs.ids...)
			if n := rs.statsOf("a").Open; n != 20 {
				r.Fatalf("%d connections", n)
			}
			for range 90 { // light work, but without a pause
				rs.run(4, 50*time.Millisecond)
				time.Sleep(time.Second)
			}
			if n := rs.statsOf("a").Open; n > 5 {
				r.Errorf("%d connections are left, of 20", n)
			}
		}},
		"shunned, and by and by back": {cfg(LeastLoaded), func(r *rig) {
			rs := among(r, nil, "a", "b")
			time.Sleep(Warmup)
			b := rs.Instance("b", "reader")
			fail := func(want ...time.Duration) {
				r.Helper()
				for i, d := range want {
					if got := b.Failed(); got != d {
						r.Errorf("failure %d: shunned for %s, want %s", i+1, got, d)
					}
				}
			}
			fail(0, 0)
			b.Answered(time.Millisecond)
			fail(0, 0, time.Second, 0)
			if s := rs.statsOf("b"); s.Weight != 0 || !s.ShunnedUntil.Equal(time.Now().Add(time.Second)) {
				r.Errorf("%+v", s)
			}
			// The pool's clock moves once a second.
			rs.want(rs.run(8, 900*time.Millisecond), "b", 0, 0)
			time.Sleep(1100 * time.Millisecond)
			rs.want(rs.run(8, 2*time.Second), "b", 0.06, 0.15)
			rs.want(rs.run(8, 2*time.Second), "b", 0.1, 0.25)
			fail(2*time.Second, 0) // one is too many now
			time.Sleep(2 * time.Second)
			for want := 4 * time.Second; want < 2*longestShun; want *= 2 {
				fail(min(want, longestShun), 0)
				time.Sleep(min(want, longestShun))
			}
			time.Sleep(Warmup)
			rs.want(rs.run(8, 2*time.Second), "b", 0.45, 0.55)
			fail(0, 0, longestShun)
			time.Sleep(longestShun + Warmup + longestShun + time.Second)
			fail(0, 0, time.Second) // it was well for long
		}},
		"the last one is not shunned away": {cfg(LeastLoaded), func(r *rig) {
			rs := among(r, nil, "a", "b")
			for range failuresInRow {
				rs.Instance("a", "reader").Failed()
				rs.Instance("b", "reader").Failed()
			}
			rs.want(rs.run(4, 500*time.Millisecond), "a", 0.4, 0.6)
			rs.apply(nil, "b")
			rs.want(rs.run(4, 400*time.Millisecond), "b", 1, 1)
		}},
		"one that comes and goes stays shunned": {cfg(LeastLoaded), func(r *rig) {
			rs := among(r, nil, "a", "b")
			for range failuresInRow {
				rs.Instance("b", "reader").Failed()
			}
			down := Member{ID: "b", Addr: "b:3306", Role: "reader", Weight: 1, Down: true}
			rs.Apply(2, []Member{{ID: "a", Addr: "a:3306", Role: "reader", Weight: 1}, down})
			rs.apply(nil, "a", "b")
			rs.want(rs.run(4, 500*time.Millisecond), "b", 0, 0)
			time.Sleep(time.Second)
			if d := rs.Instance("b", "reader").Failed(); d != 2*time.Second {
				r.Errorf("shunned for %s", d)
			}
			rs.apply(nil, "a") // gone: what comes now under its name is another one
			rs.apply(nil, "a", "b")
			if s := rs.statsOf("b"); !s.ShunnedUntil.IsZero() {
				r.Errorf("%+v", s)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.cfg, test.run) })
	}
}

// TestLatencyWindow: reads stay near, whatever the statements take, until there is no room.
func TestLatencyWindow(t *testing.T) {
	cfg := Config{Size: 4, MaxIdle: Fixed(4), IdleTimeout: time.Minute, GaugeInterval: 5 * time.Second, Balance: Balance{Window: 2 * time.Millisecond}}
	bubble(t, cfg, func(r *rig) {
		rs := among(r, nil, "a", "b", "c")
		rs.takes["a"] = 20 * time.Millisecond // its statements, not the way
		for id, d := range map[string]time.Duration{"a": time.Millisecond, "b": 3 * time.Millisecond, "c": 4 * time.Millisecond} {
			r.far.Store(id+":3306", d)
		}
		time.Sleep(Warmup)
		if s := rs.statsOf("c"); s.RoundTrip != 4*time.Millisecond || s.Open != 1 || s.Dials != 1 || s.Borrowed != 0 {
			r.Errorf("%+v", s)
		}
		shares := rs.run(3, 5*time.Second)
		rs.want(shares, "c", 0, 0)
		rs.want(shares, "a", 0.05, 0.2)
		rs.want(rs.run(12, 5*time.Second), "c", 0.3, 0.6)
		if s := rs.statsOf("a"); s.RoundTrip != time.Millisecond {
			r.Errorf("%+v", s)
		}
		r.far.Store("c:3306", 2*time.Millisecond)
		time.Sleep(time.Minute) // the old measures fade
		rs.want(rs.run(3, 5*time.Second), "c", 0.35, 0.65)
		rs.apply(nil, "c")
		rs.want(rs.run(3, time.Second), "c", 1, 1)
	})
}

// TestGauge: it takes nothing from anybody, and makes do with statements where it would.
func TestGauge(t *testing.T) {
	bubble(t, Config{Size: 1, MaxIdle: Fixed(1), GaugeInterval: 5 * time.Second, BorrowTimeout: 100 * time.Millisecond}, func(r *rig) {
		r.far.Store(writer.Addr, time.Millisecond)
		s := r.borrow()
		r.instance().Answered(7 * time.Millisecond)
		r.instance().Answered(9 * time.Millisecond)
		time.Sleep(12500 * time.Millisecond)
		if st := r.stats(); st.RoundTrip != 7*time.Millisecond || st.Dials != 1 || st.Waiting != 0 || st.Timeouts != 0 {
			r.Errorf("%+v", st)
		}
		s.Keep(r.Context())
		s.Rest(r.Context())
		backend := s.res
		time.Sleep(12500 * time.Millisecond)
		if st := r.stats(); s.res != backend || st.Reclaimed != 0 || st.RoundTrip != 7*time.Millisecond {
			r.Errorf("the session's lease was taken: %+v", st)
		}
		r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
		s.Release(r.Context())
		time.Sleep(12500 * time.Millisecond)
		if st := r.stats(); st.RoundTrip >= 7*time.Millisecond || st.Dials != 1 || st.InUse != 0 {
			r.Errorf("%+v", st)
		}
		// What was asked on a connection is nobody's answer.
		r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
		if s.Found() || s.Answered() {
			r.Error("the ping's answers were taken for the session's")
		}
		s.Release(r.Context())
		// One that the server has closed is replaced.
		for _, c := range r.server.Conns() {
			r.server.Kill(c.ID, false)
		}
		time.Sleep(11 * time.Second)
		if st := r.stats(); st.Open != 1 || st.InUse != 0 {
			r.Errorf("%+v", st)
		}
	})
}

// TestOutlier: a statement that is no measure of its instance counts for little, and one that
// was given up says only that it took longer than it was waited for.
func TestOutlier(t *testing.T) {
	in := &Instance{health: &health{}}
	for range 100 {
		in.Answered(time.Millisecond)
	}
	in.Answered(time.Hour)
	if d := in.health.latency.get(); d > 1200*time.Microsecond {
		t.Errorf("%s after one hour", d)
	}
	for range 100 {
		in.Unanswered(time.Microsecond)
	}
	if d := in.health.latency.get(); d < time.Millisecond {
		t.Errorf("%s after a short wait", d)
	}
	for range 100 {
		in.Unanswered(time.Second)
	}
	if d := in.health.latency.get(); d < 900*time.Millisecond {
		t.Errorf("%s after long waits", d)
	}
	in = &Instance{health: &health{}}
	in.Answered(time.Microsecond) // a first one says little
	for range 20 {
		in.Answered(time.Millisecond)
	}
	if d := in.health.latency.get(); d < 500*time.Microsecond {
		t.Errorf("%s after 20 answers of 1ms", d)
	}
}

// TestClockSetBack: what was to last for a minute at most does not last for a day.
func TestClockSetBack(t *testing.T) {
	in := &Instance{health: &health{}}
	fail := func() (shunned time.Duration) {
		for range failuresInRow {
			shunned = max(shunned, in.Failed())
		}
		return shunned
	}
	if d := fail(); d != shortestShun {
		t.Fatalf("shunned for %s", d)
	}
	in.health.until.Add(int64(24 * time.Hour))
	if d := in.Failed(); d != 0 {
		t.Errorf("one failure, and it is shunned for %s", d)
	}
	if d := fail(); d == 0 || d > longestShun {
		t.Errorf("shunned for %s", d)
	}
	if ahead := in.health.until.Load() - time.Now().UnixNano(); ahead <= 0 || ahead > int64(longestShun) {
		t.Errorf("until %s from now", time.Duration(ahead))
	}
	in.health.until.Add(int64(24 * time.Hour))
	if in.health.arrive(time.Now().UnixNano()); in.health.since.Load() > time.Now().UnixNano() {
		t.Error("it is to come back in a day")
	}
}
