package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a [Monitor] watches. Seeds, Dial and Explain are required.
type Config struct {
	// Provider is "auto" (or ""), "aurora" or "static".
	Provider string
	// Seeds are the addresses that the program knows, tried in this order.
	Seeds []string
	// InstanceHost is the host name of an instance with one "?" for its id, with an
	// optional port; "" derives it from an Aurora endpoint among the seeds.
	InstanceHost string
	// Dial connects to an instance, within ctx.
	Dial func(ctx context.Context, addr string) (Conn, error)
	// Explain tells what a probe's error means.
	Explain func(error) Problem
	// Interval is the time between polls while all is well, ±10 %; 0 = 5s.
	Interval time.Duration
	// IntervalFast is the time between polls of all instances while there is no
	// confirmed writer or an instance is suspected; 0 = 100ms.
	IntervalFast time.Duration
	// Timeout bounds one probe, dial and greeting included; 0 = 1s.
	Timeout time.Duration
	Hooks   Hooks
	// Logger gets a line for each event; nil = slog.Default().
	Logger *slog.Logger
}

// Hooks are called by one goroutine of the monitor, in order, without locks.
type Hooks struct {
	// SnapshotChanged is called for every new version. old is nil the first time.
	SnapshotChanged func(old, new *Snapshot, events []Event)
}

// Monitor keeps a cluster's [Snapshot] true. It is safe for concurrent use. Nothing
// runs before [Monitor.Discover] and nothing after [Monitor.Close].
type Monitor struct {
	cfg      Config
	snapshot atomic.Pointer[Snapshot]
	provider atomic.Pointer[Provider]
	open     atomic.Int64 // connections

	ctx    context.Context //nolint:containedctx // the monitor's life, for its goroutines
	cancel context.CancelFunc
	wake   chan struct{} // of the watcher: look at the snapshot now
	news   chan struct{} // of the herald: there are changes to tell
	runs   sync.WaitGroup

	mu      sync.Mutex
	tickets uint64
	changes []change // not told yet
	flight  *flight  // the discovery under way
	closed  bool
}

// change is what the hooks are told of.
type change struct {
	old, new *Snapshot
	events   []Event
}

// flight is a discovery that its callers share.
type flight struct {
	done chan struct{}
	err  error
}

var errClosed = errors.New("failoverproxy: monitor is closed")

// NewMonitor checks cfg and makes a monitor; it starts and connects nothing.
func NewMonitor(cfg Config) (*Monitor, error) {
	if !slices.Contains([]string{"", "auto", "aurora", "static"}, cfg.Provider) {
		return nil, fmt.Errorf("failoverproxy: fpTopology %q: want auto, aurora or static", cfg.Provider)
	}
	if len(cfg.Seeds) == 0 {
		return nil, errors.New("failoverproxy: no host to begin with")
	}
	for d, def := range map[*time.Duration]time.Duration{
		&cfg.Interval: 5 * time.Second, &cfg.IntervalFast: 100 * time.Millisecond, &cfg.Timeout: time.Second,
	} {
		if *d <= 0 {
			*d = def
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Provider == "aurora" {
		if _, err := newAurora(cfg); err != nil {
			return nil, err
		}
	}
	m := &Monitor{cfg: cfg, wake: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m, nil
}

// Snapshot returns the newest snapshot; nil before the first [Monitor.Discover] succeeded.
func (m *Monitor) Snapshot() *Snapshot { return m.snapshot.Load() }

// Connections returns how many connections the monitor has open.
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
		m.runs.Go(func() { m.fly(f) })
	}
	m.mu.Unlock()
	select {
	case <-f.done:
		return m.snapshot.Load(), f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly runs a discovery. When it succeeded, the hooks have heard of the cluster before
// its callers go on.
func (m *Monitor) fly(f *flight) {
	defer close(f.done)
	first, err := m.discover(m.ctx)
	m.mu.Lock()
	m.flight = nil
	if err == nil && m.closed {
		first.conn.close()
		err = errClosed
	}
	if f.err = err; err != nil {
		m.mu.Unlock()
		return
	}
	m.provider.Store(&first.provider)
	m.publishLocked(first.snapshot, observation{kind: answered, id: first.report.ID, addr: first.addr, report: first.report})
	m.mu.Unlock()
	m.tell()
	m.runs.Go(m.herald)
	m.runs.Go(func() { m.watch(first) })
}

// Suspect says that a fault was met on an instance, by somebody who chose it by a
// snapshot of that epoch. If the instance is up and has not changed since, it is
// unusable when Suspect returns, and stays so until it has answered a probe.
func (m *Monitor) Suspect(id string, epoch uint64, reason Reason) {
	m.observe(observation{kind: suspected, id: id, epoch: epoch, reason: reason})
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Verify lets the server at the other end of conn say who it is. It returns
// [ErrIdentity], wrapped, if that is not the instance id in that role.
func (m *Monitor) Verify(ctx context.Context, conn Conn, id string, role Role) error {
	p := m.provider.Load()
	if p == nil {
		return nil
	}
	in := m.Snapshot().Lookup(id)
	if in == nil {
		return fmt.Errorf("failoverproxy: %w: %s is no member of the cluster any more", ErrIdentity, id)
	}
	gotID, gotRole, err := (*p).Identify(ctx, conn, in.Addr)
	if err != nil {
		return err
	}
	if gotID != "" && (gotID != id || gotRole != role) {
		return fmt.Errorf("failoverproxy: %w: %s of %s is %.63q, %s", ErrIdentity, role, id, gotID, gotRole)
	}
	return nil
}

// Close stops the monitor and waits until everything that it started has ended.
// Closing twice is fine.
func (m *Monitor) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.runs.Wait()
}

// ticket draws the number that orders a probe among suspicions.
func (m *Monitor) ticket() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tickets++
	return m.tickets
}

// observe makes the next snapshot and has the hooks told.
func (m *Monitor) observe(o observation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.snapshot.Load(); s != nil {
		m.publishLocked(s, o)
	}
}

func (m *Monitor) publishLocked(s *Snapshot, o observation) {
	if o.kind == suspected {
		m.tickets++
		o.ticket = m.tickets
	}
	next, events := step(s, o)
	if next == s {
		return
	}
	old := m.snapshot.Swap(next)
	m.changes = append(m.changes, change{old: old, new: next, events: events})
	select {
	case m.news <- struct{}{}:
	default:
	}
}

// herald tells the log and the hooks, in order.
func (m *Monitor) herald() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.news:
			m.tell()
		}
	}
}

func (m *Monitor) tell() {
	m.mu.Lock()
	changes := m.changes
	m.changes = nil
	m.mu.Unlock()
	for _, c := range changes {
		for _, e := range c.events {
			m.log(e, c.new)
		}
		if f := m.cfg.Hooks.SnapshotChanged; f != nil {
			f(c.old, c.new, c.events)
		}
	}
}

func (m *Monitor) log(e Event, s *Snapshot) {
	level := slog.LevelInfo
	if e.Kind == InstanceDown || e.Kind == WriterLost {
		level = slog.LevelWarn
	}
	attributes := []slog.Attr{slog.String("instance", e.Instance), slog.Uint64("epoch", s.Epoch)}
	if e.Kind == InstanceSuspected {
		attributes = append(attributes, slog.String("reason", e.Reason.String()))
	}
	if e.Cause != nil {
		attributes = append(attributes, slog.String("error", e.Cause.Error()))
	}
	m.cfg.Logger.LogAttrs(m.ctx, level, "failoverproxy: "+e.Kind.String(), attributes...)
}

// jittered varies an interval by ±10 %, so that many processes do not poll in step.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.2-0.1)*float64(d))
}
