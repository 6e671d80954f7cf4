package backend

import (
	"context"
	"database/sql/driver"
	"errors"
)

// Ask returns the one row that a question of ours has for an answer. Texts are strings.
func (b *Backend) Ask(ctx context.Context, question string) ([]driver.Value, error) {
	rows, err := b.QueryContext(ctx, question, nil)
	if err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(rows.Columns()))
	err = rows.Next(values)
	for i, v := range values {
		if text, ok := v.([]byte); ok {
			values[i] = string(text) // the buffer is the connection's
		}
	}
	return values, errors.Join(err, rows.Close())
}
