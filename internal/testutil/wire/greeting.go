package wire

import (
	"encoding/binary"
	"strings"
)

// ScrambleLen is the length of the random challenge in a greeting.
const ScrambleLen = 20

// Greeting is the server's first packet (HandshakeV10).
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html
type Greeting struct {
	Version      string
	ConnectionID uint32
	Scramble     []byte // 20 bytes, none of them zero
	Capabilities Capability
	Extended     uint32 // MariaDB's extended capabilities; read and sent only without ClientMySQL
	Charset      byte
	Status       uint16
	Plugin       string
}

// Append appends the greeting's payload to dst.
func (g Greeting) Append(dst []byte) []byte {
	var scramble [ScrambleLen]byte
	copy(scramble[:], g.Scramble)
	dst = appendNulString(append(dst, 10), g.Version)
	dst = binary.LittleEndian.AppendUint32(dst, g.ConnectionID)
	dst = append(dst, scramble[:8]...)
	dst = append(dst, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Capabilities))
	dst = append(dst, g.Charset)
	dst = binary.LittleEndian.AppendUint16(dst, g.Status)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Capabilities>>16))
	dst = append(dst, ScrambleLen+1, 0, 0, 0, 0, 0, 0)
	extended := g.Extended
	if g.Capabilities.Has(ClientMySQL) {
		extended = 0
	}
	dst = binary.LittleEndian.AppendUint32(dst, extended)
	dst = append(dst, scramble[8:]...)
	dst = append(dst, 0)
	if g.Capabilities.Has(ClientPluginAuth) {
		dst = appendNulString(dst, g.Plugin)
	}
	return dst
}

// ParseGreeting parses a greeting. A server may send an ERR packet in its place,
// for which see IsError.
func ParseGreeting(payload []byte) (Greeting, error) {
	d := newDecoder("greeting", payload)
	d.header(10)
	var g Greeting
	g.Version = d.nulString()
	g.ConnectionID = d.uint32()
	scramble := append([]byte(nil), d.bytes(8)...)
	d.bytes(1)
	g.Capabilities = Capability(d.uint16())
	g.Charset = d.uint8()
	g.Status = d.uint16()
	g.Capabilities |= Capability(d.uint16()) << 16
	d.bytes(7) // length of the scramble, always 21 by now, and a filler
	extended := d.uint32()
	if !g.Capabilities.Has(ClientMySQL) {
		g.Extended = extended
	}
	g.Scramble = append(scramble, d.bytes(ScrambleLen-8)...)
	d.bytes(1)
	if g.Capabilities.Has(ClientPluginAuth) {
		// Some old servers leave out the zero byte at the end.
		g.Plugin, _, _ = strings.Cut(d.eofString(), "\x00")
	}
	return g, d.err
}

// authSwitchHeader begins an AuthSwitch, authMoreHeader an AuthMore.
const (
	authSwitchHeader = 0xfe
	authMoreHeader   = 0x01
)

// The one-byte messages of caching_sha2_password.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
const (
	SHA2RequestPublicKey byte = 2 // client: send me your RSA key
	SHA2FastSuccess      byte = 3 // server: the hash in my cache agrees, OK follows
	SHA2FullAuth         byte = 4 // server: I need the password itself
)

// AuthSwitch is the server's request to use another authentication method.
type AuthSwitch struct {
	Plugin   string
	Scramble []byte
}

// Append appends the request's payload to dst.
func (a AuthSwitch) Append(dst []byte) []byte {
	dst = appendNulString(append(dst, authSwitchHeader), a.Plugin)
	return append(append(dst, a.Scramble...), 0)
}

// ParseAuthSwitch parses an authentication switch request.
func ParseAuthSwitch(payload []byte) (AuthSwitch, error) {
	d := newDecoder("auth switch", payload)
	d.header(authSwitchHeader)
	a := AuthSwitch{Plugin: d.nulString()}
	a.Scramble = []byte(d.eofString())
	if n := len(a.Scramble); n > 0 && a.Scramble[n-1] == 0 {
		a.Scramble = a.Scramble[:n-1]
	}
	return a, d.err
}

// AppendAuthMore appends a packet with data that the authentication method of
// the moment asks for. The client's answers have no header of their own: their
// payload is the data.
func AppendAuthMore(dst, data []byte) []byte {
	return append(append(dst, authMoreHeader), data...)
}

// ParseAuthMore parses such a packet.
func ParseAuthMore(payload []byte) (data []byte, err error) {
	d := newDecoder("auth data", payload)
	d.header(authMoreHeader)
	return d.rest, d.err
}
