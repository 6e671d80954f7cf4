package minidb_test

import (
	"database/sql"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"
)

func TestVariables(t *testing.T) {
	db := open(t)
	c := take(t, db)
	for _, q := range []string{
		"SET @a = 1, @`b` := 'x', sql_safe_updates = ON", "SET NAMES utf8mb3 COLLATE utf8mb3_bin", "SET @@session.wait_timeout = 5",
		"SET GLOBAL wait_timeout = 7", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET time_zone = '+00:00'",
		"SET GLOBAL lock_wait_timeout = DEFAULT",
	} {
		exec(t, c, q)
	}
	for query, want := range map[string]string{
		"SELECT @a + 1, @b, @nothing":                                                     "2 x NULL",
		"SELECT @@wait_timeout, @@global.wait_timeout":                                    "5 7",
		"SELECT @@sql_safe_updates, @@character_set_client":                               "1 utf8mb3",
		"SELECT @@transaction_isolation, @@time_zone":                                     "REPEATABLE-READ +00:00",
		"SHOW VARIABLES LIKE 'wait\\_time%'":                                              "wait_timeout 5",
		"SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wait_timeout', 'read_only', 'x')": "read_only OFF|wait_timeout 7",
		"SHOW SESSION VARIABLES WHERE variable_name = 'autocommit' AND `Value` = 'ON'":    "autocommit ON",
		"SELECT VERSION() = @@version, DATABASE()":                                        "1 NULL",
	} {
		expect(t, c, want, query)
	}
	expect(t, take(t, db), "7 NULL", "SELECT @@wait_timeout, @a") // a new session
	refused(t, c, 1193, "SET @a = 9, nonsense = 1")
	expect(t, c, "1", "SELECT @a") // all of a SET, or nothing
}

func TestSQLMode(t *testing.T) {
	c := take(t, open(t))
	exec(t, c, "CREATE TABLE t (a INT)")
	exec(t, c, "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
	expect(t, c, "a\\", `SELECT 'a\'`)
	expect(t, c, "", `SELECT "a" FROM t`)
	exec(t, c, "SET sql_mode = DEFAULT")
	expect(t, c, "a'", `SELECT 'a\''`)
}

func TestWarnings(t *testing.T) {
	c := take(t, open(t))
	exec(t, c, "DROP TABLE IF EXISTS x")
	expect(t, c, "Note 1051 Unknown table 'x'", "SHOW WARNINGS")
	expect(t, c, "", "SHOW ERRORS")
	refused(t, c, 1146, "SELECT 1 FROM x")
	expect(t, c, "Error 1146 Table 'x' doesn't exist", "SHOW WARNINGS")
	exec(t, c, "DO 1")
	expect(t, c, "", "SHOW WARNINGS")
}

// TestKill kills statements that wait and that sleep.
func TestKill(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, one, two *sql.Conn) {
		victim := connectionID(t, two)
		exec(t, one, "BEGIN")
		exec(t, one, "UPDATE a SET n = 1 WHERE id = 1")
		exec(t, two, "BEGIN")
		exec(t, two, "UPDATE a SET n = 7 WHERE id = 2")
		waiting := later(t, two, "UPDATE a SET n = 2")
		exec(t, db, fmt.Sprintf("KILL QUERY %d", victim))
		if err := <-waiting; number(err) != 1317 {
			t.Errorf("got %v", err)
		}
		expect(t, two, "100 7", "SELECT b.n, 7 FROM a b WHERE b.id = 0") // the transaction goes on
		waiting = later(t, two, "UPDATE a SET n = 2")
		exec(t, db, "KILL ?", victim)
		if err := <-waiting; err == nil {
			t.Error("a killed connection answered OK")
		}
		synctest.Wait()
		exec(t, one, "COMMIT")
		expect(t, db, "0 100|1 1|2 100", "SELECT * FROM a")
	})
}

func TestSleep(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, one, _ *sql.Conn) {
		start := time.Now()
		expect(t, one, "0", "SELECT SLEEP(1.5)")
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("slept for %s", took)
		}
		id := connectionID(t, one)
		for query, want := range map[string]string{"SELECT SLEEP(3600)": "1", "SELECT SLEEP(3600), 1": "1317"} {
			got := make(chan string)
			go func() {
				var result string
				if err := one.QueryRowContext(t.Context(), query).Scan(&result); err != nil {
					result = fmt.Sprint(number(err))
				}
				got <- result
			}()
			synctest.Wait()
			expect(t, db, "100", "SELECT n FROM a WHERE id = 1") // nobody is kept waiting
			exec(t, db, fmt.Sprintf("KILL QUERY %d", id))
			if result := <-got; result != want {
				t.Errorf("%s: got %s, want %s", query, result, want)
			}
		}
	})
}

// BenchmarkRead and BenchmarkTransfer tell what the drill can expect.
func BenchmarkRead(b *testing.B) {
	db := open(b, func(c *mysql.Config) { c.InterpolateParams = true })
	accounts(b, db, 100)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			var n int
			if err := db.QueryRow("SELECT n FROM a WHERE id = ?", i%100).Scan(&n); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkTransfer(b *testing.B) {
	db := open(b)
	accounts(b, db, 100)
	for i := 0; b.Loop(); i++ {
		if err := move(db, i%100, (i+1)%100); err != nil {
			b.Fatal(err)
		}
	}
}
