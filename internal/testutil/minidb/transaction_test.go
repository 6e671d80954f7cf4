package minidb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// accounts makes a table with so many accounts of 100 each.
func accounts(tb testing.TB, db *sql.DB, n int) {
	tb.Helper()
	exec(tb, db, "CREATE TABLE a (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)")
	for i := range n {
		exec(tb, db, "INSERT INTO a (id, n) VALUES (?, 100)", i)
	}
}

func begin(tb testing.TB, db *sql.DB) *sql.Tx {
	tb.Helper()
	tx, err := db.Begin()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = tx.Rollback() }) // no more than a safeguard
	return tx
}

func TestIsolation(t *testing.T) {
	db := open(t)
	accounts(t, db, 3)
	tx := begin(t, db)
	exec(t, tx, "UPDATE a SET n = 5 WHERE id = 1")
	exec(t, tx, "INSERT INTO a VALUES (3, 3)")
	exec(t, tx, "DELETE FROM a WHERE id = 2")
	exec(t, tx, "INSERT INTO a VALUES (2, 22)") // again
	expect(t, tx, "0 100|1 5|2 22|3 3", "SELECT * FROM a")
	expect(t, db, "0 100|1 100|2 100", "SELECT * FROM a")
	refused(t, tx, 1062, "INSERT INTO a VALUES (4, 4), (3, 3)")
	expect(t, tx, "", "SELECT * FROM a WHERE id = 4")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	expect(t, db, "0 100|1 100|2 100", "SELECT * FROM a")
	tx = begin(t, db)
	exec(t, tx, "UPDATE a SET n = n + 1")
	exec(t, tx, "UPDATE a SET n = n + 1 WHERE id > 0")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	expect(t, db, "0 101|1 102|2 102", "SELECT * FROM a")
}

// TestConnectionLoss cuts a connection in a transaction: it is rolled back, and what
// waits for its rows goes on.
func TestConnectionLoss(t *testing.T) {
	db := open(t)
	accounts(t, db, 2)
	c := take(t, db)
	exec(t, c, "BEGIN")
	exec(t, c, "UPDATE a SET n = 9 WHERE id = 1")
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := db.ExecContext(context.Background(), "UPDATE a SET n = n + 1 WHERE id = 1"); err != nil {
			t.Error(err)
		}
	})
	_ = c.Raw(func(any) error { return driver.ErrBadConn }) // closes the connection
	wg.Wait()
	expect(t, db, "101", "SELECT n FROM a WHERE id = 1")
}

func TestSavepoints(t *testing.T) {
	db := open(t)
	accounts(t, db, 1)
	tx := begin(t, db)
	for _, q := range []string{
		"UPDATE a SET n = 1", "SAVEPOINT one", "UPDATE a SET n = 2", "SAVEPOINT two", "INSERT INTO a VALUES (7, 7)",
		"ROLLBACK TO SAVEPOINT two",
	} {
		exec(t, tx, q)
	}
	expect(t, tx, "0 2", "SELECT * FROM a")
	exec(t, tx, "ROLLBACK TO ONE")
	expect(t, tx, "0 1", "SELECT * FROM a")
	refused(t, tx, 1305, "ROLLBACK TO two")
	exec(t, tx, "INSERT INTO a VALUES (7, 8)")
	exec(t, tx, "RELEASE SAVEPOINT one")
	refused(t, tx, 1305, "RELEASE SAVEPOINT one")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	expect(t, db, "0 1|7 8", "SELECT * FROM a")
}

func TestImplicitCommit(t *testing.T) {
	db := open(t)
	accounts(t, db, 1)
	for i, q := range []string{"CREATE TABLE x (n INT)", "TRUNCATE x", "DROP TABLE x", "BEGIN", "START TRANSACTION READ ONLY", "CREATE DATABASE y"} {
		c := take(t, db)
		exec(t, c, "BEGIN")
		exec(t, c, "UPDATE a SET n = ?", i)
		exec(t, c, q)
		exec(t, c, "ROLLBACK")
		if got := answer(t, db, "SELECT n FROM a"); got != string(rune('0'+i)) {
			t.Errorf("%s: n is %s, want %d", q, got, i)
		}
		_ = c.Close()
	}
	c := take(t, db)
	exec(t, c, "BEGIN")
	exec(t, c, "CREATE TEMPORARY TABLE x (n INT)") // does not commit
	exec(t, c, "UPDATE a SET n = 99")
	exec(t, c, "ROLLBACK")
	expect(t, c, "5", "SELECT n FROM a")
	refused(t, db, 1146, "SELECT n FROM x")
	expect(t, c, "", "SELECT n FROM x")
}

func TestAutocommitOff(t *testing.T) {
	db := open(t)
	accounts(t, db, 1)
	c := take(t, db)
	exec(t, c, "SET autocommit = 0")
	exec(t, c, "UPDATE a SET n = 1")
	expect(t, db, "100", "SELECT n FROM a")
	exec(t, c, "ROLLBACK")
	exec(t, c, "UPDATE a SET n = n + 2")
	exec(t, c, "SET @@session.autocommit = ON") // commits
	expect(t, db, "102", "SELECT n FROM a")
}

func TestAutoIncrement(t *testing.T) {
	db := open(t)
	exec(t, db, "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT)")
	tx := begin(t, db)
	exec(t, tx, "INSERT INTO t (n) VALUES (1), (2)")
	expect(t, tx, "1", "SELECT LAST_INSERT_ID()")
	exec(t, tx, "SET last_insert_id = 7")
	expect(t, tx, "7 7", "SELECT LAST_INSERT_ID(), @@last_insert_id")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "INSERT INTO t VALUES (NULL, 3)")
	exec(t, db, "INSERT INTO t VALUES (10, 4)")
	exec(t, db, "DELETE FROM t WHERE id = 10")
	exec(t, db, "INSERT INTO t (n) VALUES (5)")
	expect(t, db, "3 3|11 5", "SELECT * FROM t")
}

func TestReadOnly(t *testing.T) {
	db := open(t)
	accounts(t, db, 1)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, tx, 1792, "UPDATE a SET n = 1")
	refused(t, tx, 1792, "CREATE TABLE x (n INT)")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	c := take(t, db)
	exec(t, c, "SET SESSION TRANSACTION READ ONLY")
	refused(t, c, 1792, "UPDATE a SET n = 1")
	exec(t, c, "SET SESSION TRANSACTION READ WRITE")
	exec(t, c, "BEGIN")
	exec(t, c, "UPDATE a SET n = 1")
	exec(t, db, "SET GLOBAL read_only = ON")
	refused(t, db, 1290, "UPDATE a SET n = 2")
	refused(t, db, 1290, "CREATE TABLE x (n INT)")
	refused(t, c, 1290, "COMMIT")
	expect(t, db, "1", "SELECT @@read_only")
	exec(t, db, "SET GLOBAL read_only = OFF")
	expect(t, db, "100", "SELECT n FROM a")
}

// TestTransfers moves money between accounts from many goroutines.
func TestTransfers(t *testing.T) {
	for name, interpolate := range map[string]bool{"binary": false, "text": true} {
		t.Run(name, func(t *testing.T) {
			db := open(t, func(c *mysql.Config) { c.InterpolateParams = interpolate })
			accounts(t, db, 8)
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					for range 15 {
						from, to, err := rand.IntN(8), rand.IntN(8), error(nil)
						for err = move(db, from, to); number(err) == 1213; {
							err = move(db, from, to)
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			for range 20 {
				expect(t, db, "800 8", "SELECT SUM(n), COUNT(*) FROM a")
			}
			wg.Wait()
			expect(t, db, "800 8", "SELECT SUM(n), COUNT(*) FROM a")
		})
	}
}

func move(db *sql.DB, from, to int) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it is none
	if _, err := tx.Exec("UPDATE a SET n = n - 1 WHERE id = ?", from); err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE a SET n = n + 1 WHERE id = ?", to); err != nil {
		return err
	}
	return tx.Commit()
}
