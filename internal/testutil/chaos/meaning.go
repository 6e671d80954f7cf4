package chaos

import (
	"fmt"
	"slices"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// Meaning is what an error says, in words that do not depend on the driver.
type Meaning struct {
	Kind ErrorKind
	// Fate is what it says of the statement.
	Fate ledger.Fate
	// Number is a server's error number, of FromServer.
	Number uint16
}

// ErrorKind is what an error is.
type ErrorKind uint8

// The kinds of errors.
const (
	Undocumented     ErrorKind = iota // nobody told programs of such an error
	None                              // it is nil
	ContextEnded                      // the statement's own
	FromServer                        // the server's answer, as it came
	OutcomeUnknown                    // a write whose answer was lost
	TransactionLost                   // nothing of the transaction was committed
	StateLost                         // a session's temporary tables and such are gone
	Interrupted                       // after some rows
	Unavailable                       // it was not to be tried again
	GateFull                          // too many wait
	GateTimeout                       // waited too long for an instance
	BorrowTimeout                     // waited too long for a connection
	AnswerGone                        // what the last statement left is gone
	WrongTransaction                  // the transaction was over before: the program's error
)

var errorKinds = map[ErrorKind]string{
	None: "none", ContextEnded: "context ended", FromServer: "from the server", OutcomeUnknown: "outcome unknown",
	TransactionLost: "transaction lost", StateLost: "state lost", Interrupted: "interrupted", Unavailable: "unavailable",
	GateFull: "gate full", GateTimeout: "gate timeout", BorrowTimeout: "borrow timeout", AnswerGone: "answer gone",
	WrongTransaction: "transaction done",
}

func (k ErrorKind) String() string {
	if s, ok := errorKinds[k]; ok {
		return s
	}
	return "undocumented"
}

// call is one statement of the load, as far as it says which errors it may get.
type call struct {
	what  string
	class class
	start time.Time
	ends  time.Time // its context; zero = never
	rows  int       // delivered before the error
	once  bool      // it is not to be tried again
	twice bool      // it may be executed twice
	late  *time.Timer
	slack time.Duration // that the program itself may have been late
}

// class is what a statement is.
type class uint8

const (
	aRead      class = iota // in autocommit
	aWrite                  // in autocommit, or a read that locks
	aBegin                  // BEGIN, preparing, getting a connection: nothing that could have happened by halves
	inside                  // of a transaction
	aCommit                 // its end
	aRollback               // and the other end
	stateful                // of a session that has more than can be brought back
	aQuestion               // for what the last statement left
	statefulTx              // inside of a transaction of a session that has
)

// judge decides whether a call may get the error, and counts it.
func (r *run) judge(c call, err error) Meaning {
	m := Meaning{Kind: None, Fate: ledger.Acknowledged}
	now := time.Now()
	if c.late != nil {
		c.late.Stop()
	}
	if err != nil {
		m = r.rig.Explain(err)
	}
	r.count(c, m)
	ended := !c.ends.IsZero() && !now.Before(c.ends)
	if late := now.Sub(c.ends); ended && late > r.rig.obedience()+c.slack {
		r.mu.Lock()
		stack := r.stacks[c.what]
		r.mu.Unlock()
		r.violation("%s came back %v after its context had ended: %v%s", c.what, late, err, stack)
	}
	if m.Kind == None {
		return m
	}
	if complaint := r.complaint(c, m, ended); complaint != "" {
		r.wrong(complaint, fmt.Sprintf("%s after %v: %s: %v", c.what, now.Sub(c.start), complaint, err))
	}
	return m
}

// complaint says why the call must not get the error, "" if it may.
func (r *run) complaint(c call, m Meaning, ended bool) string {
	p := &r.plan.Driver
	if m.Kind == ContextEnded {
		if ended || r.ctx.Err() != nil {
			return ""
		}
		return "its context has not ended"
	}
	if m.Kind == FromServer {
		return r.serverComplaint(c, m)
	}
	// In memory an idle connection that is dead is found by using it, and then the driver
	// doubts its instance for a moment.
	dead := r.rig.Virtual && r.breaks.Load() > 0
	if r.isCalm(c.start) && !((m.Kind == Unavailable || m.Kind == GateFull) && dead) && m.Kind != AnswerGone && m.Kind != BorrowTimeout && m.Kind != WrongTransaction {
		return "all is well since long"
	}
	switch m.Kind {
	case OutcomeUnknown:
		if c.class == aRead || c.class == aBegin || c.class == inside || c.class == aRollback {
			return "no outcome can be in doubt"
		}
		return must(m, ledger.Unknown)
	case TransactionLost:
		if r.rig.Virtual && r.rollbackFailed.Load() {
			// Whose connection the server closed after that: the session that takes it over
			// from database/sql finds out only now.
			return ""
		}
		if c.class != inside && c.class != aCommit && c.class != statefulTx {
			return "there is no transaction"
		}
		return must(m, ledger.NotExecuted)
	case StateLost:
		if c.class != stateful && c.class != statefulTx {
			return "there is no state"
		}
		return ""
	case Interrupted:
		if c.rows == 0 {
			return "no row was delivered"
		}
		return ""
	case Unavailable:
		// A transaction that has answered nothing yet begins again with its first statement.
		again := c.class == aRead || c.class == aBegin || c.class == stateful || c.class == inside
		if c.once || again && (p.NoRetryReads || dead) {
			return ""
		}
		return "it is to be tried again"
	case GateFull:
		if p.GateSize < r.plan.sessions() {
			return waited(c, m)
		}
		return "the gate has room for all"
	case GateTimeout:
		if r.plan.outage() > p.FailoverTimeout {
			return waited(c, m)
		}
		return fmt.Sprintf("no outage takes %v", p.FailoverTimeout)
	case BorrowTimeout:
		if p.BorrowTimeout < longTimeout {
			return must(m, ledger.NotExecuted)
		}
		return fmt.Sprintf("nobody can have waited for %v", p.BorrowTimeout)
	case AnswerGone:
		if c.class == aQuestion {
			return ""
		}
		return "it asked nothing"
	case WrongTransaction:
		if ended {
			return ""
		}
		return "the transaction was not over"
	}
	return "no such error is documented"
}

// waited is what an error must say of a call that waited in vain. What may be executed twice
// may have been executed before.
func waited(c call, m Meaning) string {
	if c.twice && m.Fate == ledger.Unknown {
		return ""
	}
	return must(m, ledger.NotExecuted)
}

func must(m Meaning, f ledger.Fate) string {
	if m.Fate != f {
		return fmt.Sprintf("says %q, must say %q", m.Fate, f)
	}
	return ""
}

// serverComplaint is complaint for a server's own error.
func (r *run) serverComplaint(c call, m Meaning) string {
	const lockWait, deadlock = 1205, 1213
	if m.Number == lockWait || m.Number == deadlock {
		if c.class != aRead {
			return "" // of two transactions that stood in each other's way
		}
	}
	hits := r.injected(m.Number)
	if c.class == aRollback {
		r.rollbackFailed.Store(true)
	}
	switch m.Number {
	case 1040, 1203, 1053, 1927, 4031:
		return "programs do not see this error of a connection"
	case 1792:
		if hits == 0 || c.class != inside && c.class != aCommit && c.class != stateful && c.class != statefulTx { // of a transaction it may be the program's own
			return "programs do not see this refusal of a reader"
		}
		return ""
	case 1290, 1836:
		if hits < 2 && !r.pretended() { // refused twice by the same instance it is not about the role
			return "programs do not see this refusal of a reader"
		}
		return ""
	}
	if hits == 0 {
		return "nobody sent this error"
	}
	return ""
}

// pretended reports whether an instance that said that it was the writer has refused writes in
// several transactions: nobody can tell that from a refusal that is not about the role.
func (r *run) pretended() bool {
	if !slices.ContainsFunc(r.plan.Steps, func(s Step) bool { return s.Failover != nil && s.Failover.BelievesWriter > 0 }) {
		return false
	}
	refusals := make(map[string]int) // by instance
	for _, relay := range r.sim.Relays(nil) {
		if relay.Err == 1290 && relay.Sent {
			if refusals[relay.Instance]++; refusals[relay.Instance] == 2 {
				return true
			}
		}
	}
	return false
}

// outage is for how long the plan may leave programs without a writer.
func (p Plan) outage() time.Duration {
	notice := 2*p.Driver.ProbeInterval + 2*p.Driver.StallTimeout + 4*p.Driver.ProbeTimeout
	var longest, begin, end, promoted time.Duration
	for _, s := range p.Steps { // in the order of their times
		if s.At > end {
			begin = s.At
		}
		late := max(promoted-s.At, 0)
		if s.Failover == nil {
			late = 0
		} else { // they come one after the other
			promoted = max(promoted, s.At) + s.Failover.PromoteAfter
		}
		end = max(end, s.end()+late+notice)
		longest = max(longest, end-begin)
	}
	return longest
}
