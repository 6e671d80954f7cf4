package backend

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a fake server and a dialer for it.
func serve(t testing.TB, change func(*Config)) (*fakemysql.Server, *Dialer) {
	t.Helper()
	script := fakemysql.NewScript().On("INSERT").On("SELECT ?", fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{int64(1)}}})
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "p"}, Handler: script})
	t.Cleanup(server.Close)
	my := mysql.NewConfig()
	my.User, my.Passwd, my.Net = "u", "p", "tcp"
	cfg := Config{MySQL: my, Dial: server.Dial, Statements: 2, Logger: &mysql.NopLogger{}}
	if change != nil {
		change(&cfg)
	}
	return server, NewDialer(cfg)
}

func connect(t testing.TB, d *Dialer) *Backend {
	t.Helper()
	b, err := d.Connect(t.Context(), "i-1:3306")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func exec(t *testing.T, b *Backend, query string) {
	t.Helper()
	if _, err := b.ExecContext(t.Context(), query, nil); err != nil {
		t.Fatal(err)
	}
}

// TestUnaskedIsNoAnswer lets the number of an error packet that is part of an answer wrap
// around to 0.
func TestUnaskedIsNoAnswer(t *testing.T) {
	wrapped := false
	for rows := 245; rows < 256; rows++ {
		result := fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Err: &fakemysql.Error{Number: 1053, State: "08S01"}}
		for n := range rows {
			result.Rows = append(result.Rows, []any{n})
		}
		server := fakemysql.New(fakemysql.Config{Handler: fakemysql.NewScript().On("SELECT n", result)})
		t.Cleanup(server.Close)
		_, d := serve(t, func(c *Config) { c.Dial = server.Dial })
		b := connect(t, d)
		_, err := b.ExecContext(t.Context(), "SELECT n", nil)
		if err == nil || b.Unasked(err) {
			t.Errorf("after %d rows: %v, unasked %v", rows, err, b.Unasked(err))
		}
		wrapped = wrapped || b.reader.sequence.Uint() == 1
	}
	if !wrapped {
		t.Error("no error packet had the number 0")
	}
}

func TestStatus(t *testing.T) {
	_, d := serve(t, nil)
	b := connect(t, d)
	if b.InTransaction() || b.Status()&StatusAutocommit == 0 {
		t.Errorf("status %x", b.Status())
	}
	exec(t, b, "BEGIN")
	if !b.InTransaction() {
		t.Error("no transaction after BEGIN")
	}
	exec(t, b, "COMMIT")
	if b.InTransaction() {
		t.Error("a transaction after COMMIT")
	}
	if allocs := testing.AllocsPerRun(100, func() { b.Status() }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// strange is a connection of a driver that is not the one we know.
type strange struct{ driver.Conn }

type wide struct {
	driver.Conn
	status uint64
}

func TestUnknownDriversAreRefused(t *testing.T) {
	for _, c := range []driver.Conn{strange{}, &strange{}, &wide{status: 1}} {
		if _, err := statusField(c); err == nil {
			t.Errorf("%T is taken for the wrapped driver's connection", c)
		}
	}
}

func TestProgress(t *testing.T) {
	_, d := serve(t, nil)
	b := connect(t, d)
	b.Unsent()
	if sent, answered := b.Progress(); sent || answered {
		t.Error("something was sent")
	}
	exec(t, b, "INSERT")
	if sent, answered := b.Progress(); !sent || !answered {
		t.Error("nothing was sent or answered")
	}
	if waiting, received := b.Pulse(); waiting || received == 0 {
		t.Errorf("waiting %v, received %d", waiting, received)
	}
	b.Unsent()
	b.Cut()
	b.Cut()
	if _, err := b.ExecContext(t.Context(), "INSERT", nil); err == nil || !b.IsCut() {
		t.Error("a cut connection works")
	}
	if sent, _ := b.Progress(); sent {
		t.Error("something was sent after the cut")
	}
}

func TestPreparedStatements(t *testing.T) {
	for _, capacity := range []int{0, 2} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			_, d := serve(t, func(c *Config) { c.Statements = capacity })
			b := connect(t, d)
			first, err := b.Prepared(t.Context(), "SELECT ?", "", nil)
			if err != nil || first.NumInput() != 1 {
				t.Fatal(err)
			}
			again, err := b.Prepared(t.Context(), "SELECT ?", "", nil)
			if err != nil || (again == first) != (capacity > 0) {
				t.Errorf("prepared anew: %v, %v", again != first, err)
			}
			for i := range 5 {
				if _, err := b.Prepared(t.Context(), fmt.Sprintf("SELECT ?, %d", i), "", nil); err != nil {
					t.Fatal(err)
				}
			}
			if n := b.statements.recent.Len(); n != max(capacity, 1) || n != len(b.statements.byKey) {
				t.Errorf("%d statements are kept", n)
			}
			if capacity > 0 {
				last, err := b.Prepared(t.Context(), "SELECT ?, 4", "", nil)
				if err != nil || b.Forget(last) != nil || b.statements.recent.Len() != 1 {
					t.Error("not forgotten")
				}
			}
		})
	}
}

func TestTimeoutCoversTheGreeting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts in the kernel, never greets
	my := mysql.NewConfig()
	my.Net = "tcp"
	d := NewDialer(Config{MySQL: my, Timeout: 50 * time.Millisecond, Logger: &mysql.NopLogger{}})
	start := time.Now()
	if _, err := d.Connect(t.Context(), l.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestLivenessCheck(t *testing.T) {
	server, _ := serve(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	defer func() { l.Close(); <-done }()
	my := mysql.NewConfig()
	my.User, my.Passwd, my.Net = "u", "p", "tcp"
	d := NewDialer(Config{MySQL: my, Logger: &mysql.NopLogger{}})
	b, err := d.Connect(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.ResetSession(t.Context()); err != nil {
		t.Errorf("alive: %v", err)
	}
	conns := server.Conns()
	server.Kill(conns[0].ID, false)
	for deadline := time.Now().Add(5 * time.Second); b.ResetSession(t.Context()) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a connection that the server closed passes for alive")
		}
	}
}

func TestWrapKeepsWhatTheConnectionCan(t *testing.T) {
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	if _, inner := wrap(pipe); isSyscallConn(inner) {
		t.Error("a pipe pretends to have a file descriptor")
	}
	if _, inner := wrap(&net.TCPConn{}); !isSyscallConn(inner) {
		t.Error("a TCP connection lost its file descriptor")
	}
}

func isSyscallConn(c net.Conn) bool { _, ok := c.(syscall.Conn); return ok }

func TestCheckNamedValue(t *testing.T) {
	_, d := serve(t, nil)
	nv := driver.NamedValue{Value: uint8(7)}
	if err := d.CheckNamedValue(&nv); !errors.Is(err, driver.ErrSkip) {
		t.Errorf("before the first connection: %v", err)
	}
	b := connect(t, d)
	b.Close()
	if err := d.CheckNamedValue(&nv); err != nil || nv.Value != uint64(7) {
		t.Errorf("%v %T", err, nv.Value)
	}
	if err := d.CheckNamedValue(&driver.NamedValue{Value: slices.Clone([]int{1})}); err == nil {
		t.Error("a slice of integers is an argument")
	}
}
