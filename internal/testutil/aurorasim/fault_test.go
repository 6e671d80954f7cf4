package aurorasim

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// dialInstance connects as a client of the instance's address that knows nothing of
// the cluster's own dial function.
func dialInstance(t *testing.T, i *Instance, timeout time.Duration) (net.Conn, error) {
	t.Helper()
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(t.Context(), "tcp", i.Addr())
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func TestRefuse(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		i := r.Instance("instance-2")
		c := r.conn(i.Addr())
		for range 3 {
			f := i.Refuse()
			if _, err := dialInstance(t, i, time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("dial: %v, want a refusal", err)
			}
			wantShow(t, c, "1", "SELECT 1") // established connections live on
			f.Clear()
			f.Clear()
			wantShow(t, r.conn(i.Addr()), "1", "SELECT 1")
		}
	})
}

func TestBlackHole(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		i := r.Instance("instance-2")
		c := r.conn(i.Addr())
		f := i.BlackHole()
		if i.BlackHoled() {
			_, err := dialInstance(t, i, 150*time.Millisecond)
			if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
				t.Errorf("dial: %v, want a timeout", err)
			}
		} else {
			t.Log("the kernel makes no black hole; DialContext does")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := r.DialContext(ctx, "tcp", i.Endpoint()); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("DialContext: %v, want a timeout", err)
		}
		wantShow(t, c, "1", "SELECT 1")
		f.Clear()
		wantShow(t, r.conn(i.Addr()), "1", "SELECT 1")
	})
}

func TestAcceptSilent(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		i := r.Instance("instance-2")
		f := i.AcceptSilent()
		c, err := dialInstance(t, i, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d bytes, %v, want silence", n, err)
		}
		gone, err := dialInstance(t, i, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "both are counted", func() bool { return i.Stats().Open == 2 })
		_ = gone.Close()
		eventually(t, "the one that hung up is not", func() bool { return i.Stats().Open == 1 })
		f.Clear()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("no greeting after Clear: %v", err)
		}
	})
}

func TestTooManyConnections(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		i := r.Instance("instance-2")
		f := i.TooManyConnections()
		_, err := r.open(i.Addr()).Conn(t.Context())
		if e, ok := errors.AsType[*mysql.MySQLError](err); !ok || e.Number != 1040 || e.SQLState != [5]byte{} {
			t.Errorf("error %#v, want 1040 without SQLSTATE", err)
		}
		f.Clear()
		wantShow(t, r.conn(i.Addr()), "1", "SELECT 1")
	})
}

// TestEndConnections checks how established connections end, on the wire.
func TestEndConnections(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		i := r.Instance("instance-2")
		for _, reset := range []bool{true, false} {
			var socket net.Conn
			c := r.conn(i.Addr(), func(cfg *mysql.Config) {
				cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
					var err error
					socket, err = r.DialContext(ctx, network, addr)
					return socket, err
				}
			})
			wantShow(t, c, "1", "SELECT 1")
			if reset {
				i.ResetConnections()
			} else {
				i.CloseConnections()
			}
			_, err := socket.Read(make([]byte, 1))
			if got := errors.Is(err, syscall.ECONNRESET); got != reset {
				t.Errorf("reset %v: read gives %v", reset, err)
			}
			eventually(t, "it is counted out", func() bool { return i.Stats().Open == 0 })
		}
		wantShow(t, r.conn(i.Addr()), "1", "SELECT 1")
	})
}

// TestGoodbye looks at the last packet of an idle connection: the instance's own, and
// one that the upstream sends.
func TestGoodbye(t *testing.T) {
	s := fakemysql.New(fakemysql.Config{})
	defer s.Close()
	r := start(t, Config{Upstream: FakeServer(s)})
	i := r.Instance("instance-2")
	word := &wire.Error{Number: 4031, State: "HY000", Message: "too long"}
	for name, say := range map[string]func(id uint32){
		"the instance": func(uint32) { i.Goodbye(word.Number, word.Message) },
		"the upstream": func(id uint32) { s.Goodbye(id, word) },
	} {
		var socket net.Conn
		c := r.conn(i.Addr(), func(cfg *mysql.Config) {
			cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
				var err error
				socket, err = r.DialContext(ctx, network, addr)
				return socket, err
			}
		})
		var id uint32
		if err := c.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
			t.Fatal(err)
		}
		say(id)
		p, err := wire.ReadPacket(socket, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e, err := wire.ParseError(p.Payload); err != nil || *e != *word || p.Seq != 0 {
			t.Errorf("%s said %+v, sequence id %d, %v", name, e, p.Seq, err)
		}
		if _, err := socket.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after it: %v", name, err)
		}
	}
}

func TestFreeze(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		i := r.Writer()
		c := r.conn(i.Addr())
		f := i.Freeze()
		const insert = "INSERT INTO fp_ledger (worker, seq) VALUES (1, 1)"
		done := make(chan error, 1)
		go func() { done <- try(t, c, insert) }()
		eventually(t, "the write hangs", func() bool { return i.Stats().Held == 1 })
		fresh, err := dialInstance(t, i, time.Second)
		if err != nil {
			t.Fatalf("a frozen instance does not accept: %v", err)
		}
		_ = fresh.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := fresh.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a frozen instance greets: %v", err)
		}
		select {
		case err := <-done:
			t.Fatalf("an answer from a frozen instance: %v", err)
		default:
		}
		if n := r.Count(SQL(insert)); n != 0 {
			t.Errorf("%d statements went through a frozen instance", n)
		}
		f.Clear()
		if err := <-done; err != nil {
			t.Errorf("after the thaw: %v", err)
		}
		if n := r.Count(SQL(insert)); n != 1 {
			t.Errorf("relayed %d times after the thaw", n)
		}
	})
}

func TestDelay(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		c := r.conn(r.Endpoint())
		f := r.Writer().Delay(80*time.Millisecond, SQL("SELECT 1"))
		began := time.Now()
		wantShow(t, c, "1", "SELECT 1")
		if d := time.Since(began); d < 80*time.Millisecond {
			t.Errorf("answered after %v", d)
		}
		show(t, c, "SELECT CONNECTION_ID()") // another statement is not held back
		f.Clear()
		if f.Hits() != 1 {
			t.Errorf("%d hits, want 1", f.Hits())
		}
	})
}

// TestCutAfter cuts answers of three rows of one column: a column count, a
// definition, (an EOF,) rows, the end.
func TestCutAfter(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		i := r.Writer()
		db := r.open(i.Addr())
		exec(t, db, "INSERT INTO fp_accounts (id, balance) VALUES (2, 200)")
		exec(t, db, "INSERT INTO fp_accounts (id, balance) VALUES (3, 300)")
		const query = "SELECT id, balance FROM fp_accounts"
		for packets, want := range []int{0, 0, 0, 0, 1, 2, 3} {
			c := r.conn(i.Addr())
			f := i.CutAfter(packets, Contains("FROM fp_accounts"))
			rows, err := c.QueryContext(t.Context(), query)
			got := 0
			if err == nil {
				for rows.Next() {
					got++
				}
				err = rows.Err()
				_ = rows.Close()
			}
			if got != want || err == nil {
				t.Errorf("cut after %d packets: %d rows, error %v, want %d rows and an error", packets, got, err, want)
			}
			if f.Hits() != 1 {
				t.Errorf("cut after %d packets: %d hits", packets, f.Hits())
			}
		}
		for _, s := range r.Seen(query) {
			if !s.Sent || s.Answered {
				t.Errorf("a cut answer is logged as %+v", s)
			}
		}
		wantShow(t, r.conn(i.Addr()), "1 100; 2 200; 3 300", query+" ORDER BY id")
		// An answer of one packet, dropped and delivered.
		const insert = "INSERT INTO fp_ledger (worker, seq) VALUES (1, 1)"
		for packets, answered := range []bool{false, true} {
			r.ResetLog()
			i.CutAfter(packets, SQL(insert))
			c := r.conn(i.Addr())
			if err := try(t, c, insert); (err == nil) != answered {
				t.Errorf("an INSERT cut after %d packets: %v", packets, err)
			}
			eventually(t, "it is logged", func() bool { return len(r.Seen(insert)) == 1 })
			if s := r.Seen(insert)[0]; s.Answered != answered {
				t.Errorf("an INSERT cut after %d packets: %+v", packets, s)
			}
		}
	})
}

func TestSwallowCommitAnswer(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		i := r.Writer()
		c := r.conn(i.Addr())
		f := i.SwallowCommitAnswer()
		tx, err := c.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, tx, "INSERT INTO fp_ledger (worker, seq) VALUES (1, 1)")
		if err := tx.Commit(); err == nil {
			t.Error("COMMIT was answered")
		}
		<-f.Hit()
		wantShow(t, r.conn(i.Addr()), "1 1", "SELECT worker, seq FROM fp_ledger")
		seen := r.Seen("COMMIT")
		if len(seen) != 1 || !seen[0].Sent || seen[0].Answered {
			t.Errorf("the log says %+v", seen)
		}
	})
}

func TestSwallowAnswer(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		i := r.Writer()
		const insert = "INSERT INTO fp_ledger (worker, seq) VALUES (?, ?)"
		i.SwallowAnswer(SQL(insert, 1, 2))
		c := r.conn(i.Addr())
		exec(t, c, insert, 1, 1)
		if err := try(t, c, insert, 1, 2); err == nil {
			t.Error("the second INSERT was answered")
		}
		wantShow(t, r.conn(i.Addr()), "1 1; 1 2", "SELECT worker, seq FROM fp_ledger ORDER BY seq")
	})
}

func TestMuteAnswer(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		i := r.Writer()
		f := i.MuteAnswer(Contains("INSERT"))
		c := r.conn(i.Addr())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := c.ExecContext(ctx, "INSERT INTO fp_ledger (worker, seq) VALUES (1, 1)")
			done <- err
		}()
		<-f.Hit()
		other := r.conn(i.Addr())
		eventually(t, "the row is there", func() bool { return show(t, other, "SELECT worker, seq FROM fp_ledger") == "1 1" })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}

func TestErrorThenClose(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		i := r.Writer()
		c := r.conn(i.Addr())
		const insert = "INSERT INTO fp_ledger (worker, seq) VALUES (1, 1)"
		f := i.ErrorThenClose(1053, "Server shutdown in progress", SQL(insert))
		wantShow(t, c, "1", "SELECT 1")
		wantErrno(t, try(t, c, insert), 1053, "the statement")
		if err := try(t, c, "DO 1"); err == nil || errno(err) != 0 {
			t.Errorf("the connection after it: %v", err)
		}
		wantShow(t, r.conn(i.Addr()), "0", "SELECT COUNT(*) FROM fp_ledger")
		if f.Hits() != 1 || r.Count(SQL(insert)) != 0 {
			t.Errorf("%d hits, relayed %d times", f.Hits(), r.Count(SQL(insert)))
		}
	})
}

// TestFreezeUnderWay freezes an instance while a statement runs in the upstream: it
// runs on, and its answer comes with the thaw.
func TestFreezeUnderWay(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		const update = "UPDATE fp_accounts SET balance = balance + 1 WHERE id = 1"
		holder, err := r.direct().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, holder, update)
		c := r.conn(r.Endpoint())
		done := make(chan error, 1)
		go func() { done <- try(t, c, update) }()
		eventually(t, "the write is in the upstream", func() bool { return r.Count(SQL(update)) == 1 })
		f := r.Writer().Freeze()
		if err := holder.Commit(); err != nil {
			t.Fatal(err)
		}
		direct := r.direct()
		eventually(t, "the write is done", func() bool {
			return show(t, direct, "SELECT balance FROM fp_accounts WHERE id = 1") == "102"
		})
		select {
		case err := <-done:
			t.Errorf("a frozen instance answered: %v", err)
		default:
		}
		f.Clear()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestResetUnderWay resets a connection whose statement runs in the upstream: it is
// executed, and nobody hears of it.
func TestResetUnderWay(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		const update = "UPDATE fp_accounts SET balance = balance + 1 WHERE id = 1"
		holder, err := r.direct().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, holder, update)
		c := r.conn(r.Endpoint())
		done := make(chan error, 1)
		go func() { done <- try(t, c, update) }()
		other := r.direct()
		eventually(t, "the write is in the upstream", func() bool {
			return r.Count(SQL(update)) == 1
		})
		r.Writer().ResetConnections()
		if err := <-done; err == nil {
			t.Error("it was answered")
		}
		if err := holder.Commit(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the write is done", func() bool {
			return show(t, other, "SELECT balance FROM fp_accounts WHERE id = 1") == "102"
		})
		if s := r.Seen(update); s[0].Answered {
			t.Errorf("the log says %+v", s[0])
		}
	})
}

// TestNothingLeaks closes a cluster with connections in all states.
func TestNothingLeaks(t *testing.T) {
	s := fakemysql.New(fakemysql.Config{})
	defer s.Close()
	c, err := Start(t.Context(), Config{Upstream: FakeServer(s)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{c, t, login{user: testUser}}
	idle, busy, gone := r.conn(r.Endpoint()), r.conn(r.Endpoint()), r.conn(r.ReaderEndpoint())
	wantShow(t, idle, "1", "SELECT 1")
	exec(t, idle, "BEGIN")
	var wg sync.WaitGroup
	for _, c := range []*sql.Conn{busy, gone} {
		wg.Go(func() { _ = try(t, c, "SELECT SLEEP(3600)") })
	}
	r.Instance("instance-3").AcceptSilent()
	if _, err := dialInstance(t, r.Instance("instance-3"), time.Second); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the statements run", func() bool { return r.Count(Contains("SLEEP")) == 2 })
	r.Instance("instance-2").ResetConnections()
	r.Instance("instance-1").Freeze()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if left := s.Conns(); len(left) != 0 {
		t.Errorf("%d connections are left in the upstream: %+v", len(left), left)
	}
	if err := c.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// TestFaultCleared checks that a fault for one statement can be taken back.
func TestFaultCleared(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.Writer().SwallowAnswer(nil).Clear()
		wantShow(t, r.conn(r.Endpoint()), "1", "SELECT 1")
		var events []string
		for _, e := range r.Events() {
			events = append(events, string(e.Kind))
		}
		if got := strings.Join(events, ","); got != "fault,fault ended" {
			t.Errorf("events %s", got)
		}
	})
}
