package backend

import (
	"context"
	"database/sql/driver"
	"errors"
)

// Ask returns the one row that a question of ours has for an answer. Texts are strings.
func (b *Backend) Ask(ctx context.Context, question string) ([]driver.Value, error) {
	ctx, done := b.foreign.cuttable(ctx)
	defer done()
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

// Run executes a statement of ours.
func (b *Backend) Run(ctx context.Context, statement string) error {
	ctx, done := b.foreign.cuttable(ctx)
	defer done()
	_, err := b.ExecContext(ctx, statement, nil)
	return err
}

// Ping asks the server for a sign of life, and for its status flags.
func (b *Backend) Ping(ctx context.Context) error {
	ctx, done := b.foreign.cuttable(ctx)
	defer done()
	return b.conn.Ping(ctx)
}

// Conclude ends a transaction with send, a method of the wrapped driver's driver.Tx, which has no
// context. Where nothing else can end a statement, the text that it sends is executed in its place.
func (b *Backend) Conclude(text string, send func() error) error {
	if b.foreign == nil {
		return send()
	}
	return b.Run(context.Background(), text)
}
