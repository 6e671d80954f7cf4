package backend

import (
	"database/sql/driver"
	"encoding/binary"
	"reflect"
)

// reader is the wrapped driver's read buffer, as far as it is needed to read a packet once
// more that the driver has read last. The zero value has none.
type reader struct {
	unread, stored, sequence reflect.Value
}

// readerOf finds the buffer's fields. A version of the wrapped driver that has others costs
// pins, see [Backend.Reported], and nothing else.
func readerOf(conn driver.Conn) reader {
	v := reflect.Indirect(reflect.ValueOf(conn))
	if v.Kind() != reflect.Struct {
		return reader{}
	}
	buffer := v.FieldByName("buf")
	if !buffer.IsValid() || buffer.Kind() != reflect.Struct {
		return reader{}
	}
	r := reader{unread: buffer.FieldByName("buf"), stored: buffer.FieldByName("cachedBuf"), sequence: v.FieldByName("sequence")}
	bytes := reflect.TypeFor[[]byte]()
	if !r.unread.IsValid() || r.unread.Type() != bytes || !r.stored.IsValid() || r.stored.Type() != bytes || !r.sequence.IsValid() || r.sequence.Kind() != reflect.Uint8 {
		return reader{}
	}
	return r
}

const (
	packetHeader  = 4 // three bytes of length, one of sequence
	longestReport = 1 << 10
)

// lastOK returns the payload of the OK packet that was read last, nil if that cannot be told.
func (r reader) lastOK() []byte {
	if !r.unread.IsValid() {
		return nil
	}
	unread, stored := r.unread.Bytes(), r.stored.Bytes()
	unread, stored = unread[:cap(unread)], stored[:cap(stored)]
	if r.unread.Len() > 0 || len(unread) == 0 || len(unread) > len(stored) || &unread[len(unread)-1] != &stored[len(stored)-1] {
		return nil
	}
	read := stored[:len(stored)-len(unread)]
	last := byte(r.sequence.Uint()) - 1
	for n := 1; n+packetHeader <= len(read) && n <= longestReport; n++ {
		packet := read[len(read)-n-packetHeader:]
		if int(packet[0])|int(packet[1])<<8|int(packet[2])<<16 == n && packet[3] == last {
			if packet[packetHeader] != 0 { // the end of a result
				return nil
			}
			return packet[packetHeader:]
		}
	}
	return nil
}

// Kinds of session state information (MySQL source, "enum_session_state_type").
const (
	reportGTIDs            = 3
	reportCharacteristics  = 4
	reportTransactionState = 5
)

// Reported says what the server has just reported if [Backend.Changed] is true: whether
// session state has changed, or nothing but a transaction has begun or ended. MySQL raises
// [StatusSessionChanged] for that, too, and only the OK packet's session state information
// tells the difference: a variable, a schema, a temporary table is in it, the transaction is
// not, or by itself (MySQL manual, "session_track_state_change"). It is not known if the packet
// cannot be found any more: at the end of rows, or under compression.
func (b *Backend) Reported() (state, known bool) {
	packet := b.reader.lastOK()
	if len(packet) == 0 {
		return true, false
	}
	// OK, affected rows, last insert id, status, warnings, info, session state information.
	_, rest, ok := number(packet[1:])
	if ok {
		_, rest, ok = number(rest)
	}
	if !ok || len(rest) < 4 || Status(binary.LittleEndian.Uint16(rest)) != b.Status() {
		return true, false
	}
	_, rest, ok = text(rest[4:])
	if !ok {
		return true, false
	}
	report, rest, ok := text(rest)
	if !ok || len(rest) > 0 {
		return true, false
	}
	for len(report) > 0 {
		kind := report[0]
		if _, report, ok = text(report[1:]); !ok {
			return true, false
		}
		state = state || kind != reportGTIDs && kind != reportCharacteristics && kind != reportTransactionState
	}
	return state, true
}

// number reads a length-encoded number (MySQL internals, "Integer Types").
func number(p []byte) (n uint64, rest []byte, ok bool) {
	if len(p) == 0 {
		return 0, nil, false
	}
	size := 0
	switch first := p[0]; first {
	case 0xfb, 0xff:
		return 0, nil, false
	case 0xfc:
		size = 2
	case 0xfd:
		size = 3
	case 0xfe:
		size = 8
	default:
		return uint64(first), p[1:], true
	}
	if len(p) <= size {
		return 0, nil, false
	}
	for i := size; i > 0; i-- {
		n = n<<8 | uint64(p[i])
	}
	return n, p[1+size:], true
}

// text reads a length-encoded string.
func text(p []byte) (s, rest []byte, ok bool) {
	n, rest, ok := number(p)
	if !ok || n > uint64(len(rest)) {
		return nil, nil, false
	}
	return rest[:n], rest[n:], true
}
