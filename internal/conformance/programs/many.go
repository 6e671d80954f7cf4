package programs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// manyProgram has more sessions than our small pool has connections, all open at once
// and none in a transaction: what the design promises to keep for a session without a
// connection, and that a pin ends with what it was for. With the wrapped driver there
// is a connection for each.
var manyProgram = Program{Name: "many-sessions", Connections: 2, Patience: time.Second, Lines: 90, Run: func(ctx context.Context, target Target, out *Transcript) {
	r := &sessionRun{Context: ctx, Transcript: out, target: target, db: target.DB}
	out.Step("tables", func() error {
		return r.all(r.db, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)", "CREATE TABLE other (id INT PRIMARY KEY)")
	})
	name := target.Database // of locks and global transactions, which belong to the server
	for _, c := range []struct {
		name  string
		begin []string // in each session, with %d for its number
		ask   string   // afterwards in each session
		alone bool     // one session ends it before the next one begins
		end   []string
	}{
		{
			name:  "session variables",
			begin: []string{"SET time_zone = '+0%d:00', group_concat_max_len = 500%d", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SET NAMES latin1"},
			ask:   "SELECT @@time_zone, @@group_concat_max_len, @@sql_mode, @@character_set_client",
		},
		{name: "user variables", begin: []string{"SET @me = %d, @name = 'session %d'"}, ask: "SELECT @me, @name"},
		{name: "isolation", begin: []string{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"}, ask: "SELECT COUNT(*) FROM t"},
		{name: "next transaction", begin: []string{"SET TRANSACTION READ ONLY"}, ask: "SELECT COUNT(*) FROM t"},
		{name: "autocommit", begin: []string{"SET autocommit = 0", "INSERT INTO t (n) VALUES (%d)", "COMMIT"}, ask: "SELECT @@autocommit", end: []string{"SET autocommit = 1"}},
		{name: "temporary table", begin: []string{"CREATE TEMPORARY TABLE mine (id INT)", "INSERT INTO mine VALUES (%d)"}, ask: "SELECT id FROM mine", alone: true, end: []string{"DROP TEMPORARY TABLE mine"}},
		{name: "named lock", begin: []string{"DO GET_LOCK('" + name + "%d', 0)"}, ask: "SELECT 1", alone: true, end: []string{"DO RELEASE_LOCK('" + name + "%d')"}},
		{name: "all named locks", begin: []string{"DO GET_LOCK('" + name + "%d', 0)"}, ask: "SELECT 1", alone: true, end: []string{"DO RELEASE_ALL_LOCKS()"}},
		{name: "table lock", begin: []string{"LOCK TABLES t WRITE"}, ask: "SELECT COUNT(*) > 0 FROM t", alone: true, end: []string{"UNLOCK TABLES"}},
		{name: "text prepare", begin: []string{"PREPARE p FROM 'SELECT %d'"}, ask: "EXECUTE p", alone: true, end: []string{"DEALLOCATE PREPARE p"}},
		{name: "handler", begin: []string{"HANDLER other OPEN"}, ask: "HANDLER other READ FIRST", alone: true, end: []string{"HANDLER other CLOSE"}},
		{name: "XA", begin: []string{"XA START '" + name + "%d'", "XA END '" + name + "%d'"}, ask: "SELECT 1", alone: true, end: []string{"XA ROLLBACK '" + name + "%d'"}},
	} {
		out.Step(c.name, func() error {
			return r.each(func(i int, conn *sql.Conn) error {
				if err := r.all(conn, numbered(c.begin, i)...); err != nil {
					return err
				}
				if !c.alone {
					return nil
				}
				r.ask(conn, c.ask)
				return r.all(conn, numbered(c.end, i)...)
			}, func(i int, conn *sql.Conn) error {
				if c.alone {
					return nil
				}
				r.ask(conn, c.ask)
				return r.all(conn, numbered(c.end, i)...)
			})
		})
	}
	out.Step("prepared statements", r.manyStatements)
	out.Step("last insert id", r.lastInsertID)
}}

// numbered puts a session's number into statements.
func numbered(statements []string, i int) []string {
	n := make([]string, len(statements))
	for k, text := range statements {
		n[k] = strings.ReplaceAll(text, "%d", fmt.Sprint(i))
	}
	return n
}

const manySessions = 6

// each opens sessions, calls first with each of them and then second, and closes them all.
// It ends with the first error: a session that gets no connection waits for long.
func (r *sessionRun) each(first, second func(int, *sql.Conn) error) (err error) {
	var conns [manySessions]*sql.Conn
	for i := range conns {
		if conns[i], err = r.db.Conn(r); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conns[i].Close()) }()
	}
	for _, f := range []func(int, *sql.Conn) error{first, second} {
		for i, conn := range conns {
			if err := f(i, conn); err != nil {
				return fmt.Errorf("session %d: %w", i, err)
			}
		}
	}
	return nil
}

// manyStatements has a statement prepared in every session.
func (r *sessionRun) manyStatements() error {
	var stmts [manySessions]*sql.Stmt
	return r.each(func(i int, conn *sql.Conn) (err error) {
		stmts[i], err = conn.PrepareContext(r, fmt.Sprintf("SELECT %d + ?", i))
		return err
	}, func(i int, _ *sql.Conn) error {
		for arg := range 2 {
			var sum int
			if err := stmts[i].QueryRowContext(r, arg).Scan(&sum); err != nil {
				return err
			}
			r.Printf("%d + %d = %d", i, arg, sum)
		}
		return stmts[i].Close()
	})
}

// lastInsertID asks for its own insert id in every session while the others insert, too.
func (r *sessionRun) lastInsertID() error {
	failed := make([]error, manySessions)
	err := r.each(func(i int, conn *sql.Conn) error {
		return r.all(conn, fmt.Sprintf("INSERT INTO t (n) VALUES (%d)", 100+i))
	}, func(i int, conn *sql.Conn) error {
		// Everybody has inserted since.
		var n int
		err := conn.QueryRowContext(r, "SELECT n FROM t WHERE id = LAST_INSERT_ID()").Scan(&n)
		r.Printf("session %d inserted %d: %s", i, n, describe(err))
		return nil
	})
	var wg sync.WaitGroup
	for w := range failed {
		wg.Go(func() {
			conn, err := r.db.Conn(r)
			if err != nil {
				failed[w] = err
				return
			}
			defer conn.Close()
			for i := range 20 {
				result, err := conn.ExecContext(r, "INSERT INTO t (n) VALUES (?)", w)
				if err != nil {
					failed[w] = err
					return
				}
				want, err := result.LastInsertId()
				var id int64
				err2 := conn.QueryRowContext(r, "SELECT LAST_INSERT_ID()").Scan(&id)
				if err = errors.Join(err, err2); err == nil && id != want {
					err = fmt.Errorf("turn %d: inserted %d, LAST_INSERT_ID() is %d", i, want, id)
				}
				if err != nil {
					failed[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	for w, err := range failed {
		r.Printf("worker %d: %s", w, describe(err))
	}
	return err
}
