package ecosystem

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"
)

// OpenSQLX opens a database for sqlx, which takes from the second name how arguments are written.
func OpenSQLX(dsn string) (*sqlx.DB, error) {
	db, err := sql.Open("failoverproxy", dsn)
	if err != nil {
		return nil, err
	}
	return sqlx.NewDb(db, "mysql"), nil
}

// SQLXTransaction runs f in a transaction, and again when a failover took that.
func SQLXTransaction(ctx context.Context, db *sqlx.DB, opts *sql.TxOptions, f func(tx *sqlx.Tx) error) error {
	return again(func() error {
		tx, err := db.BeginTxx(ctx, opts)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing to do after Commit
		if err := f(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}
