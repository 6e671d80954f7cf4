package wire

import (
	"encoding/binary"
	"fmt"
)

// Error is an ERR packet, and a Go error with the text of one.
type Error struct {
	Number  uint16
	State   string // SQLSTATE, 5 characters; empty = HY000, or none before a greeting
	Message string
}

func (e *Error) Error() string {
	return fmt.Sprintf("Error %d (%s): %s", e.Number, e.state(), e.Message)
}

func (e *Error) state() string {
	if len(e.State) != 5 {
		return "HY000"
	}
	return e.State
}

// Append appends the packet's payload to dst.
func (e *Error) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(append(dst, headerErr), e.Number)
	dst = append(append(dst, '#'), e.state()...)
	return append(dst, e.Message...)
}

// AppendBare appends the form without SQLSTATE that a server sends in place of
// its greeting (1040, 1129, 1130): capabilities are not agreed upon yet.
func (e *Error) AppendBare(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(append(dst, headerErr), e.Number)
	return append(dst, e.Message...)
}

// IsError tells whether a server's packet is an ERR. Every answer, a greeting and
// a row of the text protocol included, can be one in its place.
func IsError(payload []byte) bool {
	return len(payload) > 0 && payload[0] == headerErr
}

// ParseError parses an ERR packet with or without SQLSTATE; State is empty in
// the second case.
func ParseError(payload []byte) (*Error, error) {
	d := newDecoder("ERR", payload)
	d.header(headerErr)
	e := &Error{Number: d.uint16()}
	if len(d.rest) >= 6 && d.rest[0] == '#' {
		d.bytes(1)
		e.State = string(d.bytes(5))
	}
	e.Message = d.eofString()
	if d.err != nil {
		return nil, d.err
	}
	return e, nil
}
