package driver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// otherDriver makes connections that are not the wrapped driver's.
type otherDriver struct{ err error }

func (d otherDriver) Open(string) (driver.Conn, error)             { return otherConn{}, d.err }
func (d otherDriver) Connect(context.Context) (driver.Conn, error) { return otherConn{}, d.err }
func (d otherDriver) Driver() driver.Driver                        { return d }

type otherConn struct{}

func (otherConn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (otherConn) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }
func (otherConn) Close() error                        { return nil }

// empty is a wrapper's connection without anything in it.
type empty struct{ otherConn }

func (empty) Raw() driver.Conn { return nil }

type emptyConnector struct{ otherDriver }

func (emptyConnector) Connect(context.Context) (driver.Conn, error) { return empty{}, nil }

// TestWrapRefuses: what cannot be wrapped is refused before anything is made of it.
func TestWrapRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLegacy(t, aurorasim.Config{})
		open := func(dsn string) *sql.DB {
			t.Helper()
			db, err := sql.Open("mysql", dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		}
		endpoint := l.sim.Endpoint()
		plain, hidden := l.open(endpoint), l.pool(l.connector(endpoint))
		closed := l.open(endpoint)
		closed.Close()
		ours, err := Wrap(plain, quiet())
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		ourConnector, err := WrapConnector(l.connector(endpoint), quiet())
		if err != nil {
			t.Fatal(err)
		}
		defer ourConnector.Close()
		one := l.pool(l.connector(endpoint))
		one.SetMaxOpenConns(1)
		two := l.pool(l.connector(endpoint))
		two.SetMaxOpenConns(2)
		config := func(edit func(c *Config)) []Option { return []Option{quiet(), WithConfig(edit)} }
		wrap := func(db *sql.DB, opts ...Option) error { _, err := Wrap(db, opts...); return err }
		cluster := func(writer *sql.DB, readers ...*sql.DB) error { _, err := WrapCluster(writer, readers...); return err }
		connector := func(c driver.Connector, opts ...Option) error { _, err := WrapConnector(c, opts...); return err }
		var none *Connector
		for name, tc := range map[string]struct {
			err  error
			want string
		}{
			"no pool":                      {wrap(nil), "driver.Wrap: the pool is nil"},
			"a pool that is none":          {wrap(new(sql.DB)), "the pool has no connector"},
			"a closed pool":                {wrap(closed), "the pool cannot be used: sql: database is closed"},
			"a pool twice":                 {wrap(ours), "the pool: it is failoverproxy's already"},
			"a pool of the driver's name":  {wrap(l.pool(ourConnector)), "it is failoverproxy's already"},
			"a wrapper of ours":            {wrap(l.pool(raw{ourConnector})), "it is failoverproxy's already"},
			"another driver":               {wrap(l.pool(otherDriver{})), "the pool, of driver.otherDriver, cannot be used: its connections are of type driver.otherConn, which is neither go-sql-driver/mysql's nor"},
			"another driver, no server":    {wrap(l.pool(otherDriver{errors.New("refused")})), "the pool, of driver.otherDriver, cannot be used: refused"},
			"a wrapper of nothing":         {wrap(l.pool(emptyConnector{})), "of type driver.empty"},
			"no connector":                 {connector(nil), "driver.WrapConnector: the connector is nil"},
			"a connector that is nil":      {connector(none), "the connector is nil"},
			"a connector twice":            {connector(ourConnector), "the connector: it is failoverproxy's already"},
			"another driver's connector":   {connector(otherDriver{}), "the connector, of driver.otherDriver, cannot be used"},
			"readers of a connector":       {connector(l.connector(endpoint), WithReaders(plain)), "WithReaders is an option of Wrap"},
			"no writer":                    {cluster(nil, plain), "driver.Wrap: the writer's pool is nil"},
			"no reader":                    {cluster(plain, nil), "the pool of reader 1 is nil"},
			"the writer as a reader":       {cluster(plain, l.open(l.sim.ReaderEndpoint()), plain), "the pool of reader 2 is the writer's pool"},
			"a reader twice":               {cluster(plain, closed, closed), "the pool of reader 1 cannot be used"},
			"another pool of an address":   {cluster(plain, l.open(endpoint)), "the pool of reader 1 has the same address as the writer's pool"},
			"another user":                 {cluster(plain, open("r:secret@"+l.network+"(other:1)/shop?interpolateParams=true")), "the pool of reader 1 has another User than the writer's pool"},
			"another password":             {cluster(plain, open("u:secret2@"+l.network+"(other:1)/shop?interpolateParams=true")), "another Passwd"},
			"hidden in a cluster":          {cluster(plain, hidden), "the pool of reader 1 has DialFunc and BeforeConnect, which cannot be read out of it: give it to WithConfig"},
			"one connection":               {wrap(one, quiet()), "its MaxOpenConns is 1"},
			"more than there are":          {wrap(two, config(func(c *Config) { c.PoolSize = 4 })...), "fpPoolSize is 4, and of its MaxOpenConns, 2, there are 1 to be had"},
			"credentials without effect":   {wrap(hidden, quiet(), WithCredentials(&vault{})), "connections are made by the pool itself, as DialFunc cannot be read out of it: WithCredentials has no effect"},
			"a dialer without effect":      {wrap(hidden, quiet(), WithDialer(l.sim.DialContext)), "connections are made by the pool itself, as BeforeConnect cannot be read out of it: WithDialer has no effect"},
			"TLS without effect":           {wrap(hidden, config(func(c *Config) { c.TLSCA = "ca.pem" })...), "fpTLSCA has no effect"},
			"a user without effect":        {wrap(hidden, config(func(c *Config) { c.MySQL.User = "x" })...), "a change of MySQL.User has no effect"},
			"an address without effect":    {wrap(hidden, config(func(c *Config) { c.MySQL.Addr = "other:1" })...), "a change of MySQL.Addr has no effect"},
			"a callback without effect":    {wrap(hidden, config(func(c *Config) { _ = c.MySQL.Apply(l.beforeConnect()) })...), "as DialFunc cannot be read out of it: a change of MySQL.BeforeConnect has no effect"},
			"hosts without effect":         {wrap(hidden, config(func(c *Config) { c.Hosts = []string{"a:1", "b:1"} })...), "there is no way to other Hosts"},
			"readers of whom nobody knows": {wrap(l.pool(l.connector(l.sim.ReaderEndpoint())), quiet()), "its address is a reader endpoint"},
			"a topology without a way":     {wrap(hidden, config(func(c *Config) { c.Topology = "aurora" })...), "want fpTopology dns or static"},
			"no configuration":             {wrap(plain, config(func(c *Config) { c.MySQL = nil })...), "left MySQL nil"},
			"a bad setting":                {wrap(plain, config(func(c *Config) { c.Topology = "auora" })...), "fpTopology"},
		} {
			if tc.err == nil || !strings.Contains(tc.err.Error(), tc.want) {
				t.Errorf("%s: %v, want %q", name, tc.err, tc.want)
			} else {
				secretless(t, tc.err, "failoverproxy: driver.Wrap")
			}
		}
		if _, err := NewConnector(NewConfig(), WithConfig(func(*Config) {})); err == nil || !strings.Contains(err.Error(), "WithConfig is an option of Wrap") {
			t.Error(err)
		}
		if s := hidden.Stats(); s.OpenConnections != 0 {
			t.Errorf("%d connections were made", s.OpenConnections)
		}
	})
}

// TestWrapGivenAgain: what cannot be read out of a pool can be given once more, part by part or as
// a whole.
func TestWrapGivenAgain(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	before := mysql.BeforeConnect(func(context.Context, *mysql.Config) error { return nil })
	certificates := &tls.Config{RootCAs: x509.NewCertPool()}
	full := mysql.NewConfig()
	full.User, full.Net, full.Addr, full.TLS, full.DialFunc = "u", "tcp", "mine.cluster-abc.eu-west-1.rds.amazonaws.com:3306", certificates, dial
	if err := full.Apply(before); err != nil {
		t.Fatal(err)
	}
	inner, err := mysql.NewConnector(full)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		edit  func(c *Config)
		opts  []Option
		found bool
	}{
		"nothing":  {func(*Config) {}, nil, false},
		"all":      {func(c *Config) { c.MySQL.TLS, c.MySQL.DialFunc = certificates, dial; _ = c.MySQL.Apply(before) }, nil, true},
		"a dialer": {func(c *Config) { c.MySQL.TLS = certificates; _ = c.MySQL.Apply(before) }, []Option{WithDialer(dial)}, true},
		"a name":   {func(c *Config) { c.MySQL.TLSConfig = "true"; _ = c.MySQL.Apply(before) }, []Option{WithDialer(dial)}, true},
		"as one":   {func(c *Config) { c.MySQL = full }, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			opts := append(tc.opts, WithConfig(tc.edit), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			c, err := WrapConnector(inner, opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if found := c.cluster.cfg.Topology == "auto"; found != tc.found || tc.found == strings.Contains(log.String(), "TLS and DialFunc and BeforeConnect cannot be read") {
				t.Errorf("topology %s; %s", c.cluster.cfg.Topology, &log)
			}
		})
	}
}
