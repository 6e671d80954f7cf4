package wire

import "encoding/binary"

// sslRequestLen is the length of an SSLRequest: a handshake response that ends
// before the user name.
const sslRequestLen = 32

// SSLRequest is what a client sends first if it wants TLS. The TLS handshake
// follows, and then the whole Handshake, with the next sequence id.
type SSLRequest struct {
	Capabilities Capability
	MaxPacket    uint32
	Charset      byte
	Extended     uint32 // see Greeting.Extended
}

// IsSSLRequest tells whether the client's first payload asks for TLS.
func IsSSLRequest(payload []byte) bool {
	return len(payload) == sslRequestLen &&
		Capability(binary.LittleEndian.Uint32(payload)).Has(ClientSSL)
}

// Append appends the request's payload to dst.
func (r SSLRequest) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.Capabilities))
	dst = binary.LittleEndian.AppendUint32(dst, r.MaxPacket)
	dst = append(dst, r.Charset)
	dst = append(dst, make([]byte, 19)...)
	extended := r.Extended
	if r.Capabilities.Has(ClientMySQL) {
		extended = 0
	}
	return binary.LittleEndian.AppendUint32(dst, extended)
}

// ParseSSLRequest parses a TLS request.
func ParseSSLRequest(payload []byte) (SSLRequest, error) {
	d := newDecoder("TLS request", payload)
	r := d.sslRequest()
	return r, d.err
}

func (d *decoder) sslRequest() SSLRequest {
	r := SSLRequest{
		Capabilities: Capability(d.uint32()),
		MaxPacket:    d.uint32(),
		Charset:      d.uint8(),
	}
	d.bytes(19)
	if extended := d.uint32(); !r.Capabilities.Has(ClientMySQL) {
		r.Extended = extended
	}
	return r
}

// Handshake is the client's answer to the greeting (HandshakeResponse41).
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_response.html
type Handshake struct {
	SSLRequest
	User       string
	Auth       []byte
	Database   string
	Plugin     string
	Attributes []Attribute
}

// Attribute is one connection attribute.
type Attribute struct{ Name, Value string }

// Append appends the response's payload to dst. Database, Plugin and Attributes
// are left out if the capabilities do not have them.
func (h Handshake) Append(dst []byte) []byte {
	dst = appendNulString(h.SSLRequest.Append(dst), h.User)
	switch {
	case h.Capabilities.Has(ClientPluginAuthLenEncData):
		dst = AppendLenString(dst, h.Auth)
	case h.Capabilities.Has(ClientSecureConnection):
		dst = append(append(dst, byte(len(h.Auth))), h.Auth...)
	default:
		dst = appendNulString(dst, string(h.Auth))
	}
	if h.Capabilities.Has(ClientConnectWithDB) {
		dst = appendNulString(dst, h.Database)
	}
	if h.Capabilities.Has(ClientPluginAuth) {
		dst = appendNulString(dst, h.Plugin)
	}
	if h.Capabilities.Has(ClientConnectAttrs) {
		var all []byte
		for _, a := range h.Attributes {
			all = AppendLenString(AppendLenString(all, a.Name), a.Value)
		}
		dst = AppendLenString(dst, all)
	}
	return dst
}

// ParseHandshake parses a handshake response. Which fields it has is decided by
// the capabilities that it names itself, offered or not.
func ParseHandshake(payload []byte) (Handshake, error) {
	d := newDecoder("handshake response", payload)
	h := Handshake{SSLRequest: d.sslRequest()}
	if d.err == nil && !h.Capabilities.Has(ClientProtocol41) {
		d.fail("the client speaks the protocol from before MySQL 4.1")
	}
	h.User = d.nulString()
	switch {
	case h.Capabilities.Has(ClientPluginAuthLenEncData):
		h.Auth = d.lenBytes()
	case h.Capabilities.Has(ClientSecureConnection):
		h.Auth = d.bytes(int(d.uint8()))
	default:
		h.Auth = []byte(d.nulString())
	}
	if h.Capabilities.Has(ClientConnectWithDB) {
		h.Database = d.nulString()
	}
	if h.Capabilities.Has(ClientPluginAuth) && len(d.rest) > 0 {
		h.Plugin = d.nulString()
	}
	if h.Capabilities.Has(ClientConnectAttrs) && len(d.rest) > 0 {
		attrs := &decoder{rest: d.lenBytes(), what: d.what, err: d.err}
		for len(attrs.rest) > 0 {
			h.Attributes = append(h.Attributes, Attribute{attrs.lenString(), attrs.lenString()})
		}
		d.err = attrs.err
	}
	return h, d.err
}
