package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// program starts a server and opens pools for it as a program does that knows nothing of us.
func program(hosts ...string) (server *fakemysql.Server, pools []*sql.DB, end func()) {
	server = fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Databases: []string{"shop"}, Handler: minidb.New()})
	mysql.RegisterDialContext("office", func(ctx context.Context, addr string) (net.Conn, error) { return server.Dial(ctx, "tcp", addr) })
	for _, host := range hosts {
		pool, err := sql.Open("mysql", "app:secret@office("+host+")/shop")
		if err != nil {
			panic(err)
		}
		pools = append(pools, pool)
	}
	return server, pools, func() {
		for _, pool := range pools {
			_ = pool.Close()
		}
		mysql.DeregisterDialContext("office")
		server.Close()
	}
}

func ExampleWrap() {
	_, pools, end := program("db.example.com")
	defer end()
	pool := pools[0]
	pool.SetMaxOpenConns(10)

	db, err := driver.Wrap(pool)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close() // pool stays open

	var one int
	fmt.Println(db.QueryRow("SELECT 1").Scan(&one), one, db.Stats().MaxOpenConnections)
	fmt.Println(pool.Ping())
	// Output:
	// <nil> 1 10
	// <nil>
}

func ExampleWrapCluster() {
	_, pools, end := program("writer.example.com", "reader-1.example.com", "reader-2.example.com")
	defer end()
	writer, reader1, reader2 := pools[0], pools[1], pools[2]

	db, err := driver.WrapCluster(writer, reader1, reader2)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	var one int
	fmt.Println(db.QueryRow("SELECT 1").Scan(&one), one)
	// Output: <nil> 1
}

func ExampleWithReaders() {
	_, pools, end := program("writer.example.com", "reader.example.com")
	defer end()
	writer, reader := pools[0], pools[1]

	db, err := driver.Wrap(writer, driver.WithReaders(reader), driver.WithConfig(func(c *driver.Config) {
		c.Target = "auto" // reads outside of transactions go to readers
		c.Topology = "static"
	}), driver.WithCloseWrapped())
	if err != nil {
		fmt.Println(err)
		return
	}
	var one int
	fmt.Println(db.QueryRow("SELECT 1").Scan(&one), one)
	fmt.Println(db.Close(), writer.Ping(), reader.Ping())
	// Output:
	// <nil> 1
	// <nil> sql: database is closed sql: database is closed
}

func ExampleWrapConnector() {
	server, _, end := program()
	defer end()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DBName = "app", "tcp", "db.example.com:3306", "shop"
	cfg.DialFunc = server.Dial
	signIn := mysql.BeforeConnect(func(_ context.Context, cfg *mysql.Config) error {
		cfg.Passwd = "secret" // that of the hour, for cfg.Addr
		return nil
	})
	_ = cfg.Apply(signIn)
	inner, err := mysql.NewConnector(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}

	connector, err := driver.WrapConnector(inner, driver.WithDialer(server.Dial), driver.WithConfig(func(c *driver.Config) {
		_ = c.MySQL.Apply(signIn) // cannot be read out of inner, and neither can its dialer
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	db := sql.OpenDB(connector)
	defer db.Close()

	var one int
	fmt.Println(db.QueryRow("SELECT 1").Scan(&one), one)
	fmt.Println(connector.Snapshot())
	// Output:
	// <nil> 1
	// epoch 1: db.example.com:3306 writer up
}
