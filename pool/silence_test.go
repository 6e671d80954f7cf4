package pool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestSilence checks when an instance counts as silent: never late, and by a beat too early
// at most.
func TestSilence(t *testing.T) {
	const limit = 2 * time.Second
	cfg := Config{Size: 20, MaxIdle: Fixed(20), StallTimeout: limit, ConnectConcurrency: 20}
	// connect asks for a connection that does not come within the patience for it.
	connect := func(r *rig, patience time.Duration) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		go func() {
			defer cancel()
			_ = new(Session).Borrow(ctx, r.instance(), "SELECT 1")
		}()
	}
	noticed := func(r *rig, since time.Time) {
		r.Helper()
		id := <-r.silent
		if took := time.Since(since); id != "i-1" || took > limit || took <= limit-limit/20 {
			r.Errorf("%s was silent for %s", id, took)
		}
	}
	for name, run := range map[string]func(r *rig){
		"in every phase of the beat": func(r *rig) {
			r.delay = time.Hour
			for phase := time.Duration(0); phase < 2*limit/20; phase += 3 * time.Millisecond {
				time.Sleep(phase)
				connect(r, limit)
				noticed(r, time.Now())
				r.Apply(2, nil) // which ends the connect, too
				r.Apply(3, []Member{writer})
			}
		},
		"to begin another connect is no sign of life": func(r *rig) {
			r.delay = time.Hour
			since := time.Now()
			for range 15 {
				connect(r, time.Minute)
				time.Sleep(120 * time.Millisecond)
			}
			noticed(r, since)
		},
		"to hang up is no sign of life": func(r *rig) {
			r.delay = time.Hour
			since := time.Now()
			for range 5 {
				connect(r, 300*time.Millisecond)
				time.Sleep(390 * time.Millisecond)
			}
			noticed(r, since)
		},
		"nobody owes anything after it was looked into": func(r *rig) {
			s := r.borrow()
			r.answer = 10 * time.Second
			since := time.Now()
			time.AfterFunc(300*time.Millisecond, s.Backend().Cut)
			if _, err := s.Backend().Ask(r.Context(), "SELECT LAST_INSERT_ID()"); err == nil {
				r.Error("it was answered")
			}
			s.Discard()
			noticed(r, since)
			time.Sleep(time.Minute)
			if len(r.silent) != 0 {
				r.Error("silent again, though nothing was asked")
			}
		},
		"a connect is a sign of life": func(r *rig) {
			r.delay = time.Hour
			connect(r, time.Minute)
			synctest.Wait() // it has read the delay
			for range 20 {
				time.Sleep(limit - limit/10)
				r.delay = 0
				s := &Session{}
				r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
				s.Discard()
				r.delay = time.Hour
			}
			if len(r.silent) != 0 {
				r.Error("silent")
			}
		},
		"on an instance that is drained": func(r *rig) {
			s := r.borrow()
			r.answer = 10 * time.Second
			drained := writer
			drained.Draining = true
			r.Apply(2, []Member{drained})
			since := time.Now()
			b, ended := s.Backend(), make(chan error)
			go func() {
				_, err := b.Ask(r.Context(), "SELECT LAST_INSERT_ID()")
				ended <- err
			}()
			noticed(r, since)
			drained.Down = true
			r.Apply(3, []Member{drained})
			if <-ended == nil || !b.IsCut() {
				r.Error("what hangs there is not cut")
			}
			s.Discard()
			time.Sleep(r.answer) // the server's side of it
			r.Apply(4, []Member{writer})
		},
		"idle": func(r *rig) {
			r.borrow().Release(r.Context())
			time.Sleep(time.Minute)
			if len(r.silent) != 0 {
				r.Error("idle is not silent")
			}
		},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, cfg, run) })
	}
}
