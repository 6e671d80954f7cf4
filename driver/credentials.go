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

// WithCredentials sets who gives user and password for new connections: those of sessions, of
// the monitor and those that KILL QUERY goes over. A password in the DSN is refused beside it,
// a user there is not used.
//
// What the provider gives for an instance is kept: until a fifth of its validity is left (5m at
// most), when the next new connection has it renewed in the background; until shortly before
// its end if the provider fails meanwhile; for ever without an expiry. When the server refuses
// it (1045) the provider is asked anew, once for all who wait, and the connection tried again.
// Connections that there are live on, whatever becomes of the password they were made with.
//
// An error of the provider is no fault of an instance: who needs a new connection gets an
// error that is [failover.ErrCredentials], and nobody is suspected.
func WithCredentials(p CredentialsProvider) Option {
	return func(o *options) { o.credentials, o.provided = p, true }
}

// CredentialsStats counts calls of the provider of [WithCredentials].
type CredentialsStats struct {
	Calls     uint64 // all of them
	Refreshes uint64 // in the background, before the end of what there was
	Forced    uint64 // because a server had refused what there was
	Failures  uint64 // errors, panics, and answers that cannot be used
}

// checkCredentials refuses a normalized configuration that does not go with the provider.
func (o *options) checkCredentials(cfg *Config) error {
	if !o.provided {
		return nil
	}
	if o.credentials == nil {
		return &dsnError{problem: "driver.WithCredentials was given no provider, but nil"}
	}
	if cfg.MySQL.Passwd != "" {
		return &dsnError{problem: "there is a password in the configuration, and driver.WithCredentials to give one: leave it out of the DSN"}
	}
	if !o.inClear() {
		return nil
	}
	const why = "the provider of driver.WithCredentials gives passwords that are sent as they are: "
	e := &dsnError{key: "tls"}
	switch m := cfg.MySQL; {
	case m.Net == "unix":
		e.problem = why + "they must not go to a socket, which has no TLS"
	case cfg.TLSCA == "" && m.TLS == nil:
		e.problem = why + "want TLS: fpTLSCA=FILE, or tls=true"
	case m.AllowFallbackToPlaintext:
		e.problem = why + "want TLS always, not where it is offered: fpTLSCA=FILE, or tls=true"
	default:
		return nil
	}
	return e
}

// inClear reports whether the provider's passwords are sent as they are.
func (o *options) inClear() bool {
	p, ok := o.credentials.(TLSCredentials)
	return ok && p.RequiresTLS()
}
