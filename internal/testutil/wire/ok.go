package wire

import (
	"encoding/binary"
	"fmt"
)

// OK ends an answer well. https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html
type OK struct {
	// End marks the OK that stands at the end of rows in place of an EOF
	// (ClientDeprecateEOF). It differs in the first byte.
	End      bool
	Affected uint64
	InsertID uint64
	Status   uint16
	Warnings uint16
	Info     string
	Track    []Track // what changed in the session; goes with StatusSessionStateChanged
}

// Append appends the packet's payload to dst. Session changes are sent only to a
// client with ClientSessionTrack; StatusSessionStateChanged is set if there are
// any, and never sent to another client, as servers do.
func (o OK) Append(dst []byte, caps Capability) []byte {
	header := byte(headerOK)
	if o.End {
		header = headerEOF
	}
	tracking := caps.Has(ClientSessionTrack)
	if tracking && len(o.Track) > 0 {
		o.Status |= StatusSessionStateChanged
	}
	if !tracking {
		o.Status &^= StatusSessionStateChanged
	}
	dst = AppendLenInt(append(dst, header), o.Affected)
	dst = AppendLenInt(dst, o.InsertID)
	dst = binary.LittleEndian.AppendUint16(dst, o.Status)
	dst = binary.LittleEndian.AppendUint16(dst, o.Warnings)
	changed := o.Status&StatusSessionStateChanged != 0
	// Servers send the text behind its length to every client, whatever the
	// documentation says of clients without session tracking.
	if o.Info != "" || changed {
		dst = AppendLenString(dst, o.Info)
	}
	if changed {
		dst = AppendLenString(dst, appendTracks(nil, o.Track))
	}
	return dst
}

// ParseOK parses an OK packet of either kind.
func ParseOK(payload []byte, caps Capability) (OK, error) {
	d := newDecoder("OK", payload)
	var o OK
	switch h := d.uint8(); h {
	case headerOK:
	case headerEOF:
		o.End = true
	default:
		d.fail(fmt.Sprintf("begins with %#02x", h))
	}
	o.Affected = d.lenInt()
	o.InsertID = d.lenInt()
	o.Status = d.uint16()
	o.Warnings = d.uint16()
	if len(d.rest) > 0 {
		o.Info = d.lenString()
	}
	if caps.Has(ClientSessionTrack) && o.Status&StatusSessionStateChanged != 0 && len(d.rest) > 0 {
		o.Track = d.tracks()
	}
	return o, d.err
}

// EOF ends the column definitions, and the rows, for clients without
// ClientDeprecateEOF.
type EOF struct {
	Warnings uint16
	Status   uint16
}

// Append appends the packet's payload to dst.
func (e EOF) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(append(dst, headerEOF), e.Warnings)
	return binary.LittleEndian.AppendUint16(dst, e.Status)
}

// ParseEOF parses an EOF packet.
func ParseEOF(payload []byte) (EOF, error) {
	d := newDecoder("EOF", payload)
	d.header(headerEOF)
	e := EOF{Warnings: d.uint16(), Status: d.uint16()}
	return e, d.err
}

// AppendEnd appends what ends rows for a client with these capabilities: an OK
// or an EOF. An EOF carries of o only the warnings and the status.
func AppendEnd(dst []byte, o OK, caps Capability) []byte {
	if caps.Has(ClientDeprecateEOF) {
		o.End = true
		return o.Append(dst, caps)
	}
	return EOF{Warnings: o.Warnings, Status: o.Status}.Append(dst)
}

// ParseEnd parses what AppendEnd makes.
func ParseEnd(payload []byte, caps Capability) (OK, error) {
	if caps.Has(ClientDeprecateEOF) {
		return ParseOK(payload, caps)
	}
	e, err := ParseEOF(payload)
	return OK{End: true, Warnings: e.Warnings, Status: e.Status}, err
}
