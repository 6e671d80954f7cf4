package wire

import "fmt"

// AppendColumnCount appends the packet that begins a result set of n columns.
func AppendColumnCount(dst []byte, n int) []byte {
	return AppendLenInt(dst, uint64(n))
}

// ParseColumnCount parses the packet that begins a result set.
func ParseColumnCount(payload []byte) (int, error) {
	d := newDecoder("column count", payload)
	n := d.lenInt()
	if d.err == nil && (n == 0 || n > 4096) {
		d.fail(fmt.Sprintf("%d columns", n)) // 4096 is the most that a table can have
	}
	return int(n), d.err
}

// AppendTextRow appends a row of a COM_QUERY's answer. See value.go for what a
// value can be; one that is none, or a row that has not as many values as there
// are columns, is an error.
func AppendTextRow(dst []byte, columns []Column, row []any) ([]byte, error) {
	if len(row) != len(columns) {
		return dst, fmt.Errorf("wire: a row of %d values for %d columns", len(row), len(columns))
	}
	for i, v := range row {
		if isNull(v) {
			dst = append(dst, nullByte)
			continue
		}
		text, err := textValue(columns[i], v)
		if err != nil {
			return dst, err
		}
		dst = AppendLenString(dst, text)
	}
	return dst, nil
}

// ParseTextRow parses a row of so many columns. Each value is nil or a string,
// so that AppendTextRow makes the same row of them.
func ParseTextRow(payload []byte, columns int) ([]any, error) {
	d := newDecoder("text row", payload)
	row := make([]any, columns)
	for i := range row {
		if !d.null() {
			row[i] = d.lenString()
		}
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("more values than columns")
	}
	return row, d.err
}

// isNull tells whether v is NULL: nil, or a nil []byte as database/sql has it.
func isNull(v any) bool {
	if b, ok := v.([]byte); ok {
		return b == nil
	}
	return v == nil
}
