package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// AppendBinaryRow appends a row of a COM_STMT_EXECUTE's answer. Values are
// brought to their column's type: "12", 12 and 12.0 are the same in an integer
// column. One that cannot be is an error, and so is a wrong number of them.
func AppendBinaryRow(dst []byte, columns []Column, row []any) ([]byte, error) {
	if len(row) != len(columns) {
		return dst, fmt.Errorf("wire: a row of %d values for %d columns", len(row), len(columns))
	}
	const offset = 2 // the bitmap of rows has two unused bits in front
	dst = append(dst, headerOK)
	bitmap := len(dst)
	dst = append(dst, make([]byte, (len(columns)+7+offset)/8)...)
	var err error
	for i, v := range row {
		if isNull(v) || columns[i].Type == TypeNull {
			dst[bitmap+(i+offset)/8] |= 1 << ((i + offset) % 8)
			continue
		}
		if dst, err = appendBinary(dst, columns[i], v); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// ParseBinaryRow parses a row. Values are nil, int64 (uint64 in unsigned
// columns), float32, float64, string, []byte (BLOB and its like), time.Time in
// UTC and time.Duration.
func ParseBinaryRow(payload []byte, columns []Column) ([]any, error) {
	d := newDecoder("binary row", payload)
	d.header(headerOK)
	bitmap := d.bytes((len(columns) + 7 + 2) / 8)
	row := make([]any, len(columns))
	for i := range row {
		if d.err == nil && bitmap[(i+2)/8]>>((i+2)%8)&1 == 0 {
			row[i] = d.binary(columns[i].Type, columns[i].Flags&FlagUnsigned != 0)
		}
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("more values than columns")
	}
	return row, d.err
}

// intSize is the number of bytes of an integer type, 0 for other types.
func intSize(typ byte) int {
	switch typ {
	case TypeTiny:
		return 1
	case TypeShort, TypeYear:
		return 2
	case TypeLong, TypeInt24:
		return 4
	case TypeLongLong:
		return 8
	}
	return 0
}

func appendBinary(dst []byte, c Column, v any) ([]byte, error) {
	ok := true
	switch c.Type {
	case TypeTiny, TypeShort, TypeYear, TypeLong, TypeInt24, TypeLongLong:
		var n integer
		size := intSize(c.Type)
		if n, ok = toInt(v); ok && n.fits(size, c.Flags&FlagUnsigned != 0) {
			return append(dst, binary.LittleEndian.AppendUint64(nil, n.bits)[:size]...), nil
		}
		ok = false
	case TypeFloat:
		var f float64
		if f, ok = toFloat(v); ok {
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(f))), nil
		}
	case TypeDouble:
		var f float64
		if f, ok = toFloat(v); ok {
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f)), nil
		}
	case TypeDate, TypeDateTime, TypeTimestamp:
		var t time.Time
		if t, ok = toTime(v); ok {
			return appendBinaryTime(dst, t, c.Type == TypeDate), nil
		}
	case TypeTime:
		var d time.Duration
		if d, ok = toDuration(v); ok {
			return appendBinaryDuration(dst, d), nil
		}
	}
	if !ok {
		return dst, fmt.Errorf("wire: column %q: %T %v is no value of type %#02x", c.Name, v, v, c.Type)
	}
	text, err := textValue(c, v)
	if err != nil {
		return dst, err
	}
	return AppendLenString(dst, text), nil
}

// appendBinaryTime leaves out what is zero at the end, as servers do.
func appendBinaryTime(dst []byte, t time.Time, dateOnly bool) []byte {
	if t.IsZero() {
		return append(dst, 0)
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	micros := t.Nanosecond() / 1000
	length := byte(11)
	switch {
	case dateOnly || hour|minute|second|micros == 0:
		length = 4
	case micros == 0:
		length = 7
	}
	full := []byte{length, byte(year), byte(year >> 8), byte(month), byte(day), byte(hour), byte(minute), byte(second)}
	full = binary.LittleEndian.AppendUint32(full, uint32(micros))
	return append(dst, full[:1+length]...)
}

func appendBinaryDuration(dst []byte, d time.Duration) []byte {
	if d == 0 {
		return append(dst, 0)
	}
	var neg byte
	if d < 0 {
		neg, d = 1, -d
	}
	micros := uint32(d.Microseconds() % 1e6)
	length := byte(12)
	if micros == 0 {
		length = 8
	}
	full := []byte{length, neg}
	full = binary.LittleEndian.AppendUint32(full, uint32(d.Hours()/24))
	full = append(full, byte(int(d.Hours())%24), byte(int(d.Minutes())%60), byte(int(d.Seconds())%60))
	full = binary.LittleEndian.AppendUint32(full, micros)
	return append(dst, full[:1+length]...)
}

// binary takes one value of the type.
func (d *decoder) binary(typ byte, unsigned bool) any {
	switch {
	case intSize(typ) > 0:
		return d.binaryInt(intSize(typ), unsigned)
	case typ == TypeNull:
		return nil
	case typ == TypeFloat:
		return math.Float32frombits(d.uint32())
	case typ == TypeDouble:
		return math.Float64frombits(d.uint64())
	case typ == TypeDate || typ == TypeDateTime || typ == TypeTimestamp:
		return d.binaryTime()
	case typ == TypeTime:
		return d.binaryDuration()
	case binaryString(typ):
		return append([]byte{}, d.lenBytes()...)
	case textual(typ) || typ == TypeDecimal || typ == TypeNewDecimal || typ == TypeJSON:
		return d.lenString()
	}
	d.fail(fmt.Sprintf("unknown type %#02x", typ))
	return nil
}

func (d *decoder) binaryInt(size int, unsigned bool) any {
	var full [8]byte
	copy(full[:], d.bytes(size))
	bits := binary.LittleEndian.Uint64(full[:])
	if unsigned {
		return bits
	}
	shift := uint(64 - 8*size)
	return int64(bits<<shift) >> shift
}

func (d *decoder) binaryTime() time.Time {
	b := d.lenBytes()
	switch len(b) {
	case 0:
		return time.Time{}
	case 4, 7, 11:
	default:
		d.fail(fmt.Sprintf("a time of %d bytes", len(b)))
		return time.Time{}
	}
	var f [11]byte
	copy(f[:], b)
	return time.Date(int(binary.LittleEndian.Uint16(f[:])), time.Month(f[2]), int(f[3]),
		int(f[4]), int(f[5]), int(f[6]), int(binary.LittleEndian.Uint32(f[7:]))*1000, time.UTC)
}

func (d *decoder) binaryDuration() time.Duration {
	b := d.lenBytes()
	switch len(b) {
	case 0:
		return 0
	case 8, 12:
	default:
		d.fail(fmt.Sprintf("a duration of %d bytes", len(b)))
		return 0
	}
	var f [12]byte
	copy(f[:], b)
	v := time.Duration(binary.LittleEndian.Uint32(f[1:]))*24*time.Hour +
		time.Duration(f[5])*time.Hour + time.Duration(f[6])*time.Minute + time.Duration(f[7])*time.Second +
		time.Duration(binary.LittleEndian.Uint32(f[8:]))*time.Microsecond
	if f[0] != 0 {
		return -v
	}
	return v
}
