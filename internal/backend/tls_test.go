package backend

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/go-sql-driver/mysql"
)

func TestServerName(t *testing.T) {
	seeds := []string{"seed.example.com:3306", "[2001:db8::1]:3306"}
	for _, test := range []struct {
		own, addr, want string
	}{
		{"", "i-1.example.com:3306", "i-1.example.com"},
		{"", "seed.example.com:3306", "seed.example.com"},
		{"db.internal", "seed.example.com:3306", "db.internal"},
		{"db.internal", "i-1.example.com:3306", "i-1.example.com"},
		{"db.internal", "seed.example.com:3307", "seed.example.com"}, // another server
		{"", "10.1.2.3:3306", "10.1.2.3"},
		{"", "[2001:db8::1]:3306", "2001:db8::1"},
		{"", "[2001:db8::2]:3306", "2001:db8::2"},
		{"", "[fe80::1%eth0]:3306", "fe80::1"},
		{"", "/run/mysqld.sock", ""},
		{"db.internal", "/run/mysqld.sock", "db.internal"},
	} {
		for _, roots := range []*x509.CertPool{nil, x509.NewCertPool()} {
			my := mysql.NewConfig()
			own := x509.NewCertPool()
			my.TLS = &tls.Config{ServerName: test.own, RootCAs: own, MinVersion: tls.VersionTLS13}
			cfg, want := Config{MySQL: my, Seeds: seeds}, own
			if roots != nil {
				cfg.Roots = func() *x509.CertPool { return roots }
				want = roots
			}
			got := NewDialer(cfg).tlsFor(test.addr)
			if got.ServerName != test.want || got.InsecureSkipVerify || got.MinVersion != tls.VersionTLS13 || my.TLS.ServerName != test.own {
				t.Errorf("%s with %q: %q", test.addr, test.own, got.ServerName)
			}
			if got.RootCAs != want || my.TLS.RootCAs != own {
				t.Errorf("%s: other authorities", test.addr)
			}
		}
	}
}

// TestRootsAreEnough: who has authorities has TLS.
func TestRootsAreEnough(t *testing.T) {
	if got := NewDialer(Config{MySQL: mysql.NewConfig()}).tlsFor("a:1"); got != nil {
		t.Errorf("%+v", got)
	}
	roots := x509.NewCertPool()
	got := NewDialer(Config{MySQL: mysql.NewConfig(), Roots: func() *x509.CertPool { return roots }}).tlsFor("a:1")
	if got == nil || got.ServerName != "a" || got.RootCAs != roots || got.InsecureSkipVerify {
		t.Errorf("%+v", got)
	}
}
