package pool

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/jackc/puddle/v2"
)

// The line before an instance's slots: first come, first served. Who gives a slot back serves
// the session that waits longest; who keeps a lease that may be taken calls it to look again,
// and it keeps its place meanwhile.

// collect asks what the victim owes the connection that s has taken from it. That is none
// of the context's business, so if it ends first the lease ends without s.
func (in *Instance) collect(ctx context.Context, victim, s *Session, res *puddle.Resource[*connection]) bool {
	if ctx.Done() == nil {
		victim.settle(ctx, res.Value())
		close(victim.paid)
		return true
	}
	collected := make(chan struct{})
	in.pool.running.Go(func() {
		victim.settle(context.WithoutCancel(ctx), res.Value())
		close(victim.paid)
		close(collected)
	})
	select {
	case <-collected:
		return true
	case <-ctx.Done():
	}
	// Its place among the busy ones is the taker's, who may need it again at once.
	keeper := &Session{in: in}
	in.mu.Lock()
	keeper.statement, keeper.since = s.statement, s.since
	in.busy.remove(s)
	in.busy.push(keeper)
	in.mu.Unlock()
	in.pool.running.Go(func() {
		<-collected
		in.put(keeper, res)
	})
	return false
}

// slot waits in line for a slot. It may come with the connection of another session, which
// may owe it a question.
func (in *Instance) slot(ctx context.Context, s *Session, statement string) (res *puddle.Resource[*connection], victim *Session, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.Retired() {
		return nil, nil, ErrRetired
	}
	if in.waiters.first == nil { // nobody overtakes those who wait
		if res, victim, ok := in.takeLocked(s, statement); ok {
			return res, victim, nil
		}
	}
	if s.turn == nil {
		s.turn = make(chan grant, 1)
	}
	s.statement, s.vain = statement, false
	in.waiters.push(s)
	in.demandLocked()
	var expired <-chan time.Time
	if d := in.pool.cfg.BorrowTimeout; d > 0 {
		expired = s.alarm(d)
		defer s.timer.Stop()
	}
	var doubted <-chan struct{}
	if s.elsewhere {
		doubted = in.doubt.Load().ctx.Done()
	}
	for {
		var g grant
		in.mu.Unlock()
		s.queued()
		select {
		case g = <-s.turn:
			if g.again {
				// The session that called is likely to come to rest, without debts, right now.
				runtime.Gosched()
			}
		case <-ctx.Done():
			err = ctx.Err()
		case <-doubted:
			err = ErrRetired
		case <-expired:
			err = ErrBorrowTimeout
		}
		in.mu.Lock()
		switch {
		case s.list != &in.waiters: // it has been served
			if g.again || err != nil {
				g = <-s.turn
			}
			return g.res, g.victim, g.err
		case err != nil:
			return nil, nil, in.leaveLocked(s, err)
		case in.waiters.first == s:
			if res, victim, ok := in.takeLocked(s, statement); ok {
				in.callLocked() // there may be more where that came from
				return res, victim, nil
			}
			s.vain = true
		}
	}
}

// takeLocked takes, in this order: an idle connection, one of a session at rest, a new one,
// one that a session in somebody's hands keeps.
func (in *Instance) takeLocked(s *Session, statement string) (res *puddle.Resource[*connection], victim *Session, ok bool) {
	switch {
	case in.free > 0 && in.idleLocked() > 0:
		in.free--
	case in.resting.first != nil:
		res, victim = in.reclaimLocked(in.resting.first)
	case in.free > 0:
		in.free--
	case in.kept.first != nil:
		res, victim = in.reclaimLocked(in.kept.first)
	default:
		return nil, nil, false
	}
	if s.list != nil {
		s.list.remove(s) // it has waited
	}
	in.busyLocked(s, statement)
	return res, victim, true
}

// reclaimLocked takes a session's kept lease away from it. The session is returned if it
// owes its connection a question, which is to be asked now.
func (in *Instance) reclaimLocked(s *Session) (res *puddle.Resource[*connection], victim *Session) {
	res = in.seizeLocked(s)
	in.reclaimed.Add(1)
	if !s.indebted() {
		s.forgetID()
		return res, nil
	}
	s.paid = make(chan struct{})
	return res, s
}

func (in *Instance) seizeLocked(s *Session) *puddle.Resource[*connection] {
	res := s.res
	s.list.remove(s)
	s.res = nil
	return res
}

// busyLocked notes who has a slot, and what for.
func (in *Instance) busyLocked(s *Session, statement string) {
	s.statement, s.since = statement, in.pool.clock.Load()
	in.busy.push(s)
	in.demandLocked()
}

// leaveLocked takes a session out of the line that gives up.
func (in *Instance) leaveLocked(s *Session, reason error) error {
	in.waiters.remove(s)
	in.callLocked() // if it was called, then somebody else now
	if !errors.Is(reason, ErrBorrowTimeout) {
		return reason
	}
	in.timeouts.Add(1)
	return in.explainLocked()
}

// freeSlotLocked hands a slot to whoever waits longest, or back.
func (in *Instance) freeSlotLocked() {
	if in.waiters.first == nil || in.free < 0 {
		in.free++
		return
	}
	in.grantLocked(grant{})
}

// grantLocked serves the session that waits longest.
func (in *Instance) grantLocked(g grant) {
	s := in.waiters.first
	in.waiters.remove(s)
	if g.err == nil {
		in.busyLocked(s, s.statement)
	}
	select {
	case <-s.turn: // a call that it has not heard
	default:
	}
	s.turn <- g
	if in.kept.first != nil || in.resting.first != nil {
		in.callLocked() // what it was called for is the next one's
	}
}

// offerLocked calls the session that waits longest because of a lease that may be taken, or serves it
// with that, if one whom it was called for before has been quicker: who runs one statement after
// the other would always be.
func (in *Instance) offerLocked(kept *Session) {
	if s := in.waiters.first; s == nil || !s.vain {
		in.callLocked()
		return
	}
	res, victim := in.reclaimLocked(kept)
	in.grantLocked(grant{res: res, victim: victim})
}

// callLocked lets the session that waits longest look again. It keeps its place.
func (in *Instance) callLocked() {
	if s := in.waiters.first; s != nil {
		select {
		case s.turn <- grant{again: true}:
		default: // it is called already
		}
	}
}
