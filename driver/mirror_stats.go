package driver

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// MirrorStats counts what became of the reads that were drawn for the mirror, see [WithMirror].
// At every moment Sampled = Sent + Dropped's sum, and Sent = Running + Answered + Failed + TimedOut
// + Cancelled. Same + Reordered + Different + Unread are those of Answered that MirrorPolicy.Compare
// had chosen.
type MirrorStats struct {
	// Ineligible ones were drawn, but are not of the kind that is sent: in a transaction, say, or
	// in a session that has set a variable.
	Ineligible uint64
	// Panics of MirrorPolicy.Match.
	Panics uint64

	Sampled uint64 // those that were to be sent
	Dropped MirrorDrops
	Sent    uint64

	Running   uint64 // under way now
	Answered  uint64
	Failed    uint64 // ended with an error
	TimedOut  uint64 // did not end within MirrorPolicy.Timeout
	Cancelled uint64 // did not end before the connector was closed

	Same      uint64 // equal results
	Reordered uint64 // equal but for the order of their rows
	Different uint64
	Unread    uint64 // not compared: the program did not read its result to the last row

	// Primary and Mirror are the latencies of those that the mirror answered, on both sides: from
	// asking until the answer begins, waits for a connection included.
	Primary, Mirror MirrorLatency
}

// MirrorDrops counts reads that were to be sent and were not, by reason.
type MirrorDrops struct {
	Busy   uint64 // MirrorPolicy.MaxConcurrent were under way
	Large  uint64 // text and arguments of more than 1 MiB
	Closed uint64 // the connector was being closed
}

// MirrorLatency sums up latencies, of MirrorStats.Answered statements.
type MirrorLatency struct{ Sum, Max time.Duration }

func (l *MirrorLatency) add(d time.Duration) {
	l.Sum += d
	l.Max = max(l.Max, d)
}

// MirrorDifference is how a mirror's result differs from the primary's.
type MirrorDifference string

// The differences.
const (
	DifferentColumns MirrorDifference = "columns" // other names, or another number
	DifferentRows    MirrorDifference = "rows"    // another number
	DifferentValues  MirrorDifference = "values"
	DifferentOrder   MirrorDifference = "order" // the same rows
)

// MirrorEvent is a statement that a mirror answered in another way, or not at all. It holds no
// values.
type MirrorEvent struct {
	At time.Time // when the mirror had answered
	// Statement is its digest: the text without literals.
	Statement  string
	Difference MirrorDifference // "" if it failed
	// Error is the kind of the mirror's error, "" if there was none: the server's number for it,
	// or its Go type. Its text might quote data.
	Error           string
	Primary, Mirror MirrorAnswer
}

// MirrorAnswer is one side's answer.
type MirrorAnswer struct {
	Latency time.Duration // until it began, or until the error
	// Rows and Hash are 0 if the results were not compared. Equal results have equal hashes as
	// long as the process runs.
	Rows int
	Hash uint64
}

// The kinds of events that are remembered, each apart, so that many of one do not displace the others.
const (
	samplingFailed = iota
	samplingDifferent
	samplingReordered
	samplings
)

// ring keeps the last events.
type ring struct {
	limit  int
	events []MirrorEvent
	next   int // the oldest one's place, once it is full
}

func (r *ring) add(e MirrorEvent) {
	if len(r.events) < r.limit {
		r.events = append(r.events, e)
		return
	}
	r.events[r.next] = e
	r.next = (r.next + 1) % r.limit
}

// event is what is told of a shadow.
func (s *shadow) event() MirrorEvent {
	primary := (*result)(nil)
	if s.result.complete() {
		primary = s.result
	}
	return MirrorEvent{At: time.Now(), Statement: sqlscan.Digest(s.text, sqlscan.AnyMode), Primary: primary.answer(s.latency)}
}

func (m *mirror) remember(kind int, e MirrorEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sample[kind].add(e)
}

// counters are the statistics of this moment, all zero without a mirror.
func (m *mirror) counters() MirrorStats {
	if m == nil {
		return MirrorStats{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

func (m *mirror) events() (events []MirrorEvent) {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.sample {
		events = append(events, m.sample[i].events...)
	}
	slices.SortStableFunc(events, func(a, b MirrorEvent) int { return a.At.Compare(b.At) })
	return events
}

// MirrorSample returns the last statements that the mirror failed to answer, answered in another
// way, or in another order, up to MirrorPolicy.Samples of each, the oldest first. It is
// safe for concurrent use. Data that changed between the two executions makes differences, too.
func (c *Connector) MirrorSample() []MirrorEvent { return c.cluster.mirror.events() }

// mirror makes the instruments of a mirror; observe is what reads the others.
func (i *instruments) mirror(m *mirror, observe metric.Callback) metric.Callback {
	if m == nil {
		return observe
	}
	duration := i.histogram("failoverproxy.mirror.duration", "s", "Time until the answer to a mirrored statement began, by side.")
	primary := metric.WithAttributes(attribute.String("side", "primary"))
	other := metric.WithAttributes(attribute.String("side", "mirror"))
	m.timed = func(p, m time.Duration) {
		duration.Record(context.Background(), p.Seconds(), primary)
		duration.Record(context.Background(), m.Seconds(), other)
	}
	statements := i.total("failoverproxy.mirror.statements", "{statement}", "Reads drawn for the mirror, by fate.")
	results := i.total("failoverproxy.mirror.results", "{result}", "Results of the mirror by how they compare.")
	running := i.level("failoverproxy.mirror.running", "{statement}", "Statements under way on the mirror.")
	return func(ctx context.Context, o metric.Observer) error {
		s := m.counters()
		for fate, n := range map[string]uint64{
			"answered": s.Answered, "failed": s.Failed, "timed out": s.TimedOut, "cancelled": s.Cancelled,
			"dropped: busy": s.Dropped.Busy, "dropped: large": s.Dropped.Large, "dropped: closed": s.Dropped.Closed, "ineligible": s.Ineligible,
		} {
			o.ObserveInt64(statements, int64(n), metric.WithAttributes(attribute.String("fate", fate)))
		}
		for how, n := range map[string]uint64{"same": s.Same, "reordered": s.Reordered, "different": s.Different, "unread": s.Unread} {
			o.ObserveInt64(results, int64(n), metric.WithAttributes(attribute.String("result", how)))
		}
		o.ObserveInt64(running, int64(s.Running))
		return observe(ctx, o)
	}
}
