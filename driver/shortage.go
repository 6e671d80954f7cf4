package driver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// shortage says why there is no instance for what a statement waited for: for its error.
func (cl *cluster) shortage(role topology.Role) string {
	s := cl.monitor.Snapshot()
	if role == topology.Writer {
		return "no writer: " + s.String()
	}
	var readers []string
	for i := range s.Instances {
		if in := &s.Instances[i]; in.Role != topology.Writer {
			readers = append(readers, in.ID+" "+cl.unfit(in))
		}
	}
	text := "no reader: "
	if role == topology.Unknown {
		text = "neither a writer nor a reader: "
	}
	if len(readers) == 0 {
		return text + "the cluster has none"
	}
	return text + strings.Join(readers, ", ")
}

// unfit is why an instance that is not the writer gets no reads.
func (cl *cluster) unfit(in *topology.Instance) string {
	switch {
	case in.Drained:
		return "is drained"
	case in.State != topology.StateUp:
		return "is " + in.State.String()
	case in.Role != topology.Reader:
		return "is no reader"
	case !in.LagKnown:
		return "has no known lag"
	default:
		return fmt.Sprintf("is %s behind", in.Lag)
	}
}

// missReaders warns, once, when the writer answers what is meant for readers that are up, because
// nobody says how far they are behind. That is how a missing privilege shows, or a topology that
// cannot know it, and nothing else would tell. For the first polls it is not known anywhere.
func (cl *cluster) missReaders(s *topology.Snapshot) {
	since := cl.missed.Load()
	missed := slices.ContainsFunc(s.Instances, func(in topology.Instance) bool {
		return in.Role == topology.Reader && in.State == topology.StateUp && !in.Drained
	})
	known := slices.ContainsFunc(s.Instances, func(in topology.Instance) bool { return in.Role == topology.Reader && in.LagKnown })
	if since < 0 || !missed || known {
		return
	}
	now := time.Now().UnixNano()
	if since == 0 {
		cl.missed.CompareAndSwap(0, now)
		return
	}
	if now-since <= int64(3*cl.cfg.ProbeInterval) || !cl.missed.CompareAndSwap(since, -1) {
		return
	}
	cl.log.Warn("failoverproxy: the writer answers what is meant for readers, as nobody says how far they are behind: "+
		"the user may lack a privilege, or the topology cannot tell; docs/topologies.md has both",
		"topology", s.Provider, "instances", s.String())
}
