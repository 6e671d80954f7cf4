package driver

import (
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestTLSOnServers: real servers whose user must have TLS, and whose certificate is for
// one of their names.
func TestTLSOnServers(t *testing.T) {
	own, _, err := fakemysql.SelfSigned("localhost")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(own.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificates[0].Certificate[0]})
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	mysqld.Each(t, func(t *testing.T, s *mysqld.Server) {
		if err := s.Exec(t.Context(), "CREATE USER app@'%' IDENTIFIED BY 'app' REQUIRE SSL"); err != nil {
			t.Fatal(err)
		}
		open := func(change func(*Config)) (*Connector, *sql.DB) {
			t.Helper()
			cfg, err := ParseDSN("app:app@tcp(localhost:" + strconv.Itoa(s.Port) + ")/?fpFailoverTimeout=5s")
			if err != nil {
				t.Fatal(err)
			}
			change(cfg)
			c, err := NewConnector(cfg)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(c)
			t.Cleanup(func() { db.Close() })
			return c, db
		}
		c, db := open(func(cfg *Config) { cfg.TLSCA = file })
		var name, cipher string
		if err := db.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
			t.Errorf("cipher %q, %v", cipher, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var n int
		if err := db.QueryRowContext(ctx, "SELECT SLEEP(10)").Scan(&n); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		eventually(t, "the statement was killed over TLS", func() bool { return c.Stats().Cancels.Killed == 1 })
		for want, change := range map[string]func(cfg *Config){
			"doesn't contain any IP SANs": func(cfg *Config) { cfg.TLSCA, cfg.Hosts = file, []string{s.Addr()} },
			"unknown authority":           func(cfg *Config) { cfg.MySQL.TLSConfig = "true" },
			"1045":                        func(*Config) {}, // without TLS
		} {
			_, db := open(change)
			if err := db.PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	}, mysqld.WithTLS(certificate, key))
}
