package ecosystem

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
)

// Probes answers Kubernetes. It is safe for concurrent use.
type Probes struct {
	DB        *sql.DB           // over Connector
	Connector *driver.Connector // DB = sql.OpenDB(Connector)
	// Patience is for how long there may be no writer before the pod says that it is not
	// ready: longer than any failover, a minute say. 0 = for ever.
	Patience time.Duration

	seen     atomic.Int64 // Unix time in ns at which there was a writer, as of the last look
	stopping atomic.Bool
}

// Live says that the process answers. It does not look at the database: a restart of
// this process mends nothing there, and costs all that it has in memory.
func (p *Probes) Live(http.ResponseWriter, *http.Request) {}

// Ready says whether requests are to be sent here: from the moment at which the database was
// reached for the first time until Stop begins. A failover changes nothing: all pods see
// it at the same moment, and if all of them were taken out there would be nobody to
// answer requests that only read, or to let the others wait for the second that it takes.
func (p *Probes) Ready(w http.ResponseWriter, r *http.Request) {
	if err := p.ready(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func (p *Probes) ready(ctx context.Context) error {
	if p.stopping.Load() {
		return errors.New("stopping")
	}
	// Nothing connects before somebody asks, and nobody sends requests before this says yes.
	if p.Connector.Snapshot() == nil {
		if err := p.DB.PingContext(ctx); err != nil {
			return errors.New("the database was not reached yet") // the log says why, not whoever asks
		}
	}
	now := time.Now()
	if p.Connector.Snapshot().Writer() != nil {
		p.seen.Store(now.UnixNano())
		return nil
	}
	p.seen.CompareAndSwap(0, now.UnixNano())
	if p.Patience > 0 && now.Sub(time.Unix(0, p.seen.Load())) > p.Patience {
		return errors.New("no writer for longer than " + p.Patience.String())
	}
	return nil
}

// Stop ends the program, for SIGTERM: it is not ready from now on, requests that are under way may
// finish, and then the connections close. ctx must end before terminationGracePeriodSeconds do,
// what the preStop hook takes off.
func (p *Probes) Stop(ctx context.Context, server *http.Server) error {
	p.stopping.Store(true)
	err := server.Shutdown(ctx)                                      // no new requests; those there are come to their end
	return errors.Join(err, p.Connector.Shutdown(ctx), p.DB.Close()) // nor statements
}
