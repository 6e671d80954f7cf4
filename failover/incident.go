package failover

import (
	"fmt"
	"strings"
	"time"
)

// Incident is the record of one failover, from the first suspicion of the writer to
// recovery. A suspicion that came to nothing is one, too: statements waited for it.
// Times that have not come are zero.
type Incident struct {
	Number  uint64 // counts a connector's incidents from 1
	Trigger string // what began it, such as "connection lost"
	Old     string // instance that was the writer
	New     string // instance that is it now; "" = none yet, or the same
	Epoch   uint64 // under which the writer in force took the role

	Start     time.Time // the trigger was noticed
	Confirmed time.Time // the old writer was known to be down, or to be no writer any more; zero = it was well
	Restored  time.Time // there was a writer to use again, and the gate opened
	End       time.Time // the last statement that had met it was answered

	Statements Fates
	// Timeline is what happened, in order. It begins with the last probe before Start, from
	// which the delay of a fpProbeInterval can be seen. Do not change it.
	Timeline []Moment
	// Omitted counts the moments of which there were too many.
	Omitted int
}

// Outage is for how long there was no writer to use: from Start to Restored, or to End
// if it ended without. 0 while it goes on.
func (i Incident) Outage() time.Duration {
	switch {
	case !i.Restored.IsZero():
		return i.Restored.Sub(i.Start)
	case !i.End.IsZero():
		return i.End.Sub(i.Start)
	}
	return 0
}

// Fates counts the statements that met an incident by what became of them.
type Fates struct {
	Reexecuted uint64 // executed again, with success
	Waited     uint64 // waited, were executed once, with success
	Lost       uint64 // failed with their transaction (ErrTransactionLost) or session (ErrSessionStateLost)
	InDoubt    uint64 // failed with ErrOutcomeUnknown
	Failed     uint64 // failed with anything else
	Cancelled  uint64 // the caller's context ended
}

// Fate is one of them.
type Fate uint8

// The fates of statements.
const (
	FateReexecuted Fate = iota
	FateWaited
	FateLost
	FateInDoubt
	FateFailed
	FateCancelled
)

func (f *Fates) add(fate Fate) {
	switch fate {
	case FateReexecuted:
		f.Reexecuted++
	case FateWaited:
		f.Waited++
	case FateLost:
		f.Lost++
	case FateInDoubt:
		f.InDoubt++
	case FateFailed:
		f.Failed++
	case FateCancelled:
		f.Cancelled++
	}
}

// Total is how many statements met the incident.
func (f Fates) Total() uint64 {
	return f.Reexecuted + f.Waited + f.Lost + f.InDoubt + f.Failed + f.Cancelled
}

// String lists them: "12 re-executed, 40 waited, 2 lost, 1 in doubt, 0 failed, 0 cancelled".
func (f Fates) String() string {
	return fmt.Sprintf("%d re-executed, %d waited, %d lost, %d in doubt, %d failed, %d cancelled",
		f.Reexecuted, f.Waited, f.Lost, f.InDoubt, f.Failed, f.Cancelled)
}

// Moment is something that happened in an incident. The same answer of an instance to
// one probe after another is one Moment.
type Moment struct {
	At       time.Time     // the first time
	Last     time.Time     // the last time
	Count    int           // how often, at least 1
	Instance string        // "" = none in particular
	What     string        // "probe", "gate opened", or the name of a [topology.EventKind]
	Detail   string        // the reason, or the answer
	Took     time.Duration // of a probe: the longest
}

// String tells it without the time: "probe instance-1: refused (×3, ≤ 2ms)".
func (m Moment) String() string {
	s := m.What
	if m.Instance != "" {
		s += " " + m.Instance
	}
	if m.Detail != "" {
		s += ": " + m.Detail
	}
	switch {
	case m.What != momentProbe:
	case m.Count > 1:
		s += fmt.Sprintf(" (×%d until %s, ≤ %s)", m.Count, m.Last.Format(clock), short(m.Took))
	default:
		s += fmt.Sprintf(" (%s)", short(m.Took))
	}
	return s
}

const clock = "15:04:05.000"

// String is the whole incident on one line, to be pasted into a report.
func (i Incident) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "incident %d at %s: writer %s: %s", i.Number, i.Start.Format(time.RFC3339Nano), i.Old, i.Trigger)
	since := func(what string, t time.Time) {
		if !t.IsZero() {
			fmt.Fprintf(&b, "; %s after %s", what, short(t.Sub(i.Start)))
		}
	}
	since("confirmed", i.Confirmed)
	switch {
	case i.Restored.IsZero():
		b.WriteString("; no writer yet")
	case i.New != "":
		since("writer "+i.New, i.Restored)
	default:
		since("the same writer", i.Restored)
	}
	since("recovered", i.End)
	fmt.Fprintf(&b, "; statements: %s", i.Statements)
	for n, m := range i.Timeline {
		sep := ", "
		if n == 0 {
			sep = "; "
		}
		fmt.Fprintf(&b, "%s%s %s", sep, offset(m.At.Sub(i.Start)), m)
	}
	if i.Omitted > 0 {
		fmt.Fprintf(&b, ", %d more", i.Omitted)
	}
	return b.String()
}

func short(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

func offset(d time.Duration) string {
	if d < 0 {
		return "-" + short(-d).String()
	}
	return "+" + short(d).String()
}
