package fakemysql_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// In a bubble, 90 seconds of a server's thinking pass at once.
func TestLongDelay(t *testing.T) {
	for _, plugin := range []string{wire.NativePassword, wire.CachingSHA2Password} {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls %v", plugin, encrypted), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					config := fakemysql.Config{Users: users, AuthPlugin: plugin}
					secure := func(*mysql.Config) {}
					if encrypted {
						secure = withTLS(t, &config)
					}
					cfg := piped(serve(t, config))
					secure(cfg)
					began := time.Now()
					if got := one[int](t.Context(), t, open(t, cfg), "SELECT SLEEP(90)"); got != 0 {
						t.Errorf("SLEEP gives %d", got)
					}
					if took := time.Since(began); took != 90*time.Second {
						t.Errorf("took %v", took)
					}
				})
			})
		}
	}
}

// The driver closes the connection when a context ends; the statement's context
// ends then, and the session is closed after it.
func TestHangUpWhileExecuting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := make(chan error, 1)
		s := serve(t, fakemysql.Config{Handler: fakemysql.NewScript().
			OnFunc("SELECT slow", func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return fakemysql.Reply{}
			})})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := open(t, piped(s)).ExecContext(ctx, "SELECT slow")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if got := <-cause; !errors.Is(got, fakemysql.ErrClientGone) {
			t.Errorf("cause %v", got)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		synctest.Wait()
		if left := s.Conns(); len(left) != 0 {
			t.Errorf("still there: %+v", left)
		}
	})
}

func TestKillQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, fakemysql.Config{})
		db := open(t, piped(s))
		victim, killer := take(t, db), take(t, db)
		id := one[uint32](t.Context(), t, victim, "SELECT CONNECTION_ID()")

		// An idle connection's next statement is not hit.
		if _, err := killer.ExecContext(t.Context(), "KILL QUERY 1"); err != nil {
			t.Fatal(err)
		}
		woken := make(chan int)
		go func() { woken <- one[int](t.Context(), t, victim, "SELECT SLEEP(90)") }()
		synctest.Wait()
		var running fakemysql.ConnState
		for _, c := range s.Conns() {
			if c.ID == id {
				running = c
			}
		}
		if running.SQL != "SELECT SLEEP(90)" || running.Command != wire.ComQuery {
			t.Errorf("the process list has %+v", running)
		}
		time.Sleep(10 * time.Second)
		if _, err := killer.ExecContext(t.Context(), "KILL QUERY ?", id); err == nil {
			t.Error("KILL took a placeholder")
		}
		if !s.Kill(id, true) {
			t.Error("no such connection")
		}
		if got := <-woken; got != 1 {
			t.Errorf("SLEEP gives %d; a server gives 1 when it is killed", got)
		}
		if got := one[int](t.Context(), t, victim, "SELECT 1"); got != 1 {
			t.Errorf("the connection after it: %d", got)
		}
		if s.Kill(99, true) || s.Kill(99, false) || s.Goodbye(99, fakemysql.Interrupted()) {
			t.Error("killed a connection that is not there")
		}
	})
}

func TestKillConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		causes := make(chan error, 1)
		s := serve(t, fakemysql.Config{Handler: fakemysql.NewScript().
			OnFunc("SELECT slow", func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return fakemysql.OK(0, 0)
			})})
		db := open(t, piped(s))
		victim, killer := take(t, db), take(t, db)
		failed := make(chan error)
		go func() {
			_, err := victim.ExecContext(t.Context(), "SELECT slow")
			failed <- err
		}()
		synctest.Wait()
		if _, err := killer.ExecContext(t.Context(), "KILL 1"); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, mysql.ErrInvalidConn) {
			t.Errorf("error %v", err)
		}
		if cause := <-causes; !errors.Is(cause, fakemysql.ErrKilledConnection) {
			t.Errorf("cause %v", cause)
		}
		_, err := killer.ExecContext(t.Context(), "KILL CONNECTION 1")
		wantError(t, err, 1094)
	})
}

// A server that shuts down tells the statement that runs, and idle clients, too.
func TestGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, fakemysql.Config{})
		db := open(t, piped(s))
		busy, idle := take(t, db), take(t, db)
		failed := make(chan error)
		go func() {
			_, err := busy.ExecContext(t.Context(), "SELECT SLEEP(90)")
			failed <- err
		}()
		synctest.Wait()
		for _, c := range s.Conns() {
			if !s.Goodbye(c.ID, &fakemysql.Error{Number: 1053, State: "08S01", Message: "Server shutdown in progress"}) {
				t.Error("no such connection")
			}
		}
		wantError(t, <-failed, 1053)
		synctest.Wait()
		if left := s.Conns(); len(left) != 0 {
			t.Errorf("still there: %+v", left)
		}
		// The idle one has not read its word yet, and can no longer write.
		if _, err := idle.ExecContext(t.Context(), "DO 1"); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("error %v", err)
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, fakemysql.Config{IdleTimeout: time.Minute})
		c := dialRaw(t, s, wire.DefaultCapabilities)
		time.Sleep(59 * time.Second)
		c.last(wire.ComPing, "")
		began := time.Now()
		if e, err := wire.ParseError(c.read()); err != nil || e.Number != 4031 {
			t.Errorf("%v, %v", e, err)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("after %v", waited)
		}
	})
}

// Close ends what runs, and waits for it.
func TestCloseWhileExecuting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		s := serve(t, fakemysql.Config{Handler: fakemysql.HandlerFunc(func(ctx context.Context, c fakemysql.Call) fakemysql.Reply {
			if c.SQL != "SELECT slow" {
				return fakemysql.Reply{}
			}
			<-ctx.Done()
			time.Sleep(time.Second) // the handler takes its time
			ended = errors.Is(context.Cause(ctx), fakemysql.ErrServerClosed)
			return fakemysql.Reply{}
		})})
		db := open(t, piped(s))
		failed := make(chan error)
		go func() {
			_, err := db.ExecContext(t.Context(), "SELECT slow")
			failed <- err
		}()
		synctest.Wait()
		s.Close()
		if !ended {
			t.Error("Close did not wait for the handler, or its context had another cause")
		}
		if err := <-failed; !errors.Is(err, mysql.ErrInvalidConn) {
			t.Errorf("error %v", err)
		}
	})
}

// Each session is closed once, whatever ended it.
func TestSessionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened, closed := make(chan bool, 100), make(chan bool, 100)
		s := serve(t, fakemysql.Config{Handler: handlerFunc(func(c fakemysql.ConnInfo) fakemysql.Session {
			opened <- true
			return closing{fakemysql.NewScript().Open(c), closed}
		})})
		quits := dialRaw(t, s, wire.DefaultCapabilities)
		quits.write(0, wire.Request{Command: wire.ComQuit}.Append(nil))
		hangs := dialRaw(t, s, wire.DefaultCapabilities)
		_ = hangs.conn.Close()
		resets := dialRaw(t, s, wire.DefaultCapabilities)
		resets.last(wire.ComResetConnection, "")
		killed := dialRaw(t, s, wire.DefaultCapabilities)
		killed.write(0, wire.Request{Command: wire.ComProcessKill, Data: []byte{4, 0, 0, 0}}.Append(nil))
		synctest.Wait()
		if len(opened) != 5 || len(closed) != 4 {
			t.Errorf("%d sessions opened, %d closed, want 5 and 4", len(opened), len(closed))
		}
		s.Close()
		if len(closed) != 5 {
			t.Errorf("%d sessions closed after Close", len(closed))
		}
	})
}

type closing struct {
	fakemysql.Session
	closed chan<- bool
}

func (c closing) Close() {
	c.closed <- true
	c.Session.Close()
}

// What a client sent before it hung up is still carried out, as by a server.
func TestStatementOfAClientThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := fakemysql.NewScript()
		s := serve(t, fakemysql.Config{Handler: script})
		c := dialRaw(t, s, wire.DefaultCapabilities)
		c.write(0, wire.Request{Command: wire.ComQuery, Data: []byte("DO 1")}.Append(nil))
		_ = c.conn.Close()
		synctest.Wait()
		if n := script.Count("do 1"); n != 1 {
			t.Errorf("executed %d times", n)
		}
	})
}
