package ecosystem

import (
	"context"
	stdsql "database/sql"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
)

// OpenEnt opens a database for ent: the generated client takes it, ent.NewClient(ent.Driver(drv)).
func OpenEnt(dsn string) (*sql.Driver, error) {
	db, err := stdsql.Open("failoverproxy", dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(dialect.MySQL, db), nil
}

// EntTransaction runs f in a transaction, and again when a failover took that. With a generated
// client it is the same: client.Tx for drv.Tx, and f gets the *ent.Tx.
func EntTransaction(ctx context.Context, drv dialect.Driver, f func(tx dialect.Tx) error) error {
	return again(func() error {
		tx, err := drv.Tx(ctx)
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
