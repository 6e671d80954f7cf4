package sqlscan_test

import (
	"fmt"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

func Example() {
	for _, text := range []string{
		"SELECT name FROM users WHERE id = 7",
		"SELECT name FROM users WHERE id = 7 FOR UPDATE",
		"SELECT next_number()", // not a built-in function: it may do anything
		"CREATE TEMPORARY TABLE t (id INT)",
	} {
		f := sqlscan.Scan(text, sqlscan.AnyMode)
		fmt.Printf("read=%v %v %q\n", f.Read(), f.Kind, f.Effects)
	}
	fmt.Println(sqlscan.Digest("SELECT name FROM users WHERE id IN (7, 8)", sqlscan.AnyMode))
	// Output:
	// read=true READ ""
	// read=false WRITE ""
	// read=false WRITE "stored routine"
	// read=false DDL "temporary table"
	// SELECT name FROM users WHERE id IN (?)
}
