package driver_test

import (
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

func Example() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Handler: minidb.New()})
	defer server.Close()

	cfg, err := driver.ParseDSN("app:secret@tcp(db.example.com)/?fpPoolSize=10")
	if err != nil {
		fmt.Println(err)
		return
	}
	connector, err := driver.NewConnector(cfg, driver.WithDialer(server.Dial), driver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	db := sql.OpenDB(connector) // closing it closes the connector
	defer db.Close()

	var one int
	if err := db.QueryRow("SELECT 1").Scan(&one); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(one)
	fmt.Println(connector.Snapshot())
	// Output:
	// 1
	// epoch 1: db.example.com:3306 writer up
}
