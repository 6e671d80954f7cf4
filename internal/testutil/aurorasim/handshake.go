package aurorasim

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what caching_sha2_password uses with RSA-OAEP
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// followed are the capabilities that a relay may let both sides agree on: what wire
// knows and can follow. TLS is each leg's own matter.
const followed = (wire.ClientQueryAttributes - 1) &^ (wire.Unfollowed | wire.ClientSSL)

// connect relays everything up to the end of the authentication. It gives false if
// there is no connection after it.
func (c *conn) connect() bool {
	c.in, c.out = newPacketReader(c.socket), newPacketWriter(c.socket)
	if !c.greetable() {
		return false
	}
	up, err := c.dialUpstream()
	if err != nil {
		return false
	}
	c.upIn, c.upOut = newPacketReader(up), newPacketWriter(up)
	_ = up.SetReadDeadline(time.Now().Add(setupTimeout))
	payload, seq, err := c.upIn.next()
	if err != nil || !c.gate() {
		return false
	}
	if wire.IsError(payload) { // the upstream itself has too many connections
		_ = c.toClient(seq, payload)
		return false
	}
	greeting, err := wire.ParseGreeting(payload)
	if err != nil {
		return false
	}
	_ = up.SetReadDeadline(time.Time{})
	c.id = greeting.ConnectionID
	c.mu.Lock()
	c.thread = c.id
	c.mu.Unlock()
	return c.authenticate(greeting) == nil
}

// greetable waits while the instance is frozen or silent, and answers 1040 when it
// has too many connections.
func (c *conn) greetable() bool {
	i := c.inst
	i.mu.Lock()
	wait := i.frozen > 0 || i.silent > 0
	i.mu.Unlock()
	if wait {
		c.watchClient()
	}
	tooMany := false
	if !c.waitFor(func() bool { tooMany = i.tooMany > 0; return i.frozen == 0 && i.silent == 0 }) {
		return false
	}
	if tooMany {
		e := &wire.Error{Number: 1040, Message: "Too many connections"}
		_ = c.toClient(0, e.AppendBare(nil))
		return false
	}
	return true
}

// watchClient ends the connection if the client hangs up before its greeting.
func (c *conn) watchClient() {
	c.watch = make(chan struct{})
	go func() {
		defer close(c.watch)
		if _, err := c.in.r.Peek(1); err != nil {
			c.end(endClosed)
		}
	}()
}

// fromClient reads the client's next packet of the handshake.
func (c *conn) fromClient() (payload []byte, seq byte, err error) {
	if c.watch != nil {
		<-c.watch
	}
	return c.in.next()
}

// authenticate greets the client, takes its TLS off and relays until the upstream
// has decided.
func (c *conn) authenticate(g wire.Greeting) error {
	offered := g
	offered.Capabilities &= followed
	offered.Extended = 0
	offer := c.inst.tls.Load()
	if offer != nil {
		offered.Capabilities |= wire.ClientSSL
	}
	if err := c.toClient(0, offered.Append(nil)); err != nil {
		return err
	}
	payload, seq, err := c.fromClient()
	if err != nil {
		return err
	}
	secure := offer != nil && wire.IsSSLRequest(payload)
	if secure {
		if payload, seq, err = c.startTLS(offer); err != nil {
			return err
		}
	} else if c.inst.cluster.cfg.RequireTLS {
		e := &wire.Error{Number: 3159, Message: "Connections using insecure transport are prohibited while --require_secure_transport=ON."}
		return c.toClient(seq+1, e.Append(nil))
	}
	h, err := wire.ParseHandshake(payload)
	if err != nil {
		return err
	}
	c.user, c.caps = h.User, h.Capabilities&offered.Capabilities
	s := Statement{Instance: c.inst.ID, Conn: c.id, User: c.user, Received: time.Now(), Command: wire.ComConnect}
	if !c.pause(c.inst.delayOf(s)) || !c.gate() {
		return errClosed
	}
	fault := c.inst.claim(s)
	if fault != nil && fault.action == actError {
		_ = c.toClient(seq+1, fault.err.Append(nil))
		return errRefused
	}
	response := append([]byte(nil), payload...)
	binary.LittleEndian.PutUint32(response, uint32(h.Capabilities&followed))
	if err := c.upOut.send(1, response); err != nil {
		return err
	}
	a := authentication{conn: c, clientSeq: seq, plugin: h.Plugin, scramble: g.Scramble, reveal: secure && !c.upstreamSecure(), fault: fault}
	return a.relay()
}

// startTLS answers the client's TLS request and reads what comes first under TLS.
func (c *conn) startTLS(offer *tls.Config) (payload []byte, seq byte, err error) {
	server := tls.Server(readAheadConn{c.socket, c.in}, offer)
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	if err := server.HandshakeContext(ctx); err != nil {
		return nil, 0, err
	}
	c.in = newPacketReader(server)
	c.outMu.Lock()
	c.out = newPacketWriter(server)
	c.outMu.Unlock()
	return c.in.next()
}

// upstreamSecure tells whether the upstream takes a password in clear text: over a
// Unix socket.
func (c *conn) upstreamSecure() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.upstream.RemoteAddr().Network() == "unix"
}

// authentication relays the packets between the handshake response and the
// upstream's verdict. Both legs count for themselves: TLS takes one more packet.
type authentication struct {
	conn      *conn
	clientSeq byte // newest from the client
	plugin    string
	scramble  []byte
	fault     *Fault
	sent      int  // packets to the client
	reveal    bool // the client may send its password in clear text, the upstream must not get it so
}

func (a *authentication) relay() error {
	c := a.conn
	for {
		payload, seq, err := c.upIn.next()
		if err != nil {
			return err
		}
		if len(payload) == 0 {
			return wire.ErrMalformed
		}
		if !c.gate() {
			return errClosed
		}
		a.clientSeq++
		if a.faulty(payload) {
			return errRefused
		}
		if err := c.toClient(a.clientSeq, payload); err != nil {
			return err
		}
		a.sent++
		switch payload[0] {
		case 0x00:
			ok, err := wire.ParseOK(payload, c.caps)
			c.status = ok.Status
			return err
		case 0xff:
			return errRefused
		}
		answered, full := a.look(payload)
		if !answered {
			continue
		}
		reply, clientSeq, err := c.fromClient()
		if err != nil {
			return err
		}
		a.clientSeq = clientSeq
		if full {
			if reply, seq, err = a.encrypt(reply, seq); err != nil {
				return err
			}
		}
		if err := c.upOut.send(seq+1, reply); err != nil {
			return err
		}
	}
}

// faulty lets the login's fault have its way with what the server says. It tells whether
// that was the end.
func (a *authentication) faulty(payload []byte) bool {
	c, f := a.conn, a.fault
	last := payload[0] == 0x00 || payload[0] == 0xff
	switch {
	case f == nil, f.action != actCut && !last, f.action == actCut && a.sent < f.packets:
		return false
	case f.action == actMute, f.mute:
		c.watchClient()
		<-c.ended
	case f.action == actSwallow:
		c.end(endReset)
	case f.err != nil:
		_ = c.toClient(a.clientSeq, f.err.Append(nil))
	}
	return true // with a FIN, unless it ended otherwise
}

var errRefused = errors.New("aurorasim: the upstream refused the client")

// look says whether the client answers the upstream's packet, and whether with its
// password in clear text that must not go on so.
func (a *authentication) look(payload []byte) (answered, full bool) {
	if s, err := wire.ParseAuthSwitch(payload); err == nil {
		a.plugin, a.scramble = s.Plugin, s.Scramble
		return true, false
	}
	data, err := wire.ParseAuthMore(payload)
	if err != nil || a.plugin != wire.CachingSHA2Password || len(data) != 1 {
		return true, false
	}
	return data[0] != wire.SHA2FastSuccess, a.reveal && data[0] == wire.SHA2FullAuth
}

// encrypt does what the client, which has TLS, need not do: it asks the upstream for
// its RSA key and encrypts the password with it.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
func (a *authentication) encrypt(password []byte, seq byte) (reply []byte, newest byte, err error) {
	c := a.conn
	plain := append([]byte(nil), password...)
	if err := c.upOut.send(seq+1, []byte{wire.SHA2RequestPublicKey}); err != nil {
		return nil, 0, err
	}
	payload, newest, err := c.upIn.next()
	if err != nil {
		return nil, 0, err
	}
	data, err := wire.ParseAuthMore(payload)
	if err != nil {
		return nil, 0, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, 0, errors.New("aurorasim: the upstream sent no public key")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, 0, err
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, 0, fmt.Errorf("aurorasim: the upstream's key is a %T", parsed)
	}
	for n := range plain {
		plain[n] ^= a.scramble[n%len(a.scramble)]
	}
	reply, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, key, plain, nil)
	return reply, newest, err
}
