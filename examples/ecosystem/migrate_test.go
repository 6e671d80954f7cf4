package ecosystem

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/pressly/goose/v3"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

var migrations = fstest.MapFS{
	"1_users.up.sql":   {Data: []byte("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(64)); INSERT INTO users VALUES (1, 'ann;'), (2, 'bob');")},
	"1_users.down.sql": {Data: []byte("DROP TABLE users")},
	"2_age.up.sql":     {Data: []byte("ALTER TABLE users ADD COLUMN age INT; UPDATE users SET age = 7;")},
	"2_age.down.sql":   {Data: []byte("ALTER TABLE users DROP COLUMN age")},
}

// TestMigrate: two migrators at once do the work once, and another one after a failover goes on.
func TestMigrate(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		dsn := c.dsn + "&multiStatements=true&fpPoolSize=2"
		var migrators [2]*migrate.Migrate
		for i := range migrators {
			m, err := OpenMigrate(dsn, migrations)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			migrators[i] = m
		}
		var errs [2]error
		var running sync.WaitGroup
		for i, m := range migrators {
			running.Go(func() { errs[i] = m.Up() })
		}
		running.Wait()
		if none := errors.Is(errs[0], migrate.ErrNoChange); errors.Join(errs[:]...) == nil || none == errors.Is(errs[1], migrate.ErrNoChange) || errs[0] != nil && errs[1] != nil {
			t.Errorf("one of them should have done it: %v", errs)
		}
		if w, r := c.went("ALTER TABLE users ADD COLUMN age"); w != 1 || r != 0 {
			t.Errorf("the second migration was sent to the writer %d times and to readers %d times", w, r)
		}
		c.failover()
		for i, m := range migrators {
			// The connection that it keeps holds nothing any more.
			if err := m.Steps(-1 + 2*i); err != nil {
				t.Errorf("migrator %d after the failover: %v", i, err)
			}
			version, dirty, err := m.Version()
			if want := uint(1 + i); version != want || dirty || err != nil {
				t.Errorf("version %d, dirty %t, %v", version, dirty, err)
			}
		}
	})
}

// TestMigrateFails: a failover in the middle of a migration. It may have happened, in part: it is dirty,
// as with every other error, and an operator looks.
func TestMigrateFails(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		m, err := OpenMigrate(c.dsn+"&multiStatements=true", migrations)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		c.Writer().SwallowAnswer(aurorasim.Contains("ALTER TABLE users ADD COLUMN age"))
		err = m.Up()
		if !errors.Is(cause(err), failover.ErrOutcomeUnknown) {
			t.Errorf("a migration without an answer: %v", err)
		}
		version, dirty, err := m.Version()
		if version != 2 || !dirty || err != nil {
			t.Errorf("version %d, dirty %t, %v", version, dirty, err)
		}
		if w, _ := c.went("ALTER TABLE users ADD COLUMN age"); w != 1 {
			t.Errorf("it was sent %d times", w)
		}
		// It still believes that it has the lock, so another one goes on; the lock is free.
		if err := m.Force(2); !errors.Is(err, migrate.ErrLocked) {
			t.Errorf("the migrator that failed: %v", err)
		}
		if m, err = OpenMigrate(c.dsn+"&multiStatements=true", migrations); err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Force(2); err != nil { // the operator has looked: all of it is there
			t.Error(err)
		}
		if err := m.Up(); !errors.Is(err, migrate.ErrNoChange) {
			t.Error(err)
		}
	})
}

// cause finds what golang-migrate's errors do not unwrap to.
func cause(err error) error {
	if e, ok := errors.AsType[database.Error](err); ok {
		return e.OrigErr
	}
	return err
}

// goosed is a provider whose third migration calls f.
func (c *cluster) goosed(f func(*driver.Connector)) (*goose.Provider, *driver.Connector) {
	c.Helper()
	cfg, err := driver.ParseDSN(c.dsn + "&parseTime=true&fpPoolSize=2")
	if err != nil {
		c.Fatal(err)
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		c.Fatal(err)
	}
	db := sql.OpenDB(connector)
	c.Cleanup(func() { db.Close() })
	files := fstest.MapFS{
		"00001_users.sql": {Data: []byte("-- +goose Up\nCREATE TABLE users (id INT PRIMARY KEY);\nINSERT INTO users VALUES (1);\n-- +goose Down\nDROP TABLE users;\n")},
		"00002_age.sql":   {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nALTER TABLE users ADD COLUMN age INT;\n-- +goose Down\nALTER TABLE users DROP COLUMN age;\n")},
		"00004_last.sql":  {Data: []byte("-- +goose Up\nINSERT INTO users VALUES (4, 4);\n-- +goose Down\nDELETE FROM users WHERE id = 4;\n")},
	}
	third := goose.NewGoMigration(3, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		f(connector)
		_, err := db.ExecContext(ctx, "INSERT INTO users VALUES (3, 3)")
		return err
	}}, nil)
	p, err := OpenGoose(db, files, "shop's migrations", goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(third))
	if err != nil {
		c.Fatal(err)
	}
	return p, connector
}

// TestGoose: the lock binds the migrator's session to its connection, and ends with the work. Of
// two migrators one does the work.
func TestGoose(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		var locks []string // of the one that works
		working := func(connector *driver.Connector) {
			for _, pin := range connector.Pins() {
				locks = append(locks, pin.Reason)
			}
		}
		one, first := c.goosed(working)
		two, second := c.goosed(working)
		// goose makes its table before it takes the lock, and two that do so at once may
		// get "missing zero version migration", with any driver.
		if _, err := one.GetDBVersion(t.Context()); err != nil {
			t.Fatal(err)
		}
		applied := make(chan int)
		for _, p := range []*goose.Provider{one, two} {
			go func() {
				results, err := p.Up(t.Context())
				if err != nil {
					t.Error(err)
				}
				applied <- len(results)
			}()
		}
		if n := <-applied + <-applied; n != 4 {
			t.Errorf("%d migrations were applied", n)
		}
		if left := append(first.Pins(), second.Pins()...); !slices.Equal(locks, []string{"named lock"}) || len(left) != 0 {
			t.Errorf("pins while it worked: %v, then %v", locks, left)
		}
		c.failover()
		if v, err := one.GetDBVersion(t.Context()); v != 4 || err != nil {
			t.Errorf("version %d after a failover: %v", v, err)
		}
	})
}

// TestGooseLosesLock: a migrator whose lock went with the writer does not go on as if it had it.
func TestGooseLosesLock(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		p, _ := c.goosed(func(*driver.Connector) { c.failover() })
		_, err := p.Up(t.Context())
		if !errors.Is(err, failover.ErrSessionStateLost) {
			t.Errorf("the lock was lost: %v", err)
		}
		if w, r := c.went("INSERT INTO users VALUES (4, 4)"); w+r != 0 {
			t.Error("it went on without the lock")
		}
		next, _ := c.goosed(func(*driver.Connector) {})
		results, err := next.Up(t.Context())
		if err != nil || len(results) != 1 {
			t.Errorf("the next one applies %d: %v", len(results), err)
		}
	})
}
