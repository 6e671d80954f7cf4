package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

// Connector makes sessions of one cluster. It is safe for concurrent use; give it
// to sql.OpenDB, or use [OpenDB]. Nothing runs before the first session is asked
// for, and nothing after [Connector.Close].
type Connector struct {
	cluster *cluster
	last    func() bool // reports whether this connector was the last of its cluster
	wrapped []*source   // to be closed with it, see WithCloseWrapped
	closed  atomic.Bool
}

var (
	_ driver.Connector = (*Connector)(nil)
	_ io.Closer        = (*Connector)(nil)
)

// NewConnector makes a connector with a pool and a monitor of its own. cfg is
// copied. An error names the field that is wrong, by its DSN key.
func NewConnector(cfg *Config, opts ...Option) (*Connector, error) {
	o := collect(opts)
	if o.wrap.given != "" {
		return nil, fmt.Errorf("failoverproxy: driver.%s is an option of Wrap and WrapConnector: a Config says it by itself", o.wrap.given)
	}
	return newConnector(cfg.Clone(), o)
}

// newConnector makes a connector of a Config that is its own.
func newConnector(cfg *Config, o options) (*Connector, error) {
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	if err := o.checkCredentials(cfg); err != nil {
		return nil, err
	}
	if err := o.readAuthority(cfg); err != nil {
		return nil, err
	}
	if o.mirror != nil {
		if err := o.mirror.check(); err != nil {
			return nil, err
		}
	}
	cl, err := newCluster(cfg, o)
	if err != nil {
		return nil, err
	}
	return &Connector{cluster: cl, last: func() bool { return true }}, nil
}

// OpenDB is sql.OpenDB of a [NewConnector]. Closing the *sql.DB closes the connector.
func OpenDB(cfg *Config, opts ...Option) (*sql.DB, error) {
	c, err := NewConnector(cfg, opts...)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

// Connect returns a new session. The first call finds the cluster; later ones
// need no network. While no host of the configuration can be reached, or has room, it
// waits as a statement does: for FailoverTimeout, or until ctx ends. What waiting does not
// mend is returned at once: credentials, an unknown database, TLS, and a host name that does
// not exist, unless another host may come back.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (c *Connector) connect(ctx context.Context) (*conn, error) {
	if c.closed.Load() {
		return nil, failover.New(failover.ErrClosed, failover.NotExecuted, nil)
	}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	return newConn(c.cluster), nil
}

// Driver returns the driver, as database/sql asks for it.
func (c *Connector) Driver() driver.Driver { return Driver{} }

// Stats is the state of a connector's cluster at one moment.
type Stats struct {
	// Pool is the state of the backends.
	Pool pool.Stats
	// Gate counts the statements that waited for a usable instance.
	Gate failover.GateCounters
	// Statements counts what faults did to statements.
	Statements StatementStats
	// Incidents are the last failovers, up to 16 and the one that goes on, oldest first.
	Incidents []failover.Incident
	// Cancels counts statements that were stopped because their context had ended.
	Cancels CancelStats
	// Mirror counts the reads that were sent to another database, see [WithMirror].
	Mirror MirrorStats
	// Credentials counts calls of the provider of [WithCredentials].
	Credentials CredentialsStats
	// MonitorConnections is how many connections the monitor has open: 1 but for
	// failovers.
	MonitorConnections int
}

// StatementStats counts statements by their fate. Statements that met no fault are
// not counted.
type StatementStats struct {
	Retried         uint64 // attempts beyond a statement's first
	OutcomeUnknown  uint64 // failed with failover.ErrOutcomeUnknown
	TransactionLost uint64 // transactions lost
	StateLost       uint64 // sessions that lost pinned state in use
	Interrupted     uint64 // results interrupted after their first row
}

// CancelStats counts KILL QUERY statements (fpCancelQuery).
type CancelStats struct {
	Killed      uint64 // answered by the server, the query's end before it included
	Failed      uint64 // the server could not be reached, or was another one
	Connections uint64 // made for them
}

// Stats returns the connector's counters and its pool's state.
func (c *Connector) Stats() Stats { return c.cluster.stats() }

// Pins lists why sessions are bound to their backends now, the oldest first, each with the
// digest of the statement that did it.
func (c *Connector) Pins() []pool.PinInfo { return c.cluster.pool.PinList() }

// Snapshot returns the cluster as it is known now; nil before the first session.
func (c *Connector) Snapshot() *topology.Snapshot { return c.cluster.monitor.Snapshot() }

// Close ends the connector at once: statements that wait or run fail with
// failover.ErrClosed or a lost connection. It waits until every goroutine and
// connection has ended, for a few seconds at most if a session is never given
// back. database/sql calls it from DB.Close. Closing twice is fine.
func (c *Connector) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if c.closed.Swap(true) || !c.last() {
		return nil
	}
	return errors.Join(c.cluster.close(ctx, true), c.closeWrapped())
}

// Shutdown ends the connector gently: no new session and no new lease, while what
// runs may finish until ctx ends; then it does as Close and returns ctx's error.
func (c *Connector) Shutdown(ctx context.Context) error {
	if c.closed.Swap(true) || !c.last() {
		return nil
	}
	err := c.cluster.close(ctx, false)
	if err != nil {
		final, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = c.cluster.close(final, true)
	}
	return errors.Join(err, c.closeWrapped())
}
