package ecosystem

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
	"github.com/failoverproxy/failoverproxy/topology"
)

// openGORM opens a database for a test.
func openGORM(t *testing.T, dsn string, config gorm.Config) *gorm.DB {
	t.Helper()
	config.Logger = logger.Discard
	db, err := OpenGORM(dsn, &config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p, ok := db.ConnPool.(*gorm.PreparedStmtDB); ok {
			p.Close()
		}
		if sqlDB, err := db.DB(); err != nil || sqlDB.Close() != nil {
			t.Error("not closed")
		}
	})
	return db
}

// TestGORMRoutes: fpTarget=auto does what people take dbresolver for, in one pool.
func TestGORMRoutes(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		db := openGORM(t, c.dsn+"&fpTarget=auto", gorm.Config{})
		create := func(db *gorm.DB) error { return db.Create(&Order{Item: "tea", Quantity: 1}).Error }
		find := func(db *gorm.DB) error { return db.Find(&[]Order{}).Error }
		read := func(db *gorm.DB) error {
			_, err := ReadOrders(t.Context(), db)
			return err
		}
		const insert, sel = "INSERT INTO", "SELECT * FROM"
		// A session that has written nothing yet.
		c.goes("Find", sel, 0, 1, func() error { return find(db) })
		c.goes("Find in a transaction that only reads", sel, 0, 1, func() error { return GORMTransaction(db, find, &sql.TxOptions{ReadOnly: true}) })
		c.goes("Find for the writer", sel, 1, 0, func() error { return find(db.WithContext(driver.WithTarget(t.Context(), topology.Writer))) })
		c.goes("Find with a lock", sel, 1, 0, func() error { return find(db.Clauses(clause.Locking{Strength: "UPDATE"})) })
		c.goes("Find right behind a lock", sel, 1, 0, func() error { return find(db) })
		c.goes("Raw with a lock", sel, 1, 0, func() error { return db.Raw("SELECT * FROM orders FOR UPDATE SKIP LOCKED").Scan(&[]Order{}).Error })
		c.goes("Find in a transaction", sel, 1, 0, func() error { return GORMTransaction(db, find) })
		// GORM's own transaction around each Create.
		c.goes("Create", insert, 1, 0, func() error { return create(db) })
		c.goes("Create's transaction", "START TRANSACTION", 1, 0, func() error { return create(db) })
		c.goes("Create's commit", "COMMIT", 1, 0, func() error { return create(db) })
		c.goes("Find right behind, on the same session", sel, 1, 0, func() error { return find(db) })
		c.goes("Find for a reader, right behind", sel, 1, 0, func() error { return read(db) })

		// Other sessions know of a write only by the context.
		sqlDB, _ := db.DB()
		conn, err := sqlDB.Conn(t.Context()) // the session that wrote
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx := driver.WithReadYourWrites(t.Context())
		c.goes("Create with a context", insert, 1, 0, func() error { return create(db.WithContext(ctx)) })
		other, err := sqlDB.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		c.goes("Find on another session", sel, 0, 1, func() error { return find(db) })
		c.goes("Find for a reader on another session", sel, 0, 1, func() error { return read(db) })
		c.goes("Find on another session, with the context", sel, 1, 0, func() error { return find(db.WithContext(ctx)) })
	})
}

// TestGORMDefaultTransaction: what it is good for. Without it, a Create whose answer is lost
// may have happened; with it, it surely has not.
func TestGORMDefaultTransaction(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, without := range []bool{false, true} {
			db := openGORM(t, c.dsn, gorm.Config{SkipDefaultTransaction: without})
			before := c.orders()
			c.Writer().SwallowAnswer(aurorasim.Contains("INSERT INTO"))
			err := db.Create(&Order{Item: "tea", Quantity: 1}).Error
			want, rows := failover.ErrTransactionLost, 0
			if without {
				want, rows = failover.ErrOutcomeUnknown, 1
			}
			if n := c.orders() - before; !errors.Is(err, want) || n != rows {
				t.Errorf("SkipDefaultTransaction %t: %d rows, %v", without, n, err)
			}
		}
	})
}

// TestGORMPrepares: statements with arguments are prepared once for each connection, with
// GORM's PrepareStmt and without.
func TestGORMPrepares(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, prepare := range []bool{false, true} {
			db := openGORM(t, c.dsn, gorm.Config{PrepareStmt: prepare})
			c.ResetLog()
			for id := range 20 {
				if err := db.Find(&[]Order{}, "id = ?", id).Error; err != nil {
					t.Fatal(err)
				}
			}
			prepares, executions := 0, 0
			for _, r := range c.Relays(nil) {
				switch r.Command {
				case wire.ComStmtPrepare:
					prepares++
				case wire.ComStmtExecute:
					executions++
				}
			}
			if prepares != 1 || executions != 20 {
				t.Errorf("PrepareStmt %t: prepared %d times, executed %d times", prepare, prepares, executions)
			}
		}
	})
}

// TestGORMPool: without any setting of database/sql's pool, a crowd shares the connections of fpPoolSize.
func TestGORMPool(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		db := openGORM(t, c.dsn+"&fpPoolSize=2", gorm.Config{})
		accepted := c.Writer().Stats().Accepted
		var crowd sync.WaitGroup
		for range 50 {
			crowd.Go(func() {
				for range 4 {
					if err := db.Create(&Order{Item: "tea", Quantity: 1}).Error; err != nil {
						t.Error(err)
					}
				}
			})
		}
		crowd.Wait()
		// The monitor's connection and that of openGORM were there before.
		if made := c.Writer().Stats().Accepted - accepted; made > 2 || c.orders() != 200 {
			t.Errorf("%d connections were made for %d orders", made, c.orders())
		}
	})
}

// TestGORMWrongDriver: mysql.Open is the plain driver, which does not get far with our DSN.
func TestGORMWrongDriver(t *testing.T) {
	c := start(t, mysqld.FlavorMariaDB)
	one := strings.Replace(c.dsn, ",127.0.0.12:"+strings.Split(c.Endpoint(), ":")[1], "", 1)
	for _, dsn := range []string{c.dsn, one} {
		if _, err := gorm.Open(mysql.Open(dsn), &gorm.Config{Logger: logger.Discard}); err == nil {
			t.Errorf("the plain driver opens %s", dsn)
		} else {
			t.Log(err)
		}
	}
}

// TestGORMPins: variables that a hook sets follow the session, if they are given as text.
func TestGORMPins(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, step := range []struct {
			params, text string
			args         []any
			pins         int
		}{
			{"", "SET @audit_user = 7", nil, 0},
			{"", "SET @audit_user = ?", []any{7}, 1}, // the text does not say what it sets
			{"&interpolateParams=true", "SET @audit_user = ?", []any{7}, 1},
			{"", "SET time_zone = '+00:00'", nil, 0},
			{"", "SET @audit_time = NOW()", nil, 1},
		} {
			cfg, err := driver.ParseDSN(c.dsn + step.params)
			if err != nil {
				t.Fatal(err)
			}
			connector, err := driver.NewConnector(cfg)
			if err != nil {
				t.Fatal(err)
			}
			sqlDB := sql.OpenDB(connector)
			db, err := gorm.Open(mysql.New(mysql.Config{Conn: sqlDB}), &gorm.Config{Logger: logger.Discard})
			if err == nil {
				err = db.Exec(step.text, step.args...).Error
			}
			if pins := connector.Pins(); err != nil || len(pins) != step.pins {
				t.Errorf("%s%s: %v: %+v", step.text, step.params, err, pins)
			}
			sqlDB.Close()
		}
	})
}

// TestResolver: dbresolver works, and what it does not do.
func TestResolver(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		db := openGORM(t, c.dsn, gorm.Config{})
		if err := UseResolver(db, c.dsn+"&fpTarget=reader"); err != nil {
			t.Fatal(err)
		}
		defer closeResolver(t, db)
		find := func(db *gorm.DB) error { return db.Find(&[]Order{}).Error }
		const insert, sel = "INSERT INTO", "SELECT * FROM"
		c.goes("Find", sel, 0, 1, func() error { return find(db) })
		c.goes("Find in a transaction", sel, 1, 0, func() error { return GORMTransaction(db, find) })
		c.goes("Create", insert, 1, 0, func() error { return db.Create(&Order{Item: "tea", Quantity: 1}).Error })
		// Two pools: that of the readers knows nothing of what was written just now.
		c.goes("Find right behind", sel, 0, 1, func() error { return find(db) })
		// It looks at a text's last words only. What it then sends to a reader is refused here.
		err := db.Raw("SELECT * FROM orders FOR UPDATE SKIP LOCKED").Scan(&[]Order{}).Error
		if !errors.Is(err, failover.ErrReadOnlyTarget) {
			t.Errorf("a lock that dbresolver does not see: %v", err)
		}
		c.outlivesGORM(db)
	})
}

// closeResolver closes the readers' pool, which closing that of db does not.
func closeResolver(t *testing.T, db *gorm.DB) {
	for _, plugin := range db.Plugins {
		if err := plugin.(*dbresolver.DBResolver).Call(func(pool gorm.ConnPool) error { return pool.(*sql.DB).Close() }); err != nil {
			t.Error(err)
		}
	}
}

func (c *cluster) outlivesGORM(db *gorm.DB) {
	c.Helper()
	if err := db.Exec("DELETE FROM orders").Error; err != nil {
		c.Fatal(err)
	}
	c.outlives(func(ctx context.Context) (int, error) {
		var n int64
		err := db.WithContext(ctx).Model(&Order{}).Count(&n).Error
		return int(n), err
	}, func(ctx context.Context, middle func()) error {
		return GORMTransaction(db.WithContext(ctx), func(tx *gorm.DB) error {
			if err := tx.Create(&Order{Item: "tea", Quantity: 1}).Error; err != nil {
				return err
			}
			middle()
			return tx.Create(&Order{Item: "cup", Quantity: 2}).Error
		})
	})
}
