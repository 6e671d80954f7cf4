package programs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/database/mysql"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

// migrateProgram is golang-migrate: a named lock, a version table and whole files of
// statements, all on one sql.Conn. Two migrators run at once, each with its connection.
var migrateProgram = Program{Name: "golang-migrate", Connections: 2, Lines: 70, Run: func(ctx context.Context, target Target, out *Transcript) {
	r := &migrateRun{Context: ctx, Transcript: out, target: target}
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"up and down", r.upAndDown},
		{"failing migration", r.failing},
		{"without multiStatements", r.single},
		{"lock", r.lock},
		{"at once", r.atOnce},
		{"connection", r.connection},
		{"drop", r.drop},
	} {
		out.Step(step.name, step.f)
	}
}}

type migrateRun struct {
	context.Context
	*Transcript
	target Target
}

// files are the migrations of a program that has grown. The last up migration fails
// in the middle.
func (r *migrateRun) files(failing bool) fs.FS {
	m := fstest.MapFS{}
	for name, text := range map[string]string{
		"1_users.up.sql":       "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) UNIQUE);\nINSERT INTO users (name) VALUES ('ann'), ('b;ob');\n-- the end; really\n",
		"1_users.down.sql":     "DROP TABLE users;",
		"2_orders.up.sql":      "CREATE TABLE orders (id INT PRIMARY KEY, user_id INT NOT NULL, CONSTRAINT buyer FOREIGN KEY (user_id) REFERENCES users (id)); SET @n := 0; INSERT INTO orders SELECT (@n := @n + 1), id FROM users;",
		"2_orders.down.sql":    "ALTER TABLE orders DROP FOREIGN KEY buyer; DROP TABLE orders;",
		"5_procedure.up.sql":   "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END; CREATE TRIGGER tr BEFORE INSERT ON users FOR EACH ROW SET NEW.name = UPPER(NEW.name);",
		"5_procedure.down.sql": "DROP TRIGGER tr; DROP PROCEDURE p;",
		"6_data.up.sql":        "START TRANSACTION; UPDATE users SET name = CONCAT(name, '!'); INSERT INTO users (name) VALUES ('cid'); COMMIT; CREATE TEMPORARY TABLE scratch (id INT); DROP TEMPORARY TABLE scratch",
		"6_data.down.sql":      "DELETE FROM orders; DELETE FROM users;",
	} {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	if failing {
		m["7_fails.up.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE half (id INT); INSERT INTO half VALUES (1);\nINSERT INTO users (name) VALUES ('ANN!');\nCREATE TABLE never (id INT);")}
		m["7_fails.down.sql"] = &fstest.MapFile{Data: []byte("DROP TABLE half")}
	}
	return m
}

// open returns a migrator with a *sql.DB of its own, which it closes.
func (r *migrateRun) open(failing bool, params string) (*migrate.Migrate, *sql.DB, error) {
	db, err := sql.Open(r.target.Driver, r.target.DSN+params)
	if err != nil {
		return nil, nil, err
	}
	m, err := r.over(db, failing, &mysql.Config{})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return m, db, nil
}

func (r *migrateRun) over(db *sql.DB, failing bool, config *mysql.Config) (*migrate.Migrate, error) {
	d, err := mysql.WithInstance(db, config)
	if err != nil {
		return nil, err
	}
	files, err := iofs.New(r.files(failing), ".")
	if err != nil {
		return nil, err
	}
	m, err := migrate.NewWithInstance("iofs", files, "mysql", d)
	if err != nil {
		return nil, err
	}
	m.LockTimeout = 5 * time.Second
	return m, nil
}

const multi = "&multiStatements=true"

// state writes down how far the database has come.
func (r *migrateRun) state(m *migrate.Migrate, what string, err error) {
	r.Error(what, err)
	version, dirty, err := m.Version()
	r.Printf("version %d dirty %t %v", version, dirty, err)
	rows, err := r.target.DB.QueryContext(r, "SHOW TABLES")
	if err != nil {
		r.Error("tables", err)
		return
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			r.Error("tables", err)
			return
		}
		tables = append(tables, name)
	}
	sort.Strings(tables)
	r.Printf("tables %s %v", strings.Join(tables, " "), rows.Err())
	var users sql.NullString
	err = r.target.DB.QueryRowContext(r, "SELECT GROUP_CONCAT(name ORDER BY id) FROM users").Scan(&users)
	r.Printf("users %s %v", users.String, err)
}

// end closes a migrator and writes down how.
func (r *migrateRun) end(m *migrate.Migrate) {
	source, db := m.Close()
	r.Printf("closed %v %v", source, db)
}

func (r *migrateRun) upAndDown() error {
	m, _, err := r.open(false, multi)
	if err != nil {
		return err
	}
	defer r.end(m)
	r.state(m, "nothing yet", nil)
	r.state(m, "one step", m.Steps(1))
	r.state(m, "to 5", m.Migrate(5))
	r.state(m, "up", m.Up())
	r.Error("up again", m.Up())
	r.state(m, "back to 2", m.Migrate(2))
	r.Error("unknown version", m.Migrate(4))
	r.state(m, "down", m.Down())
	r.Error("down again", m.Down())
	return nil
}

func (r *migrateRun) failing() error {
	m, _, err := r.open(true, multi)
	if err != nil {
		return err
	}
	defer r.end(m)
	r.state(m, "up", m.Up())
	r.Error("dirty", m.Up())
	r.state(m, "force", m.Force(7))
	r.state(m, "down by one", m.Steps(-1))
	r.state(m, "down", m.Down())
	return nil
}

// single has no multiStatements: the server refuses a file of several statements.
func (r *migrateRun) single() error {
	m, _, err := r.open(false, "")
	if err != nil {
		return err
	}
	defer r.end(m)
	r.state(m, "up", m.Up())
	r.state(m, "force", m.Force(-1))
	return nil
}

// lock is the driver's named lock, which belongs to its connection.
func (r *migrateRun) lock() error {
	var drivers [2]database.Driver
	for i := range drivers {
		conn, err := r.target.DB.Conn(r)
		if err != nil {
			return err
		}
		defer conn.Close()
		if drivers[i], err = mysql.WithConnection(r, conn, &mysql.Config{MigrationsTable: "locked"}); err != nil {
			return err
		}
	}
	r.Error("first", drivers[0].Lock())
	r.Error("first again", drivers[0].Lock())
	r.Error("second gives back what it has not", drivers[1].Unlock())
	waited := make(chan error, 1)
	go func() { waited <- drivers[1].Lock() }()
	select {
	case err := <-waited:
		r.Error("second has it, too", err)
		waited <- err
	case <-time.After(200 * time.Millisecond):
		r.Printf("second waits")
	}
	r.Error("statement", drivers[0].Run(strings.NewReader("CREATE TABLE under_lock (id INT)")))
	r.Error("version", drivers[0].SetVersion(42, false))
	r.Error("given back", drivers[0].Unlock())
	r.Error("second", <-waited)
	version, dirty, err := drivers[1].Version()
	r.Printf("version %d %t %v", version, dirty, err)
	r.Error("second gives it back", drivers[1].Unlock())
	return nil
}

// atOnce runs two migrators against each other: what has to be done is done once.
func (r *migrateRun) atOnce() error {
	results := make([]error, 2)
	var wg sync.WaitGroup
	for i := range results {
		m, _, err := r.open(false, multi)
		if err != nil {
			return err
		}
		defer r.end(m)
		wg.Go(func() { results[i] = m.Up() })
	}
	wg.Wait()
	if results[0] != nil {
		results[0], results[1] = results[1], results[0] // who is first is no matter
	}
	r.Error("one", results[0])
	r.Error("the other", results[1])
	var n int
	err := r.target.DB.QueryRowContext(r, "SELECT COUNT(*) FROM users").Scan(&n)
	r.Printf("users %d", n)
	return err
}

// connection uses a driver over a connection that the program has for other things, too.
func (r *migrateRun) connection() error {
	conn, err := r.target.DB.Conn(r)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(r, "SET @before = 'kept'"); err != nil {
		return err
	}
	d, err := mysql.WithConnection(r, conn, &mysql.Config{MigrationsTable: "mine", StatementTimeout: 200 * time.Millisecond})
	if err != nil {
		return err
	}
	r.Error("lock", d.Lock())
	r.Error("run", d.Run(strings.NewReader("SET @during = CONCAT(@before, '!')")))
	r.Error("bad statement", d.Run(strings.NewReader("CREATE TABEL x (id INT)")))
	r.Error("version", d.SetVersion(database.NilVersion, true))
	r.Error("unlock", d.Unlock())
	var before, during string
	err = conn.QueryRowContext(r, "SELECT @before, @during").Scan(&before, &during)
	r.Printf("%s %s", before, during)
	return err
}

func (r *migrateRun) drop() error {
	db, err := sql.Open(r.target.Driver, r.target.DSN+multi)
	if err != nil {
		return err
	}
	m, err := r.over(db, false, &mysql.Config{MigrationsTable: "other_versions", DatabaseName: r.target.Database})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	defer r.end(m)
	r.Error("drop", m.Drop())
	var n int
	err = r.target.DB.QueryRowContext(r, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ?", r.target.Database).Scan(&n)
	r.Printf("%d tables left", n)
	if n != 0 {
		err = errors.Join(err, fmt.Errorf("%d tables survived", n))
	}
	return err
}
