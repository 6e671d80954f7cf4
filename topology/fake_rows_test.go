package topology

import (
	"database/sql/driver"
	"io"
)

type fakeRows struct {
	width int
	rows  [][]driver.Value
}

func newRows(rows ...[]driver.Value) *fakeRows {
	return &fakeRows{width: len(rows[0]), rows: rows}
}

func (r *fakeRows) Columns() []string { return make([]string, r.width) }
func (r *fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}
