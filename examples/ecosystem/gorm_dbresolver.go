package ecosystem

import (
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/plugin/dbresolver"
)

// UseResolver puts GORM's dbresolver over two DSNs of the same cluster, that of db and one
// with fpTarget=reader. It works, and fpTarget=auto in one DSN does the same better.
func UseResolver(db *gorm.DB, readers string) error {
	return db.Use(dbresolver.Register(dbresolver.Config{
		Replicas: []gorm.Dialector{mysql.New(mysql.Config{DriverName: "failoverproxy", DSN: readers})},
	}))
}
