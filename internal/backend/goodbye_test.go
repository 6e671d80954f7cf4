//go:build unix

package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	proto "github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// TestGoodbye finds out what real servers say to an idle connection before they end it, and
// that Unasked tells that from an answer.
func TestGoodbye(t *testing.T) {
	const nothing = "nothing"
	mysqld.Each(t, func(t *testing.T, s *mysqld.Server) {
		ctx := t.Context()
		if err := s.Exec(ctx, "CREATE DATABASE fp", "CREATE TABLE fp.t (id INT PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		expects := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: an idle connection hears %s, want %s", what, got, want)
			}
		}
		timeout := nothing // MariaDB ends it with a reset
		if s.Flavor == mysqld.FlavorMySQL {
			timeout = "4031 numbered 0"
		}

		killed := to(t, s, "")
		if err := s.Exec(ctx, fmt.Sprintf("KILL %d", killed.ThreadID())); err != nil {
			t.Fatal(err)
		}
		expects("KILL", lastWords(killed), nothing)

		for _, tls := range []string{"", "?tls=skip-verify"} {
			if tls != "" && s.Flavor == mysqld.FlavorMariaDB {
				continue // has no certificate
			}
			idle := to(t, s, tls)
			exec(t, idle, "SET wait_timeout = 1")
			if tls == "" {
				expects("wait_timeout", lastWords(idle), timeout)
				idle = to(t, s, "")
				exec(t, idle, "SET wait_timeout = 1")
			}
			hears(t, idle)
			_, err := idle.ExecContext(ctx, "INSERT INTO t VALUES (1)", nil)
			if number, unasked := numberOf(err), idle.Unasked(err); unasked != (s.Flavor == mysqld.FlavorMySQL) || unasked && number != 4031 {
				t.Errorf("a statement after wait_timeout%s: %v, unasked %v", tls, err, unasked)
			}
		}
		if row, err := to(t, s, "").Ask(ctx, "SELECT COUNT(*) FROM t"); err != nil || fmt.Sprint(row) != "[0]" {
			t.Errorf("executed all the same: %v, %v", row, err)
		}

		// MySQL answers 1053 to what reaches it for two seconds more, then it hangs up.
		resting, busy := to(t, s, ""), to(t, s, "")
		stopped := make(chan error)
		go func() { stopped <- s.Stop() }()
		var err error
		for id := 0; err == nil; id++ {
			_, err = busy.ExecContext(ctx, fmt.Sprintf("INSERT INTO t VALUES (%d)", id), nil)
		}
		if number := numberOf(err); busy.Unasked(err) || number != 0 && number != 1053 {
			t.Errorf("a statement during the shutdown: %v, unasked %v", err, busy.Unasked(err))
		}
		expects("SIGTERM", lastWords(resting), nothing)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// to connects to a real server, with parameters of a DSN.
func to(t *testing.T, s *mysqld.Server, params string) *Backend {
	t.Helper()
	my, err := mysql.ParseDSN(s.DSN("fp") + params)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewDialer(Config{MySQL: my, Logger: &mysql.NopLogger{}}).Connect(context.WithoutCancel(t.Context()), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// lastWords is what the server says until the connection's end.
func lastWords(b *Backend) string {
	_ = b.wire.SetReadDeadline(time.Now().Add(20 * time.Second))
	words := "nothing"
	for {
		p, err := proto.ReadPacket(b.wire, 0)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			return words
		case err != nil:
			return err.Error()
		case !proto.IsError(p.Payload):
			return fmt.Sprintf("a packet that begins with %x", p.Payload[0])
		}
		e, err := proto.ParseError(p.Payload)
		if err != nil {
			return err.Error()
		}
		words = fmt.Sprintf("%d numbered %d", e.Number, p.Seq)
	}
}

// hears waits until something has come on an idle connection, and leaves it there.
func hears(t *testing.T, b *Backend) {
	t.Helper()
	raw, err := b.wire.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return !errors.Is(err, syscall.EAGAIN)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func numberOf(err error) uint16 {
	if me, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return me.Number
	}
	return 0
}
