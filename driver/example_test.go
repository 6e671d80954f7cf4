package driver_test

import (
	"context"
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

// A session that has a temporary table is bound to its connection until it drops it.
func ExampleConnector_Pins() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Handler: minidb.New()})
	defer server.Close()
	cfg, err := driver.ParseDSN("app:secret@tcp(db.example.com)/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	connector, err := driver.NewConnector(cfg, driver.WithDialer(server.Dial), driver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	session, err := db.Conn(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()

	if _, err := session.ExecContext(context.Background(), "CREATE TEMPORARY TABLE report (id INT PRIMARY KEY)"); err != nil {
		fmt.Println(err)
		return
	}
	for _, pin := range connector.Pins() {
		fmt.Println(pin.Reason, "by", pin.Statement)
	}
	// Output: temporary table by CREATE TEMPORARY TABLE report (id INT PRIMARY KEY)
}
