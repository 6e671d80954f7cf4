package failoverproxy_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"

	"github.com/go-sql-driver/mysql"

	_ "github.com/failoverproxy/failoverproxy"
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
