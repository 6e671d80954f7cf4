package program

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// Database is the name of the program's first database: the sessions' default one.
func (p Program) Database() string { return databaseName(p.Seed, "a") }

func databaseName(seed uint64, which string) string { return fmt.Sprintf("prog_%d_%s", seed, which) }

// routines of database a. Their bodies hide from the caller's text what they do.
var routines = map[string]string{
	"p_digits()":           "SET SESSION div_precision_increment = 7",
	"p_user(v INT)":        "SET @u1 = v",
	"p_out(OUT v INT)":     "SET v = 17",
	"p_temp()":             "CREATE TEMPORARY TABLE IF NOT EXISTS tmp1 (a INT)",
	"p_drop()":             "DROP TEMPORARY TABLE IF EXISTS tmp1",
	"p_named(n CHAR(64))":  "DO GET_LOCK(n, 0)",
	"p_begin()":            "START TRANSACTION",
	"p_commit()":           "COMMIT",
	"p_begin_fail()":       "BEGIN START TRANSACTION; SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30001; END",
	"p_fail()":             "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30002, MESSAGE_TEXT = 'no'",
	"p_warn()":             "SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'careful'",
	"p_multi()":            "BEGIN SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; END",
	"p_multi_fail()":       "BEGIN SELECT 1 AS a; SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30003; END",
	"p_auto()":             "SET autocommit = 0",
	"p_isolation()":        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
	"p_oneshot()":          "SET TRANSACTION READ ONLY",
	"p_prepare()":          "PREPARE p1 FROM 'SELECT 41 AS prepared'",
	"p_names()":            "SET NAMES latin1",
	"p_set_fail()":         "BEGIN SET @u2 = 99; SET SESSION lc_time_names = 'de_DE'; SIGNAL SQLSTATE '45000'; END",
	"p_handled()":          "BEGIN DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @u3 = 'handled'; SELECT * FROM missing; SET @u2 = 5; END",
	"p_found()":            "SELECT 1 UNION SELECT 2 UNION SELECT 3",
	"p_isolation_one()":    "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
	"p_stack(INOUT v INT)": "BEGIN SET v = v + 1; IF v < 3 THEN SET @u1 = v; END IF; END",
}

var (
	tableName    = regexp.MustCompile(`\bt(\d+)\b`)
	functionName = regexp.MustCompile(`\bf(\d+)\b`)
	sequenceName = regexp.MustCompile(`\bsq(\d+)\b`)
	routineName  = regexp.MustCompile(`\bp_\w+`)
	databases    = regexp.MustCompile(`\bprog_\d+_\w+`)
	roleName     = regexp.MustCompile(`\brole_\d+\b`)
)

// mentions returns what of the pattern the program's texts have, each once.
func (p Program) mentions(pattern *regexp.Regexp) []string {
	var found []string
	for _, s := range p.Steps {
		found = append(found, pattern.FindAllString(s.Text, -1)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// schema returns the statements that make what the program needs: nothing that its
// texts do not mention, so that a program of a few steps is set up at once.
func (p Program) schema() []string {
	a, b, c := databaseName(p.Seed, "a"), databaseName(p.Seed, "b"), databaseName(p.Seed, "c")
	text := []string{"SET NAMES utf8mb4", "CREATE DATABASE " + a, "CREATE DATABASE " + b, "CREATE DATABASE " + c + " CHARACTER SET latin1"}
	for i, db := range []string{a, b} {
		for _, t := range p.mentions(tableName) {
			text = append(text,
				fmt.Sprintf("CREATE TABLE %s.%s (id INT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL UNIQUE, v VARCHAR(6), d DATE, n TINYINT NOT NULL DEFAULT 3) ENGINE=InnoDB STATS_PERSISTENT=1 STATS_AUTO_RECALC=0", db, t),
				fmt.Sprintf("INSERT INTO %s.%s (k, v) VALUES (1, 'one'), (%d, 'two')", db, t, 2+i))
		}
	}
	text = append(text, "CREATE TABLE "+a+".shade (w VARCHAR(10)) ENGINE=InnoDB", "INSERT INTO "+a+".shade VALUES ('base')",
		"CREATE TABLE "+a+".board (id INT PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB",
		"INSERT INTO "+a+".board VALUES (0,0),(1,0),(2,0),(3,0),(4,0),(5,0),(6,0),(7,0),(8,0),(9,0),(10,0),(11,0),(12,0),(13,0),(14,0),(15,0)")
	for _, f := range p.mentions(functionName) {
		text = append(text, fmt.Sprintf("CREATE FUNCTION %s.%s(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO t%s (k, v) VALUES (x, 'func'); SET @u4 = x; RETURN x + 1; END", a, f, f[1:]))
	}
	called := p.mentions(routineName)
	for signature, body := range routines {
		if name, _, _ := strings.Cut(signature, "("); slices.Contains(called, name) {
			text = append(text, "CREATE PROCEDURE "+a+"."+signature+" "+body)
		}
	}
	for _, sq := range p.mentions(sequenceName) {
		text = append(text, "CREATE SEQUENCE "+a+"."+sq)
	}
	for _, role := range p.mentions(roleName) {
		text = append(text, "CREATE ROLE "+role, "GRANT "+role+" TO CURRENT_USER()")
	}
	return text
}

// setUp makes what the program needs, and removes before what is there.
func (p Program) setUp(ctx context.Context, admin *sql.DB) error {
	if err := p.tearDown(ctx, admin); err != nil {
		return err
	}
	for _, text := range p.schema() {
		if p.Flavor == mysqld.FlavorMariaDB {
			// MariaDB gives a role to whoever creates it.
			if strings.HasPrefix(text, "GRANT role_") {
				continue
			}
		} else {
			text = strings.Replace(text, "TO CURRENT_USER()", "TO 'root'@'localhost', 'root'@'%'", 1)
		}
		if _, err := admin.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("program: %s: %w", text, err)
		}
	}
	return nil
}

// tearDown removes what the program made, and what was made for it.
func (p Program) tearDown(ctx context.Context, admin *sql.DB) error {
	if err := p.quiet(ctx, admin); err != nil {
		return err
	}
	names := append(p.mentions(databases), databaseName(p.Seed, "a"), databaseName(p.Seed, "b"), databaseName(p.Seed, "c"))
	for _, name := range names {
		if _, err := admin.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name); err != nil {
			return fmt.Errorf("program: %w", err)
		}
	}
	for _, role := range p.mentions(roleName) {
		if _, err := admin.ExecContext(ctx, "DROP ROLE IF EXISTS "+role); err != nil {
			return fmt.Errorf("program: %w", err)
		}
	}
	return nil
}

// quiet waits until the server has ended the sessions of an earlier run: their locks
// have the names that the next run's will have. A statement that was cancelled sleeps on
// and holds nothing.
func (p Program) quiet(ctx context.Context, admin *sql.DB) error {
	prefix := databaseName(p.Seed, "")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		busy, err := p.busy(ctx, admin, prefix)
		if err != nil || !busy {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("program: sessions in %s… do not end", prefix)
		}
	}
}

func (p Program) busy(ctx context.Context, admin *sql.DB, prefix string) (bool, error) {
	rows, err := admin.QueryContext(ctx, "SHOW PROCESSLIST")
	if err != nil {
		return false, fmt.Errorf("program: %w", err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return false, fmt.Errorf("program: %w", err)
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	busy := false
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return false, fmt.Errorf("program: %w", err)
		}
		db, info := values[slices.Index(columns, "db")], values[slices.Index(columns, "Info")]
		busy = busy || strings.HasPrefix(db.String, prefix) && !strings.Contains(info.String, "SLEEP")
	}
	return busy, rows.Err()
}
