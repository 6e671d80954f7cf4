package minidb_test

import (
	"database/sql"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

func Example() {
	server := fakemysql.New(fakemysql.Config{Handler: minidb.New()})
	defer server.Close()
	cfg := mysql.NewConfig()
	cfg.DialFunc = server.Dial
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	for _, query := range []string{
		"CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)",
		"INSERT INTO account VALUES (1, 100), (2, 50)",
		"UPDATE account SET balance = balance - 30 WHERE id = 1",
		"INSERT INTO account VALUES (3, 9), (2, 9)",
	} {
		if _, err := db.Exec(query); err != nil {
			fmt.Println(err)
		}
	}
	var count, sum int
	if err := db.QueryRow("SELECT COUNT(*), SUM(balance) FROM account").Scan(&count, &sum); err != nil {
		fmt.Println(err)
	}
	fmt.Println(count, sum)
	// Output:
	// Error 1062 (23000): Duplicate entry '2' for key 'account.PRIMARY'
	// 2 120
}
