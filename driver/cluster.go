package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

// cluster is what the sessions of a connector share: the monitor that knows the
// instances, the pool of their backends, the gate.
type cluster struct {
	cfg         *Config
	log         *slog.Logger
	hooks       Hooks
	dialer      *backend.Dialer
	monitor     *topology.Monitor
	pool        *pool.Pool
	gate        *failover.Gate
	incidents   *failover.Recorder
	facts       *sqlscan.Cache
	charset     sqlscan.Mode // what the configuration's character set adds to the way of reading
	fleet       *fleet       // nil without fpFleetMax
	telemetry   *telemetry
	canceler    *canceler
	credentials *credentials // nil = the configuration's user
	routines    routines
	mirror      *mirror      // nil without
	warned      atomic.Bool  // that the cluster cannot be reached
	foreign     bool         // connections are made by what was wrapped
	weighed     atomic.Bool  // fpReaderWeights was compared with the cluster
	missed      atomic.Int64 // when readers of unknown lag were missed first; -1 = that was warned of

	retried, outcomeUnknown, transactionLost, stateLost, interrupted atomic.Uint64
}

// Bounds of the cache of scanned statements: entries, and bytes of a text above
// which it is scanned each time.
const (
	scanCacheEntries = 4096
	scanCacheText    = 4096
)

// newCluster makes a cluster of a normalized configuration; it starts nothing.
func newCluster(cfg *Config, o options) (*cluster, error) {
	cl := &cluster{
		cfg: cfg, log: o.log(), hooks: o.hooks, fleet: newFleet(cfg, o.log()),
		gate:  failover.NewGate(cfg.GateSize),
		facts: sqlscan.NewCache(scanCacheEntries, scanCacheText),
	}
	if cfg.multibyte() {
		cl.charset = sqlscan.Multibyte
	}
	dial := backend.Config{
		MySQL: cfg.MySQL, Seeds: cfg.Hosts, Dial: o.dial, Timeout: cfg.MySQL.Timeout,
		Statements: cfg.PreparedCache, Logger: driverLog{cl.log}, Make: o.wrap.connect,
	}
	dial.Route = func(ctx context.Context, addr string) backend.Route {
		return backend.Route(cl.monitor.Route(ctx, addr))
	}
	if o.authority != nil {
		dial.Roots = o.authority.roots
	}
	if o.credentials != nil {
		cl.credentials = newCredentials(o, cfg.MySQL.Timeout, cl.instance)
		dial.Login = cl.credentials.connect
	}
	cl.canceler = newCanceler(cl.connectToKill)
	if o.wrap.connect != nil {
		cl.foreign, cl.canceler.most = true, 1 // there may be room for no more
	}
	if cfg.CancelQuery {
		dial.Stop, dial.StopLimit = cl.canceler.stop, o.stopLimit
	}
	cl.dialer = backend.NewDialer(dial)
	cl.mirror = newMirror(o.mirror, cl.log)
	var err error
	if cl.telemetry, err = newTelemetry(cl, o); err != nil {
		return nil, err
	}
	cl.incidents = failover.NewRecorder(cl.log, cl.incidentEnded)
	cl.monitor, err = topology.NewMonitor(topology.Config{
		Provider: cfg.Topology, Seeds: cfg.Hosts, InstanceHost: cfg.InstanceHost,
		Dial: func(ctx context.Context, addr string) (topology.Conn, error) {
			b, err := cl.dialer.Connect(ctx, addr)
			if errors.Is(err, mysql.ErrInvalidConn) {
				err = fmt.Errorf("failoverproxy: cannot connect to %s, or what answers there is no MySQL server: %w", addr, err)
			}
			return b, err
		},
		Adopt:    cl.adopt,
		Explain:  failover.Explain,
		Interval: cmp.Or(cfg.ProbeInterval, -1), IntervalFast: cfg.ProbeIntervalFast, Timeout: cfg.ProbeTimeout,
		Hooks:  topology.Hooks{SnapshotChanged: cl.snapshotChanged, Probed: cl.incidents.Probed},
		Logger: cl.log,
	})
	if err != nil {
		return nil, err
	}
	pooling := pool.Config{
		Connect: cl.connect, Size: int(cfg.PoolSize), Fleet: cl.fleet.pool(),
		MinIdle: cfg.PoolMinIdle.Of, MaxIdle: cfg.PoolMaxIdle.Of,
		Schema: cfg.MySQL.DBName, NoSchema: failover.NoSchema, SessionMode: cfg.PoolMode == "session",
		IdleTimeout: cfg.PoolIdleTimeout, MaxLifetime: cfg.PoolMaxLifetime, BorrowTimeout: cfg.BorrowTimeout,
		ConnectConcurrency: cfg.ConnectConcurrency, StallTimeout: cfg.StallTimeout, Silent: cl.silent,
		Balance: pool.Balance{Strategy: strategies[cfg.ReaderStrategy], Window: cfg.ReaderLatencyWindow},
	}
	if cfg.ReaderLatencyWindow > 0 {
		pooling.GaugeInterval = cfg.ProbeInterval
	}
	pooling.Standstill, pooling.Thawed = cl.monitor.LagLife(), cl.thawed
	if cfg.PoolSize.IsPercent() {
		pooling.Size, pooling.Limit = 1, cl.poolLimit
	}
	cl.pool = pool.New(pooling)
	return cl, nil
}

// snapshotChanged takes over what the monitor found, in this order: backends of
// instances that lost their role are retired before anybody who waits goes on.
func (cl *cluster) snapshotChanged(old, new *topology.Snapshot, events []topology.Event) {
	members := make([]pool.Member, 0, len(new.Instances))
	reader := false
	for _, in := range new.Instances {
		if in.Role == topology.Unknown && in.State != topology.StateDown {
			continue // a dead one is told of, so that what it leaves behind is cut
		}
		members = append(members, pool.Member{
			ID: in.ID, Addr: in.Addr, Role: in.Role.String(), Down: in.State == topology.StateDown, Draining: in.Drained || in.Held, Weight: cl.cfg.weight(in.ID),
		})
		reader = reader || cl.current(&in)
	}
	for _, e := range events {
		if cl.foreign && e.Kind == topology.InstanceDown && new.Lookup(e.Instance) == nil {
			// A name leads elsewhere. Whether who is left there is silent cannot be heard.
			members = append(members, pool.Member{ID: e.Instance, Down: true})
		}
	}
	cl.pool.Apply(new.Epoch, members)
	for _, in := range new.Instances {
		cl.pool.Doubt(in.ID, in.State == topology.StateSuspect)
	}
	cl.gate.Open(new.Version, new.Writer() != nil, reader)
	cl.checkWeights(new)
	cl.incidents.SnapshotChanged(old, new, events)
	cl.telemetry.snapshotChanged(old, new, events)
	if f := cl.hooks.SnapshotChanged; f != nil {
		f(old, new, events)
	}
}

// thawed begins anew after a standstill of the process.
func (cl *cluster) thawed(took time.Duration) {
	cl.log.Info("failoverproxy: this process stood still; the cluster is asked anew, and idle connections are not used any more", slog.Duration("for", took))
	cl.monitor.Recall()
}

// incidentEnded tells of an incident that is over.
func (cl *cluster) incidentEnded(i failover.Incident) {
	cl.telemetry.incidentEnded(i)
	if f := cl.hooks.IncidentEnded; f != nil {
		f(i)
	}
}

// connect makes a backend and lets the server say who it is: names can lead to
// another instance than they did when the snapshot was taken.
func (cl *cluster) connect(ctx context.Context, m pool.Member) (*backend.Backend, error) {
	since := cl.since(m.ID)
	b, err := cl.dialer.Connect(ctx, m.Addr)
	if err != nil {
		return nil, err
	}
	if b, err = cl.equip(ctx, b, m, false); err == nil && cl.since(m.ID) != since {
		// The pool is about to hear of it. Another server may have its place and name now.
		b.Cut()
		_ = b.Close()
		return nil, fmt.Errorf("failoverproxy: %w: %s was replaced while it was connected to", topology.ErrIdentity, m.ID)
	}
	return b, err
}

// since is the epoch in which an instance took its role, 0 if it is gone.
func (cl *cluster) since(id string) uint64 {
	if in := cl.monitor.Snapshot().Lookup(id); in != nil {
		return in.Since
	}
	return 0
}

// adopt has the pool take the connection over which the cluster was found, so that a new process
// waits for one connection only until its first answer.
func (cl *cluster) adopt(ctx context.Context, conn topology.Conn, found topology.Found) bool {
	b, ok := conn.(*backend.Backend)
	if !ok {
		return false
	}
	return cl.pool.Adopt(ctx, found.ID, found.Role.String(), func(ctx context.Context, m pool.Member) (*backend.Backend, error) {
		return cl.equip(ctx, b, m, found.Said)
	})
}

// equip makes a new backend what the pool's backends are, or closes it, within the time of a connect.
// said: the server has said already who it is.
func (cl *cluster) equip(ctx context.Context, b *backend.Backend, m pool.Member, said bool) (*backend.Backend, error) {
	ctx, cancel := cl.connecting(ctx)
	defer cancel()
	err := cl.introduce(ctx, b, m, said)
	if err == nil {
		err = b.Track(ctx)
	}
	if err == nil && cl.cfg.InitQuery != "" {
		if _, err = b.ExecContext(ctx, cl.cfg.InitQuery, nil); err != nil {
			err = fmt.Errorf("failoverproxy: fpInitQuery: %w", err)
		}
	}
	if err != nil {
		b.Cut()
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

// connecting bounds what is asked before a connection is of use.
func (cl *cluster) connecting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, cmp.Or(cl.cfg.MySQL.Timeout, backend.DefaultTimeout))
}

// introduce lets the server say who it is.
func (cl *cluster) introduce(ctx context.Context, b *backend.Backend, m pool.Member, said bool) error {
	role := topology.Reader
	if m.Role == writerRole {
		role = topology.Writer
	}
	if !said {
		var err error
		if said, err = cl.monitor.Verify(ctx, b, m.ID, role); err != nil {
			return err
		}
	}
	if said {
		b.Identify(m.ID)
	} else if cl.cfg.CancelQuery {
		return identify(ctx, b)
	}
	return nil
}

// poolLimit turns a percentage of max_connections into a number.
func (cl *cluster) poolLimit(ctx context.Context, b *backend.Backend) (int, error) {
	ctx, cancel := cl.connecting(ctx)
	defer cancel()
	answer, err := b.Ask(ctx, "SELECT @@max_connections")
	if err != nil {
		return 0, fmt.Errorf("failoverproxy: fpPoolSize is %s of max_connections, which %s does not tell: give a number: %w", cl.cfg.PoolSize, b.Addr(), err)
	}
	n, err := strconv.Atoi(fmt.Sprint(answer[0]))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("failoverproxy: fpPoolSize is %s of max_connections, for which %s says %v: give a number", cl.cfg.PoolSize, b.Addr(), answer[0])
	}
	return cl.cfg.PoolSize.Of(n), nil
}

// silent is told of an instance from which answers are due and nothing comes. A
// fresh connection decides: if it gets no answer either, the instance is down, and
// the statements that wait for it are cut loose. So are those that go on where the cluster
// has an instance no more, of which the monitor knows nothing.
func (cl *cluster) silent(m pool.Member) {
	s := cl.monitor.Snapshot()
	if s == nil {
		return
	}
	if in := s.Lookup(m.ID); in != nil && in.Addr == m.Addr {
		cl.monitor.Silence(m.ID, s.Epoch)
		return
	}
	cl.monitor.Forsake(m.ID, m.Addr, func() { cl.pool.Cut(m) })
}

func (cl *cluster) stats() Stats {
	return Stats{
		Pool: cl.pool.Stats(), Gate: cl.gate.Counters(), MonitorConnections: cl.monitor.Connections(),
		Cancels: cl.canceler.stats(), Incidents: cl.incidents.Incidents(), Mirror: cl.mirror.counters(), Credentials: cl.credentials.stats(),
		Statements: StatementStats{
			Retried: cl.retried.Load(), OutcomeUnknown: cl.outcomeUnknown.Load(),
			TransactionLost: cl.transactionLost.Load(), StateLost: cl.stateLost.Load(),
			Interrupted: cl.interrupted.Load(),
		},
	}
}

func (cl *cluster) close(ctx context.Context, force bool) error {
	cl.gate.Close()
	cl.mirror.end(force)
	cl.canceler.close()
	cl.monitor.Close()
	cl.incidents.Close()
	err := cl.pool.Close(ctx, force)
	cl.credentials.close(ctx)
	return errors.Join(err, cl.mirror.wait(ctx), cl.telemetry.close())
}

// lateDefault logs to slog.Default() as of the time of the message, so that a
// program that sets its logger after sql.Open gets its messages.
type lateDefault struct{}

func (lateDefault) Enabled(ctx context.Context, l slog.Level) bool {
	return slog.Default().Enabled(ctx, l)
}

func (lateDefault) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}

func (lateDefault) WithAttrs(a []slog.Attr) slog.Handler {
	return slog.Default().Handler().WithAttrs(a)
}
func (lateDefault) WithGroup(n string) slog.Handler { return slog.Default().Handler().WithGroup(n) }

// driverLog takes what the wrapped driver logs (the network cause of an "invalid
// connection"), which is of interest to nobody but its debuggers.
type driverLog struct{ log *slog.Logger }

func (l driverLog) Print(v ...any) {
	l.log.Debug("failoverproxy: connection", "message", fmt.Sprint(v...), "at", time.Now())
}
