package failoverproxy_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"

	"github.com/go-sql-driver/mysql"

	_ "github.com/failoverproxy/failoverproxy"
	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// A program changes the driver's name and nothing else.
func Example() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Handler: minidb.New()})
	defer server.Close()
	mysql.RegisterDialContext("example", func(ctx context.Context, addr string) (net.Conn, error) { return server.Dial(ctx, "tcp", addr) })

	db, err := sql.Open("failoverproxy", "app:secret@example(db.example.com)/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	var one int
	fmt.Println(db.QueryRow("SELECT 1").Scan(&one), one)
	// Output: <nil> 1
}

// openDB opens the database with the driver that the settings name, so that going back is
// a setting and no release.
func openDB(name, dsn string) (*sql.DB, error) {
	if name == "mysql" {
		cfg, err := driver.ParseDSN(dsn)
		if err != nil {
			return nil, err
		}
		// The plain driver knows one host, and no fp… keys: the TLS that fpTLSCA asks for goes along.
		plain, err := cfg.Direct(cfg.Hosts[0])
		if err != nil {
			return nil, err
		}
		connector, err := mysql.NewConnector(plain)
		if err != nil {
			return nil, err
		}
		return sql.OpenDB(connector), nil
	}
	return sql.Open(name, dsn)
}

// Going back to the plain driver is one word, and both can be in one program.
func Example_rollback() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Handler: minidb.New()})
	defer server.Close()
	mysql.RegisterDialContext("both", func(ctx context.Context, addr string) (net.Conn, error) { return server.Dial(ctx, "tcp", addr) })

	for _, name := range []string{"failoverproxy", "mysql"} {
		db, err := openDB(name, "app:secret@both(db.example.com:3306)/?fpPoolSize=5&parseTime=true")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer db.Close()
		var one int
		fmt.Println(name, db.QueryRow("SELECT 1").Scan(&one), one)
	}
	// Output:
	// failoverproxy <nil> 1
	// mysql <nil> 1
}
