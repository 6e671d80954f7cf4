package ecosystem

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// OpenGoose returns goose's provider over the files. One migrator at a time works, of all those on
// the server that name the same lock.
func OpenGoose(db *sql.DB, files fs.FS, lock NamedLock, opts ...goose.ProviderOption) (*goose.Provider, error) {
	opts = append(opts, goose.WithSessionLocker(lock))
	return goose.NewProvider(goose.DialectMySQL, db, files, opts...)
}

// NamedLock is a session locker for MySQL; goose itself has one for PostgreSQL only. The lock belongs to
// its session: if that loses its connection, goose's next statement gets failover.ErrSessionStateLost and
// does not run.
type NamedLock string

var _ lock.SessionLocker = NamedLock("")

// SessionLock waits for the lock, a minute at most.
func (n NamedLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	return n.ask(ctx, conn, "SELECT GET_LOCK(?, 60)")
}

// SessionUnlock gives it back.
func (n NamedLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	return n.ask(ctx, conn, "SELECT RELEASE_LOCK(?)")
}

func (n NamedLock) ask(ctx context.Context, conn *sql.Conn, question string) error {
	var yes sql.NullBool
	if err := conn.QueryRowContext(ctx, question, string(n)).Scan(&yes); err != nil {
		return err
	}
	if !yes.Bool {
		return fmt.Errorf("%s: no (lock %q)", question, string(n))
	}
	return nil
}
