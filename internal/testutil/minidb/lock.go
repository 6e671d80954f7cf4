package minidb

import (
	"context"
	"slices"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// lock is the lock of a row, or of a table's definition. Who cannot have it queues
// up. It is guarded by the database's lock, which nobody holds while waiting.
type lock struct {
	writer  *transaction
	readers []*transaction // may have the writer among them
	queue   []*request
}

// request is a transaction's place in a queue.
type request struct {
	tx        *transaction
	lock      *lock
	exclusive bool
	granted   chan struct{} // closed when it is
}

// free reports whether the transaction can have the lock beside those who have it.
func (l *lock) free(tx *transaction, exclusive bool) bool {
	if l.writer != nil && l.writer != tx {
		return false
	}
	return !exclusive || !slices.ContainsFunc(l.readers, func(r *transaction) bool { return r != tx })
}

func (l *lock) heldBy(tx *transaction) bool { return l.writer == tx || slices.Contains(l.readers, tx) }

func (l *lock) give(tx *transaction, exclusive bool) {
	if !l.heldBy(tx) {
		tx.locks = append(tx.locks, l)
	}
	if exclusive {
		l.writer = tx
	} else {
		l.readers = append(l.readers, tx)
	}
}

// take gives the lock back.
func (l *lock) take(tx *transaction) {
	if l.writer == tx {
		l.writer = nil
	}
	l.readers = slices.DeleteFunc(l.readers, func(r *transaction) bool { return r == tx })
	l.advance()
}

// advance serves the queue as far as it goes.
func (l *lock) advance() {
	for len(l.queue) > 0 {
		q := l.queue[0]
		if !l.free(q.tx, q.exclusive) {
			return
		}
		l.queue = slices.Delete(l.queue, 0, 1)
		l.give(q.tx, q.exclusive)
		q.tx.waiting = nil
		close(q.granted)
	}
}

// acquire gets a lock until the end of the transaction: at once if it can be had,
// else when its turn comes, which is what a wait of at most patience is for (1205). If
// those who are in the way wait for this transaction, it is the victim (1213) and the
// caller rolls it back.
func (tx *transaction) acquire(ctx context.Context, l *lock, exclusive bool, patience time.Duration) error {
	held := l.heldBy(tx)
	if held && (!exclusive || l.writer == tx) {
		return nil
	}
	if (held || len(l.queue) == 0) && l.free(tx, exclusive) {
		l.give(tx, exclusive)
		return nil
	}
	q := &request{tx, l, exclusive, make(chan struct{})}
	if held { // nobody in the queue can go before those who have the lock
		l.queue = slices.Insert(l.queue, 0, q)
	} else {
		l.queue = append(l.queue, q)
	}
	tx.waiting = q
	if tx.isDeadlocked() {
		q.leave()
		return fail(1213, "Deadlock found when trying to get lock; try restarting transaction")
	}
	return q.wait(ctx, patience)
}

// wait lets go of the database until the request is granted.
func (q *request) wait(ctx context.Context, patience time.Duration) error {
	db := q.tx.db
	db.mu.Unlock()
	timer := time.NewTimer(patience)
	var err error
	select {
	case <-q.granted:
	case <-timer.C:
		err = fail(1205, "Lock wait timeout exceeded; try restarting transaction")
	case <-ctx.Done():
		err = fakemysql.Interrupted()
	}
	timer.Stop()
	db.mu.Lock()
	if q.tx.waiting != q { // granted, be it at the last moment
		return nil
	}
	q.leave()
	return err
}

// leave gives up the place in the queue.
func (q *request) leave() {
	q.tx.waiting = nil
	l := q.lock
	l.queue = slices.DeleteFunc(l.queue, func(other *request) bool { return other == q })
	l.advance()
}

// isDeadlocked reports whether those whom the transaction waits for wait for it.
func (tx *transaction) isDeadlocked() bool {
	seen := map[*transaction]bool{}
	var reaches func(from *transaction) bool
	reaches = func(from *transaction) bool {
		if from.waiting == nil || seen[from] {
			return false
		}
		seen[from] = true
		return slices.ContainsFunc(from.waiting.obstacles(), func(o *transaction) bool { return o == tx || reaches(o) })
	}
	return reaches(tx)
}

// obstacles are the transactions that a request waits for: who has the lock, and who
// is in front of it.
func (q *request) obstacles() (all []*transaction) {
	add := func(tx *transaction) {
		if tx != nil && tx != q.tx {
			all = append(all, tx)
		}
	}
	add(q.lock.writer)
	if q.exclusive {
		for _, r := range q.lock.readers {
			add(r)
		}
	}
	for _, other := range q.lock.queue {
		if other == q {
			break
		}
		add(other.tx)
	}
	return all
}
