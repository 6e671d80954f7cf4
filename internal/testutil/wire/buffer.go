package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// nullByte in place of a length-encoded string's length means NULL.
const nullByte = 0xfb

// AppendLenInt appends n as a length-encoded integer: 1, 3, 4 or 9 bytes.
func AppendLenInt(dst []byte, n uint64) []byte {
	switch {
	case n < nullByte:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 0xfc, byte(n), byte(n>>8))
	case n < 1<<24:
		return append(dst, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xfe), n)
}

// AppendLenString appends s behind its length as a length-encoded integer.
func AppendLenString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(AppendLenInt(dst, uint64(len(s))), s...)
}

func appendNulString(dst []byte, s string) []byte {
	return append(append(dst, s...), 0)
}

// decoder takes a payload apart from the front. Its error sticks: after the
// first one every read gives a zero value, so that callers check once, with end.
type decoder struct {
	rest []byte
	what string // the message being parsed, for the error
	err  error
}

func newDecoder(what string, payload []byte) *decoder {
	return &decoder{rest: payload, what: what}
}

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s: %s", ErrMalformed, d.what, why)
	}
	d.rest = nil
}

// header takes one byte, which must be b.
func (d *decoder) header(b byte) {
	if got := d.uint8(); d.err == nil && got != b {
		d.fail(fmt.Sprintf("begins with %#02x, not %#02x", got, b))
	}
}

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.fail("ends early")
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint8() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// lenInt takes a length-encoded integer, which must not be NULL.
func (d *decoder) lenInt() uint64 {
	switch b := d.uint8(); b {
	case 0xfc:
		return uint64(d.uint16())
	case 0xfd:
		if b := d.bytes(3); b != nil {
			return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16
		}
		return 0
	case 0xfe:
		return d.uint64()
	case nullByte, 0xff:
		d.fail(fmt.Sprintf("%#02x is no length", b))
		return 0
	default:
		return uint64(b)
	}
}

func (d *decoder) lenBytes() []byte {
	n := d.lenInt()
	if n > uint64(len(d.rest)) {
		d.fail("a string ends early")
		return nil
	}
	return d.bytes(int(n))
}

func (d *decoder) lenString() string { return string(d.lenBytes()) }

// null tells whether a NULL comes next, and takes it if so.
func (d *decoder) null() bool {
	if len(d.rest) > 0 && d.rest[0] == nullByte {
		d.rest = d.rest[1:]
		return true
	}
	return false
}

// nulString takes a string up to its zero byte.
func (d *decoder) nulString() string {
	i := bytes.IndexByte(d.rest, 0)
	if i < 0 {
		d.fail("a string has no end")
		return ""
	}
	s := d.rest[:i]
	d.rest = d.rest[i+1:]
	return string(s)
}

// eofString takes what is left.
func (d *decoder) eofString() string {
	s := string(d.rest)
	d.rest = nil
	return s
}
