package backend

import (
	"context"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Config says how a [Dialer] connects.
type Config struct {
	// MySQL is the wrapped driver's configuration. Addr is ignored.
	MySQL *mysql.Config
	// Seeds are the addresses of the DSN: for them a TLS ServerName that the
	// program chose itself is kept, for discovered instances it becomes their host.
	Seeds []string
	// Roots, if set, returns the authorities of whom one must have signed the certificate
	// of every server: there is no connection without TLS then, whatever MySQL says of
	// authorities. It is called for each connection and may return others each time.
	Roots func() *x509.CertPool
	// Login, if set, makes each connection, by connect, with a user and a password that it
	// chooses, in place of MySQL's. It may try several; ctx ends with Timeout.
	Login func(ctx context.Context, addr string, connect func(*Login) (*Backend, error)) (*Backend, error)
	// Dial opens network connections; nil uses the wrapped driver's ways: its own
	// DialFunc, a network of mysql.RegisterDialContext, or net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Route, if set, returns how an address is reached where its name leads elsewhere than it
	// should; nil, and the zero Route, is the address itself.
	Route func(ctx context.Context, addr string) Route
	// Make makes connections in place of all that: it returns one of the wrapped driver's,
	// and what closes it. nil connects as MySQL says. See foreign.go.
	Make func(ctx context.Context, addr string) (driver.Conn, func() error, error)
	// Timeout bounds one connect from the dial to the end of authentication. The
	// wrapped driver's own timeout does not cover the server's greeting. 0 = 10 s.
	Timeout time.Duration
	// Stop stops the statement that runs on a backend whose context has ended, within
	// ctx; until it has returned the backend is not used for anything else. nil closes
	// the connection instead. Networks of mysql.RegisterDialContext are closed always.
	Stop func(ctx context.Context, b *Backend) error
	// StopLimit is how long after the end of its context a statement may go on until its
	// connection is closed. 0 = DefaultStopLimit.
	StopLimit time.Duration
	// Statements is how many prepared statements a backend keeps.
	Statements int
	// Logger receives what the wrapped driver logs; nil discards it.
	Logger mysql.Logger
}

// Route is how an address is reached. The zero value is the address itself.
type Route struct {
	Addrs []string             // where to dial, the next where nobody answers; nil = the address
	Names []string             // of which the certificate must have one; nil = the address's host
	Check func(net.Addr) error // refuses a connection by where it leads; nil = none
}

// DefaultTimeout bounds a connect where nothing else does.
const DefaultTimeout = 10 * time.Second

// Dialer makes backends. It is safe for concurrent use.
type Dialer struct {
	cfg     Config
	tracked bool // the network connection can be wrapped
	plain   plaintext
	sample  atomic.Pointer[conn] // a connection made once, for CheckNamedValue
}

// NewDialer makes a Dialer; it connects nothing.
func NewDialer(cfg Config) *Dialer {
	cfg.MySQL = cfg.MySQL.Clone()
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Dial == nil {
		cfg.Dial = cfg.MySQL.DialFunc
	}
	d := &Dialer{cfg: cfg, tracked: cfg.Make == nil}
	if cfg.Dial == nil && d.tracked {
		if builtin := []string{"tcp", "tcp4", "tcp6", "unix"}; slices.Contains(builtin, cfg.MySQL.Net) {
			d.cfg.Dial = (&net.Dialer{}).DialContext
		} else {
			// A network of mysql.RegisterDialContext: the wrapped driver keeps its dial
			// functions to itself, so they can be used but not wrapped.
			d.tracked = false
		}
	}
	return d
}

// Connect makes a backend to the instance at addr: dial, TLS, authentication and
// what the configuration asks for (character set, parameters). Its errors are the
// wrapped driver's, the dialer's or Config.Login's.
func (d *Dialer) Connect(ctx context.Context, addr string) (*Backend, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	if d.cfg.Login == nil {
		return d.connect(ctx, addr, nil)
	}
	return d.cfg.Login(ctx, addr, func(l *Login) (*Backend, error) { return d.connect(ctx, addr, l) })
}

// connect makes a backend with that login, or with the configuration's own if it is nil.
func (d *Dialer) connect(ctx context.Context, addr string, login *Login) (_ *Backend, err error) {
	defer func() {
		// The wrapped driver trusts a greeting to be complete.
		if r := recover(); r != nil {
			err = fmt.Errorf("failoverproxy: the greeting of %s cannot be read: %v", addr, r)
		}
	}()
	if d.cfg.Make != nil {
		return d.foreign(ctx, addr)
	}
	var route Route
	if d.cfg.Route != nil && d.tracked {
		route = d.cfg.Route(ctx, addr)
	}
	b, err := d.attempt(ctx, addr, "", route, login)
	for _, name := range route.Names {
		// The certificate may be the one of before, or already that of afterwards.
		if _, other := errors.AsType[x509.HostnameError](err); !other || d.named(addr) {
			break
		}
		b, err = d.attempt(ctx, addr, name, route, login)
	}
	return b, err
}

// attempt is connect for a server whose certificate is to have that name; "" is the address's host.
func (d *Dialer) attempt(ctx context.Context, addr, name string, route Route, login *Login) (*Backend, error) {
	cfg := d.cfg.MySQL.Clone()
	cfg.Addr = addr
	d.protect(cfg, addr)
	if login != nil {
		if err := login.loginTo(cfg); err != nil {
			return nil, err
		}
	}
	if cfg.TLS != nil && name != "" {
		cfg.TLS.ServerName = name
	}
	if d.cfg.Logger != nil {
		cfg.Logger = d.cfg.Logger
	}
	b := &Backend{addr: addr, login: login, statements: statements{capacity: d.cfg.Statements}, guard: d.guard()}
	if d.tracked {
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := d.dial(ctx, network, addr, route)
			if err != nil {
				return nil, err
			}
			tracked, inner := wrap(raw)
			b.wire = tracked
			return inner, nil
		}
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	returned := false
	defer func() {
		if !returned && b.wire != nil {
			_ = b.wire.Close() // it panics, see connect
		}
	}()
	made, err := connector.Connect(ctx)
	returned = true
	if err != nil {
		if b.wire != nil && b.wire.hello.foreign {
			// Unlike a connection that was lost, for which the wrapped driver takes it.
			return nil, fmt.Errorf("failoverproxy: cannot connect to %s: what answers there is no MySQL server", addr)
		}
		return nil, d.downgraded(err, addr)
	}
	if err := d.adopt(b, made); err != nil {
		_ = made.Close()
		return nil, err
	}
	return b, nil
}

// dial goes the route to an address.
func (d *Dialer) dial(ctx context.Context, network, addr string, route Route) (raw net.Conn, err error) {
	addrs := route.Addrs
	if len(addrs) == 0 {
		addrs = []string{addr}
	}
	for _, at := range addrs {
		if raw, err = d.cfg.Dial(ctx, network, at); err != nil {
			continue
		}
		if route.Check == nil {
			return raw, nil
		}
		if err = route.Check(raw.RemoteAddr()); err == nil {
			return raw, nil
		}
		_ = raw.Close()
	}
	return nil, err
}

// adopt gives b the wrapped driver's connection.
func (d *Dialer) adopt(b *Backend, made driver.Conn) (err error) {
	inner, ok := made.(conn)
	if !ok {
		return fmt.Errorf("failoverproxy: connection of unexpected type %T from the wrapped driver", made)
	}
	if b.status, err = statusField(made); err != nil {
		return err
	}
	b.conn, b.reader, b.created = inner, readerOf(made), time.Now()
	d.sample.CompareAndSwap(nil, &inner)
	return nil
}

// CheckNamedValue converts an argument as the wrapped driver's connections do. Their
// method needs no live connection, but its code is to be had from one only; before
// the first connect the argument is left as it is.
func (d *Dialer) CheckNamedValue(nv *driver.NamedValue) error {
	if sample := d.sample.Load(); sample != nil {
		return (*sample).CheckNamedValue(nv)
	}
	return driver.ErrSkip
}
