package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// wrapOptions are those of Wrap and WrapConnector.
type wrapOptions struct {
	given   string // the name of one that was given; "" = none
	edits   []func(*Config)
	readers []*sql.DB
	close   bool

	// connect makes every connection; nil makes them as the Config says.
	connect func(ctx context.Context, addr string) (driver.Conn, func() error, error)
}

// collect applies options.
func collect(opts []Option) (o options) {
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// WithConfig changes the configuration that [Wrap] or [WrapConnector] has made: MySQL and Hosts
// are what the wrapped pool or connector tells of itself, PoolSize, PoolMaxIdle, PoolMaxLifetime and
// PoolIdleTimeout its limits, Target is empty, as in a DSN without the key, everything else is as in
// [NewConfig]. It is called once, before they return; given several times, in order.
//
// It is also where a program gives once more what cannot be read out of a connector: see [Wrap].
func WithConfig(edit func(*Config)) Option {
	return func(o *options) { o.wrap.given, o.wrap.edits = "WithConfig", append(o.wrap.edits, edit) }
}

// WithReaders tells [Wrap] that the program holds pools of the cluster's readers, too, see
// [WrapCluster].
func WithReaders(readers ...*sql.DB) Option {
	return func(o *options) { o.wrap.given, o.wrap.readers = "WithReaders", append(o.wrap.readers, readers...) }
}

// WithCloseWrapped closes what was wrapped together with, and after, what [Wrap] or
// [WrapConnector] returned: pools, and connectors that have a Close. Default: they stay open.
func WithCloseWrapped() Option {
	return func(o *options) { o.wrap.given, o.wrap.close = "WithCloseWrapped", true }
}

// Wrap returns a pool of failoverproxy's for the cluster that db leads to, where db is a pool of
// go-sql-driver/mysql. db goes on working, and stays the program's to close.
//
// If all of db's configuration can be read (as after sql.Open("mysql", dsn)), the result is what
// [OpenDB] makes of it: its instances are discovered, and connections are made apart from
// db's. Functions and pointers that a program put into a mysql.Config cannot be read
// out of a pool: BeforeConnect, DialFunc, and a TLS field with certificates in it. There is a choice
// then. Give them once more, with [WithConfig], and everything is as above. Or do not: then every
// connection is taken from db, so that all of them are called, and db's limit holds
// for both pools together. In that case there is no address but db's own: its name is expected
// to lead to the writer (topology "dns"; "static" can be chosen), and what stored routines change in
// a session is not reported by the server. The log says why it is so.
//
// The same holds for pools whose driver or connector is a wrapper around go-sql-driver's: one that
// only watches, as that of otelsql, is seen through; of others a connection is taken to look
// at, within 10s, which must be go-sql-driver's or have a method Raw() driver.Conn that leads to one.
// Such a wrapper sees connections being made, but no statements: put it around the
// result of [WrapConnector] for that.
//
// The limits of db are kept: MaxOpenConns is PoolSize and the result's own MaxOpenConns, idle limit
// and lifetimes are the backends' if they were set. rejectReadOnly is turned off,
// as failoverproxy does its work. db's limits must not be changed during the call.
func Wrap(db *sql.DB, opts ...Option) (*sql.DB, error) {
	o := collect(opts)
	sources, err := pools(db, o.wrap.readers)
	if err != nil {
		return nil, wrapError("Wrap", err)
	}
	c, err := wrapAll(sources, &o)
	if err != nil {
		return nil, wrapError("Wrap", err)
	}
	sessions := together(sources)
	if o.wrap.connect != nil && sessions > 0 {
		sessions = int(c.cluster.cfg.PoolSize) // more would wait for a backend, and fpBorrowTimeout end that
	}
	wrapped := sql.OpenDB(c)
	wrapped.SetMaxOpenConns(sessions)
	return wrapped, nil
}

// WrapCluster is [Wrap] for a program that holds one pool for each endpoint of a cluster: it
// returns one pool for all of them. What the endpoints are is asked of the servers (topology "auto");
// of a "static" cluster, writer is the writer. All pools must agree in everything but the address,
// and nothing must be hidden in them, as sessions go from one endpoint to the other. The
// result takes as many sessions as all pools together have connections; an instance gets as many
// backends as the largest of them has.
//
// Wrap(writer, WithReaders(readers...), …) is the same with options.
func WrapCluster(writer *sql.DB, readers ...*sql.DB) (*sql.DB, error) {
	return Wrap(writer, WithReaders(readers...))
}

// WrapConnector returns a connector of failoverproxy's for the cluster that c leads to, where c
// makes connections of go-sql-driver/mysql: mysql.NewConnector's, or a wrapper around one. What
// [Wrap] says of a pool holds for c. There are no limits to be kept; c's connections
// are made and closed by c.
func WrapConnector(c driver.Connector, opts ...Option) (*Connector, error) {
	o := collect(opts)
	if len(o.wrap.readers) > 0 {
		return nil, wrapError("WrapConnector", errors.New("WithReaders is an option of Wrap: the readers are pools"))
	}
	if v := reflect.ValueOf(c); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, wrapError("WrapConnector", errors.New("the connector is nil"))
	}
	s := &source{name: "the connector", connector: c, connect: connects{c}.connect}
	wrapped, err := wrapAll([]*source{s}, &o)
	if err != nil {
		return nil, wrapError("WrapConnector", err)
	}
	return wrapped, nil
}

func wrapError(function string, err error) error {
	return fmt.Errorf("failoverproxy: driver.%s: %w", function, trimmed{err})
}

// trimmed is an error within another one's text.
type trimmed struct{ error }

func (t trimmed) Error() string { return strings.TrimPrefix(t.error.Error(), "failoverproxy: ") }
func (t trimmed) Unwrap() error { return t.error }

// pools makes sources of a writer's pool and its readers'.
func pools(writer *sql.DB, readers []*sql.DB) ([]*source, error) {
	all := append([]*sql.DB{writer}, readers...)
	sources := make([]*source, len(all))
	for i, db := range all {
		s := &source{name: "the pool", db: db}
		switch {
		case i > 0:
			s.name = fmt.Sprintf("the pool of reader %d", i)
		case len(all) > 1:
			s.name = "the writer's pool"
		}
		if j := slices.Index(all, db); db != nil && j < i {
			return nil, fmt.Errorf("%s is %s: want one pool for each endpoint", s.name, sources[j].name)
		}
		if err := s.usable(); err != nil {
			return nil, err
		}
		s.connect = lender{db}.connect
		sources[i] = s
	}
	return sources, nil
}

// wrapAll makes a connector of sources, the first of which is the writer's.
func wrapAll(sources []*source, o *options) (*Connector, error) {
	for _, s := range sources {
		if err := s.read(); err != nil {
			return nil, err
		}
	}
	cfg := NewConfig()
	first := sources[0]
	told := first.mysql.Clone()
	cfg.MySQL = told
	cfg.Target = "" // until WithConfig or the hosts say, as in a DSN: a pool of reader endpoints is for reads
	keepLimits(cfg, sources)
	if len(sources) > 1 {
		for _, s := range sources {
			cfg.Hosts = append(cfg.Hosts, s.mysql.Addr)
		}
	}
	for _, edit := range o.wrap.edits {
		edit(cfg)
	}
	if cfg.MySQL == nil {
		return nil, errors.New("WithConfig has left MySQL nil: want the configuration of the wrapped connections")
	}
	replaced := cfg.MySQL != told
	cfg = cfg.Clone()
	if err := chooseWay(cfg, sources, o, replaced); err != nil {
		return nil, err
	}
	c, err := newConnector(cfg, *o)
	if err == nil && o.wrap.close {
		c.wrapped = sources
	}
	return c, err
}

// closeWrapped closes what was wrapped, if that was asked for.
func (c *Connector) closeWrapped() error {
	var errs []error
	for _, s := range c.wrapped {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
