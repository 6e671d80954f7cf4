package driver

import (
	"math/rand/v2"
	"time"

	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

// reader chooses one of the readers that are not too far behind. since is how long ago the
// last write was that must be seen; if all of them may not have it yet, wait is when the
// first will. unheard reports whether the pool is about to hear of one.
func (cl *cluster) reader(s *topology.Snapshot, since time.Duration) (in *pool.Instance, wait time.Duration, unheard bool) {
	first := rand.IntN(max(len(s.Instances), 1))
	for i := range s.Instances {
		r := &s.Instances[(first+i)%len(s.Instances)]
		if !cl.current(r) {
			continue
		}
		candidate := cl.pool.Instance(r.ID, readerRole)
		if candidate == nil || candidate.Addr != r.Addr {
			unheard = true
			continue
		}
		left := cl.cfg.ReadYourWrites + r.Lag - since
		if cl.cfg.ReadYourWrites <= 0 || left <= 0 {
			return candidate, 0, false
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return nil, wait, unheard
}

// current reports whether a reader is near enough to the writer to be asked for it.
func (cl *cluster) current(r *topology.Instance) bool {
	return r.Role == topology.Reader && r.State == topology.StateUp && !r.Drained && r.LagKnown && r.Lag <= cl.cfg.MaxReplicaLag
}
