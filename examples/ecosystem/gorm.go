package ecosystem

import (
	"context"
	"database/sql"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/topology"
)

// Order is a row of the table orders, as GORM and bun see it.
type Order struct {
	ID       int64 `bun:",pk,autoincrement"`
	Item     string
	Quantity int
}

// OpenGORM opens a database for GORM. The dialect is that of MySQL, only the driver is another.
func OpenGORM(dsn string, opts ...gorm.Option) (*gorm.DB, error) {
	return gorm.Open(mysql.New(mysql.Config{DriverName: "failoverproxy", DSN: dsn}), opts...)
}

// GORMTransaction is db.Transaction that begins again when a failover took the transaction.
func GORMTransaction(db *gorm.DB, f func(tx *gorm.DB) error, opts ...*sql.TxOptions) error {
	return again(func() error { return db.Transaction(f, opts...) })
}

// ReadOrders reads from a reader, whatever fpTarget says: what dbresolver.Read does.
func ReadOrders(ctx context.Context, db *gorm.DB) (orders []Order, err error) {
	err = db.WithContext(driver.WithTarget(ctx, topology.Reader)).Find(&orders).Error
	return orders, err
}
