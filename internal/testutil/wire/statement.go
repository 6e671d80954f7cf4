package wire

import (
	"encoding/binary"
	"time"
)

// PrepareOK begins the answer to a COM_STMT_PREPARE. As many definitions of
// parameters follow, then as many of columns, each group with an EOF behind it
// for clients without ClientDeprecateEOF.
type PrepareOK struct {
	ID       uint32
	Columns  uint16
	Params   uint16
	Warnings uint16
}

// Append appends the packet's payload to dst.
func (p PrepareOK) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, headerOK), p.ID)
	dst = binary.LittleEndian.AppendUint16(dst, p.Columns)
	dst = binary.LittleEndian.AppendUint16(dst, p.Params)
	return binary.LittleEndian.AppendUint16(append(dst, 0), p.Warnings)
}

// ParsePrepareOK parses the packet.
func ParsePrepareOK(payload []byte) (PrepareOK, error) {
	d := newDecoder("prepare answer", payload)
	d.header(headerOK)
	p := PrepareOK{ID: d.uint32(), Columns: d.uint16(), Params: d.uint16()}
	d.bytes(1)
	p.Warnings = d.uint16()
	return p, d.err
}

// ParamType is the type of a bound parameter.
type ParamType struct {
	Type     byte
	Unsigned bool
}

// Execute is a COM_STMT_EXECUTE.
type Execute struct {
	ID    uint32
	Flags byte // cursor type; 0 = none
	// Types of the parameters. nil = as with the statement's execution before.
	Types []ParamType
	// Args are the values, as ParseBinaryRow gives them. Those sent ahead with
	// COM_STMT_SEND_LONG_DATA are string or []byte by their type.
	Args []any
}

// AppendExecute appends the payload of a COM_STMT_EXECUTE with new types, which
// are found from the values: int64 and uint64 (and all smaller integers),
// float64, string, []byte, time.Time and time.Duration.
func AppendExecute(dst []byte, id uint32, args []any) ([]byte, error) {
	dst = binary.LittleEndian.AppendUint32(append(dst, byte(ComStmtExecute)), id)
	dst = append(dst, 0, 1, 0, 0, 0) // no cursor, one iteration
	if len(args) == 0 {
		return dst, nil
	}
	bitmap := make([]byte, (len(args)+7)/8)
	var types, values []byte
	for i, arg := range args {
		c := paramColumn(arg)
		types = append(types, c.Type, unsignedBit(c.Flags))
		if isNull(arg) {
			bitmap[i/8] |= 1 << (i % 8)
			continue
		}
		var err error
		if values, err = appendBinary(values, c, arg); err != nil {
			return dst, err
		}
	}
	dst = append(append(dst, bitmap...), 1) // 1 = types follow
	return append(append(dst, types...), values...), nil
}

// unsignedBit is a parameter's second type byte.
func unsignedBit(flags uint16) byte {
	if flags&FlagUnsigned != 0 {
		return 0x80
	}
	return 0
}

// paramColumn is the type under which a client sends the value.
func paramColumn(v any) Column {
	if isNull(v) {
		return Column{Type: TypeNull}
	}
	switch v.(type) {
	case bool:
		return Column{Type: TypeTiny}
	case uint, uint8, uint16, uint32, uint64:
		return Column{Type: TypeLongLong, Flags: FlagUnsigned}
	case float32, float64:
		return Column{Type: TypeDouble}
	case []byte:
		return Column{Type: TypeBlob}
	case time.Time:
		return Column{Type: TypeDateTime}
	case time.Duration:
		return Column{Type: TypeTime}
	}
	if _, ok := asInt(v); ok {
		return Column{Type: TypeLongLong}
	}
	return Column{Type: TypeString}
}

// ParseExecute parses the payload of a COM_STMT_EXECUTE for a statement of so
// many parameters. Types are those of its execution before, nil if there was
// none; long holds what came ahead with COM_STMT_SEND_LONG_DATA, by parameter.
func ParseExecute(payload []byte, params int, types []ParamType, long map[uint16][]byte) (Execute, error) {
	d := newDecoder("COM_STMT_EXECUTE", payload)
	d.header(byte(ComStmtExecute))
	e := Execute{ID: d.uint32(), Flags: d.uint8(), Args: make([]any, params)}
	d.bytes(4) // iterations, always 1
	if params == 0 {
		return e, d.err
	}
	bitmap := d.bytes((params + 7) / 8)
	if d.uint8() == 1 {
		e.Types = make([]ParamType, params)
		for i := range e.Types {
			e.Types[i] = ParamType{Type: d.uint8(), Unsigned: d.uint8()&0x80 != 0}
		}
		types = e.Types
	}
	if d.err == nil && len(types) != params {
		d.fail("no types for the parameters")
	}
	for i := 0; i < params && d.err == nil; i++ {
		data, isLong := long[uint16(i)]
		switch {
		case isLong && binaryString(types[i].Type):
			e.Args[i] = data
		case isLong:
			e.Args[i] = string(data)
		case bitmap[i/8]>>(i%8)&1 == 0:
			e.Args[i] = d.binary(types[i].Type, types[i].Unsigned)
		}
	}
	return e, d.err
}

// LongData is a COM_STMT_SEND_LONG_DATA: a piece of one parameter. Pieces add
// up until the statement is executed or reset. It is not answered.
type LongData struct {
	ID    uint32
	Param uint16
	Data  []byte
}

// Append appends the command's payload to dst.
func (l LongData) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, byte(ComStmtSendLongData)), l.ID)
	return append(binary.LittleEndian.AppendUint16(dst, l.Param), l.Data...)
}

// ParseLongData parses the command.
func ParseLongData(payload []byte) (LongData, error) {
	d := newDecoder("COM_STMT_SEND_LONG_DATA", payload)
	d.header(byte(ComStmtSendLongData))
	l := LongData{ID: d.uint32(), Param: d.uint16()}
	l.Data = d.rest
	return l, d.err
}

// AppendIDCommand appends the payload of a COM_STMT_CLOSE, COM_STMT_RESET or
// COM_PROCESS_KILL.
func AppendIDCommand(dst []byte, c Command, id uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(dst, byte(c)), id)
}
