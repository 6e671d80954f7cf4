package wire

// Column types, as column definitions and statement parameters name them.
// https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html
const (
	TypeDecimal    byte = 0x00
	TypeTiny       byte = 0x01
	TypeShort      byte = 0x02
	TypeLong       byte = 0x03
	TypeFloat      byte = 0x04
	TypeDouble     byte = 0x05
	TypeNull       byte = 0x06
	TypeTimestamp  byte = 0x07
	TypeLongLong   byte = 0x08
	TypeInt24      byte = 0x09
	TypeDate       byte = 0x0a
	TypeTime       byte = 0x0b
	TypeDateTime   byte = 0x0c
	TypeYear       byte = 0x0d
	TypeVarchar    byte = 0x0f
	TypeBit        byte = 0x10
	TypeVector     byte = 0xf2
	TypeJSON       byte = 0xf5
	TypeNewDecimal byte = 0xf6
	TypeEnum       byte = 0xf7
	TypeSet        byte = 0xf8
	TypeTinyBlob   byte = 0xf9
	TypeMediumBlob byte = 0xfa
	TypeLongBlob   byte = 0xfb
	TypeBlob       byte = 0xfc
	TypeVarString  byte = 0xfd
	TypeString     byte = 0xfe
	TypeGeometry   byte = 0xff
)

// Column flags.
const (
	FlagNotNull       uint16 = 1 << 0
	FlagPrimaryKey    uint16 = 1 << 1
	FlagUniqueKey     uint16 = 1 << 2
	FlagMultipleKey   uint16 = 1 << 3
	FlagBlob          uint16 = 1 << 4
	FlagUnsigned      uint16 = 1 << 5
	FlagZerofill      uint16 = 1 << 6
	FlagBinary        uint16 = 1 << 7
	FlagEnum          uint16 = 1 << 8
	FlagAutoIncrement uint16 = 1 << 9
	FlagTimestamp     uint16 = 1 << 10
	FlagSet           uint16 = 1 << 11
)

// Column is a column definition: of a result, or of a prepared statement's
// parameter or result.
type Column struct {
	Name     string
	Table    string
	Type     byte   // Type…
	Flags    uint16 // Flag…
	Length   uint32 // width in bytes; 0 is fine for every client
	Charset  uint16 // 0 = utf8mb4 for text types, binary for the others
	Decimals byte   // fractional digits; 0x1f = as many as there are (floats)

	Schema   string
	OrgName  string // the column's own name, where Name is an alias
	OrgTable string
}

// Append appends the column definition's payload to dst.
func (c Column) Append(dst []byte) []byte {
	charset := c.Charset
	if charset == 0 {
		charset = CharsetBinary
		if textual(c.Type) {
			charset = CharsetUTF8MB4
		}
	}
	for _, s := range []string{"def", c.Schema, c.Table, c.OrgTable, c.Name, c.OrgName} {
		dst = AppendLenString(dst, s)
	}
	return append(dst,
		12, // length of the fixed part
		byte(charset), byte(charset>>8),
		byte(c.Length), byte(c.Length>>8), byte(c.Length>>16), byte(c.Length>>24),
		c.Type, byte(c.Flags), byte(c.Flags>>8), c.Decimals, 0, 0)
}

// ParseColumn parses a column definition. MariaDB's extended metadata, an
// extended capability, is not understood.
func ParseColumn(payload []byte) (Column, error) {
	d := newDecoder("column definition", payload)
	var c Column
	d.lenBytes() // catalog, always "def"
	c.Schema = d.lenString()
	c.Table = d.lenString()
	c.OrgTable = d.lenString()
	c.Name = d.lenString()
	c.OrgName = d.lenString()
	if n := d.lenInt(); d.err == nil && n != 12 {
		d.fail("unknown fixed part")
	}
	c.Charset = d.uint16()
	c.Length = d.uint32()
	c.Type = d.uint8()
	c.Flags = d.uint16()
	c.Decimals = d.uint8()
	d.bytes(2)
	return c, d.err
}

// textual tells whether values of the type are characters rather than bytes or
// numbers.
func textual(typ byte) bool {
	switch typ {
	case TypeVarchar, TypeVarString, TypeString, TypeEnum, TypeSet:
		return true
	}
	return false
}

// binaryString tells whether values of the type are byte strings. JSON is one
// to clients, though it holds characters.
func binaryString(typ byte) bool {
	switch typ {
	case TypeTinyBlob, TypeMediumBlob, TypeLongBlob, TypeBlob, TypeBit, TypeGeometry, TypeVector:
		return true
	}
	return false
}
