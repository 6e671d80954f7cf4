package fakemysql_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

func TestPipeIsBuffered(t *testing.T) {
	a, b := fakemysql.Pipe()
	defer func() { _ = b.Close() }()
	for _, s := range []string{"one ", "two ", "three"} {
		if n, err := io.WriteString(a, s); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if err != nil || string(got) != "one two three" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPipeHoldsWritersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := fakemysql.Pipe()
		sent := bytes.Repeat([]byte("0123456789"), 100_000)
		done := make(chan error, 1)
		go func() {
			n, err := a.Write(sent)
			if n != len(sent) {
				t.Errorf("wrote %d bytes", n)
			}
			done <- errors.Join(err, a.Close())
		}()
		synctest.Wait()
		if len(done) != 0 {
			t.Error("a megabyte fits into the buffer")
		}
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPipeErrors(t *testing.T) {
	a, b := fakemysql.Pipe()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if _, err := a.Write(buf); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to a closed peer: %v", err)
	}
	if _, err := a.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("read from a closed peer: %v", err)
	}
	if _, err := b.Write(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := b.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := b.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("deadline after close: %v", err)
	}
}

func TestPipeCloseWakes(t *testing.T) {
	for _, tc := range []struct {
		name string
		op   func(net.Conn, []byte) (int, error)
	}{{"read", net.Conn.Read}, {"write", net.Conn.Write}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := fakemysql.Pipe()
				failed := make(chan error)
				go func() {
					_, err := tc.op(a, make([]byte, 1<<20))
					failed <- err
				}()
				synctest.Wait()
				_ = a.Close()
				if err := <-failed; !errors.Is(err, net.ErrClosed) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := fakemysql.Pipe()
		defer func() { _, _ = a.Close(), b.Close() }()
		buf := make([]byte, 1<<20)
		for _, op := range []func([]byte) (int, error){a.Read, a.Write} {
			began := time.Now()
			if err := a.SetDeadline(began.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if err := a.SetDeadline(began.Add(time.Minute)); err != nil { // replaces the first
				t.Fatal(err)
			}
			_, err := op(buf)
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			if waited := time.Since(began); waited != time.Minute {
				t.Errorf("waited %v", waited)
			}
			if _, err := op(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a deadline that has passed: %v", err)
			}
		}
		if err := a.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Hour)
			_, _ = b.Write([]byte("late"))
		}()
		if n, err := a.Read(buf); n != 4 || err != nil {
			t.Errorf("without a deadline: %d, %v", n, err)
		}
		if err := a.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline in the past: %v", err)
		}
	})
}
