package aurorasim

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// killPoll is how often the upstream is asked whether killed threads are gone.
const killPoll = 2 * time.Millisecond

// Server is an upstream that is a real MySQL or MariaDB. The DSN is
// go-sql-driver's, of a user that may KILL others' threads and has PROCESS; clients of
// the cluster bring users and passwords of their own. The server must be reached without
// TLS; over TCP rather than a Unix socket if clients without TLS use
// caching_sha2_password (a server takes a Unix socket for secure and does not give its
// public key).
func Server(dsn string) (Upstream, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return Upstream{}, fmt.Errorf("aurorasim: the upstream's DSN: %w", err)
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return Upstream{}, fmt.Errorf("aurorasim: the upstream's DSN: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(2)
	return Upstream{
		Dial: func(ctx context.Context) (net.Conn, error) {
			if cfg.DialFunc != nil {
				return cfg.DialFunc(ctx, cfg.Net, cfg.Addr)
			}
			var d net.Dialer
			return d.DialContext(ctx, cfg.Net, cfg.Addr)
		},
		Kill: func(ctx context.Context, ids []uint32) error {
			err := killUntilGone(ctx, ids, func(id uint32) (bool, error) { return kill(ctx, db, id) })
			if err == nil {
				err = rolledBack(ctx, db, ids)
			}
			if errors.Is(err, syscall.ECONNREFUSED) {
				return nil // the whole server is gone
			}
			return err
		},
		Close: db.Close,
	}, nil
}

// kill ends a thread. It tells whether the server still knew it.
func kill(ctx context.Context, db *sql.DB, id uint32) (known bool, err error) {
	_, err = db.ExecContext(ctx, fmt.Sprintf("KILL %d", id))
	const noSuchThread = 1094
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok && e.Number == noSuchThread {
		return false, nil
	}
	return err == nil, err
}

// rolledBack waits until InnoDB has nothing more of the threads. MariaDB forgets a
// thread when it has rolled it back, but MySQL 9.7 answers KILL with "unknown thread",
// and leaves it out of its process list, while it still rolls back: measured, 400 ms for
// 130,000 rows. information_schema.innodb_trx is of no help: it is a copy that is up to
// 100 ms old, and not renewed while somebody keeps asking.
func rolledBack(ctx context.Context, db *sql.DB, ids []uint32) error {
	for {
		var engine, name, status string
		if err := db.QueryRowContext(ctx, "SHOW ENGINE INNODB STATUS").Scan(&engine, &name, &status); err != nil {
			return fmt.Errorf("whether they are rolled back: %w", err)
		}
		busy := slices.ContainsFunc(ids, func(id uint32) bool {
			return strings.Contains(status, fmt.Sprintf(" thread id %d,", id))
		})
		if !busy {
			return nil
		}
		if err := wait(ctx, killPoll); err != nil {
			return fmt.Errorf("they are still being rolled back: %w", err)
		}
	}
}

// Fake is an upstream in memory, minidb behind a fakemysql.Server, that needs no
// server and works in synctest bubbles. It lets every user in with any password, and
// ends with the cluster.
func Fake() Upstream {
	s := fakemysql.New(fakemysql.Config{Handler: minidb.New()})
	up := FakeServer(s)
	up.Close = func() error { s.Close(); return nil }
	return up
}

// FakeServer is an upstream that is a fakemysql.Server, which stays the caller's.
func FakeServer(s *fakemysql.Server) Upstream {
	return Upstream{
		Dial: func(ctx context.Context) (net.Conn, error) { return s.Dial(ctx, "tcp", "upstream") },
		Kill: func(ctx context.Context, ids []uint32) error {
			// A connection that the server does not know any more has closed its session.
			return killUntilGone(ctx, ids, func(id uint32) (bool, error) { return s.Kill(id, false), nil })
		},
		Literal: true,
	}
}

// killUntilGone repeats kill for each thread until it is not known.
func killUntilGone(ctx context.Context, ids []uint32, kill func(id uint32) (bool, error)) error {
	for len(ids) > 0 {
		var left []uint32
		for _, id := range ids {
			known, err := kill(id)
			if err != nil {
				return err
			}
			if known {
				left = append(left, id)
			}
		}
		if ids = left; len(ids) == 0 {
			return nil
		}
		if err := wait(ctx, killPoll); err != nil {
			return fmt.Errorf("%d threads do not end: %w", len(ids), err)
		}
	}
	return nil
}
