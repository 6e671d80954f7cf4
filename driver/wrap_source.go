package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// source is what a program has already: a pool or a connector.
type source struct {
	name      string           // for errors
	db        *sql.DB          // nil for a connector
	connector driver.Connector // nil for a pool, which keeps it to itself
	mysql     *mysql.Config    // what can be read of its configuration
	hidden    []string         // what is in it and cannot be
	connect   func(ctx context.Context) (driver.Conn, func() error, error)
}

var errTwice = errors.New("it is failoverproxy's already: use it as it is")

// usable refuses a pool that cannot be asked for connections.
func (s *source) usable() error {
	if s.db == nil {
		return fmt.Errorf("%s is nil", s.name)
	}
	// It answers so to a context that has ended, unless it is closed.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	c, err := s.db.Conn(ended)
	if err == nil {
		_ = c.Close()
	} else if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s cannot be used: %w", s.name, err)
	}
	return nil
}

// lookTimeout bounds the connection that is made to see what a wrapper is about.
const lookTimeout = 10 * time.Second

// read finds out about the configuration.
func (s *source) read() error {
	connector := reflect.ValueOf(s.connector)
	if s.db != nil {
		connector = reflect.ValueOf(s.db).Elem().FieldByName("connector")
		if connector.IsValid() && connector.IsZero() {
			return fmt.Errorf("%s has no connector: want one of sql.Open or sql.OpenDB", s.name)
		}
	}
	cfg, own := locate(connector)
	if own {
		return fmt.Errorf("%s: %w", s.name, errTwice)
	}
	if cfg.IsValid() {
		s.mysql, s.hidden = readConfig(cfg)
		return nil
	}
	// Whoever wraps a connector may do anything in its Connect.
	s.hidden = []string{"Connect of " + typeName(connector)}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	conn, release, err := s.connect(ctx)
	if err == nil {
		cfg, _ = locate(reflect.ValueOf(conn))
		s.mysql, _ = readConfig(cfg)
		err = release()
	}
	if err != nil {
		return fmt.Errorf("%s, of %s, cannot be used: %w", s.name, typeName(connector), err)
	}
	return nil
}

// close closes what the program has asked to be closed.
func (s *source) close() error {
	if s.db != nil {
		return s.db.Close()
	}
	if c, ok := s.connector.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func typeName(v reflect.Value) string {
	if v.IsValid() && v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		return "an unknown connector"
	}
	return v.Type().String()
}

// watchers are wrappers of connectors that add nothing to a connection but spans and metrics,
// with the field that has the connector.
var watchers = map[string]string{"github.com/XSAM/otelsql": "Connector"}

// theirPackage is the wrapped driver's.
var theirPackage = reflect.TypeFor[mysql.Config]().PkgPath()

// locate finds the wrapped driver's configuration, for reading, in a connector or a connection
// of the wrapped driver's, or in a watcher of one. own is true if it is one of ours.
func locate(v reflect.Value) (cfg reflect.Value, own bool) {
	for range 16 {
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			if v.Type() == reflect.TypeFor[*Connector]() {
				return reflect.Value{}, true
			}
			v = v.Elem()
		case reflect.Struct:
			pkg := v.Type().PkgPath()
			if pkg == theirPackage {
				if cfg = v.FieldByName("cfg"); cfg.IsValid() && cfg.Type() == reflect.TypeFor[*mysql.Config]() {
					return cfg.Elem(), false
				}
				return reflect.Value{}, false
			}
			v = v.FieldByName(watchers[pkg]) // of nobody else has a field without a name
		default:
			return reflect.Value{}, false
		}
	}
	return reflect.Value{}, false
}

// unwrap finds the wrapped driver's connection in one that may be a wrapper's.
func unwrap(c any) (driver.Conn, error) {
	outer := c
	for range 16 {
		if _, own := c.(*conn); own {
			return nil, errTwice
		}
		if inner, ok := c.(driver.Conn); ok {
			if cfg, _ := locate(reflect.ValueOf(c)); cfg.IsValid() {
				return inner, nil
			}
		}
		w, ok := c.(interface{ Raw() driver.Conn })
		if !ok {
			break
		}
		c = w.Raw()
	}
	return nil, fmt.Errorf("its connections are of type %T, which is neither go-sql-driver/mysql's nor has a method Raw() driver.Conn that leads to one of those: "+
		"it is another driver, or a wrapper that hides what it wraps (then wrap what is in it)", outer)
}

// connects makes connections by a connector that it does not know.
type connects struct{ driver.Connector }

func (c connects) connect(ctx context.Context) (driver.Conn, func() error, error) {
	made, err := c.Connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	inner, err := unwrap(made)
	if err != nil {
		if made != nil {
			_ = made.Close()
		}
		return nil, nil, err
	}
	return inner, made.Close, nil
}

// chooseWay decides how connections are made: as cfg says, or by the source itself, where that
// has what cfg cannot have. replaced is whether cfg.MySQL is the program's own.
func chooseWay(cfg *Config, sources []*source, o *options, replaced bool) error {
	first := sources[0]
	for _, s := range sources {
		missing := s.missing(cfg, o)
		switch {
		case replaced || len(missing) == 0:
		case len(sources) == 1:
			return s.itself(cfg, o, missing)
		default:
			return fmt.Errorf("%s has %s, which cannot be read out of it: give it to WithConfig, with Wrap and WithReaders", s.name, strings.Join(missing, " and "))
		}
	}
	for i, s := range sources[1:] {
		if field := difference(first.mysql, s.mysql); field != "" && !replaced {
			return fmt.Errorf("%s has another %s than %s, and sessions go from one to the other: "+
				"to have the writer's for all, wrap its pool alone and add the reader's address to Hosts, in WithConfig", s.name, field, first.name)
		}
		for _, other := range sources[:i+1] {
			if s.mysql.Addr == other.mysql.Addr {
				return fmt.Errorf("%s has the same address as %s: want one pool for each endpoint", s.name, other.name)
			}
		}
	}
	return nil
}

// missing is what of the source's configuration is neither in cfg nor in o.
func (s *source) missing(cfg *Config, o *options) (fields []string) {
	for _, field := range s.hidden {
		given := false
		switch field {
		case "TLS":
			given = cfg.MySQL.TLS != nil || cfg.MySQL.TLSConfig != "" || cfg.TLSCA != ""
		case "DialFunc":
			given = cfg.MySQL.DialFunc != nil || o.dial != nil
		case "BeforeConnect":
			given = callsBefore(cfg.MySQL) || o.credentials != nil // which is what most of them are for
		case "Loc":
			given = cfg.MySQL.Loc != nil
		}
		if !given {
			fields = append(fields, field)
		}
	}
	return fields
}

// callsBefore reports whether mysql.BeforeConnect was applied to cfg.
func callsBefore(cfg *mysql.Config) bool {
	f := reflect.ValueOf(cfg).Elem().FieldByName("beforeConnect")
	return f.IsValid() && !f.IsNil()
}

// itself lets the source make all connections.
func (s *source) itself(cfg *Config, o *options, missing []string) error {
	why := fmt.Sprintf("connections are made by %s itself, as %s cannot be read out of it", s.name, strings.Join(missing, " and "))
	changed := difference(s.mysql, cfg.MySQL)
	switch { // what pools of one cluster may differ in
	case cfg.MySQL.Addr != s.mysql.Addr:
		changed = "Addr"
	case callsBefore(cfg.MySQL): // the source calls its own
		changed = "BeforeConnect"
	}
	switch {
	case o.dial != nil:
		return fmt.Errorf("%s: WithDialer has no effect", why)
	case o.credentials != nil:
		return fmt.Errorf("%s: WithCredentials has no effect", why)
	case cfg.TLSCA != "":
		return fmt.Errorf("%s: fpTLSCA has no effect", why)
	case changed != "":
		return fmt.Errorf("%s: a change of MySQL.%s has no effect", why, changed)
	case len(cfg.Hosts) > 0:
		return fmt.Errorf("%s: there is no way to other Hosts", why)
	}
	switch cfg.Topology {
	case "", "auto":
		if cfg.usualTarget() == forReader {
			return fmt.Errorf("%s: its address is a reader endpoint, and fpTopology dns is for a name that leads to the writer: give them to WithConfig, or choose static", why)
		}
		cfg.Topology = "dns"
	case "dns", "static":
	default:
		return fmt.Errorf("%s: want fpTopology dns or static, as there is no way to the instances that %s would find", why, cfg.Topology)
	}
	if s.db != nil {
		if err := s.leaveRoom(cfg); err != nil {
			return fmt.Errorf("%s: %w", why, err)
		}
	}
	o.wrap.connect = func(ctx context.Context, _ string) (driver.Conn, func() error, error) { return s.connect(ctx) }
	o.log().Info("failoverproxy: "+why+": it follows the name of its address, and finds no other instances", slog.String("topology", cfg.Topology))
	return nil
}
