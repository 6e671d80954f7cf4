package failover

import (
	"bufio"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// named are the errors other than the server's that testdata/classes.txt speaks of.
var named = map[string]error{
	"ErrInvalidConn":   mysql.ErrInvalidConn,
	"ErrBadConn":       driver.ErrBadConn,
	"ErrPktTooLarge":   mysql.ErrPktTooLarge,
	"ErrPktSync":       mysql.ErrPktSync,
	"ErrMalformPkt":    mysql.ErrMalformPkt,
	"ErrNoTLS":         mysql.ErrNoTLS,
	"ErrSkip":          driver.ErrSkip,
	"EOF":              io.EOF,
	"UnexpectedEOF":    io.ErrUnexpectedEOF,
	"Closed":           net.ErrClosed,
	"Canceled":         context.Canceled,
	"DeadlineExceeded": context.DeadlineExceeded,
	"OsDeadline":       os.ErrDeadlineExceeded,
	"Refused":          &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
	"Reset":            &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
	"NoHost":           &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}},
	"Other":            errors.New("something else"),
}

// TestClassify reads testdata/classes.txt: error, phase, whether the caller's context
// has ended, and the class and outcome that follow.
func TestClassify(t *testing.T) {
	f, err := os.Open("testdata/classes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ended, end := context.WithCancel(t.Context())
	end()
	cases := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 5 {
			t.Fatalf("want 5 fields: %q", line)
		}
		cases++
		err := named[fields[0]]
		if number, convErr := strconv.ParseUint(fields[0], 10, 16); convErr == nil {
			err = &mysql.MySQLError{Number: uint16(number), Message: "text is never looked at"}
		} else if err == nil {
			t.Fatalf("unknown error %q", fields[0])
		}
		phase, ok := map[string]Phase{"connect": PhaseConnect, "unsent": PhaseUnsent, "sent": PhaseSent, "answering": PhaseAnswering}[fields[1]]
		if !ok {
			t.Fatalf("unknown phase %q", fields[1])
		}
		ctx := t.Context()
		if fields[2] == "ended" {
			ctx = ended
		}
		for _, wrapped := range []error{err, fmt.Errorf("wrapped: %w", err)} {
			v := Classify(ctx, wrapped, phase)
			got := strings.ReplaceAll(v.Class.String(), " ", "-") + " " + strings.ReplaceAll(v.Outcome.String(), " ", "-")
			if want := fields[3] + " " + fields[4]; got != want {
				t.Errorf("%s %s %s: got %s, want %s", fields[0], fields[1], fields[2], got, want)
			}
		}
	}
	if cases == 0 {
		t.Fatal("no cases")
	}
}

func TestErrorHidesBadConn(t *testing.T) {
	err := fmt.Errorf("outer: %w", New(ErrOutcomeUnknown, Unknown, fmt.Errorf("inner: %w", driver.ErrBadConn)))
	if errors.Is(err, driver.ErrBadConn) {
		t.Error("database/sql would run the statement again")
	}
	if !errors.Is(err, ErrOutcomeUnknown) {
		t.Error("kind is lost")
	}
	var fe *Error
	if !errors.As(err, &fe) || fe.Outcome != Unknown {
		t.Errorf("got %v", fe)
	}
	cause := &mysql.MySQLError{Number: 1053}
	if err := New(ErrTransactionLost, NotExecuted, cause); !errors.Is(err, cause) || !errors.Is(err.Cause(), cause) {
		t.Error("cause is lost")
	}
}
