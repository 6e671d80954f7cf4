package pool

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

func TestPool(t *testing.T) {
	for name, test := range map[string]struct {
		cfg Config
		run func(r *rig)
	}{
		"a backend is used again": {Config{Size: 2, MaxIdle: Fixed(2)}, func(r *rig) {
			a := r.borrow()
			first := a.Backend()
			a.Release(r.Context())
			b := r.borrow()
			if b.Backend() != first {
				r.Error("connected anew")
			}
			b.Release(r.Context())
			if s := r.stats(); s.Open != 1 || s.InUse != 0 || s.Dials != 1 || s.Borrowed != 2 {
				r.Errorf("%+v", s)
			}
		}},
		"first come, first served": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			holder := r.borrow()
			order := make(chan int, 5)
			for i := range 5 {
				go func() {
					s := r.borrow()
					order <- i
					s.Release(r.Context())
				}()
				synctest.Wait()
			}
			if n := r.stats().Waiting; n != 5 {
				r.Errorf("%d wait", n)
			}
			holder.Release(r.Context())
			for i := range 5 {
				if got := <-order; got != i {
					r.Errorf("%d was served in the place of %d", got, i)
				}
			}
		}},
		"who comes later overtakes nobody whose turn a kept lease has brought": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			var order []int
			serve := func(i int) {
				s := r.borrow()
				order = append(order, i) // guarded by the only lease
				s.MayHaveInserted()      // so that it owes a question, and keeps its lease for now
				s.Keep(r.Context())
				r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1")) // in line again
				s.Release(r.Context())
			}
			holder := r.borrow()
			holder.MayHaveInserted()
			var all sync.WaitGroup
			for i := range 5 {
				all.Go(func() { serve(i) })
				synctest.Wait()
			}
			holder.Keep(r.Context())
			serve(5)
			all.Wait()
			if !slices.Equal(order, []int{0, 1, 2, 3, 4, 5}) {
				r.Errorf("served in the order %v", order)
			}
			holder.Close()
		}},
		"a call that is not needed any more is the next one's": {Config{Size: 2, MaxIdle: Fixed(2), BorrowTimeout: time.Minute}, func(r *rig) {
			keeps, gives := r.borrow(), r.borrow()
			keeps.Inserted(7)
			var served, all sync.WaitGroup
			served.Add(2)
			for range 2 {
				all.Go(func() {
					s := &Session{}
					r.must(s.Borrow(r.Context(), r.instance(), "SELECT 1"))
					served.Done()
					served.Wait() // the first gives nothing back before the second has its own
					s.Release(r.Context())
				})
				synctest.Wait()
			}
			start := time.Now()
			keeps.Keep(r.Context())
			gives.Release(r.Context())
			all.Wait()
			if d := time.Since(start); d != 0 {
				r.Errorf("waited for %s", d)
			}
			keeps.Close()
		}},
		"what a session owes is asked for though the taker gives up": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			r.answer = time.Second
			victim := r.borrow()
			victim.Inserted(7)
			victim.Keep(r.Context())
			ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			if err := new(Session).Borrow(ctx, r.instance(), "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
				r.Errorf("%v after %s", err, time.Since(start))
			}
			r.must(victim.Borrow(r.Context(), r.instance(), "SELECT 1")) // waits for the answer
			if victim.id.value != 7 || victim.id.gone || time.Since(start) != time.Second || r.stats().Dials != 1 {
				r.Errorf("%+v after %s, %+v", victim.id, time.Since(start), r.stats())
			}
			victim.Release(r.Context())
		}},
		"a wait ends with the timeout, which says who holds the backends": {Config{Size: 2, MaxIdle: Fixed(2), BorrowTimeout: time.Second}, func(r *rig) {
			inTx, pinned := r.borrow(), r.borrow()
			inTx.SetInTx(true)
			pinned.Pin(sqlscan.EffectTemporaryTable, "t", false, "CREATE TEMPORARY TABLE t (secret INT)")
			start := time.Now()
			err := new(Session).Borrow(r.Context(), r.instance(), "SELECT 1")
			if !errors.Is(err, ErrBorrowTimeout) || time.Since(start) != time.Second {
				r.Errorf("%v after %s", err, time.Since(start))
			}
			for _, part := range []string{"i-1", "fpBorrowTimeout", "all 2", "1 in transactions", "1 pinned (temporary table: 1)", "needs a second session"} {
				if err == nil || !strings.Contains(err.Error(), part) {
					r.Errorf("%q is not in %v", part, err)
				}
			}
			inTx.Close()
			pinned.Close()
			if s := r.Stats(); len(s.Pins) != 0 || s.Instances[0].InTx != 0 || s.Instances[0].Pinned != 0 || s.Instances[0].Timeouts != 1 {
				r.Errorf("%+v", s)
			}
		}},
		"a wait ends with its context": {Config{Size: 1, MaxIdle: Fixed(1), BorrowTimeout: time.Hour}, func(r *rig) {
			holder := r.borrow()
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			if err := new(Session).Borrow(ctx, r.instance(), "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) {
				r.Errorf("got %v", err)
			}
			holder.Release(r.Context())
			r.borrow().Release(r.Context()) // the slot was not lost
		}},
		"a kept lease is the session's until somebody needs it": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			a := r.borrow()
			backend := a.Backend()
			a.Keep(r.Context())
			if a.Backend() != nil || r.stats().Kept != 1 {
				r.Errorf("%+v", r.stats())
			}
			if err := a.Borrow(r.Context(), r.instance(), "SELECT 1"); err != nil || a.Backend() != backend {
				r.Errorf("got another backend, %v", err)
			}
			a.Keep(r.Context())
			b := r.borrow()
			if b.Backend() != backend || a.Hold(r.Context(), "SELECT 1") {
				r.Error("the kept lease was not taken")
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if err := a.Borrow(r.Context(), r.instance(), "SELECT 1"); err != nil {
					r.Error(err)
				}
			}()
			synctest.Wait()
			b.Keep(r.Context()) // somebody waits: nothing is kept
			<-done
			if b.Hold(r.Context(), "SELECT 1") {
				r.Error("kept though somebody waited")
			}
			a.Release(r.Context())
			if s := r.stats(); s.Reclaimed != 1 || s.InUse != 0 || s.Open != 1 {
				r.Errorf("%+v", s)
			}
		}},
		"the lease that was kept longest is taken first": {Config{Size: 3, MaxIdle: Fixed(3)}, func(r *rig) {
			sessions := []*Session{r.borrow(), r.borrow(), r.borrow()}
			sessions[1].Keep(r.Context())
			sessions[0].Keep(r.Context())
			sessions[2].Keep(r.Context())
			thief := r.borrow()
			for i, want := range []bool{true, false, true} {
				if sessions[i].Hold(r.Context(), "SELECT 1") != want {
					r.Errorf("session %d keeps its lease: %v", i, !want)
				}
			}
			thief.Release(r.Context())
			for _, s := range sessions {
				s.Close()
			}
			if s := r.stats(); s.InUse != 0 || s.Kept != 0 {
				r.Errorf("%+v", s)
			}
		}},
		"a pinned session's backend goes with it": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			s := r.borrow()
			s.Pin(sqlscan.EffectNamedLock, "l", false, "SELECT GET_LOCK('l', 1)")
			s.Keep(r.Context())
			if s.Backend() == nil {
				r.Error("the lease was given up")
			}
			s.Close()
			synctest.Wait()
			if n := r.stats().Open; n != 0 {
				r.Errorf("%d backends with a lock are open", n)
			}
		}},
		"so many idle ones and no more": {Config{Size: 5, MaxIdle: Fixed(2)}, func(r *rig) {
			sessions := make([]*Session, 5)
			for i := range sessions {
				sessions[i] = r.borrow()
			}
			for _, s := range sessions {
				s.Release(r.Context())
			}
			synctest.Wait()
			if n := r.stats().Open; n != 2 {
				r.Errorf("%d are open", n)
			}
		}},
		"so many connect at a time and no more": {Config{Size: 20, MaxIdle: Fixed(20), ConnectConcurrency: 3}, func(r *rig) {
			r.delay = time.Second
			done := make(chan *Session)
			for range 20 {
				go func() { done <- r.borrow() }()
			}
			for range 20 {
				(<-done).Close()
			}
			if n := r.most.Load(); n != 3 {
				r.Errorf("%d at a time", n)
			}
		}},
		"what is not needed any more ages out while the others work": {Config{Size: 3, MaxIdle: Fixed(3), IdleTimeout: time.Minute}, func(r *rig) {
			for _, s := range []*Session{r.borrow(), r.borrow(), r.borrow()} {
				s.Release(r.Context())
			}
			time.Sleep(time.Second / 2) // a borrow at the very moment of the keeper's look makes a connection
			for range 76 {              // the last look within a quarter of the time
				time.Sleep(time.Second)
				r.borrow().Release(r.Context())
			}
			if n := r.stats().Open; n != 1 {
				r.Errorf("%d are left", n)
			}
		}},
		"idle backends are closed, and old ones": {Config{Size: 2, MaxIdle: Fixed(2), IdleTimeout: time.Minute, MaxLifetime: 10 * time.Minute}, func(r *rig) {
			busy := r.borrow()
			r.borrow().Release(r.Context())
			time.Sleep(2 * time.Minute)
			if n := r.stats().Open; n != 1 {
				r.Errorf("%d are open", n)
			}
			time.Sleep(10 * time.Minute)
			busy.Release(r.Context())
			synctest.Wait()
			if n := r.stats().Open; n != 0 {
				r.Errorf("%d are open", n)
			}
		}},
		"a dead backend is noticed before it is used": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			s := r.borrow()
			dead := s.Backend()
			s.Release(r.Context())
			dead.Cut()
			s = r.borrow()
			if s.Backend() == dead {
				r.Error("the dead backend was lent")
			}
			s.Release(r.Context())
		}},
		"retired: idle ones are closed, those in use when they come back": {Config{Size: 2, MaxIdle: Fixed(2)}, func(r *rig) {
			old := r.instance()
			busy := r.borrow()
			kept := r.borrow()
			kept.Keep(r.Context())
			r.Apply(2, []Member{{ID: "i-1", Addr: "i-1:3306", Role: "reader"}})
			synctest.Wait()
			if !old.Retired() || kept.Hold(r.Context(), "SELECT 1") || busy.Backend().IsCut() || len(r.server.Conns()) != 1 {
				r.Errorf("retired %v, %d connections", old.Retired(), len(r.server.Conns()))
			}
			if err := new(Session).Borrow(r.Context(), old, "SELECT 1"); !errors.Is(err, ErrRetired) {
				r.Errorf("got %v", err)
			}
			busy.Release(r.Context())
			synctest.Wait()
			if n := len(r.server.Conns()); n != 0 {
				r.Errorf("%d connections", n)
			}
		}},
		"down: what is in use is cut, also if the role was lost before": {Config{Size: 2, MaxIdle: Fixed(2)}, func(r *rig) {
			busy := r.borrow()
			r.Apply(2, []Member{{ID: "i-1", Addr: "i-1:3306", Role: "reader"}})
			if busy.Backend().IsCut() {
				r.Error("cut too early")
			}
			r.Apply(3, []Member{{ID: "i-1", Addr: "i-1:3306", Role: "reader", Down: true}})
			if !busy.Backend().IsCut() {
				r.Error("not cut")
			}
			busy.Discard()
			r.Apply(4, []Member{writer})
		}},
		"drained: what has begun may finish, unless the role is lost meanwhile": {Config{Size: 2, MaxIdle: Fixed(2)}, func(r *rig) {
			for _, role := range []string{"writer", "reader"} {
				old, busy := r.instance(), r.borrow()
				r.Apply(2, []Member{{ID: "i-1", Addr: "i-1:3306", Role: "writer", Draining: true}})
				if !old.Retired() || old.Lost() || r.instance() != nil || r.Left("i-1") != "1 backends are out, 0 in transactions, 0 pinned" {
					r.Errorf("retired %v, lost %v, left %q", old.Retired(), old.Lost(), r.Left("i-1"))
				}
				r.Apply(3, []Member{{ID: "i-1", Addr: "i-1:3306", Role: role}})
				if lost := role != "writer"; old.Lost() != lost {
					r.Errorf("now a %s, lost %v", role, old.Lost())
				}
				busy.Release(r.Context())
				synctest.Wait()
				if left := r.Left("i-1"); left != "" {
					r.Errorf("left: %s", left)
				}
				r.Apply(4, []Member{writer})
			}
		}},
		"who waits in line or connects is told of the retirement": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			r.delay = time.Hour
			old := r.instance()
			errs := make(chan error)
			for range 2 {
				go func() { errs <- new(Session).Borrow(r.Context(), old, "SELECT 1") }()
			}
			synctest.Wait()
			r.Apply(2, nil)
			for range 2 {
				if err := <-errs; !errors.Is(err, ErrRetired) {
					r.Errorf("got %v", err)
				}
			}
			r.Apply(3, []Member{writer})
		}},
		"in doubt: who could go elsewhere does not wait for it": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			r.delay = time.Hour
			errs := make(chan error)
			for range 2 { // one connects, one waits in line
				go func() {
					s := &Session{}
					s.SetElsewhere(true)
					errs <- s.Borrow(r.Context(), r.instance(), "SELECT 1")
				}()
			}
			synctest.Wait()
			patient := make(chan error)
			go func() {
				s := &Session{}
				err := s.Borrow(r.Context(), r.instance(), "SELECT 1")
				s.Release(r.Context())
				patient <- err
			}()
			synctest.Wait()
			r.Doubt(writer.ID, true)
			for range 2 {
				if err := <-errs; !errors.Is(err, ErrRetired) {
					r.Errorf("got %v", err)
				}
			}
			s := &Session{}
			s.SetElsewhere(true)
			if err := s.Borrow(r.Context(), r.instance(), "SELECT 1"); !errors.Is(err, ErrRetired) {
				r.Errorf("still in doubt: got %v", err)
			}
			if err := <-patient; err != nil {
				r.Error(err)
			}
			r.Doubt(writer.ID, false)
			r.delay = 0
			r.Apply(3, nil)
			r.Apply(4, []Member{writer})
			if err := s.Borrow(r.Context(), r.instance(), "SELECT 1"); err != nil {
				r.Error(err)
			}
			s.Release(r.Context())
		}},
		"the same members change nothing": {Config{Size: 1, MaxIdle: Fixed(1)}, func(r *rig) {
			before := r.instance()
			r.Apply(7, []Member{writer, {ID: "i-2", Addr: "i-2:3306", Role: "reader"}})
			if r.instance() != before || before.Retired() {
				r.Error("retired")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.cfg, test.run) })
	}
}
