package pool

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestDebtsOutliveTheirConnection: what a session at rest has set, and only its connection knows, is
// asked for before that is closed for its age, or because its instance is to be left.
func TestDebtsOutliveTheirConnection(t *testing.T) {
	old := func(*rig) { time.Sleep(3 * time.Minute) }
	for name, c := range map[string]struct {
		cfg   Config
		close func(r *rig)
	}{
		"idle":     {Config{IdleTimeout: time.Minute}, old},
		"lifetime": {Config{MaxLifetime: time.Minute}, old},
		"drained": {Config{}, func(r *rig) {
			drained := writer
			drained.Draining = true
			r.Apply(2, []Member{drained})
			synctest.Wait()
			r.Apply(3, []Member{writer})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := c.cfg
			cfg.Size, cfg.MaxIdle = 2, Fixed(2)
			bubble(t, cfg, func(r *rig) {
				s := r.borrow()
				s.Set(Setting{Name: "sql_mode"}) // = CONCAT(@@sql_mode, …)
				s.Keep(r.Context())
				s.Rest(r.Context())
				c.close(r)
				if in := r.stats(); in.Open != 0 || in.InUse != 0 || in.Resting != 0 {
					r.Errorf("%+v", in)
				}
				r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
				if lost, set := s.Lost(), s.State().Settings(); lost != "" || len(set) != 1 || set[0].Value != "'ANSI'" {
					r.Errorf("lost %q, has %v", lost, set)
				}
				s.Close()
			})
		})
	}
}

// TestBlankWithoutLease: whether a session has set anything may be asked while another one takes its
// lease. For the race detector.
func TestBlankWithoutLease(t *testing.T) {
	bubble(t, Config{Size: 1}, func(r *rig) {
		s := r.borrow()
		s.Set(Setting{Name: "sql_mode"})
		s.Keep(r.Context())
		taken := make(chan *Session)
		go func() { taken <- r.borrow() }()
		for range 100 {
			if s.Blank() {
				r.Fatal("it has set a variable")
			}
		}
		other := <-taken
		if other.Close(); s.Blank() {
			r.Error("it has set a variable")
		}
		s.Close()
	})
}

// TestDebtsOutliveAContext: a statement that goes to another instance costs its session no variables
// because its context ends.
func TestDebtsOutliveAContext(t *testing.T) {
	bubble(t, Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
		reader := Member{ID: "i-2", Addr: "i-2:3306", Role: "reader"}
		r.Apply(2, []Member{writer, reader})
		s := r.borrow()
		s.Set(Setting{Name: "sql_mode"})
		s.Keep(r.Context())
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		if err := s.Borrow(ctx, r.Instance(reader.ID, reader.Role), "SELECT 1"); !errors.Is(err, context.Canceled) {
			r.Errorf("got %v", err)
		}
		r.must(s.Borrow(r.Context(), r.Instance(reader.ID, reader.Role), "SELECT 1"))
		if lost, open := s.Lost(), r.stats().Open; lost != "" || open != 1 {
			r.Errorf("lost %q, and the writer has %d connections", lost, open)
		}
		s.Close()
	})
}
