package fakemysql

import (
	"crypto/rsa"
	"crypto/tls"
	"slices"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Config says what a Server is like. The zero value is a MySQL 8.0 without TLS
// that lets everybody in. A Server keeps its own copy; maps and slices must not
// be changed any more.
type Config struct {
	// Handler answers statements. nil = an empty Script.
	Handler Handler

	// Version is the server's version in its greeting. "" = "8.0.39-fake".
	Version string

	// Users are the accounts: passwords by user name. nil = every user is let
	// in with any password; empty = nobody is.
	Users map[string]string

	// Databases are those that clients can connect to or change to; another
	// one is refused with 1049. nil = the server does not mind.
	Databases []string

	// AuthPlugin is the authentication method of the greeting, and of every
	// account that UserPlugins does not name. "" = wire.NativePassword, which
	// costs least.
	AuthPlugin string

	// UserPlugins are accounts with a method of their own: the client is asked
	// to switch to it.
	UserPlugins map[string]string

	// RSAKey is what caching_sha2_password uses without TLS. nil = one that all
	// servers of the process share, made when first needed.
	RSAKey *rsa.PrivateKey

	// TLS turns on TLS for clients that want it. See SelfSigned.
	TLS *tls.Config

	// RequireTLS refuses clients that do not (3159).
	RequireTLS bool

	// Capabilities are those offered; 0 = wire.DefaultCapabilities. ClientSSL is
	// added or taken out by whether TLS is set. What the server cannot do
	// (wire.Unfollowed) is always taken out, and MariaDB's extended ones are
	// never offered.
	Capabilities wire.Capability

	// MaxConnections refuses further clients with 1040 in place of the
	// greeting. 0 = no limit.
	MaxConnections int

	// MaxPacket is the most that a client may send at once (max_allowed_packet),
	// in bytes. 0 = 64 MiB. More ends the connection with 1153.
	MaxPacket int

	// IdleTimeout ends connections with 4031 that send nothing for so long
	// (wait_timeout). 0 = never.
	IdleTimeout time.Duration

	// Hooks see every packet. They can be changed later with Server.SetHooks.
	Hooks Hooks
}

const (
	defaultVersion   = "8.0.39-fake"
	defaultMaxPacket = 64 << 20
)

// normalized is c with its defaults in place.
func (c Config) normalized() Config {
	if c.Handler == nil {
		c.Handler = NewScript()
	}
	if c.Version == "" {
		c.Version = defaultVersion
	}
	if c.AuthPlugin == "" {
		c.AuthPlugin = wire.NativePassword
	}
	if c.Capabilities == 0 {
		c.Capabilities = wire.DefaultCapabilities
	}
	if c.TLS != nil {
		c.Capabilities |= wire.ClientSSL
	} else {
		c.Capabilities &^= wire.ClientSSL
	}
	// Without ClientMySQL the greeting would announce MariaDB's extended ones.
	c.Capabilities = c.Capabilities&^wire.Unfollowed | wire.ClientMySQL | wire.ClientProtocol41
	if c.MaxPacket == 0 {
		c.MaxPacket = defaultMaxPacket
	}
	return c
}

// pluginOf is the authentication method of an account.
func (c *Config) pluginOf(user string) string {
	if p, ok := c.UserPlugins[user]; ok {
		return p
	}
	return c.AuthPlugin
}

func (c *Config) hasDatabase(name string) bool {
	return c.Databases == nil || slices.Contains(c.Databases, name)
}
