package backend

import (
	"bytes"
	"encoding/binary"
)

// handshake watches the beginning of a connection: the server's greeting and the
// client's first packet. It learns what the greeting says of the server, and sets one
// capability flag for the client that the wrapped driver does not know: with it the
// server reports that session state changed ([StatusSessionChanged]).
//
// The greeting is never encrypted, and neither is the first packet: with TLS it is an
// SSLRequest, whose capability flags both MySQL and MariaDB keep.
type handshake struct {
	greeting []byte // as far as it came
	read     bool   // it is complete, or is none
	sent     bool   // the client's first packet went out
	foreign  bool   // what came is no packet of a MySQL server's, or no greeting
	broken   bool   // it is one that the wrapped driver must not see

	threadID uint32
	mariaDB  bool
	tracks   bool // offered and asked for
}

// clientSessionTrack is CLIENT_SESSION_TRACK (MySQL source documentation, "Capabilities
// Flags"), bit 23.
const clientSessionTrack = 1 << 23

// longestGreeting bounds what is buffered of a peer that sends something else.
const longestGreeting = 1024

// received takes note of bytes from the server.
func (h *handshake) received(p []byte) {
	if h.read {
		return
	}
	h.greeting = append(h.greeting, p...)
	if len(h.greeting) < 4 {
		return
	}
	size := int(h.greeting[0]) | int(h.greeting[1])<<8 | int(h.greeting[2])<<16
	if size > longestGreeting || h.greeting[3] != 0 {
		h.read, h.greeting, h.foreign = true, nil, true
		return
	}
	if len(h.greeting) < 4+size {
		return
	}
	h.parse(h.greeting[4 : 4+size])
	h.read, h.greeting = true, nil
}

// parse reads a greeting of protocol 10 (MySQL source documentation,
// "Protocol::HandshakeV10"): version, thread id, 8 bytes of scramble, a filler, the
// lower capabilities, character set, status, the upper capabilities.
func (h *handshake) parse(p []byte) {
	if cutShort(p) {
		h.foreign, h.broken = true, true
		return
	}
	if len(p) == 0 || p[0] != 10 {
		return // an ERR packet, such as 1040
	}
	version, rest, ok := bytes.Cut(p[1:], []byte{0})
	if !ok || len(rest) < 20 {
		return
	}
	h.mariaDB = bytes.Contains(version, []byte("MariaDB"))
	h.threadID = binary.LittleEndian.Uint32(rest)
	upper := binary.LittleEndian.Uint16(rest[18:])
	h.tracks = upper&(clientSessionTrack>>16) != 0
}

// cutShort reports whether the first packet lacks what the wrapped driver reads without looking: it would
// panic, and leave its goroutine and the connection behind.
func cutShort(p []byte) bool {
	switch {
	case len(p) == 0:
		return false // which it refuses
	case p[0] == 0xff:
		return len(p) < 3 // the error's number
	case p[0] < 10:
		return false // so is that
	}
	const lower, all = 15, 44 // what follows the version, to the lower capabilities and to the end of the scramble
	_, rest, ok := bytes.Cut(p[1:], []byte{0})
	return !ok || len(rest) < lower || len(rest) > lower && len(rest) < all
}

// first returns what is to be written in place of p, the client's first packet.
func (h *handshake) first(p []byte) []byte {
	h.sent = true
	// A packet of the handshake begins with its header and 4 bytes of capabilities.
	if !h.tracks || len(p) < 8 || p[3] != 1 {
		h.tracks = false
		return p
	}
	p = bytes.Clone(p) // a Writer must not change what it is given
	p[4+2] |= clientSessionTrack >> 16 & 0xff
	return p
}
