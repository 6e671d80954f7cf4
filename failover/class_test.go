package failover

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
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
	"ErrInvalidConn":       mysql.ErrInvalidConn,
	"ErrBadConn":           driver.ErrBadConn,
	"ErrBusyBuffer":        mysql.ErrBusyBuffer,
	"ErrPktTooLarge":       mysql.ErrPktTooLarge,
	"ErrPktSync":           mysql.ErrPktSync,
	"ErrPktSyncMul":        mysql.ErrPktSyncMul,
	"ErrMalformPkt":        mysql.ErrMalformPkt,
	"ErrNoTLS":             mysql.ErrNoTLS,
	"ErrNativePassword":    mysql.ErrNativePassword,
	"ErrCleartextPassword": mysql.ErrCleartextPassword,
	"ErrOldPassword":       mysql.ErrOldPassword,
	"ErrUnknownPlugin":     mysql.ErrUnknownPlugin,
	"ErrOldProtocol":       mysql.ErrOldProtocol,
	"ErrSkip":              driver.ErrSkip,
	"EOF":                  io.EOF,
	"UnexpectedEOF":        io.ErrUnexpectedEOF,
	"ShortWrite":           io.ErrShortWrite,
	"Closed":               net.ErrClosed,
	"Canceled":             context.Canceled,
	"DeadlineExceeded":     context.DeadlineExceeded,
	"OsDeadline":           os.ErrDeadlineExceeded,
	"ECONNREFUSED":         errno(syscall.ECONNREFUSED),
	"ECONNRESET":           errno(syscall.ECONNRESET),
	"ECONNABORTED":         errno(syscall.ECONNABORTED),
	"EPIPE":                errno(syscall.EPIPE),
	"ETIMEDOUT":            errno(syscall.ETIMEDOUT),
	"EHOSTUNREACH":         errno(syscall.EHOSTUNREACH),
	"ENETUNREACH":          errno(syscall.ENETUNREACH),
	"ENETDOWN":             errno(syscall.ENETDOWN),
	"EMFILE":               errno(syscall.EMFILE),
	"ENFILE":               errno(syscall.ENFILE),
	"ENOBUFS":              errno(syscall.ENOBUFS),
	"ENOMEM":               errno(syscall.ENOMEM),
	"EADDRNOTAVAIL":        errno(syscall.EADDRNOTAVAIL),
	"NoHost":               &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}},
	"NameServerDown":       &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}},
	"NameServerSilent":     &net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}},
	"CertificateHost":      &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: new(x509.Certificate), Host: "x"}},
	"CertificateUnknown":   &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
	"CertificateExpired":   &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}},
	"Alert":                &net.OpError{Op: "remote error", Err: tls.AlertError(40)},
	"NoRecord":             tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
	"Other":                errors.New("something else"),
}

func errno(e syscall.Errno) error { return &net.OpError{Op: "any", Err: os.NewSyscallError("any", e)} }

// row is a line of testdata/classes.txt.
type row struct {
	text      string
	err       error
	number    uint16 // 0 if it is no server's
	ended     bool   // the caller's context
	situation Situation
	want      string
}

// table reads testdata/classes.txt.
func table(t *testing.T) []row {
	t.Helper()
	f, err := os.Open("testdata/classes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []row
	phases := map[string]Phase{"connect": PhaseConnect, "unsent": PhaseUnsent, "sent": PhaseSent, "answering": PhaseAnswering}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 5 {
			t.Fatalf("want 5 fields: %q", line)
		}
		r := row{text: strings.Join(fields[:3], " "), err: named[fields[0]], want: fields[3] + " " + fields[4]}
		if number, err := strconv.ParseUint(fields[0], 10, 16); err == nil {
			r.number = uint16(number)
			r.err = &mysql.MySQLError{Number: r.number, Message: "text is never looked at"}
		}
		phase, ok := phases[fields[1]]
		if r.err == nil || !ok {
			t.Fatalf("unknown error or phase: %q", line)
		}
		r.situation.Phase = phase
		for word := range strings.SplitSeq(fields[2], ",") {
			switch word {
			case "-":
			case "tx":
				r.situation.InTransaction = true
			case "commit":
				r.situation.MayCommit = true
			case "several":
				r.situation.Compound = true
			case "readonly":
				r.situation.AsksReadOnly = true
			case "stays":
				r.situation.Stays = true
			case "confirmed":
				r.situation.Confirmed = true
			case "ended":
				r.ended = true
			default:
				t.Fatalf("unknown situation %q", word)
			}
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		t.Fatal("no cases")
	}
	return rows
}

// spelled is a verdict as the table has it.
func spelled(v Verdict) string {
	if v.Outcome == NotExecuted && !v.Repeatable {
		return v.Class.String() + " rolled-back"
	}
	return strings.ReplaceAll(v.Class.String(), " ", "-") + " " + strings.ReplaceAll(v.Outcome.String(), " ", "-")
}

func TestClassify(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	seen, used := map[string]bool{}, map[error]bool{}
	for _, r := range table(t) {
		if seen[r.text] {
			t.Errorf("%s: twice", r.text)
		}
		seen[r.text], used[r.err] = true, true
		ctx := t.Context()
		if r.ended {
			ctx = ended
		}
		for _, err := range []error{r.err, fmt.Errorf("wrapped: %w", r.err)} {
			if got := spelled(r.situation.Classify(ctx, err)); got != r.want {
				t.Errorf("%s: got %s, want %s", r.text, got, r.want)
			}
		}
		if r.situation == (Situation{Phase: r.situation.Phase}) && Classify(ctx, r.err, r.situation.Phase) != r.situation.Classify(ctx, r.err) {
			t.Errorf("%s: Classify says something else", r.text)
		}
	}
	for name, err := range named {
		if !used[err] {
			t.Errorf("no row has %s", name)
		}
	}
}

// TestClassifyTableIsComplete looks for numbers that mean more than a failed statement and
// have no row.
func TestClassifyTableIsComplete(t *testing.T) {
	in := map[uint16]bool{}
	for _, r := range table(t) {
		in[r.number] = true
	}
	for number := uint16(1); number != 0; number++ {
		for _, phase := range []Phase{PhaseConnect, PhaseAnswering} {
			v := Classify(t.Context(), &mysql.MySQLError{Number: number}, phase)
			if v != (Verdict{ClassStatement, NotExecuted, true}) && !in[number] {
				t.Errorf("%d: %s, in no row", number, spelled(v))
			}
		}
	}
}

func TestClassifyAllocatesNothing(t *testing.T) {
	var err error = &mysql.MySQLError{Number: 1053}
	s := Situation{Phase: PhaseAnswering, InTransaction: true, MayCommit: true}
	if n := testing.AllocsPerRun(100, func() { s.Classify(t.Context(), err) }); n != 0 {
		t.Errorf("%v allocations", n)
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
