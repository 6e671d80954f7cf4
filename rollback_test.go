package failoverproxy_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// TestRollbackKeepsTLS: what asks for TLS by a key of ours does not go back to connections without it.
func TestRollbackKeepsTLS(t *testing.T) {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Handler: minidb.New()}) // without TLS
	defer server.Close()
	addr, err := server.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: aurorasim.Fake(), Network: aurorasim.Memory, TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, sim.AuthorityPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := openDB("mysql", "app:secret@tcp("+addr.String()+")/?fpTLSCA="+url.QueryEscape(file))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(t.Context()); !errors.Is(err, mysql.ErrNoTLS) {
		t.Errorf("%v, want %v", err, mysql.ErrNoTLS)
	}
}
