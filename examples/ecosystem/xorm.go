package ecosystem

import (
	"context"
	"database/sql"

	"xorm.io/xorm"
	"xorm.io/xorm/core"
)

// OpenXORM opens a database for xorm, which would not know the driver's name: it gets the
// *sql.DB, and "mysql" as the name of the dialect.
func OpenXORM(dsn string) (*xorm.Engine, error) {
	db, err := sql.Open("failoverproxy", dsn)
	if err != nil {
		return nil, err
	}
	return xorm.NewEngineWithDB("mysql", dsn, core.FromDB(db))
}

// XORMTransaction is engine.Transaction that begins again when a failover took the transaction.
func XORMTransaction(ctx context.Context, engine *xorm.Engine, f func(session *xorm.Session) error) error {
	return again(func() error {
		_, err := engine.Transaction(func(session *xorm.Session) (any, error) {
			return nil, f(session.Context(ctx))
		})
		return err
	})
}
