package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync"
)

// Name is the name under which the driver is registered with database/sql.
const Name = "failoverproxy"

// Driver is the database/sql driver. Use it through sql.Open(driver.Name, dsn).
type Driver struct{}

func init() { sql.Register(Name, Driver{}) }

var (
	_ driver.Driver        = Driver{}
	_ driver.DriverContext = Driver{}
)

// Open returns a session of the cluster that the DSN names.
func (d Driver) Open(dsn string) (driver.Conn, error) {
	c, err := d.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	// Nobody closes this connector: the session does, when it is closed.
	conn, err := c.(*Connector).connect(context.Background())
	if err != nil {
		_ = c.(*Connector).Close()
		return nil, err
	}
	conn.owned = c.(*Connector)
	return conn, nil
}

// OpenConnector parses the DSN; nothing is connected yet. Connectors of one DSN
// share one pool and one monitor, which end with the last of them.
func (Driver) OpenConnector(dsn string) (driver.Connector, error) {
	cfg, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	var o options
	if err := o.readAuthority(cfg); err != nil {
		return nil, err
	}
	return shared.open(cfg.FormatDSN(), cfg, o)
}

// registry holds the clusters that connectors of equal DSNs share.
type registry struct {
	mu       sync.Mutex
	clusters map[string]*entry
}

type entry struct {
	cluster *cluster
	users   int
}

var shared = registry{clusters: make(map[string]*entry)}

func (r *registry) open(key string, cfg *Config, o options) (*Connector, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.clusters[key]
	if e == nil {
		cl, err := newCluster(cfg, o)
		if err != nil {
			return nil, err
		}
		e = &entry{cluster: cl}
		r.clusters[key] = e
	}
	e.users++
	return &Connector{cluster: e.cluster, last: func() bool { return r.release(key, e) }}, nil
}

// release reports whether the caller was the last user of the entry's cluster.
func (r *registry) release(key string, e *entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.users--
	if e.users > 0 {
		return false
	}
	delete(r.clusters, key)
	return true
}
