package driver

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// TestDirect: a connection to one instance has that instance's name to verify, against fpTLSCA.
func TestDirect(t *testing.T) {
	sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: aurorasim.Fake(), TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, sim.AuthorityPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := NewConfig()
	cfg.MySQL.User, cfg.MySQL.Net, cfg.MySQL.DialFunc = "root", "tcp", sim.DialContext
	cfg.Hosts, cfg.TLSCA = []string{sim.Endpoint()}, file
	if err := sim.Instance("instance-3").Certify("instance-2." + strings.TrimPrefix(sim.InstanceHost(), "?.")); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"instance-1": "", "instance-2": "", "instance-3": "certificate is valid for instance-2"} {
		direct, err := cfg.Direct(strings.Replace(sim.InstanceHost(), "?", id, 1))
		if err != nil {
			t.Fatal(err)
		}
		c, err := mysql.NewConnector(direct)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		var name string
		err = db.QueryRowContext(t.Context(), "SELECT @@aurora_server_id").Scan(&name)
		if want == "" && (err != nil || name != id) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v", id, name, err)
		}
		db.Close()
	}
	if cfg.MySQL.TLS != nil || cfg.MySQL.Addr == sim.Instance("instance-2").Addr() {
		t.Error("the configuration has changed")
	}
	cfg.TLSCA = file + ".none"
	if _, err := cfg.Direct(sim.Endpoint()); err == nil || !strings.Contains(err.Error(), "fpTLSCA") {
		t.Errorf("without the file: %v", err)
	}
}
