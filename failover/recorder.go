package failover

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// Recorder writes the record of incidents. It is told of the cluster's changes and
// probes by one goroutine, of statements by all. Make it with [NewRecorder].
type Recorder struct {
	logger *slog.Logger
	ended  func(Incident)

	affected atomic.Int64   // statements that have met a fault and are not answered yet
	running  sync.WaitGroup // the timer that is set, or its function

	mu     sync.Mutex
	number uint64
	past   []Incident // ended, oldest first
	open   *Incident
	probe  Moment // the writer's last
	loose  Fates  // of statements answered before the incident that they met was known of
	at     time.Time
	timer  *time.Timer // set from Restored to the end
	closed bool
}

const (
	// incidentsKept is how many ended incidents are remembered.
	incidentsKept = 16
	// momentsKept bounds the timeline of one.
	momentsKept = 100
	// aftermath is how long after there is a writer again an incident goes on at least:
	// many a session finds out only then that its connection is gone.
	aftermath = time.Second
	// aftermathMost is how long it goes on at most, for a statement that takes long.
	aftermathMost = 10 * time.Second
	// momentProbe is Moment.What of probes.
	momentProbe = "probe"
)

// NewRecorder makes a recorder that logs each incident at its end, on one line, and then
// calls ended, which may be nil, from a goroutine of its own.
func NewRecorder(logger *slog.Logger, ended func(Incident)) *Recorder {
	return &Recorder{logger: logger, ended: ended}
}

// Enter notes that a statement has met a fault. It must leave by [Recorder.Leave].
func (r *Recorder) Enter() { r.affected.Add(1) }

// Leave notes what became of a statement that entered.
func (r *Recorder) Leave(fate Fate) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.affected.Add(-1)
	if r.open != nil {
		r.open.Statements.add(fate)
		r.open.End = now // the latest so far
		return
	}
	if now.Sub(r.at) > aftermath {
		r.loose = Fates{}
	}
	r.loose.add(fate)
	r.at = now
}

// Probed takes note of a probe.
func (r *Recorder) Probed(p topology.Probe) {
	now := time.Now()
	m := Moment{At: now.Add(-p.Took), Last: now, Count: 1, What: momentProbe, Instance: p.Instance, Took: p.Took, Detail: p.Role.String()}
	if p.Instance == "" {
		m.Instance = p.Addr
	}
	if p.Err != nil {
		m.Detail = topology.Shown(p.Err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil {
		r.open.note(m)
	} else if p.Role == topology.Writer || p.Err != nil {
		r.probe = m
	}
}

// SnapshotChanged takes note of a change, see [topology.Hooks].
func (r *Recorder) SnapshotChanged(old, now *topology.Snapshot, events []topology.Event) {
	if old == nil {
		return
	}
	at := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil && !r.beginLocked(at, old, events) {
		return
	}
	i := r.open
	for _, e := range events {
		i.note(momentOf(at, e))
	}
	if w := now.Lookup(i.Old); i.Confirmed.IsZero() && (w == nil || w.Role != topology.Writer || w.State == topology.StateDown) {
		i.Confirmed = at
	}
	w := now.Writer()
	switch {
	case w == nil:
		i.Restored = time.Time{}
		r.disarmLocked()
	case i.Restored.IsZero():
		i.Restored = at
		i.reign(w)
		i.note(Moment{At: at, Last: at, Count: 1, What: "gate opened"})
		r.armLocked()
	default:
		i.reign(w) // perhaps another one has taken over already
	}
}

// reign notes who is the writer.
func (i *Incident) reign(w *topology.Instance) {
	i.Epoch, i.New = w.Since, ""
	if w.ID != i.Old {
		i.New = w.ID
	}
}

// beginLocked begins an incident if the events say that the writer is in doubt, or that
// it is another one.
func (r *Recorder) beginLocked(at time.Time, old *topology.Snapshot, events []topology.Event) bool {
	trigger := ""
	for _, e := range events {
		switch {
		case e.Kind == topology.InstanceSuspected && e.Instance == old.LastWriter():
			trigger = e.Reason.String()
		case e.Kind == topology.InstanceDrained && e.Instance == old.LastWriter():
			trigger = "drained"
		case trigger != "":
		case e.Kind == topology.InstanceDown && e.Instance == old.LastWriter():
			trigger = "no answer"
		}
	}
	begins := slices.ContainsFunc(events, func(e topology.Event) bool {
		return e.Kind == topology.WriterLost || e.Kind == topology.WriterChanged && old.LastWriter() != ""
	})
	if !begins || r.closed {
		return false
	}
	if trigger == "" {
		trigger = "no writer any more"
	}
	r.number++
	r.open = &Incident{Number: r.number, Trigger: trigger, Old: old.LastWriter(), Start: at}
	if r.probe.Count > 0 {
		r.open.Timeline = append(r.open.Timeline, r.probe)
	}
	if at.Sub(r.at) <= aftermath {
		r.open.Statements = r.loose
	}
	r.loose, r.at = Fates{}, time.Time{}
	return true
}

func momentOf(at time.Time, e topology.Event) Moment {
	m := Moment{At: at, Last: at, Count: 1, What: e.Kind.String(), Instance: e.Instance, Detail: e.Detail}
	switch {
	case e.Kind == topology.InstanceSuspected:
		m.Detail = e.Reason.String()
	case m.Detail == "" && e.Cause != nil:
		m.Detail = topology.Shown(e.Cause)
	}
	return m
}

// note adds a moment to the timeline.
func (i *Incident) note(m Moment) {
	if m.What == momentProbe {
		for n := range slices.Backward(i.Timeline) {
			before := &i.Timeline[n]
			if before.What != momentProbe || before.Instance != m.Instance {
				continue
			}
			if before.Detail == m.Detail && n > 0 { // the first is the one before the incident
				before.Last, before.Took = m.Last, max(before.Took, m.Took)
				before.Count++
				return
			}
			break
		}
	}
	if len(i.Timeline) == momentsKept {
		i.Omitted++
		return
	}
	i.Timeline = append(i.Timeline, m)
}

// armLocked sets the time at which the incident may be over.
func (r *Recorder) armLocked() {
	r.running.Add(1)
	r.timer = time.AfterFunc(aftermath, r.expire)
}

func (r *Recorder) disarmLocked() {
	if r.timer != nil && r.timer.Stop() {
		r.running.Done()
	}
	r.timer = nil
}

// expire ends the incident unless statements that met it are not answered yet.
func (r *Recorder) expire() {
	defer r.running.Done()
	r.mu.Lock()
	if r.open == nil || r.open.Restored.IsZero() || time.Since(r.open.Restored) < aftermath {
		r.mu.Unlock() // disarmed too late to stop it
		return
	}
	if r.affected.Load() > 0 && time.Since(r.open.Restored) < aftermathMost {
		r.armLocked()
		r.mu.Unlock()
		return
	}
	done := r.endLocked()
	r.mu.Unlock()
	r.tell(done)
}

// endLocked ends the incident that is open.
func (r *Recorder) endLocked() Incident {
	i := r.open
	r.open, r.timer, r.probe = nil, nil, Moment{}
	if i.End.Before(i.Restored) {
		i.End = i.Restored // nobody noticed
	}
	if len(r.past) == incidentsKept {
		r.past = slices.Delete(r.past, 0, 1)
	}
	r.past = append(r.past, *i)
	return *i
}

// tell tells the log and the hook of an incident's end.
func (r *Recorder) tell(i Incident) {
	level := slog.LevelInfo
	if i.New != "" || i.Restored.IsZero() || i.Statements.Lost+i.Statements.InDoubt+i.Statements.Failed > 0 {
		level = slog.LevelWarn
	}
	r.logger.LogAttrs(context.Background(), level, "failoverproxy: "+i.String(),
		slog.Uint64("incident", i.Number), slog.String("from", i.Old), slog.String("to", i.New),
		slog.Duration("outage", i.Outage()), slog.Uint64("statements", i.Statements.Total()))
	if r.ended != nil {
		r.ended(i)
	}
}

// Incidents returns the last incidents, oldest first; one that goes on is the last, its End
// the time of the last answer so far.
func (r *Recorder) Incidents() []Incident {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Clone(r.past)
	if r.open != nil {
		i := *r.open
		i.Timeline = slices.Clone(i.Timeline)
		list = append(list, i)
	}
	return list
}

// Close ends an incident that goes on and waits until it has been told of.
func (r *Recorder) Close() {
	r.mu.Lock()
	r.closed = true
	r.disarmLocked()
	var last *Incident
	if r.open != nil {
		i := r.endLocked()
		last = &i
	}
	r.mu.Unlock()
	if last != nil {
		r.tell(*last)
	}
	r.running.Wait()
}
