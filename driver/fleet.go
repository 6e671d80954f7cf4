package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/pool"
)

// fleet asks servers how many connections the processes have there that share fpFleetMax.
// Nobody coordinates them: the server is what they have in common.
type fleet struct {
	share  Size
	size   int
	log    *slog.Logger
	source atomic.Int64 // of fleetSources; the ones before it do not answer

	mu   sync.Mutex
	told map[string]fleetNews // by instance
}

// fleetNews is what was logged last.
type fleetNews struct {
	at      time.Time
	limit   int
	source  int64
	failing bool
}

// fleetSource is a way to ask.
type fleetSource struct{ name, question string }

// fleetRoom is how many connections a server allows to us: there may be an account's own limit.
const fleetRoom = "SELECT IF(@@max_user_connections > 0, LEAST(@@max_connections, @@max_user_connections), @@max_connections)"

// fleetSources are all ways, best first, of counting the connections of our user, from wherever,
// which servers show without any privilege. performance_schema.processlist stops no other
// connection while it is read, but only MySQL has it, and not always.
var fleetSources = [...]fleetSource{
	{"performance_schema.processlist", fleetRoom + ", COUNT(*) FROM performance_schema.processlist" + fleetOurs},
	{"information_schema.PROCESSLIST", fleetRoom + ", COUNT(*) FROM information_schema.PROCESSLIST" + fleetOurs},
}

// fleetOurs leaves out what those see who may see all users' connections.
const fleetOurs = " WHERE CONCAT(USER, '@', SUBSTRING_INDEX(USER(), '@', -1)) = USER()"

// fleetSized asks for no more than what fpFleetSize leaves to ask.
var fleetSized = fleetSource{"fpFleetSize", fleetRoom + ", 0"}

// newFleet makes the fleet of a configuration, nil without one.
func newFleet(cfg *Config, log *slog.Logger) *fleet {
	if cfg.FleetMax == 0 {
		return nil
	}
	return &fleet{share: cfg.FleetMax, size: cfg.FleetSize, log: log, told: make(map[string]fleetNews)}
}

// pool is what the pool needs to know.
func (f *fleet) pool() *pool.Fleet {
	if f == nil {
		return nil
	}
	return &pool.Fleet{Survey: f.survey, Budget: f.budget, Size: f.size, Crowded: crowded, Surveyed: f.surveyed}
}

// budget is rounded down: fpFleetMax is not to be exceeded.
func (f *fleet) budget(most int) int { return most * int(f.share-percentage) / 100 }

// crowded reports whether a server refused a connection because it has too many, of all or of
// ours.
func crowded(err error) bool {
	return !failover.Local(err) && failover.Classify(context.Background(), err, failover.PhaseConnect).Class == failover.ClassBusy
}

// survey asks a server. Of the ways that it does not know or does not allow, none is tried
// again.
func (f *fleet) survey(ctx context.Context, b *backend.Backend) (pool.Survey, error) {
	if f.size > 0 {
		return fleetSized.ask(ctx, b)
	}
	for {
		i := f.source.Load()
		s, err := fleetSources[i].ask(ctx, b)
		_, refused := failover.Number(err)
		if err == nil || !refused && !errors.Is(err, errFleetHidden) || int(i) == len(fleetSources)-1 {
			return s, err
		}
		f.source.CompareAndSwap(i, i+1)
	}
}

// errFleetHidden: a server's list has not even the connection that asks.
var errFleetHidden = errors.New("its list of connections is empty")

func (s fleetSource) ask(ctx context.Context, b *backend.Backend) (pool.Survey, error) {
	answer, err := b.Ask(ctx, s.question)
	if err != nil {
		return pool.Survey{}, err
	}
	var n [2]int
	for i := range n {
		if n[i], err = strconv.Atoi(fmt.Sprint(answer[i])); err != nil {
			return pool.Survey{}, fmt.Errorf("%s answers %v", s.name, answer)
		}
	}
	if s != fleetSized && n[1] == 0 {
		return pool.Survey{}, errFleetHidden
	}
	return pool.Survey{Max: n[0], Connections: n[1]}, nil
}

// fleetNewsEvery is how often a log line tells of a limit that has halved or doubled.
const fleetNewsEvery = time.Minute

// surveyed logs what there is to tell: the first answer of an instance, what it is asked by,
// that it does not answer (any more), and great changes, once a minute at most.
func (f *fleet) surveyed(id string, limit int, s pool.FleetStats, err error) {
	if errors.Is(err, context.Canceled) {
		return // the pool closes
	}
	now := fleetNews{at: time.Now(), limit: limit, source: f.source.Load(), failing: err != nil}
	f.mu.Lock()
	last, known := f.told[id]
	late := now.at.Sub(last.at) >= fleetNewsEvery
	great := limit >= 2*last.limit || last.limit >= 2*limit
	tell := !known || now.source != last.source || late && (great || now.failing != last.failing)
	if tell {
		f.told[id] = now
	}
	f.mu.Unlock()
	switch {
	case !tell:
	case err != nil:
		f.log.Warn("failoverproxy: the fleet's connections cannot be counted (fpFleetMax), the pool stays as large as it is; fpFleetSize does without", "instance", id, "limit", limit, "error", err)
	default:
		source := fleetSources[now.source]
		if f.size > 0 {
			source = fleetSized
		}
		f.log.Info("failoverproxy: share of the fleet (fpFleetMax)", "instance", id, "limit", limit, "budget", s.Budget, "max", s.Max,
			"connections", s.Connections, "source", source.name)
	}
}
