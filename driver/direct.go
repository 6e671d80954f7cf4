package driver

import (
	"log/slog"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// Direct returns the wrapped driver's configuration of a connection to the instance at addr (see
// topology.Instance.Addr), past pool, sessions and failover: for tools and questions that are
// meant for that one instance. It has the TLS that the connector's own connections have, which
// is that instance's host name, verified, and the authorities of TLSCA as the file is now. It lacks
// what is given as an Option, and holds the password, as c does. c is not changed; an error names
// the field that is wrong, by its DSN key.
func (c *Config) Direct(addr string) (*mysql.Config, error) {
	cfg := c.Clone()
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	dial := backend.Config{MySQL: cfg.MySQL, Seeds: cfg.Hosts}
	if cfg.TLSCA != "" {
		a, err := newAuthority(cfg.TLSCA, slog.Default())
		if err != nil {
			return nil, err
		}
		dial.Roots = a.roots
	}
	return backend.NewDialer(dial).Settings(addr), nil
}
