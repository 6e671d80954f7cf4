package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Kind is what a session of the load does, over and over.
type Kind string

// The kinds of sessions.
const (
	Reads      Kind = "read"          // one row, as text or with arguments
	Scans      Kind = "scan"          // many rows, slowly
	Statements Kind = "statement"     // prepared before anything happened
	Writes     Kind = "write"         // in autocommit
	Transfers  Kind = "transfer"      // a transaction of three statements
	Savepoints Kind = "savepoint"     // a transaction that takes a part of itself back
	Stubborn   Kind = "stubborn"      // goes on with a transaction that is lost
	ReadOnly   Kind = "read only"     // transactions
	Texts      Kind = "text tx"       // BEGIN and COMMIT as statements
	Locks      Kind = "lock"          // SELECT … FOR UPDATE, in transactions and outside
	Temporary  Kind = "temporary"     // tables
	Cancels    Kind = "cancel"        // whatever it does, at a random moment
	Abandons   Kind = "abandon"       // transactions whose context ends, then goes on with the session
	InsertIDs  Kind = "insert id"     // asks for it
	Variables  Kind = "variable"      // sets and reads
	Idempotent Kind = "idempotent"    // writes
	Once       Kind = "without retry" // reads and writes
	Mixed      Kind = "all on one"    // everything, on one session
	NewConns   Kind = "new session"   // for each read and write
)

// Kinds are all of them.
var Kinds = []Kind{
	Reads, Scans, Statements, Writes, Transfers, Savepoints, Stubborn, ReadOnly, Texts, Locks, Temporary, Cancels,
	Abandons, InsertIDs, Variables, Idempotent, Once, Mixed, NewConns,
}

// worker is one session of the load.
type worker struct {
	*run
	id   int
	kind Kind
	rand *rand.Rand
	conn *sql.Conn // of kinds that hold one
	read *sql.Stmt
	add  *sql.Stmt

	mu   sync.Mutex
	now  string
	from time.Time
}

func (r *run) workers() []*worker {
	var all []*worker
	for _, l := range r.plan.Load {
		for range l.Sessions {
			id := len(all) + 1
			all = append(all, &worker{run: r, id: id, kind: l.Kind, rand: rand.New(rand.NewPCG(r.plan.Seed, uint64(id)))})
		}
	}
	return all
}

func (w *worker) name() string { return fmt.Sprintf("session %d (%s)", w.id, w.kind) }

// doing is what the worker does now.
func (w *worker) doing() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("%s, for %v", w.now, time.Since(w.from))
}

// call begins a call; its error goes to judge.
func (w *worker) call(ctx context.Context, c class, format string, args ...any) call {
	what := fmt.Sprintf(format, args...)
	now := time.Now()
	w.mu.Lock()
	w.now, w.from = what, now
	w.mu.Unlock()
	x := call{what: w.name() + ": " + what, class: c, start: now}
	if end, ok := ctx.Value(endKey{}).(time.Time); ok {
		x.ends = end
		x.late = time.AfterFunc(time.Until(end)+w.rig.obedience()+time.Millisecond, func() { w.where(x.what) })
	}
	return x
}

// where notes where sessions are when one does not heed its context.
func (w *worker) where(what string) {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, "chaos.(*worker).cancel") || strings.Contains(stack, "chaos.(*worker).abandons") {
			w.stacks[what] += "\n" + stack
		}
	}
}

// endKey is for the time at which a context is going to end.
type endKey struct{}

// ending makes a context that ends after d, by itself or by its cancel.
func ending(parent context.Context, d time.Duration, deadline bool) (context.Context, context.CancelFunc) {
	ctx := context.WithValue(parent, endKey{}, time.Now().Add(d))
	if deadline {
		return context.WithTimeout(ctx, d)
	}
	ctx, cancel := context.WithCancel(ctx)
	t := time.AfterFunc(d, cancel)
	return ctx, func() { t.Stop(); cancel() }
}

// prepare gets what the worker holds all the time.
func (w *worker) prepare() {
	var err error
	switch w.kind {
	case Statements:
		c := w.call(w.ctx, aBegin, "prepare")
		if w.read, err = w.subject.DB.PrepareContext(w.ctx, readBalance); err == nil {
			w.add, err = w.subject.DB.PrepareContext(w.ctx, insertMark)
		}
		w.judge(c, err)
	case Texts, Temporary, Cancels, Abandons, InsertIDs, Variables, Mixed:
		w.connect()
	}
}

func (w *worker) connect() {
	c := w.call(w.ctx, aBegin, "get a session")
	conn, err := w.subject.DB.Conn(w.ctx)
	if m := w.judge(c, err); m.Kind == None {
		w.conn = conn
	}
}

// loop works until stop.
func (w *worker) loop(stop <-chan struct{}) {
	for !w.pause(stop) {
		w.do(w.kind)
		if w.ctx.Err() != nil {
			return
		}
	}
}

// pause waits for a while, or until something is about to happen. It tells whether it is
// time to stop.
func (w *worker) pause(stop <-chan struct{}) bool {
	d := time.Duration(w.rand.Int64N(int64(2*w.plan.Pause) + 1))
	if w.rand.IntN(3) == 0 {
		now := time.Since(w.start)
		for _, s := range w.plan.Steps {
			if s.At > now {
				d = s.At - now
				if w.rand.IntN(2) == 0 { // in the middle of it
					d += time.Duration(w.rand.Int64N(int64(20 * time.Millisecond)))
				}
				break
			}
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-stop:
		return true
	case <-w.ctx.Done():
		return true
	}
}

// breathe is what a program does between two statements of a transaction.
func (w *worker) breathe(ctx context.Context) {
	sleep(ctx, time.Duration(w.rand.Int64N(int64(breath))))
}

// breath is how long that takes at most: others may wait for the transaction's locks.
const breath = 20 * time.Millisecond

// finale shows that the worker's session works as if nothing had been.
func (w *worker) finale() {
	w.do(w.kind)
	w.do(Reads)
	w.do(Writes)
	if w.id%4 == 0 || w.plan.sessions() < 8 {
		w.do(Transfers)
	}
}

// close gives back what the worker holds.
func (w *worker) close() {
	for _, s := range []*sql.Stmt{w.read, w.add} {
		if s != nil {
			_ = s.Close()
		}
	}
	if w.conn != nil {
		_ = w.conn.Close()
	}
}
