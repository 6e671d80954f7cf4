package driver

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// readBack makes a connector of a configuration and reads that out of it.
func readBack(t *testing.T, cfg *mysql.Config) (*mysql.Config, []string) {
	t.Helper()
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v, own := locate(reflect.ValueOf(c))
	if own || !v.IsValid() {
		t.Fatal("its configuration was not found")
	}
	return readConfig(v)
}

// TestReadConfig sets each field of the wrapped driver's configuration in turn: it is read out of
// a connector as it was, or named as one that cannot be.
func TestReadConfig(t *testing.T) {
	const certificates = "wrapped"
	if err := mysql.RegisterTLSConfig(certificates, &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}); err != nil {
		t.Fatal(err)
	}
	defer mysql.DeregisterTLSConfig(certificates)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mysql.RegisterServerPubKey("key", &key.PublicKey)
	defer mysql.DeregisterServerPubKey("key")
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	parsed := func(dsn string) func(*mysql.Config) {
		return func(c *mysql.Config) {
			p, err := mysql.ParseDSN(dsn)
			if err != nil {
				t.Fatal(err)
			}
			*c = *p
		}
	}
	special := map[string]struct {
		set    func(*mysql.Config)
		hidden string
	}{
		"Net":                   {set: func(c *mysql.Config) { c.Net, c.Addr = "unix", "/run/mysql.sock" }},
		"Addr":                  {set: func(c *mysql.Config) { c.Addr = "db.example:3307" }},
		"Params":                {set: func(c *mysql.Config) { c.Params = map[string]string{"sql_mode": "'ANSI'", "wait_timeout": "7"} }},
		"Loc":                   {set: func(c *mysql.Config) { c.Loc = tokyo }},
		"Loc local":             {set: func(c *mysql.Config) { c.Loc = time.Local }},
		"Loc of one's own":      {set: func(c *mysql.Config) { c.Loc = time.FixedZone("Asia/Tokyo", 3600) }, hidden: "Loc"},
		"ServerPubKey":          {set: func(c *mysql.Config) { c.ServerPubKey = "key" }},
		"TLSConfig":             {set: func(c *mysql.Config) { c.TLSConfig = certificates }},
		"TLSConfig preferred":   {set: func(c *mysql.Config) { c.TLSConfig = "preferred" }},
		"TLSConfig of a DSN":    {set: parsed("u@tcp(db.example)/?tls=true")},
		"TLS":                   {set: func(c *mysql.Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ServerName: "one"} }},
		"TLS and TLSConfig":     {set: func(c *mysql.Config) { c.TLS, c.TLSConfig = &tls.Config{ServerName: "one"}, "skip-verify" }},
		"TLS with certificates": {set: func(c *mysql.Config) { c.TLS = &tls.Config{RootCAs: x509.NewCertPool()} }, hidden: "TLS"},
		"TLS that is not TLSConfig": {set: func(c *mysql.Config) {
			c.TLS, c.TLSConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}, certificates
		}, hidden: "TLS"},
		"Logger": {set: func(c *mysql.Config) { c.Logger = &mysql.NopLogger{} }},
		"DialFunc": {set: func(c *mysql.Config) {
			c.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
		}, hidden: "DialFunc"},
		"RejectReadOnly": {set: func(c *mysql.Config) { c.RejectReadOnly = true }},
		"compress":       {set: parsed("/?compress=true")},
		"beforeConnect": {set: func(c *mysql.Config) {
			_ = c.Apply(mysql.BeforeConnect(func(context.Context, *mysql.Config) error { return nil }))
		}, hidden: "BeforeConnect"},
		"pubKey":       {set: func(c *mysql.Config) { c.ServerPubKey = "key" }},
		"timeTruncate": {set: parsed("/?timeTruncate=1ms")},
		"charsets":     {set: parsed("/?charset=utf8mb4,utf8&collation=utf8mb4_bin")},
	}
	for field := range reflect.TypeFor[mysql.Config]().Fields() {
		if _, ok := special[field.Name]; ok {
			continue
		}
		special[field.Name] = struct {
			set    func(*mysql.Config)
			hidden string
		}{set: func(c *mysql.Config) {
			f := reflect.ValueOf(c).Elem().FieldByIndex(field.Index)
			if !f.CanSet() {
				t.Fatalf("%s is new in this version of go-sql-driver/mysql: say here how it is set", field.Name)
			}
			switch f.Kind() {
			case reflect.String:
				f.SetString("a:text")
			case reflect.Bool:
				f.SetBool(!f.Bool())
			default:
				f.SetInt(int64(7 * time.Second))
			}
		}}
	}
	for name, tc := range special {
		t.Run(name, func(t *testing.T) {
			cfg := mysql.NewConfig()
			cfg.Net, cfg.Addr = "tcp", "127.0.0.1:3306"
			tc.set(cfg)
			got, hidden := readBack(t, cfg)
			if strings.Join(hidden, " ") != tc.hidden {
				t.Fatalf("hidden %q, want %q", hidden, tc.hidden)
			}
			if tc.hidden != "" {
				return
			}
			cfg.RejectReadOnly = false
			if name == "TLS and TLSConfig" {
				cfg.TLSConfig = "" // without effect
			}
			// As a connector of ours makes connections of both.
			want, have := &Config{MySQL: cfg}, &Config{MySQL: got}
			for _, c := range []*Config{want, have} {
				c.MySQL.Logger = nil
				if err := resolveTLS(c.MySQL); err != nil {
					t.Fatal(err)
				}
			}
			if d := difference(cfg, got); d != "" || cfg.Addr != got.Addr {
				t.Errorf("%s is another: %s, want %s", d, have, want)
			}
			if (cfg.TLS == nil) != (got.TLS == nil) || cfg.TLS != nil && (cfg.TLS.ServerName != got.TLS.ServerName || !alike(reflect.ValueOf(cfg.TLS).Elem(), reflect.ValueOf(got.TLS).Elem())) {
				t.Errorf("another TLS than %s", want)
			}
		})
	}
}

// TestDifference: what pools of one cluster must have in common is found, whatever field it is in.
func TestDifference(t *testing.T) {
	for want, change := range map[string]func(*mysql.Config){
		"":                        func(c *mysql.Config) { c.Addr, c.Logger = "b:1", nil },
		"User":                    func(c *mysql.Config) { c.User = "reader" },
		"Passwd":                  func(c *mysql.Config) { c.Passwd = "secret-2" },
		"DBName":                  func(c *mysql.Config) { c.DBName = "other" },
		"Params":                  func(c *mysql.Config) { c.Params = map[string]string{"a": "1"} },
		"TLS":                     func(c *mysql.Config) { c.TLS = &tls.Config{InsecureSkipVerify: true} },
		"charset or other option": func(c *mysql.Config) { _ = c.Apply(mysql.Charset("latin1", "")) },
	} {
		a := mysql.NewConfig()
		a.TLS = &tls.Config{ServerName: "a"}
		b := a.Clone()
		b.TLS.ServerName = "b"
		change(b)
		if got := difference(a, b); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
