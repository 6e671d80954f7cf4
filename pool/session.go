package pool

import (
	"context"
	"time"

	"github.com/jackc/puddle/v2"

	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// Session is a logical client connection. It is used by one goroutine at a time,
// as database/sql guarantees; only a kept lease may be taken from it meanwhile.
// The zero value is an idle session.
type Session struct {
	in   *Instance // of the lease, or of the last one
	res  *puddle.Resource[*backend.Backend]
	pins sqlscan.Effects
	inTx bool
	kept bool // the lease is kept, or was and has been taken

	// The place in in.kept or in.waiters, guarded by in.mu. While a lease is kept, res
	// is guarded by it, too.
	listed        bool
	before, after *Session

	keptAt int64       // the pool's clock when the lease was kept
	turn   chan grant  // for waits; made by the first
	timer  *time.Timer // for waits; made by the first
}

// Borrow gets the session a backend of in. If it kept a lease of in, that one is
// used. It returns the context's error, [ErrRetired], a [BorrowTimeoutError], or
// the error of the connect; nothing was sent for the session then.
func (s *Session) Borrow(ctx context.Context, in *Instance) error {
	if s.Hold(ctx) {
		if s.in == in && !in.Retired() {
			return nil
		}
		s.Release()
	}
	res, err := in.acquire(ctx, s)
	if err != nil {
		return err
	}
	s.in, s.res = in, res
	return nil
}

// Hold takes a kept lease up again, so that nobody can take it any more, and reports
// whether the session has a lease then: the one of its last statement, with the answers
// that are bound to it.
func (s *Session) Hold(ctx context.Context) bool {
	if s.kept {
		s.resume(ctx)
	}
	return s.res != nil
}

// alarm rings after d. Stop it by s.timer.
func (s *Session) alarm(d time.Duration) <-chan time.Time {
	if s.timer == nil {
		s.timer = time.NewTimer(d)
	} else {
		s.timer.Reset(d)
	}
	return s.timer.C
}

// resume takes the kept lease up again, if it is still there and alive.
func (s *Session) resume(ctx context.Context) {
	s.kept = false
	s.in.mu.Lock()
	mine := s.listed
	if mine {
		s.in.kept.remove(s)
	}
	s.in.mu.Unlock()
	if !mine {
		return
	}
	// A lease that was kept while the clock moved may have been hung up on.
	if b := s.res.Value(); b.IsCut() || s.keptAt != s.in.pool.clock.Load() && b.ResetSession(ctx) != nil {
		s.Discard()
	}
}

// Backend returns the backend on lease, nil if there is none.
func (s *Session) Backend() *backend.Backend {
	if s.kept || s.res == nil {
		return nil
	}
	return s.res.Value()
}

// Instance returns the instance of the lease, or of the last one; nil if there was none.
func (s *Session) Instance() *Instance { return s.in }

// Keep ends a statement: outside a transaction and without pins the lease is kept
// for the session, or given back if others wait.
func (s *Session) Keep() {
	if s.res == nil || s.kept || s.Bound() {
		return
	}
	in := s.in
	if in.Retired() || !s.res.Value().IsValid() {
		s.Release()
		return
	}
	in.mu.Lock()
	if in.waiters.first == nil && !in.Retired() {
		s.keptAt = in.pool.clock.Load()
		s.kept = true
		in.kept.push(s)
		in.mu.Unlock()
		return
	}
	in.mu.Unlock()
	s.Release()
}

// Bound reports whether the session must hold its lease: a transaction is open or
// it is pinned.
func (s *Session) Bound() bool { return s.inTx || s.pins != 0 }

// Release gives the lease back, kept or not. Pins and transaction must be over.
func (s *Session) Release() {
	if res := s.take(); res != nil {
		s.in.put(res)
	}
}

// Discard closes the lease's backend and ends what was bound to it.
func (s *Session) Discard() {
	if res := s.take(); res != nil {
		res.Value().Cut()
		res.Destroy()
		s.in.freeSlot()
	}
	s.Unpin()
	s.SetInTx(false)
}

// take ends the lease on the session's side.
func (s *Session) take() *puddle.Resource[*backend.Backend] {
	if s.in == nil {
		return nil
	}
	if s.kept {
		s.kept = false
		s.in.mu.Lock()
		defer s.in.mu.Unlock()
		if !s.listed {
			return nil
		}
		return s.in.takeKeptLocked(s)
	}
	res := s.res
	s.res = nil
	return res
}

// SetInTx notes whether a transaction is open on the lease.
func (s *Session) SetInTx(open bool) {
	if s.inTx == open {
		return
	}
	s.inTx = open
	if open {
		s.in.inTx.Add(1)
	} else {
		s.in.inTx.Add(-1)
	}
}

// InTx reports what SetInTx noted.
func (s *Session) InTx() bool { return s.inTx }

// Pin binds the session to its backend for the reasons given.
func (s *Session) Pin(reasons sqlscan.Effects) {
	added := reasons &^ s.pins
	if added == 0 {
		return
	}
	if s.pins == 0 {
		s.in.addPinned(1)
	}
	s.pins |= added
	s.in.pool.pins.add(added, 1)
}

// Pins returns the reasons why the session is bound to its backend.
func (s *Session) Pins() sqlscan.Effects { return s.pins }

// Unpin ends all pins: their backend is gone, or about to go.
func (s *Session) Unpin() {
	if s.pins == 0 {
		return
	}
	s.in.addPinned(-1)
	s.in.pool.pins.add(s.pins, -1)
	s.pins = 0
}

// Close ends the session. A backend that holds its pins or its open transaction is
// closed with it.
func (s *Session) Close() {
	if s.Bound() {
		s.Discard()
		return
	}
	s.Release()
}

func (in *Instance) addPinned(n int) {
	in.mu.Lock()
	in.pinned += n
	in.mu.Unlock()
}
