package programs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// sessionProgram is database/sql without anything on top, and all that a program can
// leave behind in a session: what the tools use only here and there. It holds
// three sessions: two of a *sql.DB, which keep their state while they are idle, and one
// more or one of another *sql.DB.
var sessionProgram = Program{Name: "session", Connections: 3, Lines: 400, Run: func(ctx context.Context, target Target, out *Transcript) {
	r := &sessionRun{Context: ctx, Transcript: out, target: target, db: target.DB}
	out.Step("tables", func() error {
		return r.all(r.db, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT, s VARCHAR(20) UNIQUE) DEFAULT CHARSET utf8mb4", "CREATE TABLE other (id INT PRIMARY KEY)")
	})
	for _, step := range []struct {
		name string
		f    func(*sql.Conn) error
	}{
		{"variables", r.variables},
		{"user variables", r.userVariables},
		{"last statement", r.lastStatement},
		{"temporary tables", r.temporaryTables},
		{"named locks", r.namedLocks},
		{"table locks", r.tableLocks},
		{"autocommit", r.autocommit},
		{"transactions as text", r.textTransactions},
		{"one transaction", r.oneTransaction},
		{"isolation", r.isolation},
		{"text prepare", r.textPrepare},
		{"handler and XA", r.handlerAndXA},
		{"procedures", r.procedures},
		{"databases", r.databases},
		{"types", r.types},
		{"results", r.results},
		{"arguments", r.arguments},
		{"argument types", r.argumentTypes},
	} {
		out.Step(step.name, func() error {
			conn, err := r.db.Conn(ctx)
			if err != nil {
				return err
			}
			return errors.Join(step.f(conn), conn.Close())
		})
	}
	out.Step("one connection", r.oneConnection)
	out.Step("load data", r.loadData)
	out.Step("multi-statements", r.multiStatements)
	out.Step("cancellation", r.cancellation)
	out.Step("handles", r.handles)
}}

type sessionRun struct {
	context.Context
	*Transcript
	target Target
	db     *sql.DB
}

// querier is a *sql.DB, *sql.Conn or *sql.Tx.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// all executes statements that are not expected to fail.
func (r *sessionRun) all(q querier, statements ...string) error {
	for _, text := range statements {
		if _, err := q.ExecContext(r, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// exec writes down what a statement does.
func (r *sessionRun) exec(q querier, text string, args ...any) {
	result, err := q.ExecContext(r, text, args...)
	if err != nil {
		r.Error(text, err)
		return
	}
	id, _ := result.LastInsertId()
	n, _ := result.RowsAffected()
	r.Printf("%s: id %d rows %d", text, id, n)
}

// ask writes down what a query answers, all results of it.
func (r *sessionRun) ask(q querier, text string, args ...any) {
	rows, err := q.QueryContext(r, text, args...)
	if len(text) > 120 {
		text = text[:120] + "..."
	}
	if err != nil {
		r.Error(text, err)
		return
	}
	defer rows.Close()
	var results []string
	for more := true; more; more = rows.NextResultSet() {
		columns, err := rows.Columns()
		if err != nil {
			r.Error(text, err)
			return
		}
		var found []string
		for rows.Next() {
			values := make([]sql.NullString, len(columns))
			into := make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				r.Error(text, err)
				return
			}
			var row []string
			for _, v := range values {
				if v.Valid {
					row = append(row, v.String)
				} else {
					row = append(row, "NULL")
				}
			}
			found = append(found, strings.Join(row, ","))
		}
		results = append(results, strings.Join(found, "; "))
	}
	if err := rows.Err(); err != nil {
		r.Error(text, err)
		return
	}
	r.Printf("%s: %s", text, strings.Join(results, " | "))
}

func (r *sessionRun) variables(conn *sql.Conn) error {
	const names = "SELECT @@sql_mode, @@time_zone, @@group_concat_max_len, @@character_set_client, @@collation_connection, @@sql_select_limit = 1"
	r.ask(conn, names)
	r.exec(conn, "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone = '-03:00'")
	r.exec(conn, "SET SESSION group_concat_max_len = 1024 * 3, @@session.sql_select_limit = 1")
	r.exec(conn, "SET NAMES latin1 COLLATE latin1_bin")
	r.ask(conn, names)
	r.ask(conn, `SELECT "id" FROM "t" WHERE 'a\' = 'b'`)
	r.exec(conn, "SET NAMES utf8mb4")
	r.exec(conn, "SET sql_mode = DEFAULT, time_zone = DEFAULT, group_concat_max_len = DEFAULT, sql_select_limit = DEFAULT")
	r.ask(conn, "SELECT @@sql_select_limit > 1, @@time_zone")
	r.exec(conn, "SET no_such_variable = 1")
	r.exec(conn, "SET SESSION max_connections = 1")
	r.exec(conn, "SET timestamp = 1000000000")
	r.ask(conn, "SELECT UNIX_TIMESTAMP(), UNIX_TIMESTAMP(NOW())")
	r.exec(conn, "SET timestamp = DEFAULT")
	r.exec(conn, "SET insert_id = 500")
	r.exec(conn, "INSERT INTO t (n) VALUES (1)")
	r.exec(conn, "SET foreign_key_checks = 0, unique_checks = OFF")
	r.ask(conn, "SELECT @@foreign_key_checks, @@unique_checks")
	r.exec(conn, "SET foreign_key_checks = 1, unique_checks = ON")
	return nil
}

func (r *sessionRun) userVariables(conn *sql.Conn) error {
	r.exec(conn, "SET @a = 1, @b = 'zwei', @c = NULL, @`d e` := 4.5")
	r.ask(conn, "SELECT @a, @b, @c, @`d e`, @never")
	r.exec(conn, "SET @a = ?", "with an argument")
	r.exec(conn, "SET @b = (SELECT COUNT(*) FROM t), @c = CONCAT(@a, '!')")
	r.ask(conn, "SELECT @a, @b, @c")
	r.exec(conn, "SELECT 7, 8 INTO @x, @y")
	r.ask(conn, "SELECT @x, @y, @x + ?", 1)
	r.ask(conn, "SELECT @n := COALESCE(@n, 0) + 1 UNION ALL SELECT @n := @n + 1")
	r.ask(conn, "SELECT @n")
	tx, err := conn.BeginTx(r, nil)
	if err != nil {
		return err
	}
	r.exec(tx, "SET @a = 'in a transaction'")
	r.Error("rollback", tx.Rollback())
	r.ask(conn, "SELECT @a")
	return nil
}

// lastStatement asks for what the statement before left behind.
func (r *sessionRun) lastStatement(conn *sql.Conn) error {
	r.exec(conn, "INSERT INTO t (n) VALUES (1), (2), (3)")
	r.ask(conn, "SELECT LAST_INSERT_ID() - 500, ROW_COUNT()")
	r.exec(conn, "UPDATE t SET n = n + 1")
	r.ask(conn, "SELECT ROW_COUNT()")
	r.exec(conn, "UPDATE t SET n = LAST_INSERT_ID(77) WHERE n = 2 LIMIT 1")
	r.ask(conn, "SELECT LAST_INSERT_ID()")
	r.ask(conn, "SELECT SQL_CALC_FOUND_ROWS n FROM t ORDER BY n LIMIT 1")
	r.ask(conn, "SELECT FOUND_ROWS()")
	r.ask(conn, "SELECT 1 / 0, CAST('x' AS SIGNED)")
	r.ask(conn, "SHOW WARNINGS")
	r.ask(conn, "SHOW COUNT(*) WARNINGS")
	r.exec(conn, "INSERT IGNORE INTO t (id, n) VALUES (501, 1), (501, 2)")
	r.ask(conn, "SHOW WARNINGS LIMIT 1")
	r.ask(conn, "SELECT @@warning_count, @@error_count")
	r.exec(conn, "INSERT INTO t (nothing) VALUES (1)")
	r.ask(conn, "SHOW ERRORS")
	r.exec(conn, "DROP TABLE IF EXISTS never")
	r.exec(conn, "GET DIAGNOSTICS CONDITION 1 @errno = MYSQL_ERRNO, @text = MESSAGE_TEXT")
	r.ask(conn, "SELECT @errno, @text")
	r.exec(conn, "DELETE FROM t WHERE n > ?", 2)
	r.ask(conn, "SELECT ROW_COUNT(), LAST_INSERT_ID()")
	return nil
}

func (r *sessionRun) temporaryTables(conn *sql.Conn) error {
	r.exec(conn, "CREATE TEMPORARY TABLE mine (id INT AUTO_INCREMENT PRIMARY KEY, s TEXT)")
	r.exec(conn, "CREATE TEMPORARY TABLE copy AS SELECT 1 AS a UNION SELECT 2")
	for i := range 3 {
		r.exec(conn, "INSERT INTO mine (s) VALUES (?)", fmt.Sprint("row ", i))
	}
	r.ask(conn, "SELECT id, s FROM mine ORDER BY id")
	r.ask(r.db, "SELECT * FROM mine")
	tx, err := conn.BeginTx(r, nil)
	if err != nil {
		return err
	}
	r.exec(tx, "DELETE FROM mine WHERE id = 1")
	r.exec(tx, "CREATE TEMPORARY TABLE in_a_transaction (id INT)")
	r.Error("rollback", tx.Rollback())
	r.ask(conn, "SELECT COUNT(*) FROM mine")
	r.ask(conn, "SELECT COUNT(*) FROM in_a_transaction")
	r.exec(conn, "ALTER TABLE mine RENAME TO yours")
	r.ask(conn, "SELECT COUNT(*) FROM yours")
	r.exec(conn, "DROP TEMPORARY TABLE yours, copy")
	r.exec(conn, "DROP TABLE in_a_transaction")
	r.ask(conn, "SELECT COUNT(*) FROM yours")
	// One that hides a real table, and gives it free again.
	r.exec(conn, "CREATE TEMPORARY TABLE other (x INT)")
	r.ask(conn, "SELECT x FROM other")
	r.ask(r.db, "SELECT x FROM other")
	r.exec(conn, "DROP TEMPORARY TABLE other")
	r.ask(conn, "SELECT x FROM other")
	return nil
}

func (r *sessionRun) namedLocks(conn *sql.Conn) error {
	name := r.target.Database // locks belong to the server, not to a database
	r.ask(conn, "SELECT GET_LOCK(?, 0)", name)
	r.ask(conn, "SELECT GET_LOCK(?, 0)", name)
	r.ask(r.db, "SELECT GET_LOCK(?, 0), IS_FREE_LOCK(?)", name, name)
	r.ask(conn, "SELECT IS_USED_LOCK(?) = CONNECTION_ID()", name)
	r.ask(conn, "SELECT RELEASE_LOCK(?)", name)
	r.ask(r.db, "SELECT GET_LOCK(?, 0)", name)
	r.ask(conn, "SELECT RELEASE_LOCK(?)", name)
	r.ask(conn, "SELECT RELEASE_LOCK(?)", name)
	r.ask(r.db, "SELECT IS_FREE_LOCK(?)", name)
	r.exec(conn, "DO GET_LOCK(?, 0)", name)
	r.ask(r.db, "SELECT IS_FREE_LOCK(?)", name)
	r.ask(conn, "SELECT RELEASE_ALL_LOCKS()")
	r.ask(r.db, "SELECT IS_FREE_LOCK(?)", name)
	return nil
}

func (r *sessionRun) tableLocks(conn *sql.Conn) error {
	r.exec(conn, "LOCK TABLES t WRITE, t AS a READ")
	r.exec(conn, "UPDATE t SET n = 0 WHERE id = -1")
	r.ask(conn, "SELECT COUNT(*) FROM t AS a WHERE n = -1")
	r.exec(conn, "INSERT INTO other VALUES (1)")
	r.ask(r.db, "SELECT COUNT(*) FROM other")
	r.exec(conn, "UNLOCK TABLES")
	r.exec(conn, "INSERT INTO other VALUES (1)")
	r.exec(conn, "FLUSH TABLES other WITH READ LOCK")
	r.exec(conn, "INSERT INTO other VALUES (2)")
	r.exec(conn, "UNLOCK TABLES")
	r.exec(conn, "DELETE FROM other")
	return nil
}

func (r *sessionRun) autocommit(conn *sql.Conn) error {
	const count = "SELECT COUNT(*) FROM other"
	r.exec(conn, "SET autocommit = 0")
	r.exec(conn, "INSERT INTO other VALUES (1)")
	r.ask(conn, count)
	r.ask(r.db, count)
	r.exec(conn, "ROLLBACK")
	r.ask(conn, count)
	r.exec(conn, "INSERT INTO other VALUES (2)")
	r.exec(conn, "COMMIT")
	r.ask(r.db, count)
	r.exec(conn, "INSERT INTO other VALUES (3)")
	r.exec(conn, "SET autocommit = ON")
	r.ask(r.db, count)
	r.ask(conn, "SELECT @@autocommit")
	r.exec(conn, "DELETE FROM other")
	r.exec(conn, "ROLLBACK")
	r.ask(r.db, count)
	return nil
}

func (r *sessionRun) textTransactions(conn *sql.Conn) error {
	const count = "SELECT COUNT(*) FROM other"
	for _, text := range []string{"BEGIN", "INSERT INTO other VALUES (1)", "SAVEPOINT a", "INSERT INTO other VALUES (2)", "ROLLBACK TO SAVEPOINT a", "INSERT INTO other VALUES (1)", "COMMIT AND CHAIN", "INSERT INTO other VALUES (3)", "ROLLBACK"} {
		r.exec(conn, text)
	}
	r.ask(r.db, count)
	for _, text := range []string{"START TRANSACTION READ ONLY", "INSERT INTO other VALUES (4)", "COMMIT", "START TRANSACTION WITH CONSISTENT SNAPSHOT"} {
		r.exec(conn, text)
	}
	r.exec(r.db, "INSERT INTO other VALUES (5)")
	r.ask(conn, count)
	r.exec(conn, "/* a comment */ commit")
	r.ask(conn, count)
	// BEGIN in a transaction commits the one that is open.
	for _, text := range []string{"BEGIN", "INSERT INTO other VALUES (6)", "BEGIN", "ROLLBACK", "ROLLBACK", "BEGIN", "INSERT INTO other VALUES (7)", "CREATE TABLE commits (id INT)", "ROLLBACK"} {
		r.exec(conn, text)
	}
	r.ask(r.db, "SELECT id FROM other ORDER BY id")
	r.exec(conn, "DELETE FROM other")
	return nil
}

// oneTransaction has settings for the next transaction only, and for all to come.
func (r *sessionRun) oneTransaction(conn *sql.Conn) error {
	for _, set := range []string{"SET TRANSACTION READ ONLY", "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "SET SESSION TRANSACTION READ ONLY"} {
		// A session each: what goes wrong in one is not to hide the others.
		if err := r.twoTransactions(set); err != nil {
			r.fail("%s: %s", set, describe(err))
		}
	}
	r.exec(conn, "BEGIN")
	r.exec(conn, "SET TRANSACTION READ ONLY")
	r.exec(conn, "ROLLBACK")
	return nil
}

// twoTransactions begins two transactions after a setting.
func (r *sessionRun) twoTransactions(set string) error {
	conn, err := r.db.Conn(r)
	if err != nil {
		return err
	}
	defer conn.Close()
	r.exec(conn, set)
	for range 2 {
		tx, err := conn.BeginTx(r, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		writer, err := r.db.BeginTx(r, nil)
		if err != nil {
			return err
		}
		defer func() { _ = writer.Rollback() }()
		r.exec(writer, "INSERT INTO other VALUES (1)")
		r.ask(tx, "SELECT COUNT(*) FROM other")
		r.Error("rollback", writer.Rollback())
		r.exec(tx, "INSERT INTO other VALUES (2)")
		r.Error("rollback", tx.Rollback())
	}
	r.exec(conn, "INSERT INTO other VALUES (3)")
	r.exec(conn, "SET SESSION TRANSACTION READ WRITE")
	r.exec(conn, "DELETE FROM other")
	return nil
}

func (r *sessionRun) isolation(conn *sql.Conn) error {
	for level := sql.LevelDefault; level <= sql.LevelLinearizable; level++ {
		for _, readOnly := range []bool{false, true} {
			tx, err := conn.BeginTx(r, &sql.TxOptions{Isolation: level, ReadOnly: readOnly})
			if err != nil {
				r.Error(level.String(), err)
				continue
			}
			r.exec(tx, "INSERT INTO other VALUES (?)", int(level))
			r.Error(fmt.Sprintf("%s read only %t", level, readOnly), tx.Rollback())
		}
	}
	return nil
}
