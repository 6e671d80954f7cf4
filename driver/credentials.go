package driver

import (
	"context"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// CredentialsProvider gives the user and the password of new connections in place of the
// DSN's, see [WithCredentials]. It must be safe for concurrent use.
//
// It may have more methods: those of [CredentialsRefresher] and [TLSCredentials].
type CredentialsProvider interface {
	// Credentials returns user and password for a new connection to instance, of which only
	// Addr is sure: ID is empty while nothing else is known. A zero expiry means: valid until
	// the server refuses them; otherwise they are used for connections that begin before it.
	// ctx ends with the connect deadline (timeout in the DSN, default 10s). The error goes to
	// whoever needs the connection, and must not contain a secret.
	Credentials(ctx context.Context, instance topology.Instance) (user, password string, expiry time.Time, err error)
}

// CredentialsRefresher is a [CredentialsProvider] that remembers what it has got. Refresh is
// called in place of Credentials after a server has refused what that returned last (1045):
// it must ask the source, and take nothing from its memory.
type CredentialsRefresher interface {
	CredentialsProvider
	Refresh(ctx context.Context, instance topology.Instance) (user, password string, expiry time.Time, err error)
}

// TLSCredentials is a [CredentialsProvider] whose passwords are sent as they are, such as IAM
// tokens. If RequiresTLS returns true, [NewConnector] refuses a configuration that could
// connect without TLS (none, or one that falls back to none), and new connections
// answer a server that asks for a password in clear, as with allowCleartextPasswords. It is
// asked once.
type TLSCredentials interface {
	CredentialsProvider
	RequiresTLS() bool
}

// CredentialsFunc is a function as a [CredentialsProvider].
type CredentialsFunc func(ctx context.Context, instance topology.Instance) (user, password string, expiry time.Time, err error)

// Credentials calls f.
func (f CredentialsFunc) Credentials(ctx context.Context, instance topology.Instance) (user, password string, expiry time.Time, err error) {
	return f(ctx, instance)
}

// WithCredentials sets who gives user and password for new connections.
func WithCredentials(p CredentialsProvider) Option { return func(o *options) { o.credentials = p } }
