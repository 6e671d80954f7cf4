package fakemysql_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

var numbers = fakemysql.NewScript().On("SELECT n", fakemysql.Result{
	Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{1}, {2}, {3}},
})

// hooked runs a query for numbers through a Before hook for the server's packets
// of it.
func hooked(t *testing.T, before func(ctx context.Context, p *fakemysql.Packet) fakemysql.Verdict) ([]int, error) {
	t.Helper()
	s := serve(t, fakemysql.Config{Handler: numbers, Hooks: fakemysql.Hooks{
		Before: func(ctx context.Context, p *fakemysql.Packet) fakemysql.Verdict {
			if p.From != fakemysql.FromServer || p.SQL != "SELECT n" {
				return fakemysql.Pass
			}
			return before(ctx, p)
		},
	}})
	rows, err := open(t, piped(s)).QueryContext(t.Context(), "SELECT n")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var got []int
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Error(err)
		}
		got = append(got, n)
	}
	return got, rows.Err()
}

func TestHookCutsAResult(t *testing.T) {
	for k := range 7 {
		t.Run(fmt.Sprint("after ", k, " packets"), func(t *testing.T) {
			got, err := hooked(t, func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
				if p.Number == k {
					return fakemysql.Cut
				}
				return fakemysql.Pass
			})
			// count, column, three rows, end
			want := []int{1, 2, 3}[:min(max(0, k-2), 3)]
			if !slices.Equal(got, want) {
				t.Errorf("rows %v, want %v", got, want)
			}
			if cut := k < 6; cut != errors.Is(err, mysql.ErrInvalidConn) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestHookReplacesAndDrops(t *testing.T) {
	got, err := hooked(t, func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
		switch {
		case p.Kind == wire.KindRow && p.Number == 2:
			p.Payload = []byte{2, '7', '7'}
		case p.Kind == wire.KindRow && p.Number == 3:
			return fakemysql.Drop
		}
		return fakemysql.Pass
	})
	if err != nil || !slices.Equal(got, []int{77, 3}) {
		t.Errorf("rows %v, %v", got, err)
	}
	_, err = hooked(t, func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
		p.Payload = (&fakemysql.Error{Number: 1290}).Append(nil)
		return fakemysql.Pass
	})
	wantError(t, err, 1290)
}

func TestHookDelaysAPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got, err := hooked(t, func(ctx context.Context, p *fakemysql.Packet) fakemysql.Verdict {
			if p.Kind == wire.KindRow {
				fakemysql.Delay(ctx, 30*time.Second)
			}
			return fakemysql.Pass
		})
		if err != nil || len(got) != 3 || time.Since(began) != 90*time.Second {
			t.Errorf("rows %v after %v, %v", got, time.Since(began), err)
		}
	})
}

// What was sent before a delay is with the client during it.
func TestPacketsBeforeADelayArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, fakemysql.Config{Handler: numbers, Hooks: fakemysql.Hooks{
			Before: func(ctx context.Context, p *fakemysql.Packet) fakemysql.Verdict {
				if p.Kind == wire.KindRowsEnd {
					fakemysql.Delay(ctx, time.Hour)
				}
				return fakemysql.Pass
			},
		}})
		rows, err := open(t, piped(s)).QueryContext(t.Context(), "SELECT n")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		began := time.Now()
		for range 3 {
			if !rows.Next() {
				t.Fatal(rows.Err())
			}
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the rows came after %v", waited)
		}
		if rows.Next() || time.Since(began) != time.Hour {
			t.Errorf("the end came after %v", time.Since(began))
		}
	})
}

// A hook's delay ends when the client has gone.
func TestHangUpEndsADelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slept := make(chan bool, 1)
		s := serve(t, fakemysql.Config{Hooks: fakemysql.Hooks{
			Before: func(ctx context.Context, p *fakemysql.Packet) fakemysql.Verdict {
				if p.SQL == "DO 1" {
					slept <- fakemysql.Delay(ctx, time.Hour)
				}
				return fakemysql.Pass
			},
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := open(t, piped(s)).ExecContext(ctx, "DO 1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if <-slept {
			t.Error("the hook slept through")
		}
	})
}

// The answer to a COMMIT is swallowed: it was committed, and nobody knows.
func TestHookSwallowsTheAnswer(t *testing.T) {
	script := fakemysql.NewScript()
	s := serve(t, fakemysql.Config{Handler: script})
	db := open(t, piped(s))
	s.SetHooks(fakemysql.Hooks{Before: func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
		if p.From == fakemysql.FromServer && p.SQL == "COMMIT" {
			return fakemysql.Cut
		}
		return fakemysql.Pass
	}})
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); !errors.Is(err, mysql.ErrInvalidConn) {
		t.Errorf("error %v", err)
	}
	if script.Count("COMMIT") != 1 {
		t.Errorf("calls %v", script.Calls())
	}
	s.SetHooks(fakemysql.Hooks{})
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("without hooks: %v", err)
	}
}

func TestHooksForClientPackets(t *testing.T) {
	script := fakemysql.NewScript().On("INSERT INTO t VALUES (1)").On("INSERT INTO t VALUES (2)")
	s := serve(t, fakemysql.Config{Handler: script})
	db := open(t, piped(s))
	on := func(verdict fakemysql.Verdict, after bool) {
		hook := func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
			if p.From == fakemysql.FromClient && p.Command == wire.ComQuery {
				return verdict
			}
			return fakemysql.Pass
		}
		if after {
			s.SetHooks(fakemysql.Hooks{After: hook})
		} else {
			s.SetHooks(fakemysql.Hooks{Before: hook})
		}
	}
	const insert = "INSERT INTO t VALUES (1)"
	for _, verdict := range []fakemysql.Verdict{fakemysql.Cut, fakemysql.Reset} {
		on(verdict, false)
		if _, err := db.ExecContext(t.Context(), insert); !errors.Is(err, mysql.ErrInvalidConn) {
			t.Errorf("cut before: error %v", err)
		}
		if script.Count(insert) != 0 {
			t.Error("cut before, and yet executed")
		}
	}
	on(fakemysql.Cut, true)
	if _, err := db.ExecContext(t.Context(), insert); err != nil {
		t.Errorf("cut after the answer: %v", err)
	}
	if script.Count(insert) != 1 {
		t.Error("cut after, and not executed")
	}
	s.SetHooks(fakemysql.Hooks{Before: func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
		if p.From == fakemysql.FromClient && p.SQL == insert {
			p.Payload = append([]byte{byte(wire.ComQuery)}, "INSERT INTO t VALUES (2)"...)
		}
		return fakemysql.Pass
	}})
	if _, err := db.ExecContext(t.Context(), insert); err != nil {
		t.Error(err)
	}
	if script.Count("INSERT INTO t VALUES (2)") != 1 {
		t.Error("not replaced")
	}
}

func TestHookDropsAStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := fakemysql.NewScript()
		s := serve(t, fakemysql.Config{Handler: script, Hooks: fakemysql.Hooks{
			Before: func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
				if p.From == fakemysql.FromClient && p.SQL == "DO 1" {
					return fakemysql.Drop
				}
				return fakemysql.Pass
			},
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := open(t, piped(s)).ExecContext(ctx, "DO 1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if len(script.Calls()) != 0 {
			t.Errorf("calls %v", script.Calls())
		}
	})
}

// The hooks see everything, in order, handshake and prepared statements included.
func TestHooksSeeEverything(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	note := func(when string) func(context.Context, *fakemysql.Packet) fakemysql.Verdict {
		return func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintf("%s %d seq %d: %v %q %v %d", when, p.From, p.Seq, p.Command, p.SQL, p.Kind, p.Number))
			return fakemysql.Pass
		}
	}
	s := serve(t, fakemysql.Config{Handler: fakemysql.NewScript().On("DO ?"), Hooks: fakemysql.Hooks{Before: note("before"), After: note("after")}})
	c := dialRaw(t, s, wire.DefaultCapabilities)
	c.ask(wire.ComStmtPrepare, "DO ?")
	execute, err := wire.AppendExecute(nil, 1, []any{1})
	if err != nil {
		t.Fatal(err)
	}
	c.ask(wire.ComStmtExecute, string(execute[1:]))
	s.Close()
	want := []string{
		`before 2 seq 0: Connect ""  0`, `after 2 seq 0: Connect ""  0`,
		`before 1 seq 1: Connect ""  1`,
		`before 2 seq 2: Connect "" OK 1`, `after 2 seq 2: Connect "" OK 1`,
		`before 1 seq 0: Prepare "DO ?"  0`,
		`before 2 seq 1: Prepare "DO ?" prepare OK 0`, `after 2 seq 1: Prepare "DO ?" prepare OK 0`,
		`before 2 seq 2: Prepare "DO ?" param 1`, `after 2 seq 2: Prepare "DO ?" param 1`,
		`after 1 seq 0: Prepare "DO ?"  2`,
		`before 1 seq 0: Execute "DO ?"  0`,
		`before 2 seq 1: Execute "DO ?" OK 0`, `after 2 seq 1: Execute "DO ?" OK 0`,
		`after 1 seq 0: Execute "DO ?"  1`,
	}
	if !slices.Equal(seen, want) {
		t.Errorf("\n got %q\nwant %q", seen, want)
	}
}

// Over TCP, Cut is a FIN and Reset an RST.
func TestCutAndResetOverTCP(t *testing.T) {
	for verdict, want := range map[fakemysql.Verdict]error{fakemysql.Cut: io.EOF, fakemysql.Reset: syscall.ECONNRESET} {
		s := serve(t, fakemysql.Config{Hooks: fakemysql.Hooks{
			Before: func(_ context.Context, p *fakemysql.Packet) fakemysql.Verdict {
				if p.From == fakemysql.FromClient {
					return verdict
				}
				return fakemysql.Pass
			},
		}})
		at, err := s.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		c := &rawClient{t: t, conn: conn}
		c.read() // the greeting
		c.write(1, []byte("anything"))
		if _, err := wire.ReadPacket(conn, 0); !errors.Is(err, want) {
			t.Errorf("verdict %d: error %v, want %v", verdict, err, want)
		}
		_ = conn.Close()
	}
}
