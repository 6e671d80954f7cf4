package aurorasim

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Statement is a command that a client sent to an instance.
type Statement struct {
	Instance string
	Conn     uint32 // the connection's number, as in its greeting and CONNECTION_ID()
	User     string
	Received time.Time // when the instance read it; it may be held back before it is relayed
	Command  wire.Command
	// SQL is the text of a query or a prepare, and of an execution that of the
	// statement it executes. Empty for other commands.
	SQL string
	// Args are the parameters of an execution, as wire.Execute has them.
	Args []any
}

// Executes tells whether the command runs SQL, and does not only prepare it.
func (s Statement) Executes() bool {
	return s.Command == wire.ComQuery || s.Command == wire.ComStmtExecute
}

// Match chooses statements. It must be safe for concurrent use, and must not call
// methods of the cluster.
type Match func(Statement) bool

// Any matches every statement that runs SQL.
func Any(s Statement) bool { return s.Executes() }

// SQL matches executions of exactly this text. With args, only those with these
// parameters, compared as fmt prints them.
func SQL(text string, args ...any) Match {
	return func(s Statement) bool {
		if !s.Executes() || s.SQL != text || len(args) > 0 && len(args) != len(s.Args) {
			return false
		}
		for i, arg := range args {
			if fmt.Sprint(arg) != fmt.Sprint(s.Args[i]) {
				return false
			}
		}
		return true
	}
}

// Logins matches the client's answer to the greeting: a fault hits what the server says
// to that, be it one packet or several. What is made of logins is not logged.
func Logins(s Statement) bool { return s.Command == wire.ComConnect }

// Contains matches executions of texts that contain part.
func Contains(part string) Match {
	return func(s Statement) bool { return s.Executes() && strings.Contains(s.SQL, part) }
}

// Commits matches COMMIT.
func Commits(s Statement) bool {
	if !s.Executes() {
		return false
	}
	tokens := lex(s.SQL, true)
	return len(tokens) > 0 && tokens[0].is("COMMIT")
}

// Relay is what became of a statement.
type Relay struct {
	Statement
	// Seq orders relays and events of the cluster by when they happened; of a
	// relayed statement that is just before it went to the upstream.
	Seq  uint64
	Time time.Time
	// Sent tells whether the statement, or a part of it, went to the upstream.
	Sent bool
	// Answered tells whether an answer went back to the client, all of it.
	Answered bool
	// Local tells whether that was the instance's own answer: a refusal, the
	// topology, an injected error.
	Local bool
	// Err is the error number of the answer, 0 if it was none.
	Err uint16
}

// EventKind says what happened to an instance or to the cluster.
type EventKind string

// The kinds of events.
const (
	EventFailover EventKind = "failover"    // a script began
	EventCrash    EventKind = "crash"       // connections broken, new ones refused
	EventFreeze   EventKind = "freeze"      // sockets open and silent
	EventDemote   EventKind = "demote"      // takes no writes from now on
	EventFence    EventKind = "fence"       // its threads are gone from the upstream
	EventPromote  EventKind = "promote"     // takes writes from now on
	EventReturn   EventKind = "return"      // up again
	EventDNS      EventKind = "dns"         // the endpoints' names point elsewhere
	EventFault    EventKind = "fault"       // a fault was set
	EventClear    EventKind = "fault ended" // and ended
)

// Event is something that happened.
type Event struct {
	Seq      uint64 // see Relay.Seq
	Time     time.Time
	Kind     EventKind
	Instance string // empty if it is about the cluster
	Text     string // details for people
}

func (e Event) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s",
		e.Time.Format("15:04:05.000"), e.Kind, e.Instance, e.Text))
}

// maxEvents bounds what Events remembers.
const maxEvents = 10_000

// journal remembers relays and events in one order.
type journal struct {
	discard bool
	onEvent func(Event)

	mu          sync.Mutex
	seq         uint64
	relays      []*Relay
	events      []Event
	queue       []Event // for onEvent
	dispatching bool
	promotedAt  time.Time
}

// add logs a statement at its moment of decision. It gives nil if relays are not
// kept; the other methods take that.
func (j *journal) add(s Statement, sent bool) *Relay {
	if j.discard {
		return nil
	}
	s.SQL = strings.Clone(s.SQL) // it may stand in a buffer of the connection
	r := &Relay{Statement: s, Time: time.Now(), Sent: sent}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	r.Seq = j.seq
	j.relays = append(j.relays, r)
	return r
}

func (j *journal) answered(r *Relay, errno uint16, local bool) {
	if r == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r.Answered, r.Err, r.Local = true, errno, local
}

// lost takes answered back: the answer did not get through.
func (j *journal) lost(r *Relay) {
	if r == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r.Answered = false
}

func (j *journal) event(kind EventKind, instance, format string, args ...any) {
	j.record(kind, instance, fmt.Sprintf(format, args...))
	j.dispatch()
}

// record logs an event at this moment. Whoever holds no lock then calls dispatch.
func (j *journal) record(kind EventKind, instance, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e := Event{Seq: j.seq, Time: time.Now(), Kind: kind, Instance: instance, Text: text}
	if len(j.events) == maxEvents {
		j.events = append(j.events[:0], j.events[maxEvents/2:]...)
	}
	j.events = append(j.events, e)
	if kind == EventPromote {
		j.promotedAt = e.Time
	}
	if j.onEvent != nil {
		j.queue = append(j.queue, e)
	}
}

// dispatch calls onEvent for what is queued, in order: while one goroutine does,
// others leave it to that one.
func (j *journal) dispatch() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dispatching {
		return
	}
	j.dispatching = true
	for len(j.queue) > 0 {
		next := j.queue[0]
		j.queue = j.queue[1:]
		j.mu.Unlock()
		j.onEvent(next)
		j.mu.Lock()
	}
	j.dispatching = false
}

func (j *journal) find(m Match) []Relay {
	j.mu.Lock()
	all := make([]Relay, len(j.relays))
	for i, r := range j.relays {
		all[i] = *r
	}
	j.mu.Unlock()
	found := all[:0]
	for _, r := range all {
		if m == nil || m(r.Statement) {
			found = append(found, r)
		}
	}
	return found
}

// Relays returns what became of the statements that m matches (nil = all), in
// the order in which they were relayed or refused. Statements that are still
// held back (frozen, delayed) are not in it yet.
func (c *Cluster) Relays(m Match) []Relay { return c.journal.find(m) }

// Seen returns what became of the executions of exactly this text.
func (c *Cluster) Seen(text string) []Relay { return c.journal.find(SQL(text)) }

// Count is the number of times that statements which m matches (nil = all) went
// to the upstream.
func (c *Cluster) Count(m Match) int {
	n := 0
	for _, r := range c.journal.find(m) {
		if r.Sent {
			n++
		}
	}
	return n
}

// ResetLog forgets all relays and events.
func (c *Cluster) ResetLog() {
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	c.journal.relays, c.journal.events = nil, nil
}

// Events returns what happened to the cluster, oldest first: at most the last
// several thousand events.
func (c *Cluster) Events() []Event {
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	return append([]Event(nil), c.journal.events...)
}

// PromotedAt is the moment of the newest promotion: since then that writer takes
// writes. It is zero before the first failover.
func (c *Cluster) PromotedAt() time.Time {
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	return c.journal.promotedAt
}
