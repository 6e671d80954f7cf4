package driver

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// answered notes that the primary's answer has begun, and returns its rows: such that they are
// hashed if they are to be compared. An answer that begins anew takes the place of the first one.
func (s *shadow) answered(inner innerRows) innerRows {
	if s == nil {
		return inner
	}
	s.latency = time.Since(s.asked)
	if !s.compare {
		return inner
	}
	s.result = newResult()
	s.result.names(inner.Columns())
	s.rows = watchedRows{innerRows: inner, result: s.result}
	return &s.rows
}

// send sends the shadow to the mirror, unless there is no room. The primary's rows are closed:
// unmarked says what the session turned out to be in the server's answer.
func (s *shadow) send(unmarked bool) {
	m := s.mirror
	m.mu.Lock()
	defer m.mu.Unlock()
	if !unmarked {
		m.stats.Ineligible++
		return
	}
	if !m.roomLocked(0) {
		return
	}
	m.stats.Sampled++
	m.stats.Sent++
	m.stats.Running++
	go func() { m.done(m.run(s)) }() // wait waits for stats.Running
}

// room reports whether a statement of that size could be sent now. If not, it is counted as
// dropped: so a mirror that cannot keep up costs nobody the copy of a statement.
func (m *mirror) room(size int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.roomLocked(size)
}

func (m *mirror) roomLocked(size int) bool {
	switch {
	case m.closed:
		m.stats.Dropped.Closed++
	case size > mirrorBytes:
		m.stats.Dropped.Large++
	case m.stats.Running >= uint64(m.policy.MaxConcurrent):
		m.stats.Dropped.Busy++
	default:
		return true
	}
	m.stats.Sampled++
	return false
}

// run executes a shadow and returns what is to be counted then.
func (m *mirror) run(s *shadow) func(*MirrorStats) {
	ctx, cancel := context.WithTimeout(m.ctx, m.policy.Timeout)
	defer cancel()
	if s.target != topology.Unknown {
		ctx = WithTarget(ctx, s.target)
	}
	var r *result
	if s.result.complete() {
		r = newResult()
	}
	asked := time.Now()
	latency, err := m.ask(ctx, s, r)
	if err != nil {
		return m.failed(ctx, s, time.Since(asked), err)
	}
	m.timed(s.latency, latency)
	return m.compared(s, latency, r)
}

// errMirrorPanicked stands for a panic of the mirror's driver.
var errMirrorPanicked = errors.New("panic")

// ask executes a shadow and reads its rows. latency is when the answer began. The mirror's driver is
// none of ours: its panics must not end the program.
func (m *mirror) ask(ctx context.Context, s *shadow, r *result) (latency time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w of type %T", errMirrorPanicked, p)
		}
	}()
	asked := time.Now()
	query := func() (*sql.Rows, error) { return m.db.QueryContext(ctx, s.text, s.args...) }
	if s.prepared { // answers of prepared statements have other types, and FLOATs other digits
		st, err := m.db.PrepareContext(ctx, s.text)
		if err != nil {
			return 0, err
		}
		defer st.Close()
		query = func() (*sql.Rows, error) { return st.QueryContext(ctx) }
	}
	rows, err := query()
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	latency = time.Since(asked)
	if r == nil {
		for rows.Next() { //nolint:revive // to its end: what came late is an error, too
		}
		return latency, rows.Err()
	}
	return latency, r.read(rows)
}

// failed is for a shadow that the mirror did not answer.
func (m *mirror) failed(ctx context.Context, s *shadow, latency time.Duration, err error) func(*MirrorStats) {
	if m.ctx.Err() != nil {
		return func(stats *MirrorStats) { stats.Cancelled++ }
	}
	late := ctx.Err() // the error may be what came of it
	e := s.event()
	e.Mirror.Latency, e.Error = latency, errorType(cmp.Or(late, err))
	if errors.Is(err, errMirrorPanicked) {
		e.Error = err.Error()
	}
	m.remember(samplingFailed, e)
	if late != nil {
		return func(stats *MirrorStats) { stats.TimedOut++ }
	}
	return func(stats *MirrorStats) { stats.Failed++ }
}

// compared is for a shadow that the mirror answered with r, nil if that is not to be compared.
func (m *mirror) compared(s *shadow, latency time.Duration, r *result) func(*MirrorStats) {
	difference := MirrorDifference("")
	if r != nil {
		difference = s.result.compare(r)
	}
	if difference != "" {
		e := s.event()
		e.Mirror = r.answer(latency)
		e.Difference = difference
		kind := samplingDifferent
		if difference == DifferentOrder {
			kind = samplingReordered
		}
		m.remember(kind, e)
	}
	return func(stats *MirrorStats) {
		stats.Answered++
		stats.Primary.add(s.latency)
		stats.Mirror.add(latency)
		switch {
		case !s.compare:
		case r == nil:
			stats.Unread++
		case difference == "":
			stats.Same++
		case difference == DifferentOrder:
			stats.Reordered++
		default:
			stats.Different++
		}
	}
}

// done counts the end of a shadow.
func (m *mirror) done(count func(*MirrorStats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	count(&m.stats)
	m.stats.Running--
	m.endLocked()
}

// count counts.
func (m *mirror) count(f func(*MirrorStats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.stats)
}

// endLocked says that nothing is under way any more, and never will be.
func (m *mirror) endLocked() {
	if m.closed && m.stats.Running == 0 {
		close(m.ended)
	}
}

// end lets nothing new be sent; with force, what is under way is cancelled.
func (m *mirror) end(force bool) {
	if m == nil {
		return
	}
	if force {
		m.stop()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.endLocked()
	}
}

// wait waits for what is under way after end.
func (m *mirror) wait(ctx context.Context) error {
	if m == nil {
		return nil
	}
	select {
	case <-m.ended:
	case <-ctx.Done():
		select {
		case <-m.ended: // both: the better news counts
		default:
			return fmt.Errorf("failoverproxy: %d statements have not ended on the mirror: %w", m.counters().Running, ctx.Err())
		}
	}
	m.stop()
	return nil
}
