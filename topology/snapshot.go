package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role is what an instance is for.
type Role uint8

// The zero value says that an instance's role is not known, or that it claims to be
// the writer and is not: it must not be used for anything.
const (
	Unknown Role = iota
	Writer
	Reader
)

// String returns "unknown", "writer" or "reader".
func (r Role) String() string {
	switch r {
	case Writer:
		return "writer"
	case Reader:
		return "reader"
	default:
		return "unknown"
	}
}

// State is whether an instance can be used.
type State uint8

// The zero value says that nobody has asked it yet.
const (
	StateUnknown State = iota // never asked, and nobody reports of it
	StateUp                   // answered, or reported by the writer, and nothing heard against it since
	StateSuspect              // a fault was met on it; a probe is to decide
	StateDown                 // a probe failed
)

// String returns "unknown", "up", "suspect" or "down".
func (s State) String() string {
	switch s {
	case StateUp:
		return "up"
	case StateSuspect:
		return "suspect"
	case StateDown:
		return "down"
	default:
		return "unknown"
	}
}

// Instance is one database server of the cluster, as of a snapshot.
type Instance struct {
	// ID is the cluster's own name for it; its address under the static provider.
	ID string
	// Addr is host:port or a socket's path.
	Addr  string
	Role  Role
	State State
	// Lag is how far a reader is behind, as it was reported last; only if LagKnown. What
	// nobody has reported anew for three polls (of Config.Interval, 3 s at least) is not
	// known any more.
	Lag      time.Duration
	LagKnown bool
	// LagSeen is when it was reported last, by the clock of this process; zero = never.
	LagSeen time.Time
	// CPU is its load in percent as reported last; 0 if not known.
	CPU float64
	// ReadOnly is whether it called itself read-only last; false before it was asked.
	ReadOnly bool
	// Drained: no new work is to go to it, by [Monitor.Drain].
	Drained bool
	// Held: no new work is to go to it, as a blue/green switchover is under way.
	Held bool
	// Since is the epoch in which it last took or lost a role, changed its address or
	// came back. What was met in an earlier epoch says nothing about it.
	Since uint64
	// Verified is the ticket of the newest probe that it answered itself; 0 = none.
	// Tickets order probes, by their beginning, and suspicions.
	Verified uint64

	reached bool      // its own address has led to it at least once
	heard   uint64    // ticket of the newest probe that it answered anywhere
	doubt   uint64    // ticket of the newest suspicion; only a later probe ends it
	reasons reasonSet // met since it became a suspect
	row     Member    // its newest row in a status table

	// What its claims to be the writer are weighed by: see claim.go.
	term      uint64    // which reign it holds or held last; 0 = none that it has not ended itself
	proof     time.Time // the status table's newest time at which it was named the writer
	acceded   time.Time // proof with which its claim was believed last
	named     time.Time // newest time at which a third instance named it the writer, since the last accession
	claim     time.Time // time of its last claim that was not believed
	pretends  bool      // its last answer was a claim that was not believed
	contested bool      // it is the writer and must repeat its claim: another one claims, too

	// The same where there is no status table: see succession.go.
	lineage *Lineage // as of its last answer; nil = none
	behind  lateness // behind those that it replicates from, whoever they are
	said    Role     // its own word in its last answer
	risen   bool     // it claims, and there was an answer before in which it did not
	deposed bool     // it claims, and another one became the writer since it was
}

// Snapshot is an immutable view of the cluster. Nil is a valid snapshot of nothing.
type Snapshot struct {
	// Epoch grows on every change of writer or membership: another writer, the loss
	// of one (it was found down or is a reader now; not a mere suspicion), one that is
	// back after that, an instance more or less, another address.
	Epoch uint64
	// Version grows on every change that hooks are told of.
	Version uint64
	// Provider is the name of the provider that found the cluster.
	Provider string
	// Instances are sorted by ID. Do not change them.
	Instances []Instance

	writer     int       // index of the instance with the writer's role; -1 = none
	lastWriter string    // ID of the newest instance that was the usable writer
	terms      uint64    // reigns counted so far
	view       time.Time // the status table's time of the newest list of instances
	hinted     time.Time // the status table's time of the newest hint that was followed
	disputed   string    // what was last said about claims that are not believed
	held       bool      // a blue/green switchover is under way
}

// Writer returns the usable writer: it has the role, is up and neither drained nor held. Nil
// if there is none.
func (s *Snapshot) Writer() *Instance {
	if s == nil || s.writer < 0 || len(s.Instances) == 0 || !s.Instances[s.writer].usable() {
		return nil
	}
	return &s.Instances[s.writer]
}

func (in *Instance) usable() bool { return in.State == StateUp && !in.Drained && !in.Held }

// LastWriter returns the ID of the instance that is the usable writer or was it
// last, "" if there never was one.
func (s *Snapshot) LastWriter() string {
	if s == nil {
		return ""
	}
	return s.lastWriter
}

// Lookup returns the instance with that ID, nil if there is none.
func (s *Snapshot) Lookup(id string) *Instance {
	if i := s.index(id); i >= 0 {
		return &s.Instances[i]
	}
	return nil
}

func (s *Snapshot) index(id string) int {
	if s == nil {
		return -1
	}
	i, ok := slices.BinarySearchFunc(s.Instances, id, func(in Instance, id string) int { return cmp.Compare(in.ID, id) })
	if !ok {
		return -1
	}
	return i
}

// String is one line for logs: "epoch 3: instance-1 writer up, instance-2 reader up".
func (s *Snapshot) String() string {
	if s == nil {
		return "no snapshot"
	}
	parts := make([]string, len(s.Instances))
	for i, in := range s.Instances {
		parts[i] = fmt.Sprintf("%s %s %s", in.ID, in.Role, in.State)
		if in.Drained {
			parts[i] += " drained"
		}
		if in.Held {
			parts[i] += " held"
		}
	}
	return fmt.Sprintf("epoch %d: %s", s.Epoch, strings.Join(parts, ", "))
}
