package failover

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/topology"
)

func TestTransient(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	number := func(n uint16) error { return &mysql.MySQLError{Number: n} }
	nowhere := dial(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true})
	refused := dial(syscall.ECONNREFUSED)
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"refused":                       {refused, true},
		"reset":                         {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		"unreachable":                   {dial(syscall.EHOSTUNREACH), true},
		"timeout":                       {dial(os.ErrDeadlineExceeded), true},
		"a probe's limit":               {fmt.Errorf("no answer within 10s: %w", context.DeadlineExceeded), true},
		"hung up":                       {io.EOF, true},
		"lost":                          {mysql.ErrInvalidConn, true},
		"bad connection":                {driver.ErrBadConn, true},
		"too many connections":          {number(1040), true},
		"too many of the user":          {number(1203), true},
		"shutdown":                      {number(1053), true},
		"access denied":                 {fmt.Errorf("to a: %w", number(1045)), false},
		"no such database":              {number(1049), false},
		"blocked":                       {number(1129), false},
		"the view may not be read":      {number(1142), false},
		"no such host":                  {nowhere, false},
		"a resolver that is busy":       {dial(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), true},
		"a resolver that is silent":     {dial(&net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}), true},
		"no TLS":                        {mysql.ErrNoTLS, false},
		"unknown authority":             {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, false},
		"no TLS server":                 {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, false},
		"refused by TLS":                {&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, false},
		"somebody's own":                {errors.New("vault: sealed"), false},
		"two refused":                   {errors.Join(refused, refused), true},
		"refused, and no such host":     {errors.Join(nowhere, refused), true},
		"no such hosts":                 {errors.Join(nowhere, nowhere), false},
		"refused, and access denied":    {errors.Join(refused, number(1045)), false},
		"no such host, and TLS trouble": {errors.Join(nowhere, mysql.ErrNoTLS), false},
	} {
		if got := Transient(test.err); got != test.want {
			t.Errorf("%s: %v: %t", name, test.err, got)
		}
	}
}

func TestUntrusted(t *testing.T) {
	for err, want := range map[error]bool{
		fmt.Errorf("a offers no TLS: %w", mysql.ErrNoTLS):                         true,
		&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}:      true,
		&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}: false, // it does not trust us
		error(&mysql.MySQLError{Number: 1045}):                                    false,
		mysql.ErrInvalidConn:                                                      false,
	} {
		if Untrusted(err) != want {
			t.Errorf("%v: %t", err, Untrusted(err))
		}
	}
}

func TestLocal(t *testing.T) {
	for err, want := range map[error]bool{
		&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}:                      true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}:        true,
		fmt.Errorf("to a: %w", os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)):       true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}: false,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}: false,
		error(&mysql.MySQLError{Number: 1040}):                                             false,
		context.DeadlineExceeded:                                                           false,
	} {
		if Local(err) != want || (Explain(err) == topology.ProblemLocal) != want {
			t.Errorf("%v: %t, %v", err, Local(err), Explain(err))
		}
	}
}

// TestNoCredentials: what a provider's error says is about nobody but the provider, whatever it
// is made of.
func TestNoCredentials(t *testing.T) {
	for _, cause := range []error{errors.New("throttled"), context.DeadlineExceeded, mysql.ErrInvalidConn, &mysql.MySQLError{Number: 1040}, io.EOF} {
		err := fmt.Errorf("%w: %w", ErrCredentials, cause)
		if v := Classify(t.Context(), err, PhaseConnect); v.Class != ClassStatement || v.Outcome != NotExecuted {
			t.Errorf("%v: %s", err, spelled(v))
		}
		if Explain(err) != topology.ProblemNoCredentials || Transient(err) {
			t.Errorf("%v: %v, %t", err, Explain(err), Transient(err))
		}
	}
}

// TestRefusedLogin: whoever refuses a login is alive.
func TestRefusedLogin(t *testing.T) {
	for number, denied := range map[uint16]bool{
		1044: false, 1045: true, 1049: false, 1129: false, 1130: false, 1251: false, 1698: true, 1862: true,
		3118: true, 3159: false, 3955: true, 4150: true, 4151: true,
	} {
		err := fmt.Errorf("to a: %w", &mysql.MySQLError{Number: number})
		if Denied(err) != denied || Explain(err) != topology.ProblemCredentials || Transient(err) {
			t.Errorf("%v: denied %t, %v, transient %t", err, Denied(err), Explain(err), Transient(err))
		}
	}
	for _, err := range []error{mysql.ErrCleartextPassword, mysql.ErrNativePassword, mysql.ErrOldPassword, mysql.ErrUnknownPlugin} {
		if Denied(err) || Explain(err) != topology.ProblemCredentials || Transient(err) {
			t.Errorf("%v: denied %t, %v, transient %t", err, Denied(err), Explain(err), Transient(err))
		}
	}
}
