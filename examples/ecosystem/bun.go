package ecosystem

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"
)

// OpenBun opens a database for bun. NewDB asks the server for its version; if it gets none it
// only logs that, and bun does without RETURNING and WITH from then on: so the server is asked here first.
func OpenBun(ctx context.Context, dsn string) (*bun.DB, error) {
	db, err := sql.Open("failoverproxy", dsn)
	if err != nil {
		return nil, err
	}
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return bun.NewDB(db, mysqldialect.New()), nil
}

// BunTransaction is db.RunInTx that begins again when a failover took the transaction.
func BunTransaction(ctx context.Context, db *bun.DB, f func(ctx context.Context, tx bun.Tx) error) error {
	return again(func() error { return db.RunInTx(ctx, nil, f) })
}
