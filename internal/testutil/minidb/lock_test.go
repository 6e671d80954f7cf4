package minidb_test

import (
	"database/sql"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a test in a synctest bubble with two connections of a database that
// has accounts.
func inBubble(t *testing.T, f func(t *testing.T, db *sql.DB, one, two *sql.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := open(t)
		accounts(t, db, 3)
		f(t, db, take(t, db), take(t, db))
	})
}

// later runs a statement that waits for a lock, until it does; its error comes.
func later(t *testing.T, on *sql.Conn, query string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := on.ExecContext(t.Context(), query)
		done <- err
	}()
	synctest.Wait()
	select {
	case err := <-done:
		t.Fatalf("%s did not wait: %v", query, err)
	default:
	}
	return done
}

func TestLockWaitTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, one, two *sql.Conn) {
		exec(t, one, "BEGIN")
		exec(t, one, "UPDATE a SET n = 1 WHERE id = 1")
		exec(t, two, "BEGIN")
		exec(t, two, "UPDATE a SET n = 7 WHERE id = 2")
		for query, patience := range map[string]time.Duration{
			"UPDATE a SET n = n + 2":                             50 * time.Second, // after it has changed a row
			"DELETE FROM a WHERE id = 1":                         3 * time.Second,
			"SELECT n FROM a WHERE id = 1 FOR SHARE":             3 * time.Second,
			"INSERT INTO a VALUES (9, 9), (1, 1)":                3 * time.Second,
			"SELECT n FROM a WHERE n > 0 ORDER BY id FOR UPDATE": 3 * time.Second,
		} {
			exec(t, two, "SET SESSION innodb_lock_wait_timeout = ?", int(patience/time.Second))
			start := time.Now()
			refused(t, two, 1205, query)
			if took := time.Since(start); took != patience {
				t.Errorf("%s waited for %s", query, took)
			}
		}
		exec(t, two, "COMMIT") // the statements failed, not the transaction
		expect(t, db, "0 100|1 100|2 7", "SELECT * FROM a")
		exec(t, two, "UPDATE a SET n = 8 WHERE id = 2") // others are free
	})
}

func TestDefaultLockWaitTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *sql.DB, one, two *sql.Conn) {
		exec(t, one, "BEGIN")
		exec(t, one, "UPDATE a SET n = 1 WHERE id = 1")
		start := time.Now()
		refused(t, two, 1205, "UPDATE a SET n = 2 WHERE id = 1")
		if took := time.Since(start); took != 50*time.Second {
			t.Errorf("waited for %s", took)
		}
	})
}

// TestQueue lets a statement have a row whose writer changed it meanwhile.
func TestQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, one, two *sql.Conn) {
		exec(t, one, "BEGIN")
		exec(t, one, "UPDATE a SET n = 5 WHERE id = 1")
		exec(t, one, "DELETE FROM a WHERE id = 2")
		exec(t, one, "INSERT INTO a VALUES (4, 4)")
		waiting := later(t, two, "UPDATE a SET n = n + 1 WHERE id > 0")
		exec(t, one, "COMMIT")
		if err := <-waiting; err != nil {
			t.Fatal(err)
		}
		expect(t, db, "0 100|1 6|4 5", "SELECT * FROM a")
		exec(t, one, "BEGIN")
		exec(t, one, "INSERT INTO a VALUES (9, 1)")
		waiting = later(t, two, "INSERT INTO a VALUES (9, 2)")
		exec(t, one, "ROLLBACK")
		if err := <-waiting; err != nil {
			t.Fatal(err)
		}
		expect(t, db, "2", "SELECT n FROM a WHERE id = 9")
	})
}

func TestDeadlock(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, one, two *sql.Conn) {
		exec(t, one, "BEGIN")
		exec(t, two, "BEGIN")
		exec(t, one, "UPDATE a SET n = 1 WHERE id = 1")
		exec(t, two, "UPDATE a SET n = 2 WHERE id = 2")
		waiting := later(t, one, "UPDATE a SET n = 1 WHERE id = 2")
		refused(t, two, 1213, "UPDATE a SET n = 2 WHERE id = 1")
		if err := <-waiting; err != nil { // the victim is rolled back as a whole
			t.Errorf("the other one: %v", err)
		}
		exec(t, two, "UPDATE a SET n = 3 WHERE id = 0") // by itself
		exec(t, one, "COMMIT")
		expect(t, db, "0 3|1 1|2 1", "SELECT * FROM a")
	})
}

// TestSharedLocks has two readers of a row that both want to write it.
func TestSharedLocks(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, one, two *sql.Conn) {
		for _, c := range []*sql.Conn{one, two} {
			exec(t, c, "BEGIN")
			exec(t, c, "SELECT n FROM a WHERE id = 1 FOR SHARE")
		}
		waiting := later(t, one, "UPDATE a SET n = 1 WHERE id = 1")
		refused(t, two, 1213, "UPDATE a SET n = 2 WHERE id = 1")
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		exec(t, one, "COMMIT")
		expect(t, db, "1", "SELECT n FROM a WHERE id = 1")
	})
}

// TestDefinitionWaits drops a table that a transaction uses.
func TestDefinitionWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, one, two *sql.Conn) {
		exec(t, one, "BEGIN")
		exec(t, one, "SELECT n FROM a")
		waiting := later(t, two, "DROP TABLE a")
		exec(t, one, "UPDATE a SET n = 1")
		exec(t, one, "COMMIT")
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		refused(t, db, 1146, "SELECT n FROM a")
	})
}
