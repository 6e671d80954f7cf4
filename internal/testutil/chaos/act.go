package chaos

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// Act is what a step does.
type Act string

// The acts. The first ones last until their step is over, the next hit one statement.
const (
	Refuse        Act = "refuse connections"
	BlackHole     Act = "black hole"
	AcceptSilent  Act = "accept and stay silent"
	Freeze        Act = "freeze"
	TooMany       Act = "too many connections"
	Delay         Act = "delay"
	NoName        Act = "name does not exist"
	WrongName     Act = "name leads to another instance"
	DenyView      Act = "view denied"
	HoldView      Act = "view held"
	BelieveWriter Act = "believes to be the writer"
	Mute          Act = "mute the answer"
	MuteAfter     Act = "mute after packets"
	Crash         Act = "crash"
	AllDown       Act = "everything is down"

	Cut        Act = "cut after packets"
	Swallow    Act = "swallow the answer"
	Error      Act = "error, then close"
	ErrorAfter Act = "error after packets"

	Reset    Act = "reset connections"
	Close    Act = "close connections"
	Goodbye  Act = "goodbye"
	Failover Act = "failover"
)

// scene is where steps happen.
type scene struct {
	sim  *aurorasim.Cluster
	user string
	hits func(n int, f *aurorasim.Fault) // told of every fault with an error's number
}

// do carries a step out: it begins, lasts and is over when do returns, but for what
// a failover leaves to the background. Faults for one statement stay until the end of the
// run if they have hit none.
func (s scene) do(ctx context.Context, step Step) {
	target := s.target(step.On)
	if target == nil {
		return
	}
	undo := s.begin(ctx, step, target)
	if step.For > 0 {
		sleep(ctx, step.For)
	}
	if undo != nil {
		undo()
	}
}

// target finds the instance that is meant now.
func (s scene) target(on string) *aurorasim.Instance {
	all := s.sim.Instances()
	switch on {
	case "writer", "endpoint":
		if w := s.sim.Writer(); w != nil {
			return w
		}
		return all[0]
	case "reader":
		for n := range all {
			if i := all[len(all)-1-n]; !i.Writer() && i.Up() {
				return i
			}
		}
		return all[len(all)-1]
	case "":
		return all[0]
	}
	n, err := strconv.Atoi(on)
	if err != nil || n < 1 || n > len(all) {
		return nil
	}
	return all[n-1]
}

// begin begins a step and returns what ends it, nil if nothing does.
func (s scene) begin(ctx context.Context, step Step, i *aurorasim.Instance) (undo func()) {
	match := step.Aim.match(step.Skip)
	text := fmt.Sprintf("error %d of the plan", step.N)
	var f *aurorasim.Fault
	switch step.Act {
	case Refuse:
		return i.Refuse().Clear
	case BlackHole:
		return i.BlackHole().Clear
	case AcceptSilent:
		return i.AcceptSilent().Clear
	case Freeze:
		return i.Freeze().Clear
	case TooMany:
		f = i.TooManyConnections()
	case Delay:
		return i.Delay(time.Duration(step.N)*time.Millisecond, match).Clear
	case NoName:
		return s.sim.NXDomain(s.host(step.On, i)).Clear
	case WrongName:
		all := s.sim.Instances()
		host := s.host(step.On, i)
		s.sim.SetDNS(host, all[step.N%len(all)].ID)
		return func() { s.sim.SetDNS(host) }
	case DenyView:
		return s.sim.DenyView(s.user).Clear
	case HoldView:
		return i.HoldView().Clear
	case BelieveWriter:
		if i.Writer() {
			return nil
		}
		return i.BelieveWriter().Clear
	case Mute, MuteAfter:
		if step.Act == Mute {
			f = i.MuteAnswer(match)
		} else {
			f = i.MuteAfter(step.N, match)
		}
		// A connection that stays silent on an instance that is well looks like a long query:
		// nobody but its owner can know. So it ends.
		return func() { f.Clear(); i.ResetConnections() }
	case Crash, AllDown:
		return s.down(ctx, step.Act == AllDown, i)
	case Cut:
		f = i.CutAfter(step.N, match)
	case Swallow:
		f = i.SwallowAnswer(match)
	case Error:
		f = i.ErrorThenClose(uint16(step.N), text, match)
	case ErrorAfter:
		f = i.ErrorAfter(packetsBeforeError, uint16(step.N), text, match)
	case Reset:
		i.ResetConnections()
	case Close:
		i.CloseConnections()
	case Goodbye:
		i.Goodbye(uint16(step.N), text)
	case Failover:
		_ = s.sim.Failover(ctx, *step.Failover) // nobody there to promote: then it is none
	}
	if f != nil {
		s.hits(step.N, f)
		if step.Act == TooMany {
			return f.Clear
		}
	}
	return nil
}

// packetsBeforeError is within the rows of a result.
const packetsBeforeError = 6

// down crashes an instance, or all. They come back in place: who was the writer is it
// again.
func (s scene) down(ctx context.Context, all bool, i *aurorasim.Instance) (undo func()) {
	writer := s.sim.Writer()
	instances := []*aurorasim.Instance{i}
	if all {
		instances = s.sim.Instances()
	}
	for _, i := range instances {
		_ = i.Crash(ctx)
	}
	return func() {
		for _, i := range instances {
			_ = i.Return()
		}
		if writer != nil && s.sim.Writer() == nil {
			_ = s.sim.Promote(ctx, writer.ID)
		}
	}
}

// host is the name that a step is about.
func (s scene) host(on string, i *aurorasim.Instance) string {
	name := i.Endpoint()
	if on == "endpoint" {
		name = s.sim.Endpoint()
	}
	host, _, _ := strings.Cut(name, ":")
	return host
}

// sleep lets time pass, or ctx end.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
