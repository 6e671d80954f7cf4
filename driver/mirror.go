package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/topology"
)

// MirrorPolicy says which reads are sent to a mirror, and what is done with its answers; see
// [WithMirror]. Its zero value sends none.
type MirrorPolicy struct {
	// Rate is the share of the reads that is sent, from 0 (default: none) to 1 (all), by lot.
	Rate float64
	// Match, if it is not nil, is asked about each read that was drawn, with the context and the text that the
	// program gave; one for which it returns false is not sent. It is called before the statement is
	// executed, on the program's goroutine and concurrently: it must be quick. A panic counts as false.
	Match func(ctx context.Context, query string) bool
	// MaxConcurrent bounds the statements that are under way on the mirror, and so the
	// connections that they need. There is no queue: what comes meanwhile is dropped. Default
	// and 0: 8.
	MaxConcurrent int
	// Timeout is how long a statement may take on the mirror, the wait for a connection and the
	// reading of its rows included. Default and 0: 5 seconds.
	Timeout time.Duration
	// Compare is the share of the reads sent whose results are compared, from 0 (default: none) to
	// 1 (all), by lot. The rows of these are hashed as the program reads them, and those of the
	// mirror; of those that the program did not read to the last row, nothing is compared.
	Compare float64
	// Samples is how many statements of each kind [Connector.MirrorSample] remembers: that failed,
	// that differed, whose rows came in another order. Default and 0: 32.
	Samples int
}

// What is not given in a MirrorPolicy.
const (
	mirrorConcurrent = 8
	mirrorTimeout    = 5 * time.Second
	mirrorSamples    = 32
)

// mirrorBytes bounds a statement that is sent to a mirror, text and arguments: they are kept until
// the mirror has answered.
const mirrorBytes = 1 << 20

// WithMirror sends a share of the reads to another database as well, in the background: to try a
// new version, an instance class, a blue/green target or an index under the load of today. The
// program gets nothing of it: neither rows nor errors nor waits. What the mirror makes of the
// reads is in [Stats].Mirror, in metrics, and in [Connector.MirrorSample].
//
// A read is sent if it is a query that surely has no effect and whose answer depends on data
// alone: no writes, no locking reads, no calls of stored functions, no variables, nothing like
// LAST_INSERT_ID() or CONNECTION_ID(), no questions about the server (SHOW, EXPLAIN,
// information_schema); in autocommit, because a transaction sees what nobody else does; and in a
// session that has set nothing (variables, USE) and is bound to nothing (temporary tables). It
// must have been run for its rows (Query, QueryRow; text, with arguments, or prepared) and have been answered without an
// error. It is sent when the program has closed its rows.
//
// db stays the caller's: it is never closed, and its DSN says as whom, to which default schema and
// with which parseTime and time zone. It may be of any driver that understands the statements. What was sent by one
// mirror is not sent on by another, so a mirror that leads back to the same *sql.DB gets each
// statement once. [Connector.Close] cancels what is under way, [Connector.Shutdown] waits for it.
//
// [NewConnector] and [OpenDB] return an error if db is nil or policy makes no sense. Of several
// WithMirror, the last one counts.
func WithMirror(db *sql.DB, policy MirrorPolicy) Option {
	return func(o *options) { o.mirror = &mirrorOption{db, policy} }
}

type mirrorOption struct {
	db     *sql.DB
	policy MirrorPolicy
}

// check finds out whether the option makes sense.
func (o *mirrorOption) check() error {
	p := &o.policy
	switch {
	case o.db == nil:
		return errors.New("failoverproxy: WithMirror: db is nil")
	case !isShare(p.Rate):
		return fmt.Errorf("failoverproxy: WithMirror: MirrorPolicy.Rate is %v: it must be from 0 to 1", p.Rate)
	case !isShare(p.Compare):
		return fmt.Errorf("failoverproxy: WithMirror: MirrorPolicy.Compare is %v: it must be from 0 to 1", p.Compare)
	case p.MaxConcurrent < 0:
		return fmt.Errorf("failoverproxy: WithMirror: MirrorPolicy.MaxConcurrent is %d: it must be 1 or more, or 0 for %d", p.MaxConcurrent, mirrorConcurrent)
	case p.Timeout < 0:
		return fmt.Errorf("failoverproxy: WithMirror: MirrorPolicy.Timeout is %v: it must be more than 0, or 0 for %v", p.Timeout, mirrorTimeout)
	case p.Samples < 0:
		return fmt.Errorf("failoverproxy: WithMirror: MirrorPolicy.Samples is %d: it must be 1 or more, or 0 for %d", p.Samples, mirrorSamples)
	}
	return nil
}

// isShare is false for what is no number, too.
func isShare(f float64) bool { return f >= 0 && f <= 1 }

// mirror sends reads to another database. A nil one sends none.
type mirror struct {
	db     *sql.DB
	policy MirrorPolicy
	log    *slog.Logger
	timed  func(primary, mirror time.Duration) // told of each answer
	stop   context.CancelFunc
	ctx    context.Context //nolint:containedctx // of what is under way, which no call is waiting for

	mu     sync.Mutex
	closed bool          // guarded by mu
	ended  chan struct{} // closed when closed is set and nothing is under way; by who holds mu
	stats  MirrorStats   // guarded by mu
	sample [samplings]ring
}

// newMirror makes the mirror of an option that was checked; nil if nothing would ever be sent.
func newMirror(o *mirrorOption, log *slog.Logger) *mirror {
	if o == nil || o.policy.Rate == 0 {
		return nil
	}
	m := &mirror{db: o.db, policy: o.policy, log: log, timed: func(_, _ time.Duration) {}, ended: make(chan struct{})}
	if m.policy.MaxConcurrent == 0 {
		m.policy.MaxConcurrent = mirrorConcurrent
	}
	if m.policy.Timeout == 0 {
		m.policy.Timeout = mirrorTimeout
	}
	if m.policy.Samples == 0 {
		m.policy.Samples = mirrorSamples
	}
	for i := range m.sample {
		m.sample[i].limit = m.policy.Samples
	}
	m.ctx, m.stop = context.WithCancel(context.WithValue(context.Background(), mirroredKey{}, true))
	return m
}

// mirroredKey marks the context of what a mirror sends, so that no mirror sends it on.
type mirroredKey struct{}

// shadow is a read on its way to the mirror. A nil one is none.
type shadow struct {
	mirror   *mirror
	text     string
	args     []any
	prepared bool          // and has no arguments that would make the mirror prepare it
	target   topology.Role // of the program's context
	asked    time.Time
	latency  time.Duration // until the primary's answer began
	compare  bool
	result   *result // the primary's; nil if it is not to be compared
	rows     watchedRows
}

// draw makes the shadow of a statement that is about to be executed, if it is to have one.
func (m *mirror) draw(ctx context.Context, c *conn, x *exchange) *shadow {
	if m == nil || !x.reads || !drawn(m.policy.Rate) {
		return nil
	}
	if ctx.Value(mirroredKey{}) != nil {
		return nil
	}
	size := len(x.text)
	for _, a := range x.args {
		size += length(a.Value)
	}
	if size <= mirrorBytes && (!c.unmarked() || !sqlscan.Portable(x.text, c.mode)) {
		m.count(func(s *MirrorStats) { s.Ineligible++ })
		return nil
	}
	if m.policy.Match != nil && !m.matches(ctx, x.text) || !m.room(size) {
		return nil
	}
	s := &shadow{mirror: m, text: x.text, args: copied(x.args), prepared: x.prepared && len(x.args) == 0, asked: time.Now()}
	s.target, _ = ctx.Value(targetKey{}).(topology.Role)
	s.compare = drawn(m.policy.Compare)
	return s
}

// drawn decides by lot.
func drawn(share float64) bool { return share > 0 && (share >= 1 || rand.Float64() < share) }

// unmarked reports whether the session is as a new one of the mirror would be.
func (c *conn) unmarked() bool {
	return !c.inTx && !c.session.InTx() && !c.manual && c.session.Pins() == 0 && c.session.Blank()
}

// matches asks the program about a statement.
func (m *mirror) matches(ctx context.Context, text string) (yes bool) {
	defer func() {
		if p := recover(); p != nil {
			yes = false
			first := false
			m.count(func(s *MirrorStats) { s.Panics++; first = s.Panics == 1 })
			if first { // its text may quote data
				m.log.Error("failoverproxy: MirrorPolicy.Match panicked: the statement is not mirrored; later ones are counted only", "type", fmt.Sprintf("%T", p))
			}
		}
	}()
	return m.policy.Match(ctx, text)
}

// length is the size of an argument that has one.
func length(v driver.Value) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Slice { // json.RawMessage
		return r.Len()
	}
	return 0
}

// copied copies arguments: the program may change its bytes as soon as it has its rows.
func copied(args []driver.NamedValue) []any {
	values := make([]any, len(args))
	for i, a := range args {
		switch v := a.Value.(type) {
		case []byte:
			values[i] = slices.Clone(v)
		default:
			values[i] = v
			if r := reflect.ValueOf(v); r.Kind() == reflect.Slice && !r.IsNil() {
				own := reflect.MakeSlice(r.Type(), r.Len(), r.Len())
				reflect.Copy(own, r)
				values[i] = own.Interface()
			}
		}
	}
	return values
}
