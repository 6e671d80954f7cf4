package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a [Monitor] watches. Seeds and Dial are required. It is read once,
// by [NewMonitor].
type Config struct {
	// Provider is "auto" (or ""), "aurora", "multiAZCluster", "replication",
	// "groupReplication", "dns" or "static".
	Provider string
	// Seeds are the addresses that the program knows, tried in this order.
	Seeds []string
	// InstanceHost is the host name of an instance with one "?" for its id, with an
	// optional port; "" derives it from an Aurora endpoint among the seeds.
	InstanceHost string
	// Dial connects to an address, within ctx: network, TLS, login. It may be called
	// concurrently.
	Dial func(ctx context.Context, addr string) (Conn, error)
	// Adopt, if set, is offered the connection of the discovery, when the hooks have heard of
	// the cluster, so that its first user need not wait for another; the monitor makes one of its own
	// meanwhile. It returns whether it has taken it. It is called once, and those who wait for the
	// discovery wait for it.
	Adopt func(ctx context.Context, conn Conn, found Found) bool
	// Explain tells what an error of Dial or of a query means. It may be called
	// concurrently. nil knows nothing: every error is ProblemOther.
	Explain func(error) Problem
	// Interval is the time between polls while all is well, ±10 %, and between those
	// of an instance that is down; 0 = 5s. Negative: 5s for those, and none while all is
	// well, when there is no connection either: trouble is what its users meet.
	Interval time.Duration
	// IntervalFast is the time between polls of all instances while there is no
	// confirmed writer or an instance is suspected; 0 = 100ms. It is never longer than
	// Interval, and with "dns" not shorter than 500ms.
	IntervalFast time.Duration
	// Timeout bounds one probe, dial and greeting included; 0 = 1s. The first
	// connection to the cluster gets ten times as long.
	Timeout time.Duration
	// Hooks are told of changes.
	Hooks Hooks
	// Logger gets a line for each event; nil = slog.Default().
	Logger *slog.Logger

	onDemand bool // Interval was negative
}

// Found is what the connection of a discovery leads to.
type Found struct {
	ID   string
	Role Role
	// Said: the server itself has said that it is this instance, as by [Monitor.Verify].
	Said bool
}

// Hooks are called by one goroutine of the monitor, in order, without locks. They may
// call all methods of the monitor but Close, which waits for them.
type Hooks struct {
	// SnapshotChanged is called for every new Version, and for warnings, where old and
	// new are the same. old is nil the first time. There may be no events, when only a
	// lag has changed, say. The snapshot is in force before its hook is called.
	SnapshotChanged func(old, new *Snapshot, events []Event)
	// Probed is called for every probe of the monitor's own that was answered or that
	// failed, before the change that it leads to.
	Probed func(Probe)
}

// Probe is a question to an instance and what came of it.
type Probe struct {
	Instance string        // that was asked, or that answered at a seed's address; "" if nobody knows
	Addr     string        // where it was asked
	Took     time.Duration // of the last attempt, its dialling included
	Role     Role          // what it says of itself; only if Err is nil
	Err      error         // why there is no answer, or none that helps
}

// Monitor keeps a cluster's [Snapshot] true. It is safe for concurrent use. Nothing
// runs before [Monitor.Discover] and nothing after [Monitor.Close].
type Monitor struct {
	cfg      Config
	snapshot atomic.Pointer[Snapshot]
	provider atomic.Pointer[Provider]
	tickets  atomic.Uint64 // drawn so far

	deployment atomic.Pointer[deployment] // blue/green, as far as is known
	routes     atomic.Pointer[routes]     // that a switchover has left behind
	looked     chan struct{}              // closed after the first look for a deployment
	look       sync.Once                  // closes looked

	open atomic.Int64 // connections

	ctx    context.Context //nolint:containedctx // the monitor's life, for its goroutines; ends with Close
	cancel context.CancelFunc
	wake   chan struct{} // of the watcher: look at the snapshot now
	again  chan struct{} // of the watcher: ask the writer again
	recall chan struct{} // of the watcher: ask all again
	news   chan struct{} // of the herald: there are changes to tell
	runs   sync.WaitGroup

	mu        sync.Mutex
	changes   []change        // not told yet
	flight    *flight         // the discovery under way
	listening map[string]bool // instances whose silence is looked into
	closed    bool
}

// flight is a discovery that its callers share.
type flight struct {
	done     chan struct{}
	snapshot *Snapshot
	err      error
}

var errClosed = errors.New("failoverproxy: the monitor is closed")

// NewMonitor checks cfg and makes a monitor; it starts and connects nothing.
func NewMonitor(cfg Config) (*Monitor, error) {
	if cfg.Provider != "" && !slices.Contains(providers, cfg.Provider) {
		last := len(providers) - 1
		return nil, fmt.Errorf("failoverproxy: fpTopology %q: want %s or %s", cfg.Provider, strings.Join(providers[:last], ", "), providers[last])
	}
	if cfg.Dial == nil {
		return nil, errors.New("failoverproxy: topology.Config has no Dial")
	}
	var seeds []string
	for _, seed := range cfg.Seeds {
		if seed != "" && !slices.Contains(seeds, seed) {
			seeds = append(seeds, seed)
		}
	}
	if cfg.Seeds = seeds; len(seeds) == 0 {
		return nil, errors.New("failoverproxy: no host to begin with")
	}
	cfg.setDefaults()
	if _, err := providerOf(cfg); err != nil {
		return nil, err
	}
	if cfg.InstanceHost != "" {
		if _, err := newAurora(cfg); err != nil {
			return nil, err
		}
	}
	m := &Monitor{cfg: cfg, looked: make(chan struct{})}
	m.wake, m.again, m.recall, m.news = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m, nil
}

func (cfg *Config) setDefaults() {
	cfg.onDemand = cfg.Interval < 0
	for d, def := range map[*time.Duration]time.Duration{
		&cfg.Interval: 5 * time.Second, &cfg.IntervalFast: 100 * time.Millisecond, &cfg.Timeout: time.Second,
	} {
		if *d <= 0 {
			*d = def
		}
	}
	cfg.IntervalFast = min(cfg.IntervalFast, cfg.Interval)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Explain == nil {
		cfg.Explain = func(error) Problem { return ProblemOther }
	}
}

// Snapshot returns the newest snapshot; nil before the first [Monitor.Discover] succeeded.
func (m *Monitor) Snapshot() *Snapshot { return m.snapshot.Load() }

// Connections returns how many connections the monitor has open: 1 while all is well, 0 if it
// polls only in trouble.
func (m *Monitor) Connections() int { return int(m.open.Load()) }

// Discover finds the cluster, the first time, and returns its snapshot, which may
// not have a writer yet. Callers at the same time share one attempt; each waits for
// it within its own ctx. An error says what each host answered, and leaves the
// monitor as it was: a later call tries anew.
func (m *Monitor) Discover(ctx context.Context) (*Snapshot, error) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, errClosed
	}
	if s := m.snapshot.Load(); s != nil {
		m.mu.Unlock()
		return s, nil
	}
	f := m.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		m.flight = f
		values := context.WithoutCancel(ctx) // the caller's dialer may want them
		m.runs.Go(func() { m.fly(values, f) })
	}
	m.mu.Unlock()
	select {
	case <-f.done:
		return f.snapshot, f.err
	case <-ctx.Done():
		if ctx.Err() == context.Canceled {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("failoverproxy: no answer yet from %s: %w", strings.Join(m.cfg.Seeds, ", "), ctx.Err())
	}
}

// fly runs a discovery and starts everything when it succeeded. The hooks have heard
// of the cluster before those who wait for the discovery go on.
func (m *Monitor) fly(ctx context.Context, f *flight) {
	defer close(f.done)
	d, err := m.discover(ctx)
	m.mu.Lock()
	m.flight = nil
	if err == nil && m.closed {
		d.link.close()
		d.lookout.drop(m)
		err = errClosed
	}
	if err != nil {
		f.err = err
		m.mu.Unlock()
		return
	}
	m.provider.Store(&d.choice.provider)
	m.publishLocked(first(d.choice.provider.Name(), d.choice.provider.Members()), d.observation(), d.choice.announce()...)
	f.snapshot = m.snapshot.Load()
	m.mu.Unlock()
	m.tell()
	d.remote = remoteOf(d.link)
	if r := d.choice.report; m.cfg.Adopt != nil && m.reconnoitre(ctx, &d) && m.cfg.Adopt(ctx, d.link.Conn, Found{ID: r.ID, Role: r.Role, Said: r.ID != d.seed}) {
		m.open.Add(-1)
		d.link = nil
	}
	m.runs.Go(m.herald)
	m.runs.Go(func() { m.watch(d) })
}

// Suspect says that a fault was met on an instance, by somebody who chose it by a
// snapshot of that epoch. If the instance is up and has not changed since, it is
// unusable when Suspect returns, and stays so until it has answered a probe. Hooks
// are told a moment later. To report the same again and again costs next to nothing.
func (m *Monitor) Suspect(id string, epoch uint64, reason Reason) {
	if !m.Snapshot().Lookup(id).relevant(epoch, reason) {
		return
	}
	m.observe(observation{kind: suspected, id: id, epoch: epoch, reason: reason})
	m.rouse()
}

// Look has the writer asked now rather than at the next steady poll. It is for faults that say
// nothing about an instance, such as a name that does not resolve: nobody is suspected.
func (m *Monitor) Look() { signal(m.again) }

// Recall says that this process stood still for minutes or hours, and that what is known is as old
// as that: no lag is known any more, and every instance is asked at once, over a fresh
// connection. Nobody is suspected.
func (m *Monitor) Recall() {
	m.mu.Lock()
	if s := m.snapshot.Load(); s != nil {
		m.publishLocked(s, observation{kind: aged, old: time.Now()})
	}
	m.mu.Unlock()
	signal(m.recall)
}

// Probe asks an instance over a fresh connection, within ctx and the probe's timeout.
// If it does not answer it is down when Probe returns the error. Any answer of its
// server, even that there are too many connections, is a sign of life and no
// error. Nothing is concluded, and no error returned, if it could not be asked. An answer ends no doubt: that is for the monitor's own probes to do. If ctx
// ends first its error is returned and nothing is concluded.
func (m *Monitor) Probe(ctx context.Context, id string) error {
	in := m.Snapshot().Lookup(id)
	if in == nil {
		return fmt.Errorf("failoverproxy: %s is no instance of the cluster", shownAddr(id))
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return errClosed
	}
	m.runs.Add(1)
	m.mu.Unlock()
	defer m.runs.Done()

	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	a := attempt{id: id, addr: in.Addr}
	a.run(bounded, m)
	a.link.close()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case m.ctx.Err() != nil:
		return errClosed
	case a.err != nil && (m.cfg.Explain(a.err) != ProblemOther || errors.Is(a.err, errAstray)):
		return nil
	}
	o := a.observation()
	o.aside = true
	m.observe(o)
	m.rouse()
	return a.err
}

// Silence says that an instance, chosen by a snapshot of that epoch, owes answers and
// sends nothing. It may be busy with a long statement: so it stays in use while one
// probe over a fresh connection decides. Nothing changes if it is answered at once; after
// half of its time the instance is suspected, so that the others are asked, too; at its
// end the instance is down. Silence does not wait for that.
func (m *Monitor) Silence(id string, epoch uint64) {
	m.listen(id, func() { m.judge(id, epoch) })
}

// Forsake says the same of an instance that was at addr and is none of the cluster's any more. If
// a fresh connection gets no answer there either, or its name is gone, dead is called.
// Forsake does not wait for that.
func (m *Monitor) Forsake(id, addr string, dead func()) {
	m.listen(id, func() {
		ctx, cancel := context.WithTimeout(m.ctx, m.cfg.Timeout)
		defer cancel()
		l, err := m.dial(ctx, addr)
		l.close()
		unnamed, _ := errors.AsType[*net.DNSError](err)
		if err != nil && m.ctx.Err() == nil && (m.cfg.Explain(err) == ProblemOther || unnamed != nil && unnamed.IsNotFound) {
			dead()
		}
	})
}

// listen looks into the silence of an instance, unless that is under way.
func (m *Monitor) listen(id string, look func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.listening[id] {
		return
	}
	if m.listening == nil {
		m.listening = make(map[string]bool)
	}
	m.listening[id] = true
	m.runs.Go(func() {
		look()
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.listening, id)
	})
}

func (m *Monitor) judge(id string, epoch uint64) {
	decided := make(chan struct{})
	m.runs.Go(func() {
		defer close(decided)
		_ = m.Probe(m.ctx, id) // it draws the consequences itself
	})
	half := time.NewTimer(m.cfg.Timeout / 2)
	defer half.Stop()
	select {
	case <-half.C:
		m.Suspect(id, epoch, ReasonSilence)
		<-decided
	case <-decided:
	}
}

// Verify lets the server at the other end of conn say who it is. It returns
// [ErrIdentity], wrapped, if that is not the instance id in that role. Where the
// provider cannot tell it returns nil; known is whether it can.
func (m *Monitor) Verify(ctx context.Context, conn Conn, id string, role Role) (known bool, err error) {
	in := m.Snapshot().Lookup(id)
	if in == nil {
		if m.provider.Load() == nil {
			return false, nil
		}
		return false, fmt.Errorf("failoverproxy: %w: %s is no instance of the cluster any more", ErrIdentity, shownAddr(id))
	}
	if err := m.admit(ctx, conn, role); err != nil {
		return false, err
	}
	gotID, gotRole, err := m.Identify(ctx, conn, in.Addr)
	if err != nil {
		return false, err
	}
	if gotID != "" && gotID != id || (gotID != "" || gotRole != Unknown) && gotRole != role {
		return false, fmt.Errorf("failoverproxy: %w: wanted %s as %s, found %s as %s", ErrIdentity, id, role, shownAddr(gotID), gotRole)
	}
	return gotID != "", nil
}

// Identify asks the server behind conn, which was dialled at addr, who it is: "" if the
// topology's servers do not say.
func (m *Monitor) Identify(ctx context.Context, conn Conn, addr string) (id string, role Role, err error) {
	p := m.provider.Load()
	if p == nil {
		return "", Unknown, nil
	}
	return (*p).Identify(ctx, conn, addr)
}

// Close stops the monitor, closes its connections and waits until everything that it
// started has ended. Closing twice is fine.
func (m *Monitor) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.runs.Wait()
}

// observe makes the next snapshot and has the hooks told.
func (m *Monitor) observe(o observation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.publishLocked(m.snapshot.Load(), o)
}

func (m *Monitor) publishLocked(s *Snapshot, o observation, before ...Event) {
	if o.now = m.tickets.Add(1); o.old.IsZero() {
		o.old = time.Now().Add(-m.cfg.lagLife())
	}
	next, events := step(s, o)
	if next == s {
		return
	}
	old := m.snapshot.Swap(next)
	if next.Version != s.Version {
		m.tellLocked(change{old: old, new: next, events: append(before, events...)})
	}
}

// rouse has the watcher look at the snapshot now.
func (m *Monitor) rouse() { signal(m.wake) }

// signal signals on a channel that has room for one, unless it is signalled already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// jittered varies an interval by ±10 %, so that many processes do not poll in step.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.2-0.1)*float64(d))
}
