package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestPreparedInATransaction: a statement is prepared again as it was read first, and that
// leaves the transaction alone in which it is executed.
func TestPreparedInATransaction(t *testing.T) {
	eachWorld(t, func(w *world) {
		admin := w.raw("")
		admin.must("CREATE TABLE prep (n INT)")
		for name, set := range map[string]string{
			"autocommit":                          "SET autocommit = 0",
			"isolation":                           "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
			"variables refused in a transaction":  "SET binlog_direct_non_transactional_updates = 1",
			"a mode by which the text is read":    "SET sql_mode = 'ANSI_QUOTES'",
			"letters of the server":               "SET collation_server = latin1_bin",
			"letters by which the text is read":   "SET NAMES latin1",
			"the schema by which names are found": "USE mysql",
		} {
			w.sub(name, func(w *world) {
				if name == "a mode by which the text is read" && w.server.Flavor == mysqld.FlavorMySQL {
					w.Skip("MySQL prepares it again itself when it is executed first, in the mode of then")
				}
				s := w.pinStage("")
				c := s.session()
				st, err := c.conn.PrepareContext(w.Context(), `SELECT "as", COUNT(*), ? FROM prep`)
				if err != nil {
					w.Fatal(err)
				}
				defer st.Close()
				c.must(set)
				s.pressure() // the backend that knows the statement is somebody else's
				c.must("BEGIN", "INSERT INTO "+w.database+".prep VALUES (1)")
				var text string
				var count, n int
				if err := st.QueryRowContext(w.Context(), 5).Scan(&text, &count, &n); err != nil || text != "as" || count != 1 || n != 5 {
					w.Errorf("%q, %d, %d, %v", text, count, n, err)
				}
				// Another type of argument is another statement for the server.
				if err := st.QueryRowContext(w.Context(), "6").Scan(&text, &count, &n); err != nil || text != "as" || count != 1 || n != 6 {
					w.Errorf("%q, %d, %d, %v", text, count, n, err)
				}
				c.must("ROLLBACK")
				if name == "letters of the server" {
					w.same("collation", c.value("SELECT @@collation_server"), "latin1_bin")
				}
				if got := admin.value("SELECT COUNT(*) FROM prep"); got != "0" {
					w.Errorf("%s rows were committed", got)
				}
			})
		}
	})
}

// TestPreparedInAnotherSchema: servers go to the schema of a prepared statement and back, and
// report that as a change, after an error with the next statement only.
func TestPreparedInAnotherSchema(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must("CREATE TABLE narrow (n TINYINT PRIMARY KEY)")
		s := w.pinStage("")
		c := s.session()
		st, err := c.conn.PrepareContext(w.Context(), "INSERT INTO narrow VALUES (?)")
		if err != nil {
			w.Fatal(err)
		}
		defer st.Close()
		c.must("USE mysql")
		for i, n := range []int{1, 1, 2} {
			if _, err := st.ExecContext(w.Context(), n); (err != nil) != (i == 1) {
				w.Error(n, err)
			}
			c.must("DO 1")
			w.same("pins", s.pins(), "")
		}
	})
}

// TestArgumentsAreReadAlike: MariaDB reads strings among arguments by what SET NAMES said of
// the collation, and no variable tells that.
func TestArgumentsAreReadAlike(t *testing.T) {
	eachWorld(t, func(w *world) {
		const query = "SELECT COLLATION(?), @@character_set_client, @@collation_connection"
		raw := w.raw("")
		raw.must("SET NAMES latin1 COLLATE latin1_german2_ci")
		s := w.pinStage("")
		c := s.session()
		c.must("SET NAMES latin1 COLLATE latin1_german2_ci")
		want := raw.run(query, "x")
		for range 2 {
			w.same("arguments", c.run(query, "x"), want)
			s.pressure()
		}
		w.same("pins", s.pins(), "")
	})
}

// TestRowsCloseReportsWhatFollows: an error after the first result is the program's, even if
// it did not want to see more.
func TestRowsCloseReportsWhatFollows(t *testing.T) {
	eachWorld(t, func(w *world) {
		admin := w.raw("")
		admin.must("CREATE PROCEDURE tells_and_fails() BEGIN SELECT 1; SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30003; END")
		c := w.pinStage("").session()
		for what, conn := range map[string]*sql.Conn{"raw": w.raw("").conn, "ours": c.conn} {
			rows, err := conn.QueryContext(w.Context(), "CALL tells_and_fails()")
			if err != nil {
				w.Fatal(err)
			}
			rows.Next()
			if my, ok := errors.AsType[*mysql.MySQLError](rows.Close()); !ok || my.Number != 30003 || rows.Err() == nil {
				w.Errorf("%s: Close returns %v, Err %v", what, my, rows.Err())
			}
		}
		c.must("DO 1")
	})
}

// TestCommitRelease: a connection that the server is about to close is nobody's any more,
// and neither is the session that asked for it.
func TestCommitRelease(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		st := newStage(t, s, database, "fpPoolSize=1")
		for range 50 {
			conn, err := st.db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.ExecContext(t.Context(), "SET @x = 1"); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.ExecContext(t.Context(), "ROLLBACK AND NO CHAIN RELEASE"); err != nil {
				t.Fatal(err)
			}
			if err := conn.PingContext(t.Context()); !errors.Is(err, driver.ErrBadConn) {
				t.Errorf("the session goes on: %v", err)
			}
			conn.Close()
			var x any
			if err := st.db.QueryRowContext(context.Background(), "SELECT @x").Scan(&x); err != nil || x != nil {
				t.Errorf("the next session finds %v, %v", x, err)
			}
		}
	})
}
