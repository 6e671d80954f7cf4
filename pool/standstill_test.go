package pool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestStandstill sets the pool's clock back, which is all that a process finds that stood still.
func TestStandstill(t *testing.T) {
	const limit = 15 * time.Second
	for name, run := range map[string]func(r *rig, told *[]time.Duration){
		"what was idle is not used any more": func(r *rig, told *[]time.Duration) {
			a, b := r.borrow(), r.borrow()
			first := a.Backend()
			a.Release(r.Context())
			b.Keep(r.Context())
			b.Rest(r.Context())
			inHand := r.borrow() // the idle one
			inHand.Keep(r.Context())
			tx := r.borrow()
			busy := tx.Backend()
			r.clock.Add(-int64(time.Hour))
			r.Wake()
			synctest.Wait()
			if len(*told) != 1 || (*told)[0] < time.Hour || (*told)[0] > time.Hour+time.Minute {
				r.Errorf("told of %v", *told)
			}
			if s := r.stats(); s.Open != 1 || s.InUse != 1 || first.IsCut() == false {
				r.Errorf("%+v", s)
			}
			if tx.Backend() != busy || busy.IsCut() {
				r.Error("what was in use went, too")
			}
			for _, s := range []*Session{inHand, b, a} {
				r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
				if s.Backend().Created().Before(time.Now()) {
					r.Error("an old connection")
				}
				s.Release(r.Context())
			}
			tx.Release(r.Context())
			if s := r.stats(); s.Open == 0 || s.InUse != 0 {
				r.Errorf("%+v", s)
			}
		},
		"less than the limit is none": func(r *rig, told *[]time.Duration) {
			s := r.borrow()
			b := s.Backend()
			s.Release(r.Context())
			r.clock.Add(-int64(limit) + int64(time.Second))
			r.Wake()
			r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
			if len(*told) != 0 || s.Backend() != b {
				r.Errorf("%v", *told)
			}
			s.Release(r.Context())
		},
		"one for all who come": func(r *rig, told *[]time.Duration) {
			r.clock.Add(-int64(time.Hour))
			for range 100 {
				r.Wake()
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(*told) != 1 {
				r.Errorf("%v", *told)
			}
		},
		"the keeper notices it, too": func(r *rig, told *[]time.Duration) {
			r.clock.Add(-int64(time.Hour))
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if len(*told) != 1 {
				r.Errorf("%v", *told)
			}
		},
		"time that passes is none": func(r *rig, told *[]time.Duration) {
			for range 100 {
				time.Sleep(time.Minute)
				r.Wake()
			}
			synctest.Wait()
			if len(*told) != 0 {
				r.Errorf("%v", *told)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var told []time.Duration
			cfg := Config{
				Size: 5, MaxIdle: Fixed(5), StallTimeout: 2 * time.Second, ConnectConcurrency: 5,
				Standstill: limit, Thawed: func(took time.Duration) { told = append(told, took) },
			}
			bubble(t, cfg, func(r *rig) { run(r, &told) })
		})
	}
}

// TestNoStandstill: that no keeper moves the clock is none.
func TestNoStandstill(t *testing.T) {
	const limit = 15 * time.Second
	thawed := func(took time.Duration) { t.Errorf("a standstill of %s", took) }
	t.Run("before there is an instance", func(t *testing.T) {
		synctest.Test(t, func(*testing.T) {
			p := New(Config{Standstill: limit, Thawed: thawed})
			time.Sleep(time.Hour)
			p.Wake()
		})
	})
	t.Run("while the pool closes", func(t *testing.T) {
		bubble(t, Config{Size: 1, Standstill: limit, Thawed: thawed}, func(r *rig) {
			s := r.borrow() // a transaction that may go on
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			time.AfterFunc(time.Minute, func() {
				r.Wake()
				s.Release(ctx)
			})
			if err := r.Close(ctx, false); err != nil {
				r.Error(err)
			}
		})
	})
}

// TestStandstillBeforeTheClockIsSetBack: silence is found out after a standstill, though it seems to have
// ended in the future.
func TestStandstillBeforeTheClockIsSetBack(t *testing.T) {
	cfg := Config{Size: 1, StallTimeout: 2 * time.Second, Standstill: 15 * time.Second}
	bubble(t, cfg, func(r *rig) {
		r.clock.Add(-int64(time.Hour))
		r.Wake()
		r.thawed.Add(int64(time.Hour)) // as if it were an hour earlier now
		time.Sleep(time.Second)
		r.delay = time.Hour
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() { _ = new(Session).Borrow(ctx, r.instance(), "SELECT 1") }()
		select {
		case <-r.silent:
		case <-time.After(time.Minute):
			r.Error("nobody was told")
		}
	})
}
