package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// fleetRig is a pool that is one of a fleet, of which the test says how many connections it has.
type fleetRig struct {
	*rig
	others  atomic.Int64 // connections that are not this pool's
	surveys atomic.Int64
}

// inFleet runs a test with a pool of up to 20 whose fleet may have 100 of 200 connections.
func inFleet(t *testing.T, processes int, test func(r *fleetRig)) {
	t.Helper()
	r := &fleetRig{}
	cfg := Config{Size: 20, MaxIdle: Fixed(20), BorrowTimeout: time.Minute, ConnectConcurrency: 20, Fleet: &Fleet{
		Survey: func(context.Context, *backend.Backend) (Survey, error) {
			r.surveys.Add(1)
			return Survey{Max: 200, Connections: int(r.others.Load()) + len(r.server.Conns())}, nil
		},
		Budget: func(most int) int { return most / 2 },
		Size:   processes,
		Crowded: func(err error) bool {
			e, ok := errors.AsType[*mysql.MySQLError](err)
			return ok && e.Number == 1040
		},
	}}
	bubble(t, cfg, func(rig *rig) {
		r.rig = rig
		test(r)
	})
}

// wait has n sessions wait for a backend, which they keep until the end.
func (r *fleetRig) wait(n int) (end func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			s := &Session{}
			r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
			<-done
			s.Release(r.Context())
		})
	}
	synctest.Wait()
	return func() {
		close(done)
		wg.Wait()
	}
}

func (r *fleetRig) wants(what string, size, open, inUse, waiting int) {
	r.Helper()
	synctest.Wait()
	if s := r.stats(); s.Size != size || s.Open != open || s.InUse != inUse || s.Waiting != waiting {
		r.Errorf("%s: size %d, open %d, in use %d, waiting %d; want %d, %d, %d, %d", what, s.Size, s.Open, s.InUse, s.Waiting, size, open, inUse, waiting)
	}
}

func TestFleet(t *testing.T) {
	for name, test := range map[string]func(r *fleetRig){
		"the share grows while sessions wait, all on transactions": func(r *fleetRig) {
			end := r.wait(20)
			if s := r.stats(); s.Open > 2 { // of 20 at most two can have asked before the first look
				r.Errorf("at first: %+v", s)
			}
			time.Sleep(time.Minute)
			r.wants("at last", 20, 20, 20, 0)
			end()
			if f := r.stats().Fleet; f.Max != 200 || f.Budget != 100 || f.Connections == 0 || time.Since(f.At) > 5*time.Second {
				r.Errorf("%+v", f)
			}
		},
		"nobody wants more": func(r *fleetRig) {
			for range 100 {
				r.borrow().Release(r.Context())
				time.Sleep(time.Second)
			}
			r.wants("one session", 1, 1, 0, 0)
			if n := r.surveys.Load(); n < 20 || n > 60 {
				r.Errorf("%d surveys in 100s", n)
			}
		},
		"an instance that nobody uses is not asked": func(r *fleetRig) {
			time.Sleep(time.Minute)
			r.wants("unused", 1, 0, 0, 0)
			if n := r.surveys.Load(); n != 0 {
				r.Errorf("%d surveys", n)
			}
		},
		"what is in use is not closed": func(r *fleetRig) {
			end := r.wait(10)
			time.Sleep(time.Minute)
			r.others.Store(150)
			time.Sleep(time.Minute)
			// The share is not cut for what is out already, but once.
			if s := r.stats(); s.Size >= 10 || s.Size < 5 || s.Open != 10 || s.InUse != 10 {
				r.Errorf("crowded: %+v", s)
			}
			end()
			time.Sleep(looks(lookCalm)) // one that came to a share that shrank just then is closed at the next look
			if s := r.stats(); s.Open > s.Size || s.InUse != 0 {
				r.Errorf("given back: %+v", s)
			}
			time.Sleep(time.Minute)
			r.wants("after", 1, 1, 0, 0)
		},
		"idle ones go, those at rest and those kept too": func(r *fleetRig) {
			end := r.wait(12)
			time.Sleep(time.Minute)
			end()
			var sessions []*Session
			for range 9 { // of 12 backends at least
				sessions = append(sessions, r.borrow())
			}
			for i, s := range sessions {
				if i == 8 {
					s.MayHaveInserted() // what it owes is asked when it is taken, or rests
				}
				s.Keep(r.Context())
				if i < 4 {
					s.Rest(r.Context())
				}
			}
			if s := r.stats(); s.Kept != 5 || s.Resting != 4 || s.Open < 12 {
				r.Errorf("before: %+v", s)
			}
			r.others.Store(150)
			time.Sleep(looks(lookCalm, lookSteady)) // 12, 6, 3
			if s := r.stats(); s.Size > 5 || s.Open > max(s.Size, s.Kept+1) {
				r.Errorf("after two looks: %+v", s)
			}
			time.Sleep(time.Minute)
			if s := r.stats(); s.Open > 1 || s.Size != 1 || s.InUse > 1 {
				r.Errorf("after: %+v", s)
			}
			for _, s := range sessions {
				r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
				s.Close()
			}
		},
		"sessions wait while the share shrinks": func(r *fleetRig) {
			var stop atomic.Bool
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					for s := new(Session); !stop.Load(); {
						r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
						time.Sleep(50 * time.Millisecond)
						if i%2 == 0 {
							s.Keep(r.Context())
						} else {
							s.Release(r.Context())
						}
					}
				})
			}
			time.Sleep(time.Minute)
			if s := r.stats(); s.Open < 15 {
				r.Errorf("before: %+v", s)
			}
			r.others.Store(150)
			time.Sleep(looks(slices.Repeat([]time.Duration{lookSteady}, 6)...)) // 20, 11, 6, 4, 2; and one that found them all out still
			s := r.stats()
			if s.Open > s.Size { // a look has just been: what was out then comes back after its statement
				time.Sleep(100 * time.Millisecond)
				s = r.stats()
			}
			if s.Open > s.Size || s.Size > 2 {
				r.Errorf("after: %+v", s)
			}
			stop.Store(true)
			wg.Wait()
		},
		"what is given back late": func(r *fleetRig) {
			var sessions []*Session
			end := r.wait(12)
			time.Sleep(time.Minute)
			end()
			for range 12 {
				sessions = append(sessions, r.borrow())
			}
			r.others.Store(150)
			time.Sleep(time.Minute)
			size := r.stats().Size
			for i, s := range sessions {
				s.Keep(r.Context())
				if i == 0 && s.Backend() == nil && r.stats().Kept != 0 {
					r.Error("a lease is kept that is one too many")
				}
			}
			synctest.Wait()
			if s := r.stats(); s.Open > size {
				r.Errorf("%d backends where %d may be", s.Open, size)
			}
			for _, s := range sessions {
				s.Close()
			}
		},
		"no room on the server": func(r *fleetRig) {
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					for s := new(Session); !stop.Load(); s.Release(r.Context()) {
						r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
						time.Sleep(50 * time.Millisecond)
					}
				})
			}
			for r.stats().Open < 5 {
				time.Sleep(10 * time.Millisecond)
			}
			r.server.Refuse(&fakemysql.Error{Number: 1040, Message: "Too many connections"})
			synctest.Wait()
			open := r.stats().Open
			time.Sleep(time.Minute)
			if s := r.stats(); s.Open > open || s.Open == 0 || s.Timeouts != 0 || s.DialErrors == 0 || s.DialErrors > 40 {
				r.Errorf("no room: %+v", s)
			}
			r.server.Refuse(nil)
			time.Sleep(20 * time.Second)
			if s := r.stats(); s.Open != 20 {
				r.Errorf("room: %+v", s)
			}
			stop.Store(true)
			wg.Wait()
		},
		"the first connect is refused": func(r *fleetRig) {
			r.server.Refuse(&fakemysql.Error{Number: 1040, Message: "Too many connections"})
			err := (&Session{}).Borrow(r.Context(), r.instance(), "SELECT 1")
			if e, ok := errors.AsType[*mysql.MySQLError](err); !ok || e.Number != 1040 {
				r.Errorf("got %v", err) // the caller knows how to wait for an instance that cannot be reached
			}
			r.wants("refused", 1, 0, 0, 0)
		},
		"the server does not tell": func(r *fleetRig) {
			r.Pool.cfg.Fleet.Survey = func(context.Context, *backend.Backend) (Survey, error) { return Survey{}, errors.New("no") }
			end := r.wait(1)
			time.Sleep(time.Minute)
			r.wants("blind", 1, 1, 1, 0)
			end()
		},
	} {
		t.Run(name, func(t *testing.T) { inFleet(t, 0, test) })
	}
	t.Run("a number of processes", func(t *testing.T) {
		inFleet(t, 10, func(r *fleetRig) {
			end := r.wait(20)
			time.Sleep(time.Second)
			r.wants("a tenth of 100, less one", 9, 9, 9, 11)
			end()
		})
	})
}

// TestFleetStorm: whatever happens at once, no slot is lost and none is given twice.
func TestFleetStorm(t *testing.T) {
	inFleet(t, 0, func(r *fleetRig) {
		rng := rand.New(rand.NewPCG(1, 2))
		var wg sync.WaitGroup
		for range 40 {
			seed := rng.Uint64()
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, 1))
				s := &Session{}
				for range 200 {
					time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
					r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
					time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
					switch rng.IntN(5) {
					case 0:
						s.Discard()
					case 1:
						s.Inserted(7)
						s.Keep(r.Context())
					case 2:
						s.Keep(r.Context())
						s.Rest(r.Context())
					default:
						s.Release(r.Context())
					}
				}
				s.Close()
			})
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Second):
					r.others.Store(int64(rng.IntN(120)))
				}
			}
		}()
		wg.Wait()
		close(stop)
		<-stopped
		r.others.Store(0)
		time.Sleep(10 * time.Second)
		if s := r.stats(); s.InUse != 0 || s.Waiting != 0 || s.Open > s.Size || s.Timeouts != 0 {
			r.Errorf("after the storm: %+v", s)
		}
		end := r.wait(20)
		time.Sleep(time.Minute)
		r.wants("all together", 20, 20, 20, 0)
		end()
	})
}

// looks is how long so many looks may take, each after such a pause, and with a beat of the keeper
// in between.
func looks(pauses ...time.Duration) (d time.Duration) {
	for _, pause := range pauses {
		d += time.Duration(float64(pause)*(1+lookJitter)) + 200*time.Millisecond
	}
	return d
}
