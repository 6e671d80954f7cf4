package programs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// gooseProgram is goose's provider: every migration in a transaction of its own on one
// sql.Conn, migrations in Go, and locks. goose has a session locker for PostgreSQL only,
// so there is one here that takes MySQL's named lock; the locker for MySQL that goose
// has works by a table. Two providers run at once, each on a connection that it keeps, and
// a migration in Go takes one more.
var gooseProgram = Program{Name: "goose", Connections: 3, Lines: 140, Run: func(ctx context.Context, target Target, out *Transcript) {
	r := &gooseRun{Context: ctx, Transcript: out, target: target}
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"up and down", r.upAndDown},
		{"session lock", r.sessionLock},
		{"table lock", r.tableLock},
		{"at once", r.atOnce},
		{"failing", r.failing},
		{"cancellation", r.cancellation},
	} {
		out.Step(step.name, step.f)
	}
}}

type gooseRun struct {
	context.Context
	*Transcript
	target Target
}

// namedLock is a session locker by GET_LOCK.
type namedLock string

var _ lock.SessionLocker = namedLock("")

func (n namedLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	return n.ask(ctx, conn, "SELECT GET_LOCK(?, 20)")
}

func (n namedLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	return n.ask(ctx, conn, "SELECT RELEASE_LOCK(?)")
}

func (n namedLock) ask(ctx context.Context, conn *sql.Conn, text string) error {
	var ok sql.NullInt64
	if err := conn.QueryRowContext(ctx, text, string(n)).Scan(&ok); err != nil {
		return err
	}
	if ok.Int64 != 1 {
		return fmt.Errorf("%s: %v", text, ok)
	}
	return nil
}

var gooseFiles = map[string]string{
	"00001_users.sql": "-- +goose Up\nCREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) UNIQUE);\nINSERT INTO users (name) VALUES ('ann');\n" +
		"INSERT INTO users (name) VALUES ('bob; not the end');\n-- +goose Down\nDROP TABLE users;\n",
	"00002_procedure.sql": "-- +goose Up\n-- +goose StatementBegin\nCREATE PROCEDURE add_user(IN n VARCHAR(64))\nBEGIN\n  INSERT INTO users (name) VALUES (n);\n  SET @added = n;\nEND\n-- +goose StatementEnd\n" +
		"CALL add_user('cid');\n-- +goose Down\nDROP PROCEDURE add_user;\nDELETE FROM users WHERE name = 'cid';\n",
	"00003_no_transaction.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nALTER TABLE users ADD COLUMN age INT;\nSET @age = 7;\nUPDATE users SET age = @age;\n-- +goose Down\nALTER TABLE users DROP COLUMN age;\n",
	"00006_temporary.sql": "-- +goose Up\nCREATE TEMPORARY TABLE old AS SELECT name FROM users;\nINSERT INTO users (name) SELECT CONCAT(name, ' jr.') FROM old;\nDROP TEMPORARY TABLE old;\n" +
		"-- +goose Down\nDELETE FROM users WHERE name LIKE '% jr.';\n",
}

// provider returns goose's provider for the files and two migrations in Go; changed are
// files that are different.
func (r *gooseRun) provider(changed map[string]string, options ...goose.ProviderOption) (*goose.Provider, error) {
	files := fstest.MapFS{}
	for name, text := range gooseFiles {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for name, text := range changed {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	inTx := func(statements ...string) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			for _, text := range statements {
				if _, err := tx.ExecContext(ctx, text); err != nil {
					return err
				}
			}
			return nil
		}}
	}
	inDB := func(text string) *goose.GoFunc {
		return &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, text)
			return err
		}}
	}
	options = append(options, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(
		goose.NewGoMigration(4, inTx("UPDATE users SET age = age + 1", "INSERT INTO users (name, age) VALUES ('dora', 1)"), inTx("DELETE FROM users WHERE name = 'dora'")),
		goose.NewGoMigration(5, inDB("CREATE INDEX by_age ON users (age)"), inDB("DROP INDEX by_age ON users")),
	))
	return goose.NewProvider(goose.DialectMySQL, r.target.DB, files, options...)
}

// done writes down what a provider did. The version table holds the time of day: it is
// left out.
func (r *gooseRun) done(what string, results []*goose.MigrationResult, err error) {
	for _, m := range results {
		if m != nil {
			r.Printf("%s: %d %s %s empty %t: %v", what, m.Source.Version, m.Source.Type, m.Direction, m.Empty, m.Error)
		}
	}
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		r.Printf("%s: %d applied, %d failed: %s", what, len(partial.Applied), partial.Failed.Source.Version, describe(partial.Err))
		return
	}
	r.Error(what, err)
}

// state writes down how far the database has come.
func (r *gooseRun) state(p *goose.Provider) error {
	status, err := p.Status(r)
	if err != nil {
		return err
	}
	for _, s := range status {
		r.Printf("status %d %s applied at %t", s.Source.Version, s.State, !s.AppliedAt.IsZero())
	}
	current, latest, err := p.GetVersions(r)
	if err != nil {
		return err
	}
	pending, err := p.HasPending(r)
	if err != nil {
		return err
	}
	r.Printf("version %d of %d, pending %t", current, latest, pending)
	if current > 0 {
		var users, rows string
		err = errors.Join(
			r.target.DB.QueryRowContext(r, "SELECT GROUP_CONCAT(name ORDER BY name) FROM users").Scan(&users),
			r.target.DB.QueryRowContext(r, "SELECT COUNT(*) FROM goose_db_version").Scan(&rows),
		)
		r.Printf("users %s, %s rows of versions", users, rows)
	}
	return err
}

func (r *gooseRun) upAndDown() error {
	p, err := r.provider(nil)
	if err != nil {
		return err
	}
	r.Error("ping", p.Ping(r))
	for _, s := range p.ListSources() {
		r.Printf("source %d %s %s", s.Version, s.Type, s.Path)
	}
	if err := r.state(p); err != nil {
		return err
	}
	one, err := p.UpByOne(r)
	r.done("up by one", []*goose.MigrationResult{one}, err)
	results, err := p.UpTo(r, 3)
	r.done("up to 3", results, err)
	if err := r.state(p); err != nil {
		return err
	}
	results, err = p.Up(r)
	r.done("up", results, err)
	results, err = p.Up(r)
	r.done("up again", results, err)
	_, err = p.UpByOne(r)
	r.Error("nothing left", err)
	if err := r.state(p); err != nil {
		return err
	}
	one, err = p.Down(r)
	r.done("down", []*goose.MigrationResult{one}, err)
	one, err = p.ApplyVersion(r, 5, false)
	r.done("apply 5 down", []*goose.MigrationResult{one}, err)
	_, err = p.ApplyVersion(r, 4, true)
	r.Error("apply 4 up again", err)
	_, err = p.ApplyVersion(r, 99, true)
	r.Error("apply 99", err)
	if err := r.state(p); err != nil {
		return err
	}
	results, err = p.DownTo(r, 0)
	r.done("down to 0", results, err)
	return r.state(p)
}

func (r *gooseRun) sessionLock() error {
	p, err := r.provider(nil, goose.WithSessionLocker(namedLock(r.target.Database)))
	if err != nil {
		return err
	}
	results, err := p.Up(r)
	r.done("up", results, err)
	var free bool
	if err := r.target.DB.QueryRowContext(r, "SELECT IS_FREE_LOCK(?)", r.target.Database).Scan(&free); err != nil {
		return err
	}
	r.Printf("lock given back %t", free)
	results, err = p.DownTo(r, 2)
	r.done("down to 2", results, err)
	return r.state(p)
}

// tableLocker is goose's own, with patience for a test.
func tableLocker() (lock.Locker, error) {
	return lock.NewMySQLTableLocker(lock.WithTableName("goose_lock"), lock.WithTableLockTimeout(20*time.Millisecond, 500))
}

func (r *gooseRun) tableLock() error {
	locker, err := tableLocker()
	if err != nil {
		return err
	}
	p, err := r.provider(nil, goose.WithLocker(locker))
	if err != nil {
		return err
	}
	results, err := p.Up(r)
	r.done("up", results, err)
	results, err = p.DownTo(r, 0)
	r.done("down to 0", results, err)
	var n int
	err = r.target.DB.QueryRowContext(r, "SELECT COUNT(*) FROM goose_lock WHERE lease_expires_at > NOW()").Scan(&n)
	r.Printf("locks held %d", n)
	return errors.Join(err, r.state(p))
}

// atOnce has two providers do the same work: it is done once.
func (r *gooseRun) atOnce() error {
	for _, what := range []string{"session lock", "table lock"} {
		var providers [2]*goose.Provider
		for i := range providers {
			option := goose.WithSessionLocker(namedLock(r.target.Database))
			if what == "table lock" {
				locker, err := tableLocker()
				if err != nil {
					return err
				}
				option = goose.WithLocker(locker)
			}
			p, err := r.provider(nil, option)
			if err != nil {
				return err
			}
			providers[i] = p
		}
		applied, failed := make([]int, 2), make([]error, 2)
		var wg sync.WaitGroup
		for i, p := range providers {
			wg.Go(func() {
				results, err := p.Up(r)
				applied[i], failed[i] = len(results), err
			})
		}
		wg.Wait()
		r.Printf("%s: %d applied by one or the other", what, applied[0]+applied[1])
		r.Error(what, errors.Join(failed...))
		results, err := providers[0].DownTo(r, 0)
		r.done(what, results, err)
	}
	return nil
}

func (r *gooseRun) failing() error {
	p, err := r.provider(map[string]string{
		"00003_no_transaction.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nALTER TABLE users ADD COLUMN age INT;\nALTER TABLE users ADD COLUMN age INT;\n-- +goose Down\nALTER TABLE users DROP COLUMN age;\n",
	})
	if err != nil {
		return err
	}
	results, err := p.Up(r)
	r.done("up", results, err)
	if err := r.state(p); err != nil {
		return err
	}
	// In a transaction what was inserted is taken back.
	if p, err = r.provider(map[string]string{
		"00003_no_transaction.sql": "-- +goose Up\nINSERT INTO users (name) VALUES ('taken back');\nINSERT INTO users (name) VALUES ('ann');\n-- +goose Down\nSELECT 1;\n",
	}); err != nil {
		return err
	}
	results, err = p.Up(r)
	r.done("up in a transaction", results, err)
	if err := r.state(p); err != nil {
		return err
	}
	if _, err := p.DownTo(r, 0); err != nil {
		return err
	}
	return r.state(p)
}

func (r *gooseRun) cancellation() error {
	p, err := r.provider(map[string]string{
		"00002_procedure.sql": "-- +goose Up\nINSERT INTO users (name) VALUES ('cancelled');\nDO SLEEP(0.6);\n-- +goose Down\nSELECT 1;\n",
	}, goose.WithSessionLocker(namedLock(r.target.Database)))
	if err != nil {
		return err
	}
	if _, err := p.UpTo(r, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r, 300*time.Millisecond)
	defer cancel()
	_, err = p.UpTo(ctx, 2)
	r.Printf("the deadline %t", errors.Is(err, context.DeadlineExceeded))
	if err := idle(r, r.target.DB); err != nil {
		return err
	}
	return r.state(p)
}
