package fakemysql

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// login carries a connection from the greeting to the OK that lets the client
// in, and opens its session.
func (c *conn) login(ctx context.Context, secure bool) error {
	scramble := newScramble()
	greeting := wire.Greeting{
		Version: c.server.cfg.Version, ConnectionID: c.id, Scramble: scramble,
		Capabilities: c.server.cfg.Capabilities, Charset: byte(wire.CharsetUTF8MB4),
		Status: wire.StatusAutocommit, Plugin: c.server.cfg.AuthPlugin,
	}
	if err := c.ask(ctx, greeting.Append(nil)); err != nil {
		return err
	}
	hello, encrypted, err := c.readHandshake(ctx)
	if err != nil {
		return err
	}
	c.caps = hello.Capabilities & c.server.cfg.Capabilities
	c.mu.Lock()
	c.state.User, c.state.Database, c.state.TLS = hello.User, hello.Database, encrypted
	c.mu.Unlock()
	if refusal, err := c.admit(ctx, hello, scramble, encrypted, secure); err != nil || refusal != nil {
		return c.deny(ctx, refusal, err)
	}
	c.info = c.describe(hello, encrypted)
	if c.session = c.server.cfg.Handler.Open(c.info); c.session == nil {
		return c.deny(ctx, &Error{Number: 1105, Message: "fakemysql: the handler opened no session"}, nil)
	}
	if err := c.ok(ctx); err != nil {
		return c.abandon(err)
	}
	if err := c.flush(); err != nil {
		return c.abandon(err)
	}
	return nil
}

// abandon closes a session whose client did not hear that it is in.
func (c *conn) abandon(err error) error {
	c.session.Close()
	return err
}

// ask sends a packet that the client has to answer.
func (c *conn) ask(ctx context.Context, payload []byte) error {
	if err := c.send(ctx, 0, payload); err != nil {
		return err
	}
	return c.flush()
}

// deny tells the client why it is not let in and returns an error in any case:
// err, if that is why there is nobody to tell, else the refusal.
func (c *conn) deny(ctx context.Context, refusal *Error, err error) error {
	if err != nil {
		return err
	}
	// Counted first, so that a client that has heard of it finds it counted.
	c.server.count(func(s *Stats) { s.Denied++ })
	_ = c.fail(ctx, refusal)
	_ = c.flush()
	return refusal
}

// readHandshake reads the client's handshake response, and switches to TLS if it
// asks for that first.
func (c *conn) readHandshake(ctx context.Context) (hello wire.Handshake, encrypted bool, err error) {
	payload, err := c.read(ctx)
	if err != nil {
		return hello, false, err
	}
	if wire.IsSSLRequest(payload) && c.server.cfg.TLS != nil {
		t := tls.Server(c.raw, c.server.cfg.TLS)
		if err := t.HandshakeContext(ctx); err != nil {
			return hello, false, err
		}
		c.switchTo(t)
		encrypted = true
		if payload, err = c.read(ctx); err != nil {
			return hello, false, err
		}
	}
	hello, err = wire.ParseHandshake(payload)
	if err != nil {
		malformed := &Error{Number: 1043, State: "08S01", Message: "Bad handshake"}
		return hello, false, c.deny(ctx, malformed, nil)
	}
	return hello, encrypted, nil
}

// admit decides whether the client may come in. An error that is not a refusal
// means that the connection is gone.
func (c *conn) admit(ctx context.Context, hello wire.Handshake, scramble []byte, encrypted, secure bool) (*Error, error) {
	if c.server.cfg.RequireTLS && !encrypted {
		return &Error{Number: 3159, Message: "Connections using insecure transport are prohibited while --require_secure_transport=ON."}, nil
	}
	a := &authentication{
		conn: c, hello: hello, scramble: scramble, secure: secure || encrypted,
		plugin: c.server.cfg.pluginOf(hello.User),
	}
	ok, err := a.run(ctx)
	if err != nil {
		return nil, err
	}
	if !ok {
		return c.accessDenied(hello), nil
	}
	if hello.Database != "" && !c.server.cfg.hasDatabase(hello.Database) {
		return unknownDatabase(hello.Database), nil
	}
	return nil, nil
}

func (c *conn) accessDenied(hello wire.Handshake) *Error {
	host, _, err := net.SplitHostPort(c.raw.RemoteAddr().String())
	if err != nil {
		host = "localhost"
	}
	using := "NO"
	if len(hello.Auth) > 0 {
		using = "YES"
	}
	return &Error{Number: 1045, State: "28000", Message: fmt.Sprintf("Access denied for user '%s'@'%s' (using password: %s)", hello.User, host, using)}
}

func unknownDatabase(name string) *Error {
	return &Error{Number: 1049, State: "42000", Message: fmt.Sprintf("Unknown database '%s'", name)}
}

func (c *conn) describe(hello wire.Handshake, encrypted bool) ConnInfo {
	attributes := make(map[string]string, len(hello.Attributes))
	for _, a := range hello.Attributes {
		attributes[a.Name] = a.Value
	}
	return ConnInfo{
		ID: c.id, User: hello.User, Database: hello.Database, Attributes: attributes,
		TLS: encrypted, Remote: c.raw.RemoteAddr().String(), Capabilities: c.caps,
		Version: c.server.cfg.Version, MaxPacket: c.server.cfg.MaxPacket, Kill: c.server.Kill,
	}
}

// newScramble is a challenge of random bytes. None is zero, which would end it,
// nor '$', which MySQL avoids for the sake of its password file.
func newScramble() []byte {
	b := make([]byte, wire.ScrambleLen)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	for i := range b {
		b[i] &= 0x7f
		if b[i] == 0 || b[i] == '$' {
			b[i]++
		}
	}
	return b
}
