package fakemysql_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// A real driver talks to a scripted server, which turns read-only.
func Example() {
	script := fakemysql.NewScript().
		On("SELECT name FROM staff", fakemysql.Result{
			Columns: []fakemysql.Column{fakemysql.Text("name")},
			Rows:    [][]any{{"Ada"}, {"Grace"}},
		}).
		OnPrefix("INSERT", func(_ context.Context, c fakemysql.Call) fakemysql.Reply {
			return fakemysql.Fail(1290, "HY000", "The MySQL server is running with the --read-only option")
		})
	server := fakemysql.New(fakemysql.Config{Handler: script})
	defer server.Close()

	cfg := mysql.NewConfig()
	cfg.DialFunc = server.Dial
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()

	ctx := context.Background()
	rows, err := db.QueryContext(ctx, "SELECT name FROM staff")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(name)
	}
	if err := rows.Err(); err != nil {
		fmt.Println(err)
		return
	}
	_, err = db.ExecContext(ctx, "INSERT INTO staff VALUES (?)", "Edsger")
	fmt.Println(err)
	fmt.Println(script.Count("INSERT INTO staff VALUES (?)"), "attempt")
	// Output:
	// Ada
	// Grace
	// Error 1290 (HY000): The MySQL server is running with the --read-only option
	// 1 attempt
}
