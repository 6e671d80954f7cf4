package driver

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

// strategies are the values of fpReaderStrategy.
var strategies = map[string]pool.Strategy{
	"leastLoaded": pool.LeastLoaded, "roundRobin": pool.RoundRobin, "random": pool.Random, "weighted": pool.Weighted,
}

// usualReaders is how many readers a choice has room for without an allocation: Aurora has 15.
const usualReaders = 16

// reader chooses one of the readers that are not too far behind. since is how long ago the
// last write was that must be seen; if all of them may not have it yet, wait is when the
// first will. unheard reports whether the pool is about to hear of one.
func (cl *cluster) reader(s *topology.Snapshot, since time.Duration) (in *pool.Instance, wait time.Duration, unheard bool) {
	var room [usualReaders]pool.Candidate
	candidates := room[:0]
	for i := range s.Instances {
		r := &s.Instances[i]
		if !cl.current(r) {
			continue
		}
		candidate := cl.pool.Instance(r.ID, readerRole)
		if candidate == nil || candidate.Addr != r.Addr {
			unheard = true
			continue
		}
		left := cl.missing(r, since)
		if left == 0 {
			candidates = append(candidates, candidate.Candidate())
			continue
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	if len(candidates) == 0 {
		return nil, wait, unheard
	}
	return cl.pool.Choose(candidates), 0, false
}

// current reports whether a reader is near enough to the writer to be asked for it.
func (cl *cluster) current(r *topology.Instance) bool {
	return r.Role == topology.Reader && r.State == topology.StateUp && !r.Drained && !r.Held && r.LagKnown && r.Lag <= cl.cfg.MaxReplicaLag
}

// missing is for how long still a reader may not have a write of so long ago.
func (cl *cluster) missing(r *topology.Instance, since time.Duration) time.Duration {
	if cl.cfg.ReadYourWrites <= 0 {
		return 0
	}
	return max(cl.cfg.ReadYourWrites+r.Lag-since, 0)
}

// otherReaders stands in fpReaderWeights for every instance that is not named there.
const otherReaders = "*"

// weight is an instance's share of reads.
func (cfg *Config) weight(id string) int {
	if w, ok := cfg.ReaderWeights[id]; ok {
		return w
	}
	if w, ok := cfg.ReaderWeights[otherReaders]; ok {
		return w
	}
	return 1
}

// evenhanded reports whether no reader is to get more than another that gets anything.
func (cfg *Config) evenhanded() bool {
	some := 0
	if _, ok := cfg.ReaderWeights[otherReaders]; !ok && len(cfg.ReaderWeights) > 0 {
		some = 1
	}
	for _, w := range cfg.ReaderWeights {
		if w != 0 && some != 0 && w != some {
			return false
		}
		some = max(some, w)
	}
	return true
}

// checkWeights warns, once, of weights for instances that there are not. They may come.
func (cl *cluster) checkWeights(s *topology.Snapshot) {
	if s.Writer() == nil || cl.weighed.Swap(true) {
		return
	}
	if len(cl.cfg.ReaderWeights) == 0 {
		cl.checkCustom(s)
		return
	}
	strange := slices.DeleteFunc(slices.Sorted(maps.Keys(cl.cfg.ReaderWeights)), func(id string) bool {
		return id == otherReaders || s.Lookup(id) != nil
	})
	if len(strange) == 0 {
		return
	}
	known := make([]string, len(s.Instances))
	for i := range s.Instances {
		known[i] = s.Instances[i].ID
	}
	cl.log.Warn("failoverproxy: fpReaderWeights names instances that the cluster does not have now",
		"named", strings.Join(strange, ", "), "instances", strings.Join(known, ", "))
}

// checkCustom says that a custom endpoint's list of instances is not known here. Only the API of AWS
// tells it, with privileges that programs seldom have.
func (cl *cluster) checkCustom(s *topology.Snapshot) {
	custom := slices.IndexFunc(cl.cfg.Hosts, func(host string) bool { return topology.EndpointOf(host) == topology.EndpointCustom })
	if custom < 0 || len(s.Instances) < 2 {
		return
	}
	cl.log.Warn("failoverproxy: which instances a custom endpoint stands for only the API of AWS tells: all of the cluster are used; "+
		"fpReaderWeights=instance-2:1,*:0, say, keeps reads to those that it names", "endpoint", cl.cfg.Hosts[custom])
}

// timed is when a reader was asked: the zero time for a writer, which is not chosen by it.
func (x *exchange) timed() time.Time {
	if x.in == nil || x.in.Role == writerRole {
		return time.Time{}
	}
	return time.Now()
}

// answered notes how long a reader took.
func (x *exchange) answered(ctx context.Context, asked time.Time, err error) {
	switch {
	case asked.IsZero():
	case ctx.Err() == context.DeadlineExceeded:
		x.in.Unanswered(time.Since(asked))
	case err == nil && ctx.Err() == nil:
		x.in.Answered(time.Since(asked))
	}
}

// blame counts a fault against the reader on which it was met.
func (cl *cluster) blame(in *pool.Instance, class failover.Class) {
	if in.Role == writerRole || in.Retired() || class != failover.ClassLost && class != failover.ClassBusy {
		return
	}
	if d := in.Failed(); d > 0 {
		cl.log.LogAttrs(context.Background(), slog.LevelWarn, "failoverproxy: a reader fails again and again; others are used instead, if there are any",
			slog.String("instance", in.ID), slog.Duration("for", d))
	}
}
