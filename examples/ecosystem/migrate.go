package ecosystem

import (
	"database/sql"
	"errors"
	"io/fs"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database/mysql"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

// OpenMigrate returns a migrator over the files, with a *sql.DB of its own, which its Close
// closes. Files of several statements need multiStatements=true in the DSN, as ever.
func OpenMigrate(dsn string, files fs.FS) (*migrate.Migrate, error) {
	db, err := sql.Open("failoverproxy", dsn)
	if err != nil {
		return nil, err
	}
	d, err := mysql.WithInstance(db, &mysql.Config{})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	source, err := iofs.New(files, ".")
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return migrate.NewWithInstance("iofs", source, "mysql", d)
}
