package programs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

var errByHand = errors.New("given up by the program")

func (r *gormRun) transactions() error {
	r.Error("committed", r.db.Transaction(func(tx *gorm.DB) error {
		return tx.Create(&gormTag{Name: "committed"}).Error
	}))
	r.Error("rolled back", r.db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&gormTag{Name: "rolled back"}).Error; err != nil {
			return err
		}
		return errByHand
	}))
	r.Error("after an error", r.db.Transaction(func(tx *gorm.DB) error {
		r.Error("duplicate inside", tx.Create(&gormTag{Name: "committed"}).Error)
		return tx.Create(&gormTag{Name: "after the error"}).Error
	}))
	func() {
		defer func() { r.Printf("panicked with %v", recover()) }()
		_ = r.db.Transaction(func(tx *gorm.DB) error {
			tx.Create(&gormTag{Name: "panic"})
			panic("in a transaction")
		})
	}()
	r.Error("read only", r.db.Transaction(func(tx *gorm.DB) error {
		return tx.Create(&gormTag{Name: "read only"}).Error
	}, &sql.TxOptions{ReadOnly: true}))
	tx := r.db.Begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if tx.Error != nil {
		return tx.Error
	}
	defer tx.Rollback()
	if err := tx.Create(&gormTag{Name: "by hand"}).Error; err != nil {
		return err
	}
	var outside, inside int64
	r.db.Model(&gormTag{}).Where("name = ?", "by hand").Count(&outside)
	tx.Model(&gormTag{}).Where("name = ?", "by hand").Count(&inside)
	r.Printf("seen outside %d, inside %d", outside, inside)
	r.Error("commit", tx.Commit().Error)
	r.Error("again", tx.Commit().Error)
	r.Error("statement afterwards", tx.Create(&gormTag{Name: "too late"}).Error)
	return r.count("after transactions", &gormTag{})
}

// savepoints are what GORM makes of transactions in transactions.
func (r *gormRun) savepoints() error {
	err := r.db.Transaction(func(tx *gorm.DB) error {
		tx.Create(&gormTag{Name: "outer"})
		r.Error("inner that fails", tx.Transaction(func(tx *gorm.DB) error {
			tx.Create(&gormTag{Name: "inner that fails"})
			return errByHand
		}))
		r.Error("inner", tx.Transaction(func(tx *gorm.DB) error {
			return tx.Create(&gormTag{Name: "inner"}).Error
		}))
		r.Error("savepoint", tx.SavePoint("here").Error)
		tx.Create(&gormTag{Name: "behind the savepoint"})
		r.Error("back", tx.RollbackTo("here").Error)
		r.Error("unknown", tx.Exec("ROLLBACK TO SAVEPOINT nowhere").Error)
		return nil
	})
	if err != nil {
		return err
	}
	var names []string
	if err := r.db.Model(&gormTag{}).Where("name LIKE ?", "%e%").Order("id").Pluck("name", &names).Error; err != nil {
		return err
	}
	r.Printf("tags %q", names)
	return nil
}

// locks has two transactions ask for the same rows.
func (r *gormRun) locks() error {
	first, second := r.db.Begin(), r.db.Begin()
	defer first.Rollback()
	defer second.Rollback()
	free := func(tx *gorm.DB, options string) (jobs []gormJob, err error) {
		err = tx.Clauses(clause.Locking{Strength: "UPDATE", Options: options}).Where("state = ?", "free").Order("id").Limit(2).Find(&jobs).Error
		return jobs, err
	}
	jobs, err := free(first, "")
	if err != nil {
		return err
	}
	r.Printf("first %v", jobs)
	_, err = free(second, "NOWAIT")
	r.Error("second, not waiting", err)
	jobs, err = free(second, "SKIP LOCKED")
	if err != nil {
		return err
	}
	r.Printf("second, skipping %v", jobs)
	if !r.db.PrepareStmt { // once is enough: it takes a second
		if err := second.Exec("SET SESSION innodb_lock_wait_timeout = 1").Error; err != nil {
			return err
		}
		_, err = free(second, "")
		r.Error("second, waiting", err)
		if err := second.Exec("SET SESSION innodb_lock_wait_timeout = DEFAULT").Error; err != nil {
			return err
		}
	}
	var n int64
	r.db.Model(&gormJob{}).Where("state = ?", "free").Count(&n)
	r.Printf("free for others %d", n)
	r.Error("commit", second.Commit().Error)
	return first.Commit().Error
}

// concurrency lets goroutines count up one row under a lock: nothing may be lost.
func (r *gormRun) concurrency() error {
	sqlDB, err := r.db.DB()
	if err != nil {
		return err
	}
	sqlDB.SetMaxOpenConns(8)
	defer sqlDB.SetMaxOpenConns(0)
	const workers, turns = 8, 5
	failed := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range turns {
				failed[w] = errors.Join(failed[w], r.db.Transaction(func(tx *gorm.DB) error {
					var job gormJob
					if err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).First(&job, 2).Error; err != nil {
						return err
					}
					job.Count++
					return tx.Save(&job).Error
				}))
				var tag gormTag
				failed[w] = errors.Join(failed[w], r.db.First(&tag, "name = ?", "red").Error)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	var job gormJob
	if err := r.db.First(&job, 2).Error; err != nil {
		return err
	}
	r.Printf("counted to %d", job.Count)
	return nil
}

func (r *gormRun) cancellation() error {
	ctx, cancel := context.WithTimeout(r, 150*time.Millisecond)
	defer cancel()
	var n int
	r.Error("deadline", r.db.WithContext(ctx).Raw("SELECT SLEEP(1)").Scan(&n).Error)
	ctx, cancel = context.WithCancel(r)
	cancel()
	r.Error("before", r.db.WithContext(ctx).First(&gormTag{}).Error)
	ctx, cancel = context.WithCancel(r)
	tx := r.db.WithContext(ctx).Begin()
	if err := tx.Create(&gormTag{Name: "cancelled"}).Error; err != nil {
		cancel()
		return err
	}
	cancel()
	if err := idle(r, r.target.DB); err != nil {
		return err
	}
	r.Printf("commit refused %t", tx.Commit().Error != nil)
	return r.count("after cancellation", &gormTag{})
}

// idle waits until every session has been given back: database/sql rolls a transaction
// back in the background when its context ends.
func idle(ctx context.Context, db *sql.DB) error {
	for db.Stats().InUse > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("sessions in use: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// connection keeps one session for several statements.
func (r *gormRun) connection() error {
	return r.db.Connection(func(tx *gorm.DB) error {
		r.rows("set", tx.Exec("SET @x = 41, SESSION group_concat_max_len = 2048"))
		var x, length string
		tx.Raw("SELECT @x + 1").Scan(&x)
		tx.Raw("SELECT @@group_concat_max_len").Scan(&length)
		r.Printf("variables %s %s", x, length)
		r.rows("table", tx.Exec("CREATE TEMPORARY TABLE mine (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT)"))
		r.rows("insert", tx.Exec("INSERT INTO mine (t) VALUES (?), (?)", "a", "b"))
		var id, found string
		tx.Raw("SELECT LAST_INSERT_ID()").Scan(&id)
		tx.Raw("SELECT GROUP_CONCAT(id, t ORDER BY id) FROM mine").Scan(&found)
		r.Printf("last id %s, found %s", id, found)
		r.rows("transaction", tx.Exec("UPDATE mine SET t = 'c' WHERE id = 1"))
		r.rows("drop", tx.Exec("DROP TEMPORARY TABLE mine"))
		return nil
	})
}

// driverName lets GORM open the database itself, by the driver's name.
func (r *gormRun) driverName() error {
	db, err := gorm.Open(mysql.New(mysql.Config{DriverName: r.target.Driver, DSN: r.target.DSN}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	sqlDB, err := db.DB()
	if err != nil {
		return err
	}
	defer sqlDB.Close()
	err = db.Create(&gormTag{Name: "red"}).Error
	e, ok := errors.AsType[*gomysql.MySQLError](err)
	r.Printf("a MySQLError %t", ok && e.Number == 1062)
	r.Error("not translated", err)
	var name string
	r.Error("database", db.Raw("SELECT DATABASE()").Scan(&name).Error)
	r.Printf("in %s", name)
	return sqlDB.PingContext(r)
}

func (r *gormRun) deletes() error {
	var hooks []string
	db := r.db.WithContext(withHooks(r, &hooks))
	var user gormUser
	if err := db.First(&user, "name = ?", "user03").Error; err != nil {
		return err
	}
	r.rows("soft", db.Delete(&user))
	r.rows("soft by condition", db.Where("name LIKE ?", "user0%").Delete(&gormUser{}))
	var n int64
	db.Model(&gormUser{}).Count(&n)
	r.Printf("left %d", n)
	r.Error("parent", db.Unscoped().Delete(&gormUser{}, "name = ?", "ann").Error)
	r.rows("hard", db.Unscoped().Where("deleted_at IS NOT NULL").Delete(&gormUser{}))
	r.rows("with associations", db.Select("Tags", "Profile").Delete(&gormUser{ID: 1}))
	r.rows("all", db.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(&gormItem{}))
	r.Printf("hooks %v", hooks)
	if err := r.count("after deletes", &gormUser{}, &gormItem{}, &gormProfile{}, &gormTag{}); err != nil {
		return err
	}
	return r.db.Migrator().DropTable(append([]any{"gorm_user_tags"}, gormModels()...)...)
}
