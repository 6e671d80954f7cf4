// Command quickstart asks a cluster one question through failoverproxy.
//
//	go run ./examples/quickstart 'user:password@tcp(mycluster.cluster-abc.eu-west-1.rds.amazonaws.com)/shop'
package main

import (
	"database/sql"
	"fmt"
	"log"
	"os"

	_ "github.com/failoverproxy/failoverproxy" // was: _ "github.com/go-sql-driver/mysql"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: quickstart DSN")
	}
	db, err := sql.Open("failoverproxy", os.Args[1]) // was: "mysql"
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var version string
	if err := db.QueryRow("SELECT VERSION()").Scan(&version); err != nil {
		log.Fatal(err)
	}
	fmt.Println("connected to", version)
}
