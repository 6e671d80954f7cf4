package ecosystem

import (
	"context"
	"database/sql"
)

// OpenSQLC opens a database for code that sqlc generated.
func OpenSQLC(dsn string) (*sql.DB, *Queries, error) {
	db, err := sql.Open("failoverproxy", dsn)
	if err != nil {
		return nil, nil, err
	}
	return db, New(db), nil
}

// SQLCTransaction runs f in a transaction, and again when a failover took that.
func SQLCTransaction(ctx context.Context, db *sql.DB, q *Queries, f func(q *Queries) error) error {
	return again(func() error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing to do after Commit
		if err := f(q.WithTx(tx)); err != nil {
			return err
		}
		return tx.Commit()
	})
}
