package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// Rig is what plans are carried out on.
type Rig struct {
	// Upstream is the server behind the cluster of one run.
	Upstream func() (aurorasim.Upstream, error)
	// Network is how the driver reaches the cluster.
	Network aurorasim.Network
	// User, Password and Database are how clients come in.
	User, Password, Database string
	// Open opens the driver under test on the cluster. It must call seen whenever the driver
	// learns who the writer is, "" is nobody, and who is surely none.
	Open func(p Plan, sim *aurorasim.Cluster, seen func(writer string, readers []string)) (Subject, error)
	// Explain says what an error means. It is not called for nil.
	Explain func(error) Meaning
	// Idempotent and Once make contexts for statements that may be executed twice, and for
	// those that must not be tried again.
	Idempotent, Once func(context.Context) context.Context
	// Virtual says that time is synctest's: nothing takes any.
	Virtual bool
}

// Subject is the driver under test.
type Subject struct {
	DB *sql.DB
	// Check returns what is wrong with the driver's own counters. It is called at any
	// time; idle says that no statement is under way, closed that DB is closed.
	Check func(idle, closed bool) []string
}

// Violation is something wrong.
type Violation struct {
	Kind string // the same for all that are wrong in the same way
	Text string
}

// Report is what a run found.
type Report struct {
	Violations []Violation
	Verdict    ledger.Verdict
	Counts     map[string]int // of calls by what became of them
	Log        []string       // what happened, in order
	Took       time.Duration
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Violations) == 0 }

// Like reports whether something is wrong in the way in which something is in the other
// report.
func (r Report) Like(other Report) bool {
	return slices.ContainsFunc(r.Violations, func(v Violation) bool {
		return slices.ContainsFunc(other.Violations, func(o Violation) bool { return o.Kind == v.Kind })
	})
}

// String lists what is wrong.
func (r Report) String() string {
	var b strings.Builder
	for _, v := range r.Violations {
		b.WriteString(v.Text + "\n")
	}
	return b.String()
}

// longTimeout is a bound that nothing in a plan is meant to reach.
const longTimeout = 10 * time.Minute

// maxViolations bounds what is said about one run.
const maxViolations = 20

// obedience is how late a call may come back after its context has ended.
func (r Rig) obedience() time.Duration {
	if r.Virtual {
		return 105 * time.Millisecond
	}
	return 2 * time.Second
}

// run is one plan being carried out.
type run struct {
	rig     Rig
	plan    Plan
	ctx     context.Context //nolint:containedctx // of the run; ends early only if something hangs
	sim     *aurorasim.Cluster
	subject Subject
	ledger  *ledger.Ledger
	start   time.Time

	breaks atomic.Int64 // faults that end connections
	// rollbackFailed: a server answered a ROLLBACK with an error.
	rollbackFailed atomic.Bool
	calm           atomic.Int64 // since when all is well, Unix ns; 0 = not yet

	mu         sync.Mutex
	violations []Violation
	counts     map[string]int
	faults     map[uint16][]*aurorasim.Fault // those with an error's number
	views      []view
	trials     []*trial
	log        []note
	stacks     map[string]string // of calls that came back too late
}

// view is what the driver knows from a moment on.
type view struct {
	at      time.Time
	writer  string
	readers []string
}

type note struct {
	at   time.Time
	text string
}

// Run carries a plan out. The error says that it could not be judged.
func (r Rig) Run(ctx context.Context, p Plan) (report Report, err error) {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up, err := r.Upstream()
	if err != nil {
		return report, err
	}
	if up.Close != nil {
		defer up.Close()
	}
	own := up // the data is looked at when the cluster is closed
	own.Close = nil
	sim, err := aurorasim.Start(ctx, aurorasim.Config{Upstream: own, Instances: p.Instances, Network: r.Network})
	if err != nil {
		return report, err
	}
	defer sim.Close()
	x := &run{
		rig: r, plan: p, ctx: ctx, sim: sim,
		counts: make(map[string]int), stacks: make(map[string]string), faults: make(map[uint16][]*aurorasim.Fault),
		ledger: ledger.New(ledger.WithClassifier(func(err error) ledger.Fate {
			if err == nil {
				return ledger.Acknowledged
			}
			return r.Explain(err).Fate
		})),
	}
	judge, err := r.judge(up)
	if err != nil {
		return report, err
	}
	defer judge.Close()
	if err := x.setup(ctx, judge); err != nil {
		return report, fmt.Errorf("chaos: setup: %w", err)
	}
	if p.Latency > 0 {
		for _, i := range sim.Instances() {
			i.Delay(p.Latency, aurorasim.Any)
		}
	}
	x.start = time.Now()
	if x.subject, err = r.Open(p, sim, x.seen); err != nil {
		return report, fmt.Errorf("chaos: open: %w", err)
	}
	if err := x.subject.DB.PingContext(ctx); err != nil { // it gets to know the cluster while that is well
		return report, fmt.Errorf("chaos: first connection: %w", err)
	}
	x.start = time.Now()
	x.work(cancel)
	if err := x.subject.DB.Close(); err != nil {
		x.violation("closing: %v", err)
	}
	x.check(true, true)
	x.connectionsGone()
	// What the lost connections left behind ends with the cluster.
	if err := sim.Close(); err != nil {
		return report, fmt.Errorf("chaos: closing the cluster: %w", err)
	}
	x.judgeRelays()
	report.Verdict = x.judgeData(judge)
	report.Violations, report.Counts, report.Took = x.violations, x.counts, time.Since(began)
	report.Log = x.story()
	return report, nil
}

// seen takes note of what the driver learned.
func (r *run) seen(writer string, readers []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if n := len(r.views); n == 0 || r.views[n-1].writer != writer || !slices.Equal(r.views[n-1].readers, readers) {
		r.views = append(r.views, view{now, writer, readers})
		r.log = append(r.log, note{now, fmt.Sprintf("driver: the writer is %q, readers are %q", writer, readers)})
	}
}

func (r *run) violation(format string, args ...any) {
	r.wrong(format, fmt.Sprintf(format, args...))
}

func (r *run) wrong(kind, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, note{time.Now(), "VIOLATION " + text})
	if len(r.violations) < maxViolations {
		r.violations = append(r.violations, Violation{kind, text})
	}
}

func (r *run) count(c call, m Meaning) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[m.Kind.String()]++
	if m.Kind != None && len(r.log) < maxLog {
		r.log = append(r.log, note{time.Now(), fmt.Sprintf("%s: %s", c.what, m.Kind)})
	}
}

// maxLog bounds what is remembered of a run.
const maxLog = 2000

// isCalm reports whether all was well already at that time.
func (r *run) isCalm(at time.Time) bool {
	calm := r.calm.Load()
	return calm != 0 && at.UnixNano() >= calm
}

// injected is how often the error was sent by a fault.
func (r *run) injected(number uint16) (hits int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults[number] {
		hits += f.Hits()
	}
	return hits
}

// work is the load with all that happens to it.
func (r *run) work(giveUp context.CancelFunc) {
	stop := make(chan struct{})
	var sampling sync.WaitGroup
	defer sampling.Wait()
	ended := make(chan struct{})
	defer close(ended)
	sampling.Go(func() {
		for {
			t := time.NewTimer(3*r.plan.Pause + 7*time.Millisecond)
			select {
			case <-t.C:
				r.check(false, false)
			case <-ended:
				t.Stop()
				return
			}
		}
	})
	workers := r.workers()
	r.phase(workers, giveUp, nil, func(w *worker) { w.prepare() })
	var load sync.WaitGroup
	load.Go(func() { r.phase(workers, giveUp, stop, func(w *worker) { w.loop(stop) }) })
	r.disturb()
	sleep(r.ctx, r.settle())
	close(stop)
	load.Wait()
	r.sweep()
	r.calm.Store(time.Now().UnixNano())
	r.phase(workers, giveUp, nil, func(w *worker) { w.finale() })
	for _, w := range workers {
		w.close()
	}
	r.check(true, false)
}

// settle is how long the driver may take to notice that all is well.
func (r *run) settle() time.Duration {
	d := r.plan.Driver
	return 2*d.ProbeInterval + d.StallTimeout + 2*d.ProbeTimeout + 500*time.Millisecond
}

// patience is how long a session may go on with what it does when it should stop.
func (r *run) patience() time.Duration {
	// What all have to do in the end, one after the other.
	work := time.Duration(r.plan.sessions()*60/r.plan.Driver.PoolSize) * (r.plan.Latency + time.Millisecond)
	return 2*r.settle() + 20*time.Second + work
}

// disturb carries out all steps, and then makes the cluster well.
func (r *run) disturb() {
	s := scene{sim: r.sim, user: r.rig.User, hits: func(n int, f *aurorasim.Fault) {
		r.breaks.Add(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.faults[uint16(n)] = append(r.faults[uint16(n)], f)
	}}
	var steps sync.WaitGroup
	for _, step := range r.plan.Steps {
		steps.Go(func() {
			sleep(r.ctx, step.At-time.Since(r.start))
			switch step.Act {
			case Reset, Close, Goodbye, Crash, AllDown, Failover, Freeze:
				r.breaks.Add(1)
			}
			r.note("step: %s", step)
			s.do(r.ctx, step)
		})
	}
	steps.Wait()
	_ = r.sim.Settled(r.ctx)
	sleep(r.ctx, min(2*r.plan.Pause+20*time.Millisecond, 3*time.Second)) // the last ones have to hit somebody
	r.mu.Lock()
	faults := r.faults
	r.mu.Unlock()
	for _, list := range faults {
		for _, f := range list {
			f.Clear()
		}
	}
	for _, i := range r.sim.Instances() {
		_ = i.Return()
	}
	if r.sim.Writer() == nil {
		if err := r.sim.Promote(r.ctx, r.sim.Instances()[0].ID); err != nil {
			r.violation("the cluster has no writer in the end: %v", err)
		}
		_ = r.sim.Settled(r.ctx)
	}
	r.note("all is well")
}

func (r *run) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, note{time.Now(), fmt.Sprintf(format, args...)})
}

// check asks the driver for its counters.
func (r *run) check(idle, closed bool) {
	complaints := r.subject.Check(idle, closed)
	// A connection that was cut counts until its statement was killed, which may take its time.
	for deadline := time.Now().Add(6 * time.Second); idle && len(complaints) > 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
		complaints = r.subject.Check(idle, closed)
	}
	for _, complaint := range complaints {
		kind, _, _ := strings.Cut(complaint, ":")
		r.wrong(kind, complaint)
	}
}

// connectionsGone waits until no client's connection is left: a closed driver has none.
func (r *run) connectionsGone() {
	deadline := time.Now().Add(5 * time.Second)
	for {
		var open int64
		for _, i := range r.sim.Instances() {
			open += i.Stats().Open
		}
		if open <= 0 {
			return
		}
		if time.Now().After(deadline) {
			r.violation("%d connections are left of a driver that is closed", open)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// phase lets all workers do something and waits for it. Who takes too long, after stop if
// that is not nil, is convicted.
func (r *run) phase(workers []*worker, giveUp context.CancelFunc, stop <-chan struct{}, f func(w *worker)) {
	done := make(chan *worker, len(workers))
	for _, w := range workers {
		go func() {
			f(w)
			done <- w
		}()
	}
	left := slices.Clone(workers)
	var alarm <-chan time.Time
	watch := func() { alarm = time.After(r.patience()) }
	if stop == nil {
		watch()
	}
	for len(left) > 0 {
		select {
		case <-stop:
			stop = nil
			watch()
		case w := <-done:
			left = slices.DeleteFunc(left, func(other *worker) bool { return other == w })
		case <-alarm:
			for _, w := range left[:min(len(left), 5)] {
				r.violation("%s hangs: %s", w.name(), w.doing())
			}
			giveUp() // with the contexts of all statements ended it must end
		}
	}
}

// sweep lets the driver find connections that ended while nobody used them. In memory it
// cannot know before it uses one, and a write that does would be in doubt.
func (r *run) sweep() {
	if !r.rig.Virtual {
		return
	}
	var open []*sql.Rows
	for range r.plan.Driver.PoolSize {
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		late := time.AfterFunc(time.Second, cancel)
		rows, err := r.subject.DB.QueryContext(ctx, "SELECT n FROM fp_numbers WHERE n > 0 ORDER BY n") //nolint:rowserrcheck,sqlclosecheck // below
		if !late.Stop() {
			break // the sessions have all others, one each
		}
		if err != nil {
			continue
		}
		open = append(open, rows)
	}
	for _, rows := range open {
		for rows.Next() {
		}
		_ = rows.Err()
		_ = rows.Close()
	}
	sleep(r.ctx, r.settle()) // what it found made the driver doubt
}

// story is the run's log, with what the cluster says of it.
func (r *run) story() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	notes := slices.Clone(r.log)
	for _, e := range r.sim.Events() {
		notes = append(notes, note{e.Time, fmt.Sprintf("cluster: %s %s %s", e.Kind, e.Instance, e.Text)})
	}
	slices.SortStableFunc(notes, func(a, b note) int { return a.at.Compare(b.at) })
	story := make([]string, len(notes))
	for i, n := range notes {
		story[i] = fmt.Sprintf("%9.3f  %s", n.at.Sub(r.start).Seconds(), n.text)
	}
	return story
}
