package topology

import "fmt"

// Reason says why an instance is suspected.
type Reason uint8

// The reasons.
const (
	ReasonConnectionLost Reason = iota // a connection broke under a statement
	ReasonConnect                      // no connection could be made
	ReasonReadOnly                     // it refused a write as the writer
	ReasonGoodbye                      // it said that it shuts down
	ReasonSilence                      // it sent nothing though answers were due
	ReasonSuperseded                   // another instance is the writer, or says so
)

// String names the reason for logs.
func (r Reason) String() string {
	switch r {
	case ReasonConnectionLost:
		return "connection lost"
	case ReasonConnect:
		return "cannot connect"
	case ReasonReadOnly:
		return "refused a write"
	case ReasonGoodbye:
		return "said goodbye"
	case ReasonSilence:
		return "silent"
	case ReasonSuperseded:
		return "superseded"
	}
	return "unknown"
}

// reasonSet is a set of reasons, one bit each.
type reasonSet uint8

func (s reasonSet) has(r Reason) bool { return s&(1<<r) != 0 }

// unreachable reports whether one of the reasons says that connections to the
// instance do not work. Then an old one that does is no proof. About silence a probe
// of its own decides, over a fresh connection: see Monitor.Silence.
func (s reasonSet) unreachable() bool { return s.has(ReasonConnect) }

// EventKind says what happened in the cluster.
type EventKind uint8

// What happens in clusters.
const (
	InstanceAdded     EventKind = iota // it appeared
	InstanceRemoved                    // it is gone
	InstanceUp                         // it answers (again)
	InstanceSuspected                  // a fault was met on it
	InstanceDown                       // it does not answer
	InstanceDrained                    // an operator takes it out of use
	InstanceUndrained                  // it may be used again
	WriterLost                         // the writer is suspected, down, drained or no writer any more
	WriterBack                         // the same writer answered as writer
	WriterChanged                      // another instance is the writer, or the first one was found
	ProviderChosen                     // the kind of the cluster is known; comes once, first
	BlueGreen                          // a blue/green deployment has another phase; Detail says which
	Warning                            // something is not as it should be; Detail says what
)

// String names the event for logs.
func (k EventKind) String() string {
	switch k {
	case InstanceAdded:
		return "instance added"
	case InstanceRemoved:
		return "instance removed"
	case InstanceUp:
		return "instance up"
	case InstanceSuspected:
		return "instance suspected"
	case InstanceDown:
		return "instance down"
	case InstanceDrained:
		return "instance drained"
	case InstanceUndrained:
		return "instance undrained"
	case WriterLost:
		return "writer lost"
	case WriterBack:
		return "writer back"
	case WriterChanged:
		return "writer changed"
	case ProviderChosen:
		return "topology chosen"
	case BlueGreen:
		return "blue/green deployment"
	case Warning:
		return "topology warning"
	}
	return "unknown"
}

// Event is one change between two snapshots.
type Event struct {
	Kind     EventKind
	Instance string // its ID; "" of ProviderChosen, BlueGreen and of warnings about the whole cluster
	Reason   Reason // of InstanceSuspected
	Cause    error  // of InstanceDown and Warning; may be nil
	Detail   string // of ProviderChosen, BlueGreen and Warning
}

// String is the event in words.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Instance != "" {
		s += ": " + e.Instance
	}
	switch {
	case e.Kind == InstanceSuspected:
		return fmt.Sprintf("%s (%s)", s, e.Reason)
	case e.Detail != "" && e.Cause != nil:
		return fmt.Sprintf("%s: %s (%v)", s, e.Detail, e.Cause)
	case e.Detail != "":
		return s + ": " + e.Detail
	case e.Cause != nil:
		return fmt.Sprintf("%s (%v)", s, e.Cause)
	}
	return s
}
