package program

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// Program is a list of steps, with what they need of the server.
type Program struct {
	Seed   uint64
	Flavor mysqld.Flavor
	Steps  []Step

	held int // sessions that may hold something at a time
}

// Step is one operation of one session.
type Step struct {
	Session int
	Kind    Kind
	Act     Act
	Text    string
	Args    []any
	Handle  int           // of a prepared statement, for the acts that have to do with one
	Options sql.TxOptions // of ActBegin

	Asks  Asks     // what the step wants to know of an earlier one
	Takes []string // what the session may hold from here on
	Ends  []string // what it no longer holds, whatever the step's answer; ended before taken
	Group int      // steps of a group other than 0 make sense together only
}

// Act is how a step is executed.
type Act uint8

const (
	ActExec        Act    = iota // Text, with Args if there are any
	ActQuery                     // the same, for its rows
	ActGlance                    // ActQuery that reads one row and closes the rest
	ActPrepare                   // Text, as Handle
	ActStmtExec                  // Handle, with Args
	ActStmtQuery                 // the same, for its rows
	ActStmtClose                 // Handle
	ActBegin                     // Conn.BeginTx
	ActCommit                    // Tx.Commit
	ActRollback                  // Tx.Rollback
	ActPing                      // Conn.Ping
	ActCancel                    // ActQuery whose context is cancelled while it runs
	ActCancelled                 // ActQuery with a context that is over already
	ActClose                     // Conn.Close; the session's next step is that of a new one
	ActAbandon                   // the same by driver.ErrBadConn
	numberOfActs   = iota        //
	heldWithoutEnd = "session"
)

var actNames = [numberOfActs]string{
	"exec", "query", "glance", "prepare", "stmt.exec", "stmt.query", "stmt.close", "begin", "commit", "rollback",
	"ping", "cancel", "cancelled", "close", "abandon",
}

func (a Act) String() string { return actNames[a] }

// Asks is a kind of question.
type Asks uint8

const (
	AsksNothing  Asks = iota
	AsksPrevious      // what the session's previous statement left: warnings, counters
	AsksID            // the last insert id, which lives longer
	AsksWarnings      // warnings on MariaDB, where they outlive statements without tables
)

// String is the step as a line of a program.
func (s Step) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%d] %s", s.Session, s.Act)
	switch s.Act {
	case ActPrepare, ActStmtExec, ActStmtQuery, ActStmtClose:
		fmt.Fprintf(&b, " #%d", s.Handle)
	case ActBegin:
		fmt.Fprintf(&b, " %s readonly=%t", s.Options.Isolation, s.Options.ReadOnly)
	default:
	}
	if s.Text != "" {
		if strings.ContainsAny(s.Text, "\n\t") {
			fmt.Fprintf(&b, " %q", s.Text)
		} else {
			b.WriteString(" " + s.Text)
		}
	}
	for _, a := range s.Args {
		fmt.Fprintf(&b, " | %#v", a)
	}
	return b.String()
}

// String is the program as text, one step a line.
func (p Program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "program of seed %d for %s, %d steps:", p.Seed, p.Flavor, len(p.Steps))
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "\n%4d %s", i, s)
	}
	return b.String()
}

// holds is what the sessions of a program may hold.
type holds map[int][]string

// apply follows a step.
func (h holds) apply(s Step) {
	if s.Act == ActClose || s.Act == ActAbandon {
		delete(h, s.Session)
		return
	}
	have := slices.DeleteFunc(h[s.Session], func(name string) bool { return slices.Contains(s.Ends, name) })
	for _, name := range s.Takes {
		if !slices.Contains(have, name) {
			have = append(have, name)
		}
	}
	if h[s.Session] = have; len(have) == 0 {
		delete(h, s.Session)
	}
}

// valid reports whether a program can be run over three connections: whether its
// sessions never hold more than they may, and no group is torn.
func (p Program) valid() bool {
	h := make(holds)
	for _, s := range p.Steps {
		if h.apply(s); len(h) > p.held {
			return false
		}
	}
	return true
}

// excused reports whether the answer to step i's question may be gone: whether another
// session has had a step since what it asks for, or there is nothing to ask for yet.
func (p Program) excused(i int, want Transcript) bool {
	s := p.Steps[i]
	if s.Asks == AsksNothing {
		return false
	}
	for j := i - 1; j >= 0; j-- {
		before := p.Steps[j]
		if before.Session == s.Session && before.maySendNothing() {
			continue
		}
		if (before.Act == ActPrepare || strings.HasPrefix(strings.ToUpper(before.Text), "DO ")) && s.Asks != AsksID {
			return true // it leaves nothing behind, or what servers differ in
		}
		if before.Session != s.Session || before.Act == ActClose || before.Act == ActAbandon {
			return true
		}
		if s.Asks == AsksID && before.setsID() && strings.HasPrefix(want[j], "error") {
			continue // it took no number
		}
		if before.Session == s.Session && s.Asks == AsksID && before.Kind == KindInsert && !before.setsID() {
			return true // it may have failed after it took a number
		}
		// An id outlives statements that set none; questions that got no answer leave
		// nothing to be asked for.
		if before.Asks == AsksNothing && (s.Asks == AsksPrevious || s.Asks == AsksID && before.setsID() || s.Asks == AsksWarnings && before.Kind == KindInsert) {
			return false
		}
	}
	return true
}

// maySendNothing reports whether the step may end in the client, or leave what it found.
func (s Step) maySendNothing() bool {
	switch s.Act {
	case ActStmtClose, ActPing, ActCancelled, ActCommit, ActRollback, ActStmtExec, ActStmtQuery:
		return true // the last two if the statement could not be prepared
	default:
		return len(s.Args) > 0 && strings.Count(s.Text, "?") != len(s.Args)
	}
}

// setsID reports whether the step replaces the session's last insert id for sure.
func (s Step) setsID() bool { return s.Kind == KindInsert && simpleInsert.MatchString(s.Text) }

// simpleInsert cannot fail after it took a number: then it might have set the id, and
// nobody would be told.
var simpleInsert = regexp.MustCompile(`^INSERT INTO \w+\.\w+ \(k\) VALUES \(\d+\)$`)

// Coverage counts the steps by kind.
func (p Program) Coverage() map[Kind]int {
	n := make(map[Kind]int)
	for _, s := range p.Steps {
		n[s.Kind]++
	}
	return n
}
