package pool

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/puddle/v2"

	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// Session is a logical client connection. It is used by one goroutine at a time,
// as database/sql guarantees; only a kept lease may be taken from it meanwhile.
// The zero value is an idle session.
type Session struct {
	in      *Instance // of the lease, or of the last one
	res     *puddle.Resource[*connection]
	state   *State
	pins    []pin // guarded by in.mu, too
	reasons sqlscan.Effects
	last    *connection // that had its lease
	inTx    bool        // written under in.mu
	kept    bool        // the lease is kept, or was and has been taken
	resting bool        // kept, and the session lies in database/sql's pool; guarded by in.mu

	// See debt.go.
	debts *debts // nil if there are none
	owing bool   // there were some once
	id    insertID
	// paid is closed when whoever took the lease has asked what the session owed.
	paid chan struct{}

	// The place in one of the lists of in, guarded by in.mu. While a lease is kept, res
	// is guarded by it, too.
	list                  *sessionList
	before, after         *Session
	statement             string // that the lease is for; guarded by in.mu
	vain                  bool   // in line: it was called, and found nothing; guarded by in.mu
	reading               atomic.Bool
	found                 bool  // FOUND_ROWS() on the lease is the session's
	answered, hasAnswered bool  // a statement has left its warnings on this lease, or on one before
	since                 int64 // the pool's clock when that began, or when the lease was kept

	inLine    func()      // see Queue
	elsewhere bool        // see SetElsewhere
	wary      bool        // see SetWary
	turn      chan grant  // for waits; made by the first
	timer     *time.Timer // for waits; made by the first
}

// Borrow gets the session a backend of in for a statement, and brings it to the session's
// state. If the session kept a lease of in, that one is used. It returns the
// context's error, [ErrRetired], a [BorrowTimeoutError], or the error of the connect;
// nothing of the statement was sent then.
func (s *Session) Borrow(ctx context.Context, in *Instance, statement string) error {
	if s.inLine != nil {
		defer s.queued()
	}
	if s.Hold(ctx, statement) {
		if s.in == in && !in.Retired() {
			return nil
		}
		s.leave(ctx)
	}
	if s.kept {
		return ctx.Err() // it ended while somebody was asking what the session owes
	}
	s.in = in
	for {
		res, err := in.acquire(ctx, s, statement)
		if err != nil {
			return err
		}
		c := res.Value()
		used := c.state != nil
		if err = c.prepare(ctx, s); err == nil && in.Retired() {
			err = ErrRetired // while the server was asked for the session's state
		}
		if err == nil {
			// Where nobody else was there are no warnings of anybody else's.
			s.res, s.resting = res, false
			same, first := c.user == s && s.last == c, c.user == nil && !s.hasAnswered
			s.answered = same || first
			s.found = same && s.found || first
			c.user, s.last = s, c
			return nil
		}
		if in.pool.cfg.NoSchema(err) && s.state.Schema() != "" && s.state.Schema() != c.state.Schema() {
			s.loseSchema()      // nor would another connection have it
			c.user = &Session{} // whose statement failed: that is nobody's answer
			in.put(s, res)
			return err
		}
		c.Cut()
		in.destroy(res)
		in.leaveLease(s)
		// What another session left may be what cannot be undone: a new connection has no past.
		if ctx.Err() != nil || !used && err != errUnrestorable { //nolint:errorlint // our own, never wrapped
			return err
		}
	}
}

// leaveTimeout bounds the question to an instance that the session leaves: it may not be well.
const leaveTimeout = 100 * time.Millisecond

// leave gives back the lease of an instance because the statement belongs to another.
func (s *Session) leave(ctx context.Context) {
	if s.indebted() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout) // what is owed is the session's
		defer cancel()
	}
	s.Release(ctx)
}

// Queue has f called in the next Borrow, as soon as the session has its place in line or its
// backend, or has given up. It must not block. What is to be called already is called now.
func (s *Session) Queue(f func()) {
	s.queued()
	s.inLine = f
}

func (s *Session) queued() {
	if f := s.inLine; f != nil {
		s.inLine = nil
		f()
	}
}

// SetElsewhere notes whether what the next Borrow is for could be done by another instance. It
// does not wait then for a backend of an instance that is in doubt, but returns [ErrRetired].
func (s *Session) SetElsewhere(possible bool) { s.elsewhere = possible }

// SetWary notes whether what the next Hold or Borrow is for must not be sent to a connection that the
// other side has closed, however little time has passed since the session used it.
func (s *Session) SetWary(wary bool) { s.wary = wary }

// prepare makes a connection fit for a session that it has not served just before.
func (c *connection) prepare(ctx context.Context, s *Session) error {
	if c.once {
		// The SET TRANSACTION of somebody who went elsewhere: ended by any end of a transaction.
		if err := c.Run(ctx, "COMMIT"); err != nil {
			return err
		}
		c.once = false
	}
	if !c.idUsed && s.id.value == 0 && !s.id.gone && !s.id.unread {
		c.idOwner, c.idVersion = s, s.id.version
	}
	return c.bring(ctx, s.state, s.in.pool.cfg.Schema)
}

// Hold takes a kept lease up again, so that nobody can take it any more, and reports
// whether the session has a lease then: the one of its last statement, with the answers
// that are bound to it.
func (s *Session) Hold(ctx context.Context, statement string) bool {
	if s.kept {
		s.resume(ctx, statement)
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
func (s *Session) resume(ctx context.Context, statement string) {
	in := s.in
	s.kept = false
	in.mu.Lock()
	mine := s.list != nil
	keptAt := s.since
	if mine {
		s.list.remove(s)
		s.resting = false
		in.busyLocked(s, statement)
	}
	in.mu.Unlock()
	if !mine {
		s.kept = !s.await(ctx) // until it is known what the session has
		return
	}
	// A lease that was kept while the clock moved may have been hung up on.
	if b := s.res.Value(); b.IsCut() || (s.wary || keptAt != in.pool.clock.Load()) && b.ResetSession(ctx) != nil {
		s.Discard()
	}
}

// await waits for whoever took the lease to ask what the session owed. It reports false if
// ctx ended first: nothing of the session must be read then.
func (s *Session) await(ctx context.Context) bool {
	if s.paid != nil {
		select {
		case <-s.paid:
		case <-ctx.Done():
			return false
		}
		s.paid = nil
	}
	return true
}

// Backend returns the backend on lease, nil if there is none.
func (s *Session) Backend() *backend.Backend {
	if s.kept || s.res == nil {
		return nil
	}
	return s.res.Value().Backend
}

// Instance returns the instance of the lease, or of the last one; nil if there was none.
func (s *Session) Instance() *Instance { return s.in }

// Keep ends a statement: outside a transaction and without pins the lease is kept
// for the session, or given back if others wait.
func (s *Session) Keep(ctx context.Context) {
	if s.kept || s.res == nil || s.Bound() { // while it is kept, res is not ours to read
		return
	}
	in := s.in
	if in.Retired() || !s.res.Value().IsValid() {
		s.Release(ctx)
		return
	}
	in.mu.Lock()
	if (in.waiters.first == nil || s.indebted()) && in.free >= 0 && !in.Retired() {
		s.kept, s.resting = true, false
		s.since = in.pool.clock.Load()
		s.list.remove(s)
		in.kept.push(s)
		// The session may be about to rest, and forgive its debts: see slot.
		in.offerLocked(s)
		in.mu.Unlock()
		return
	}
	in.mu.Unlock()
	s.Release(ctx)
}

// Rest ends a use of the session out of database/sql's pool. A lease that it keeps is the
// first to be taken by others; until then the session finds it where it left it.
func (s *Session) Rest(ctx context.Context) {
	if !s.kept {
		if !s.Bound() {
			s.Release(ctx)
		}
		return
	}
	in := s.in
	in.mu.Lock()
	if s.list == nil { // it was taken: what the session owes is being asked, for which its next use waits
		in.mu.Unlock()
		return
	}
	if in.waiters.first == nil && in.idleLocked() < in.maxIdle() && !in.Retired() {
		s.resting = true
		s.list.remove(s)
		in.resting.push(s)
		in.mu.Unlock()
		return
	}
	s.resting = true
	in.mu.Unlock()
	s.Release(ctx)
}

// Bound reports whether the session must hold its lease: a transaction is open or it is
// pinned, or its pool gives one backend to each session.
func (s *Session) Bound() bool {
	return s.inTx || s.reasons != 0 || !s.kept && s.res != nil && s.in.pool.cfg.SessionMode
}

// Release gives the lease back, kept or not. Pins and transaction must be over.
func (s *Session) Release(ctx context.Context) {
	res := s.take()
	if res == nil {
		return
	}
	if s.indebted() {
		s.settle(ctx, res.Value())
	} else {
		s.forgetID()
	}
	s.in.put(s, res)
}

// Discard closes the lease's backend and ends what was bound to it.
func (s *Session) Discard() {
	if res := s.take(); res != nil {
		c := res.Value()
		c.Cut()
		s.in.abandon(s, c) // first: a pool that is being closed waits for what was not destroyed
		res.Destroy()
		s.forfeit()
	}
	s.unpinAll()
	s.SetInTx(false)
}

// take ends the lease on the session's side. Its slot is still taken.
func (s *Session) take() *puddle.Resource[*connection] {
	if s.in == nil {
		return nil
	}
	if s.kept {
		s.kept = false
		in := s.in
		in.mu.Lock()
		if s.list == nil {
			in.mu.Unlock()
			s.await(context.Background())
			return nil
		}
		s.list.remove(s)
		in.busy.push(s)
		in.mu.Unlock()
	}
	res := s.res
	s.res = nil
	return res
}

// SetAnswered notes that a statement was executed on the lease; fresh says that it has
// replaced the warnings of earlier ones, which may have been another session's.
func (s *Session) SetAnswered(fresh bool) { s.answered, s.hasAnswered = s.answered || fresh, true }

// SetFound notes that a statement was executed on the lease that has left its FOUND_ROWS().
func (s *Session) SetFound() { s.found = true }

// Found reports whether FOUND_ROWS() on the lease is the session's own.
func (s *Session) Found() bool { return s.found }

// HasAnswered reports whether SetAnswered was called on any lease of the session.
func (s *Session) HasAnswered() bool { return s.hasAnswered }

// Answered reports what SetAnswered noted.
func (s *Session) Answered() bool { return s.answered }

// SetReading notes whether the program has rows of the session's statement open.
func (s *Session) SetReading(open bool) { s.reading.Store(open) }

// SetInTx notes whether a transaction is open on the lease.
func (s *Session) SetInTx(open bool) {
	if s.inTx == open {
		return
	}
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.inTx = open
	if open {
		s.in.inTx++
	} else {
		s.in.inTx--
	}
}

// InTx reports what SetInTx noted.
func (s *Session) InTx() bool { return s.inTx }

// SetOnce notes whether SET TRANSACTION was sent for the next transaction of the lease's
// connection, which may not have begun yet.
func (s *Session) SetOnce(pending bool) { s.res.Value().once = pending }

// Once reports what SetOnce noted, on the lease's connection.
func (s *Session) Once() bool { return s.res.Value().once }

// Lost names what the session has set and has no more, and forgets it: variables that went with a
// connection before anybody knew their value, and a default schema that servers refuse.
func (s *Session) Lost() string {
	if s.kept || s.debts == nil {
		return ""
	}
	lost := s.debts.lost
	s.debts.lost = ""
	return lost
}

// Close ends the session. A backend that holds its pins or its open transaction is
// closed with it.
func (s *Session) Close() {
	if s.reasons != 0 || s.inTx {
		s.Discard()
		return
	}
	// From here on nobody else asks what the session owes, and nobody needs to.
	res := s.take()
	s.debts, s.id.unread = nil, false
	if res != nil {
		s.in.put(s, res)
	}
}

// Reset makes the session a new one. It must be bound to nothing that others could not
// use: a backend with its pins or its open transaction is closed.
func (s *Session) Reset() {
	s.Close()
	s.state, s.debts, s.owing, s.hasAnswered = nil, nil, false, false
	s.resetID()
}
