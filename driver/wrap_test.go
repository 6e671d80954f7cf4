package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// legacy is a program's own pools of the wrapped driver in front of a simulated cluster.
type legacy struct {
	*testing.T
	sim     *aurorasim.Cluster
	network string // one of the wrapped driver's, which leads to sim
	before  atomic.Int64
	dials   atomic.Int64
}

var networks atomic.Int64

func newLegacy(t *testing.T, cluster aurorasim.Config) *legacy {
	t.Helper()
	cluster.Upstream, cluster.Network = aurorasim.Fake(), aurorasim.Memory
	sim, err := aurorasim.Start(t.Context(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	l := &legacy{T: t, sim: sim, network: fmt.Sprint("legacy-", networks.Add(1))}
	mysql.RegisterDialContext(l.network, func(ctx context.Context, addr string) (net.Conn, error) {
		l.dials.Add(1)
		return sim.DialContext(ctx, "tcp", addr)
	})
	t.Cleanup(func() { mysql.DeregisterDialContext(l.network) })
	return l
}

// dsn is that of a pool for an address, over a network of the wrapped driver's.
func (l *legacy) dsn(addr string) string {
	return "u:secret@" + l.network + "(" + addr + ")/shop?interpolateParams=true&rejectReadOnly=true"
}

// open is sql.Open of the plain driver.
func (l *legacy) open(addr string) *sql.DB {
	l.Helper()
	db, err := sql.Open("mysql", l.dsn(addr))
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { db.Close() })
	return db
}

// connector is one whose callbacks nobody can read out of it.
func (l *legacy) connector(addr string) driver.Connector {
	l.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = "u", "wrong", "tcp", addr, "shop"
	cfg.Logger = &mysql.NopLogger{}
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		l.dials.Add(1)
		return l.sim.DialContext(ctx, network, addr)
	}
	if err := cfg.Apply(l.beforeConnect()); err != nil {
		l.Fatal(err)
	}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		l.Fatal(err)
	}
	return c
}

func (l *legacy) beforeConnect() mysql.Option {
	return mysql.BeforeConnect(func(_ context.Context, cfg *mysql.Config) error {
		l.before.Add(1)
		cfg.Passwd = "secret"
		return nil
	})
}

func (l *legacy) pool(c driver.Connector) *sql.DB {
	db := sql.OpenDB(c)
	l.Cleanup(func() { db.Close() })
	return db
}

func quiet() Option { return WithLogger(slog.New(slog.DiscardHandler)) }

// wrappings are the ways in which a program's pools become one of ours.
var wrappings = map[string]struct {
	wrap  func(l *legacy) (*sql.DB, error)
	found bool // the cluster's instances are discovered
	calls bool // BeforeConnect is called for each connection
}{
	"Wrap": {func(l *legacy) (*sql.DB, error) { return Wrap(l.open(l.sim.Endpoint()), quiet()) }, true, false},
	"Wrap, callbacks given again": {func(l *legacy) (*sql.DB, error) {
		return Wrap(l.pool(l.connector(l.sim.Endpoint())), quiet(), WithDialer(l.sim.DialContext), WithConfig(func(c *Config) { _ = c.MySQL.Apply(l.beforeConnect()) }))
	}, true, true},
	"Wrap, callbacks hidden": {func(l *legacy) (*sql.DB, error) {
		return Wrap(l.pool(l.connector(l.sim.Endpoint())), quiet())
	}, false, true},
	"WrapConnector, callbacks hidden": {func(l *legacy) (*sql.DB, error) {
		c, err := WrapConnector(l.connector(l.sim.Endpoint()), quiet())
		if err != nil {
			return nil, err
		}
		return sql.OpenDB(c), nil
	}, false, true},
	"WrapConnector, a wrapper of one": {func(l *legacy) (*sql.DB, error) {
		c, err := WrapConnector(raw{l.connector(l.sim.Endpoint())}, quiet())
		if err != nil {
			return nil, err
		}
		return sql.OpenDB(c), nil
	}, false, true},
	"WrapCluster": {func(l *legacy) (*sql.DB, error) {
		return WrapCluster(l.open(l.sim.Endpoint()), l.open(l.sim.ReaderEndpoint()))
	}, true, false},
}

// raw is a connector around another one, whose connections tell what is in them.
type raw struct{ driver.Connector }

type rawConn struct{ driver.Conn }

func (c rawConn) Raw() driver.Conn { return c.Conn }

func (c raw) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return rawConn{inner}, nil
}

// TestWrapFailover lets writers end under load, whatever way the program's pools were wrapped.
func TestWrapFailover(t *testing.T) {
	for fault, script := range map[string]aurorasim.Failover{
		"kill":                    {Kind: aurorasim.Kill, PromoteAfter: time.Second, RestartAfter: 8 * time.Second, DNSAfter: 2 * time.Second},
		"demoted, and stays":      {Kind: aurorasim.Switchover, PromoteAfter: time.Second, DNSAfter: 2 * time.Second, KeepConnections: true},
		"frozen":                  {Kind: aurorasim.Frozen, PromoteAfter: time.Second, RestartAfter: 8 * time.Second, DNSAfter: 2 * time.Second},
		"demoted, not noticed it": {Kind: aurorasim.Switchover, PromoteAfter: time.Second, RestartAfter: 3 * time.Second, DNSAfter: 2 * time.Second, BelievesWriter: 6 * time.Second},
	} {
		for name, way := range wrappings {
			t.Run(fault+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLegacy(t, aurorasim.Config{})
					db, err := way.wrap(l)
					if err != nil {
						t.Fatal(err)
					}
					defer db.Close()
					d := &deployed{T: t, sim: l.sim, db: db, book: ledger.New(ledger.WithClassifier(fateOf))}
					if err := d.book.Setup(t.Context(), d.db); err != nil {
						t.Fatal(err)
					}
					stop := d.load()
					time.Sleep(3 * time.Second)
					old := l.sim.Writer()
					if err := l.sim.Failover(t.Context(), script); err != nil {
						t.Error(err)
					}
					promoted := l.sim.PromotedAt()
					time.Sleep(15 * time.Second)
					if err := l.sim.Settled(t.Context()); err != nil {
						t.Error(err)
					}
					stop()
					first := d.firstWrite(promoted)
					limit := 7 * time.Second // the name follows, and is looked up again; a silent one is found by a poll
					switch silent := script.Kind == aurorasim.Frozen; {
					case silent && way.found && !way.calls:
						limit = 9 * time.Second // statements on a registered network last until it is back
					case silent && way.found:
						limit = 2200 * time.Millisecond // fpStallTimeout + fpProbeTimeout after the fault
					case way.found:
						limit = 400 * time.Millisecond
					}
					if first < 0 || first > limit {
						t.Errorf("first write %s after the promotion, want %s at most", first, limit)
					}
					verdict, err := d.book.Judge(t.Context(), d.db)
					if err != nil || !verdict.OK() || len(d.errs) > 0 {
						t.Errorf("ledger %s, %v; errors of reads: %v", verdict, err, d.errs)
					}
					if s := old.Stats(); s.Held != 0 || s.Refused > 6 {
						t.Errorf("the old writer holds %d statements and refused %d", s.Held, s.Refused)
					}
					if got := l.before.Load(); way.calls != (got > 0) || way.calls && got < l.dials.Load() {
						t.Errorf("BeforeConnect was called %d times", got)
					}
					t.Logf("%s; first write %s after the promotion; %d dials", verdict, first, l.dials.Load())
				})
			})
		}
	}
}

// secretless wants an error that names things and not the password.
func secretless(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", want)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v, want %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is in %v", err)
	}
}

// TestWrapReaderEndpoint: what was a pool of readers does not become one of the writer.
func TestWrapReaderEndpoint(t *testing.T) {
	for name, wrap := range map[string]func(l *legacy) (*sql.DB, error){
		"found": func(l *legacy) (*sql.DB, error) { return Wrap(l.open(l.sim.ReaderEndpoint()), quiet()) },
		"hidden, static": func(l *legacy) (*sql.DB, error) {
			return Wrap(l.pool(l.connector(l.sim.ReaderEndpoint())), quiet(), WithConfig(func(c *Config) { c.Topology = "static" }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLegacy(t, aurorasim.Config{})
				db, err := wrap(l)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				for range 10 {
					var id string
					if err := db.QueryRowContext(t.Context(), "SELECT @@aurora_server_id").Scan(&id); err != nil || id == l.sim.Writer().ID {
						t.Errorf("%q, %v", id, err)
					}
				}
				if _, err := db.ExecContext(t.Context(), "CREATE TABLE stray (id INT)"); !errors.Is(err, failover.ErrReadOnlyTarget) {
					t.Error(err)
				}
			})
		})
	}
}
