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
	ReasonSuperseded                   // the cluster names another writer
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

// EventKind says what happened in the cluster.
type EventKind uint8

// What happens in clusters.
const (
	InstanceAdded     EventKind = iota // it appeared
	InstanceRemoved                    // it is gone
	InstanceUp                         // it answers (again)
	InstanceSuspected                  // a fault was met on it
	InstanceDown                       // it does not answer
	WriterLost                         // the writer is suspected, down or no writer any more
	WriterBack                         // the same writer answered as writer
	WriterChanged                      // another instance is the writer, or the first one was found
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
	case WriterLost:
		return "writer lost"
	case WriterBack:
		return "writer back"
	case WriterChanged:
		return "writer changed"
	}
	return "unknown"
}

// Event is one change between two snapshots.
type Event struct {
	Kind     EventKind
	Instance string
	Reason   Reason // of InstanceSuspected
	Cause    error  // of InstanceDown; may be nil
}

// String is the event in words.
func (e Event) String() string {
	switch {
	case e.Kind == InstanceSuspected:
		return fmt.Sprintf("%s: %s (%s)", e.Kind, e.Instance, e.Reason)
	case e.Cause != nil:
		return fmt.Sprintf("%s: %s (%v)", e.Kind, e.Instance, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Kind, e.Instance)
}
