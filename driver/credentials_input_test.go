package driver

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
	"github.com/failoverproxy/failoverproxy/topology"
)

// inTheClear is a provider of tokens.
type inTheClear struct{ CredentialsFunc }

func (inTheClear) RequiresTLS() bool { return true }

func given(user, password string) CredentialsFunc {
	return func(context.Context, topology.Instance) (string, string, time.Time, error) {
		return user, password, time.Time{}, nil
	}
}

// TestCredentialsConfiguration: what does not go with a provider is refused before anything is
// connected.
func TestCredentialsConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dsn      string
		provider CredentialsProvider
		want     string // "" = it is taken
	}{
		"no provider":        {"tcp(db)/", nil, "no provider"},
		"two passwords":      {"u:" + canary + "@tcp(db)/", given("u", "p"), "leave it out of the DSN"},
		"a user":             {"u@tcp(db)/", given("v", "p"), ""},
		"nothing":            {"tcp(db)/", given("v", "p"), ""},
		"tokens without TLS": {"tcp(db)/", inTheClear{given("u", "p")}, "tls: the provider of driver.WithCredentials gives passwords that are sent as they are: want TLS"},
		"tokens, tls=false":  {"tcp(db)/?tls=false", inTheClear{given("u", "p")}, "want TLS"},
		"tokens, preferred":  {"tcp(db)/?tls=preferred", inTheClear{given("u", "p")}, "want TLS always"},
		"tokens, fallback":   {"tcp(db)/?tls=true&allowFallbackToPlaintext=true", inTheClear{given("u", "p")}, "want TLS always"},
		"tokens, socket":     {"unix(/tmp/x.sock)/?tls=true", inTheClear{given("u", "p")}, "socket"},
		"tokens, tls=true":   {"tcp(db)/?tls=true", inTheClear{given("u", "p")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := ParseDSN(test.dsn)
			if err != nil {
				t.Fatal(err)
			}
			c, err := NewConnector(cfg, WithCredentials(test.provider))
			if err == nil {
				defer c.Close()
			}
			switch {
			case test.want == "" && err == nil:
			case test.want == "" || err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), canary):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestCredentialsInClear: a server that asks for the password as it is gets it over TLS, from
// a provider that says so, and from no other.
func TestCredentialsInClear(t *testing.T) {
	certificate, roots, err := fakemysql.SelfSigned("localhost")
	if err != nil {
		t.Fatal(err)
	}
	server := fakemysql.New(fakemysql.Config{
		Users: map[string]string{"u": "a-token"}, AuthPlugin: wire.NativePassword,
		UserPlugins: map[string]string{"u": wire.ClearPassword}, TLS: certificate, Handler: minidb.New(),
	})
	defer server.Close()
	open := func(p CredentialsProvider, encrypted bool) *sql.DB {
		cfg := NewConfig()
		cfg.Hosts, cfg.Topology = []string{"localhost:3306"}, "static"
		if encrypted {
			cfg.MySQL.TLS = certificate.Clone()
			cfg.MySQL.TLS.RootCAs = roots
		}
		db, err := OpenDB(cfg, WithCredentials(p), WithDialer(func(ctx context.Context, _, addr string) (net.Conn, error) { return server.Dial(ctx, "tcp", addr) }))
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	for name, test := range map[string]struct {
		p         CredentialsProvider
		encrypted bool
		want      error
	}{
		"tokens":              {inTheClear{given("u", "a-token")}, true, nil},
		"passwords":           {given("u", "a-token"), true, mysql.ErrCleartextPassword},
		"passwords, no TLS":   {given("u", "a-token"), false, mysql.ErrCleartextPassword},
		"tokens that are old": {inTheClear{given("u", "another")}, true, &mysql.MySQLError{Number: 1045}},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(test.p, test.encrypted)
			defer db.Close()
			err := db.PingContext(t.Context())
			got, _ := failover.Number(err)
			want, _ := failover.Number(test.want)
			if want != got || want == 0 && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// TestCredentialsRefusedProbe: a server that refuses a password is alive, however often it is
// tried again and wherever in that the time for a probe ends. What runs there goes on.
func TestCredentialsRefusedProbe(t *testing.T) {
	for _, timeout := range []string{"1s", "700ms", "300ms"} {
		t.Run(timeout, func(t *testing.T) {
			locked(t, "fpProbeInterval=0&fpProbeTimeout="+timeout, &vault{}, func(s *safe) {
				tx, err := s.db.BeginTx(s.Context(), nil)
				s.must(err)
				_, err = tx.ExecContext(s.Context(), update)
				s.must(err)
				s.server.SetUsers(map[string]string{"u": "second-secret"}) // and nobody tells the provider
				before := s.c.Snapshot()
				s.c.cluster.monitor.Suspect(before.Writer().ID, before.Epoch, topology.ReasonConnectionLost)
				time.Sleep(time.Minute)
				for _, in := range s.c.Snapshot().Instances {
					if in.State == topology.StateDown {
						s.Errorf("%s is %s:\n%s", in.ID, in.State, s.log)
					}
				}
				_, err = tx.ExecContext(s.Context(), update)
				s.must(err)
				s.must(tx.Commit())
				s.vault.set(func() { s.vault.password = "second-secret" })
				time.Sleep(20 * time.Second)
				s.must(s.exec(s.db, insert))
			})
		})
	}
}

// TestRefusedLogins: nor is a server dead that lets nobody in for any other reason.
func TestRefusedLogins(t *testing.T) {
	for _, number := range []uint16{1045, 1130, 1251, 3118, 3159, 3955, 4150} {
		t.Run(strconv.Itoa(int(number)), func(t *testing.T) {
			locked(t, "fpProbeInterval=0", &vault{}, func(s *safe) {
				tx, err := s.db.BeginTx(s.Context(), nil)
				s.must(err)
				_, err = tx.ExecContext(s.Context(), update)
				s.must(err)
				for _, in := range s.sim.Instances() {
					in.ErrorThenClose(number, "no", aurorasim.Logins)
				}
				before := s.c.Snapshot()
				s.c.cluster.monitor.Suspect(before.Writer().ID, before.Epoch, topology.ReasonConnectionLost)
				time.Sleep(20 * time.Second)
				_, err = tx.ExecContext(s.Context(), update)
				s.must(err)
				s.must(tx.Commit())
			})
		})
	}
}
