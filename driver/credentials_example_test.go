package driver_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
	"github.com/failoverproxy/failoverproxy/topology"
)

// A provider is asked for the password of new connections. The error is what whoever needs one
// gets, so it should say what is missing, and show no secret.
func ExampleWithCredentials() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "token-1"}, Handler: minidb.New()})
	defer server.Close()

	cfg, err := driver.ParseDSN("tcp(db.example.com)/")
	if err != nil {
		fmt.Println(err)
		return
	}
	provider := driver.CredentialsFunc(func(_ context.Context, in topology.Instance) (string, string, time.Time, error) {
		fmt.Println("a token for", in.Addr)
		return "app", "token-1", time.Now().Add(15 * time.Minute), nil
	})
	db, err := driver.OpenDB(cfg, driver.WithCredentials(provider),
		driver.WithDialer(server.Dial), driver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	for range 3 {
		var one int
		if err := db.QueryRow("SELECT 1").Scan(&one); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(one)
	}
	// Output:
	// a token for db.example.com:3306
	// 1
	// 1
	// 1
}

// A secret that Kubernetes mounts, or anything else writes.
func ExampleFileCredentials() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Handler: minidb.New()})
	defer server.Close()
	dir, err := os.MkdirTemp("", "secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "db.json")
	if err := os.WriteFile(path, []byte(`{"username": "app", "password": "secret"}`), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	cfg, err := driver.ParseDSN("tcp(db.example.com)/")
	if err != nil {
		fmt.Println(err)
		return
	}
	db, err := driver.OpenDB(cfg, driver.WithCredentials(driver.FileCredentials(path)),
		driver.WithDialer(server.Dial), driver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	fmt.Println(db.Ping())
	// Output: <nil>
}
