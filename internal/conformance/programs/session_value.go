package programs

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

func (r *sessionRun) textPrepare(conn *sql.Conn) error {
	r.exec(conn, "PREPARE p FROM 'SELECT ? + ?'")
	r.exec(conn, "SET @a = 1, @b = 2")
	r.ask(conn, "EXECUTE p USING @a, @b")
	r.exec(conn, "PREPARE q FROM 'INSERT INTO other VALUES (?)'")
	r.exec(conn, "EXECUTE q USING @a")
	r.exec(conn, "DEALLOCATE PREPARE p")
	r.ask(conn, "EXECUTE p USING @a, @b")
	r.exec(conn, "EXECUTE q USING @b")
	r.exec(conn, "DROP PREPARE q")
	r.exec(conn, "PREPARE bad FROM 'SELEKT'")
	r.ask(conn, "SELECT id FROM other ORDER BY id")
	r.exec(conn, "DELETE FROM other")
	return nil
}

func (r *sessionRun) handlerAndXA(conn *sql.Conn) error {
	r.exec(conn, "INSERT INTO other VALUES (1), (2)")
	r.exec(conn, "HANDLER other OPEN")
	r.ask(conn, "HANDLER other READ `PRIMARY` FIRST")
	r.ask(conn, "HANDLER other READ `PRIMARY` NEXT")
	r.exec(conn, "HANDLER other CLOSE")
	r.ask(conn, "HANDLER other READ FIRST")
	id := r.target.Database // belongs to the server
	for _, text := range []string{"XA START '%s'", "INSERT INTO other VALUES (3)", "XA END '%s'", "XA PREPARE '%s'", "XA COMMIT '%s'", "XA START '%s'", "DELETE FROM other", "XA END '%s'", "XA ROLLBACK '%s'", "XA COMMIT '%s'"} {
		r.exec(conn, strings.ReplaceAll(text, "%s", id))
	}
	r.ask(r.db, "SELECT id FROM other ORDER BY id")
	r.exec(conn, "DELETE FROM other")
	return nil
}

func (r *sessionRun) procedures(conn *sql.Conn) error {
	if err := r.all(r.db,
		"CREATE PROCEDURE out_and_results(IN a INT, INOUT b INT, OUT c INT) BEGIN SELECT a; SET c = a + b, b = b * 2; SELECT b, c; END",
		"CREATE PROCEDURE leaves() BEGIN SET @left = 'by a procedure'; SET SESSION group_concat_max_len = 4321; CREATE TEMPORARY TABLE left_table (id INT); END",
		"CREATE PROCEDURE begins() BEGIN START TRANSACTION; INSERT INTO other VALUES (9); END",
		"CREATE PROCEDURE signals() BEGIN SELECT 1; SIGNAL SQLSTATE '45001' SET MESSAGE_TEXT = 'from a procedure'; END",
		"CREATE FUNCTION counts() RETURNS INT MODIFIES SQL DATA BEGIN SET @calls = COALESCE(@calls, 0) + 1; RETURN @calls; END",
		"CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @inserted = NEW.n",
	); err != nil {
		return err
	}
	r.exec(conn, "SET @b = 5")
	r.ask(conn, "CALL out_and_results(3, @b, @c)")
	r.ask(conn, "SELECT @b, @c")
	r.ask(conn, "CALL out_and_results(?, @b, @c)", 4)
	r.ask(conn, "SELECT @b, @c")
	r.exec(conn, "CALL leaves()")
	r.ask(conn, "SELECT @left, @@group_concat_max_len, (SELECT COUNT(*) FROM left_table)")
	r.exec(conn, "DROP TEMPORARY TABLE left_table")
	r.exec(conn, "SET group_concat_max_len = DEFAULT")
	r.exec(conn, "CALL begins()")
	r.ask(r.db, "SELECT COUNT(*) FROM other")
	r.ask(conn, "SELECT COUNT(*) FROM other")
	r.exec(conn, "ROLLBACK")
	r.ask(conn, "SELECT COUNT(*) FROM other")
	r.ask(conn, "CALL signals()")
	r.exec(conn, "CALL signals()")
	r.exec(conn, "CALL nobody()")
	r.ask(conn, "SELECT counts()")
	r.ask(conn, "SELECT counts(), @calls")
	r.exec(conn, "INSERT INTO t (n) VALUES (4711)")
	r.ask(conn, "SELECT @inserted")
	r.exec(conn, "DROP TRIGGER tr")
	return nil
}

func (r *sessionRun) databases(conn *sql.Conn) error {
	second := r.target.Database + "_second"
	if err := r.all(r.db, "CREATE DATABASE "+second, "CREATE TABLE "+second+".only_there (id INT)"); err != nil {
		return err
	}
	defer func() { _, _ = r.db.ExecContext(context.WithoutCancel(r), "DROP DATABASE IF EXISTS "+second) }()
	r.exec(conn, "USE "+second)
	r.ask(conn, "SELECT DATABASE(), (SELECT COUNT(*) FROM only_there)")
	r.ask(conn, "SELECT COUNT(*) FROM t")
	r.ask(r.db, "SELECT DATABASE()")
	r.exec(conn, "USE nowhere_at_all")
	r.exec(conn, "DROP DATABASE "+second)
	r.ask(conn, "SELECT DATABASE()")
	r.exec(conn, "INSERT INTO t (n) VALUES (1)")
	r.exec(conn, "USE "+r.target.Database)
	return nil
}

func (r *sessionRun) types(conn *sql.Conn) error {
	if err := r.all(r.db, "CREATE TABLE types (a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT, d INT UNSIGNED NOT NULL, e BIGINT UNSIGNED, f FLOAT, g DOUBLE, h DECIMAL(65,30), i DATE, j DATETIME(3),"+
		" k TIMESTAMP(6) NULL, l TIME(2), m YEAR, n CHAR(3), o VARCHAR(10) CHARACTER SET latin1, p BINARY(4), q VARBINARY(9), r TINYTEXT, s LONGBLOB, t ENUM('a','b'), u SET('x','y'), v BIT(20), w JSON, x POINT) DEFAULT CHARSET utf8mb4",
		"INSERT INTO types VALUES (-128, 65535, -8388608, 4294967295, 18446744073709551615, 1.5, 1e308, 12345678901234567890123456789012345.678901234567890123456789012345, '2024-02-29', '2024-02-29 23:59:59.999',"+
			" '2001-09-09 01:46:40.123456', '-838:59:59', 2155, 'ab', 'é', 'x', 0x00FF, 'tiny', REPEAT('z', 300), 'b', 'x,y', b'10101010101010101010', '{\"k\": [1]}', ST_GeomFromText('POINT(1 2)'))",
		"INSERT INTO types (d) VALUES (0)"); err != nil {
		return err
	}
	// Without arguments as text, with arguments in the binary protocol.
	for _, args := range [][]any{nil, {1}} {
		text := "SELECT * FROM types WHERE 1 = 1 ORDER BY d DESC"
		if args != nil {
			text = strings.Replace(text, "1 = 1", "1 = ?", 1)
		}
		rows, err := conn.QueryContext(r, text, args...)
		if err != nil {
			return err
		}
		types, err := rows.ColumnTypes()
		if err != nil {
			return errors.Join(err, rows.Close())
		}
		for rows.Next() {
			values := make([]any, len(types))
			into := make([]any, len(types))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				return errors.Join(err, rows.Close())
			}
			for i, v := range values {
				length, hasLength := types[i].Length()
				precision, scale, decimal := types[i].DecimalSize()
				nullable, _ := types[i].Nullable()
				r.Printf("%s %s %s length %d %t decimal %d,%d %t null %t: %T %.60q", types[i].Name(), types[i].DatabaseTypeName(), types[i].ScanType(), length, hasLength, precision, scale, decimal, nullable, v, fmt.Sprint(v))
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (r *sessionRun) results(conn *sql.Conn) error {
	r.ask(conn, "SELECT 1 WHERE 1 = 0")
	r.ask(conn, "SHOW TABLES LIKE 't%'")
	r.ask(conn, "DESCRIBE other")
	r.ask(conn, "EXPLAIN SELECT 1")
	r.ask(conn, "SELECT 1; SELECT 2")
	r.ask(conn, "")
	r.ask(conn, "INSERT INTO other VALUES (10)")
	r.exec(conn, "SELECT * FROM other")
	r.ask(conn, "SELECT id, id AS id FROM other")
	r.exec(conn, "TRUNCATE other")
	rows, err := conn.QueryContext(r, "SELECT REPEAT('x', 15000000), 'after', REPEAT('y', 20000000) IS NULL")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var large sql.RawBytes
		var after string
		var null bool
		if err := rows.Scan(&large, &after, &null); err != nil {
			return err
		}
		r.Printf("%s %s %t", digest(large), after, null)
	}
	return rows.Err()
}

func (r *sessionRun) arguments(conn *sql.Conn) error {
	for _, arg := range []any{
		nil, true, int64(math.MinInt64), uint64(math.MaxUint64), float32(0.1), math.SmallestNonzeroFloat64, "", "ü🙂'\"\\\x00\x1a\n", []byte(nil),
		[]byte{},
		[]byte{0, 255, '\''},
		noon, noon.In(time.FixedZone("", -5*3600)),
		time.Time{},
		sql.NullString{},
		sql.NullInt64{Int64: 5, Valid: true},
		new("pointer"), (*int)(nil),
		struct{}{},
		math.Inf(1), sql.Named("n", 1),
	} {
		r.Printf("argument %T", arg)
		r.ask(conn, "SELECT HEX(CAST(? AS CHAR)), ?", arg, arg)
	}
	stmt, err := conn.PrepareContext(r, "INSERT INTO other VALUES (?) ON DUPLICATE KEY UPDATE id = id + ?")
	if err != nil {
		return err
	}
	for i := range 5 {
		result, err := stmt.ExecContext(r, i%2, 10)
		if err != nil {
			r.Error("prepared", err)
			continue
		}
		n, err := result.RowsAffected()
		r.Printf("prepared: rows %d %v", n, err)
	}
	r.Error("close", stmt.Close())
	_, err = stmt.ExecContext(r, 1, 1)
	r.Error("closed", err)
	many := make([]any, 3000)
	for i := range many {
		many[i] = i
	}
	r.ask(conn, "SELECT COUNT(*) FROM other WHERE id IN (?"+strings.Repeat(", ?", len(many)-1)+")", many...)
	r.exec(conn, "DELETE FROM other")
	return nil
}

// argumentTypes sends one text with arguments of different types, one after the other. A
// server that is sent the text anew each time takes each argument as what it is.
func (r *sessionRun) argumentTypes(conn *sql.Conn) error {
	if err := r.all(conn, "CREATE TABLE named (id INT PRIMARY KEY, name VARCHAR(20), price DECIMAL(10,2))", "INSERT INTO named VALUES (1, 'abc', 1.5), (2, '0', 2), (3, '7', 3)"); err != nil {
		return err
	}
	for _, c := range []struct {
		text string
		args []any
	}{
		{"SELECT GROUP_CONCAT(id ORDER BY id) FROM named WHERE name = ?", []any{0, "abc", 7, "7"}},
		{"SELECT GROUP_CONCAT(id ORDER BY id) FROM named WHERE id = ?", []any{1, "2", 2.5, 3.0}},
		{"SELECT GROUP_CONCAT(id ORDER BY id) FROM named WHERE price > ?", []any{1, 1.75, "2.5"}},
		{"SELECT ?", []any{1, "text", 1.5, noon, []byte("blob"), nil, "text"}},
		{"SELECT ? AS other", []any{"text", 1, 1.5, int64(1) << 60}},
		{"SELECT JSON_OBJECT('k', ?)", []any{1, "text", true, 1.5}},
		{"SELECT COALESCE(?, 0)", []any{nil, 1, "text", 1.5}},
		{"SELECT CONCAT(?, 'x'), IF(? = 'abc', 'yes', 'no')", []any{0, "abc", 1.5}},
	} {
		for _, arg := range c.args {
			args := make([]any, strings.Count(c.text, "?"))
			for i := range args {
				args[i] = arg
			}
			r.Printf("argument %T %v", arg, arg)
			r.ask(conn, c.text, args...)
		}
	}
	return nil
}

// oneConnection is what programs do that were written without sql.Conn: as long as there
// is one connection, everything stays in it.
func (r *sessionRun) oneConnection() error {
	db, err := sql.Open(r.target.Driver, r.target.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	r.exec(db, "SET @mine = 'still here', group_concat_max_len = 5555")
	r.exec(db, "CREATE TEMPORARY TABLE kept (id INT AUTO_INCREMENT PRIMARY KEY)")
	r.exec(db, "INSERT INTO kept VALUES (), ()")
	r.ask(db, "SELECT @mine, @@group_concat_max_len, (SELECT COUNT(*) FROM kept)")
	tx, err := db.BeginTx(r, nil)
	if err != nil {
		return err
	}
	r.ask(tx, "SELECT @mine, COUNT(*) FROM kept")
	r.Error("commit", tx.Commit())
	r.exec(db, "BEGIN")
	r.exec(db, "INSERT INTO other VALUES (1)")
	r.ask(r.db, "SELECT COUNT(*) FROM other")
	r.exec(db, "ROLLBACK")
	r.ask(db, "SELECT COUNT(*) FROM other")
	return nil
}

// loadData sends a file that is made on the fly. MySQL's servers refuse it unless they
// are told otherwise.
func (r *sessionRun) loadData() error {
	name := "programs_" + r.target.Database
	mysql.RegisterReaderHandler(name, func() io.Reader { return bytes.NewBufferString("1\n2\n3\n") })
	defer mysql.DeregisterReaderHandler(name)
	r.exec(r.db, "LOAD DATA LOCAL INFILE 'Reader::"+name+"' INTO TABLE other")
	r.exec(r.db, "LOAD DATA LOCAL INFILE 'Reader::unknown' INTO TABLE other")
	r.ask(r.db, "SELECT COUNT(*) FROM other")
	r.exec(r.db, "DELETE FROM other")
	return nil
}

func (r *sessionRun) multiStatements() error {
	db, err := sql.Open(r.target.Driver, r.target.DSN+"&multiStatements=true")
	if err != nil {
		return err
	}
	defer db.Close()
	r.ask(db, "SELECT 1; SELECT 2, 3; SELECT 4 WHERE 1 = 0")
	r.exec(db, "INSERT INTO other VALUES (1); INSERT INTO other VALUES (2), (3)")
	r.exec(db, "INSERT INTO other VALUES (4); INSERT INTO other VALUES (1); INSERT INTO other VALUES (5)")
	r.ask(db, "SELECT 1; SELEKT 2; SELECT 3")
	r.ask(db, "SELECT id FROM other ORDER BY id; DELETE FROM other; SELECT COUNT(*) FROM other")
	conn, err := db.Conn(r)
	if err != nil {
		return err
	}
	defer conn.Close()
	r.exec(conn, "BEGIN; INSERT INTO other VALUES (1)")
	r.ask(r.db, "SELECT COUNT(*) FROM other")
	r.exec(conn, "ROLLBACK; SET @after = 'multi'")
	r.ask(conn, "SELECT @after, COUNT(*) FROM other")
	r.exec(conn, "CREATE TEMPORARY TABLE multi (id INT); INSERT INTO multi VALUES (1), (2)")
	r.ask(conn, "SELECT COUNT(*) FROM multi")
	return nil
}

func (r *sessionRun) cancellation() error {
	for _, text := range []string{"SELECT SLEEP(1)", "DO SLEEP(1)", "SELECT COUNT(*) FROM (SELECT 1) AS one WHERE SLEEP(1) = 0"} {
		ctx, cancel := context.WithTimeout(r, 100*time.Millisecond)
		start := time.Now()
		_, err := r.db.ExecContext(ctx, text)
		cancel()
		r.Error(text, err)
		r.Printf("at once %t", time.Since(start) < 800*time.Millisecond)
		r.ask(r.db, "SELECT 'the next'")
	}
	ctx, cancel := context.WithCancel(r)
	cancel()
	_, err := r.db.ExecContext(ctx, "INSERT INTO other VALUES (1)")
	r.Error("before", err)
	_, err = r.db.BeginTx(ctx, nil)
	r.Error("begin", err)
	_, err = r.db.Conn(ctx)
	r.Error("conn", err)
	r.Error("ping", r.db.PingContext(ctx))
	r.ask(r.db, "SELECT COUNT(*) FROM other")
	return nil
}

// handles uses things after their end.
func (r *sessionRun) handles() error {
	conn, err := r.db.Conn(r)
	if err != nil {
		return err
	}
	r.Error("ping", conn.PingContext(r))
	r.Error("close", conn.Close())
	r.Error("close again", conn.Close())
	_, err = conn.ExecContext(r, "SELECT 1")
	r.Error("closed", err)
	db, err := sql.Open(r.target.Driver, r.target.DSN)
	if err != nil {
		return err
	}
	r.Error("ping", db.PingContext(r))
	r.Error("close", db.Close())
	r.Error("closed", db.PingContext(r))
	var n int
	r.Error("no row", r.db.QueryRowContext(r, "SELECT 1 FROM t WHERE 1 = 0").Scan(&n))
	r.Error("too few", r.db.QueryRowContext(r, "SELECT 1, 2").Scan(&n))
	r.Error("not a number", r.db.QueryRowContext(r, "SELECT 'x'").Scan(&n))
	r.Error("null", r.db.QueryRowContext(r, "SELECT NULL").Scan(&n))
	return nil
}
