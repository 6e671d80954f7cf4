package backend

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"
)

// protect gives cfg, which is for one connection to addr, its TLS.
func (d *Dialer) protect(cfg *mysql.Config, addr string) {
	cfg.TLS = d.tlsFor(addr)
	if cfg.TLS == nil || !cfg.AllowFallbackToPlaintext {
		return
	}
	cfg.AllowFallbackToPlaintext = d.plain.allowed(addr, d.isSeed(addr))
	verify := cfg.TLS.VerifyConnection
	cfg.TLS.VerifyConnection = func(s tls.ConnectionState) error {
		if verify != nil {
			if err := verify(s); err != nil {
				return err
			}
		}
		d.plain.forbid(addr, d.isSeed(addr))
		return nil
	}
}

// tlsFor returns the TLS configuration for addr, nil for none. Verification is
// whatever the configuration says; the name to verify is the instance's own.
func (d *Dialer) tlsFor(addr string) *tls.Config {
	c := d.cfg.MySQL.TLS.Clone()
	if d.cfg.Roots != nil {
		if c == nil {
			c = &tls.Config{}
		}
		c.RootCAs = d.cfg.Roots()
	}
	if c == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return c // a socket path
	}
	if c.ServerName == "" || !d.isSeed(addr) {
		c.ServerName, _, _ = strings.Cut(host, "%") // a zone is nothing to certify
	}
	return c
}

// named reports whether the program itself said what name the certificate of addr must have.
func (d *Dialer) named(addr string) bool {
	return d.isSeed(addr) && d.cfg.MySQL.TLS != nil && d.cfg.MySQL.TLS.ServerName != ""
}

func (d *Dialer) isSeed(addr string) bool { return slices.Contains(d.cfg.Seeds, addr) }

// plaintext knows where tls=preferred may do without TLS. A host of the DSN may if it
// has none; an instance that was discovered through one that has TLS may not, nor may
// whoever had it once: that would be no preference but a downgrade, and anybody on the way
// can have it by taking one bit out of the server's greeting. The zero value is ready; it
// is safe for concurrent use.
type plaintext struct {
	mu     sync.Mutex
	spoken map[string]bool // addresses at which TLS was spoken
	seed   bool            // one of them is a host of the DSN
}

func (p *plaintext) allowed(addr string, seed bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.spoken[addr] && (seed || !p.seed)
}

// forbid notes that TLS was spoken at addr.
func (p *plaintext) forbid(addr string, seed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spoken == nil {
		p.spoken = make(map[string]bool)
	}
	p.spoken[addr] = true
	p.seed = p.seed || seed
}

// downgraded says of an error what the configuration does not: why tls=preferred is not
// content without TLS.
func (d *Dialer) downgraded(err error, addr string) error {
	if !d.cfg.MySQL.AllowFallbackToPlaintext || !errors.Is(err, mysql.ErrNoTLS) {
		return err
	}
	return fmt.Errorf("failoverproxy: %s offers no TLS, though it did before, or the host of the DSN through which it was found does: "+
		"with tls=preferred nothing is sent to it in clear: %w", addr, err)
}

// Settings returns the wrapped driver's configuration of one connection to addr, as Connect
// uses it, but for the dial function. It is the caller's.
func (d *Dialer) Settings(addr string) *mysql.Config {
	cfg := d.cfg.MySQL.Clone()
	cfg.Addr = addr
	d.protect(cfg, addr)
	return cfg
}
