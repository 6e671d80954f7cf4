// Command lambda is a Lambda function that keeps orders in a database: what there is to
// know about failoverproxy in Lambda is in this file and in docs/lambda.md.
//
// A pool at the level of the package outlives invocations. Between them the environment is
// frozen, for hours perhaps: the first statement after that finds new connections and the
// writer of now by itself. Nothing needs to be closed, pinged or opened again in the handler.
//
//	DSN=user:password@tcp(mycluster.cluster-abc.eu-west-1.rds.amazonaws.com)/shop?tls=true&fpPoolSize=1&fpProbeInterval=0
package main

import (
	"context"
	"database/sql"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/failoverproxy/failoverproxy/driver"
)

// Order is an event.
type Order struct {
	ID   int64  `json:"id"`
	Item string `json:"item"`
}

// Receipt is what the function answers.
type Receipt struct {
	Orders int64 `json:"orders"` // that there are, this one included
}

// Opening connects nothing yet, so it costs a cold start next to nothing.
var db, shutdown, errOpen = open(os.Getenv("DSN"))

func open(dsn string) (*sql.DB, func(context.Context) error, error) {
	if name := os.Getenv("DRIVER"); name != "" { // for comparisons
		db, err := sql.Open(name, dsn)
		return db, func(context.Context) error { return db.Close() }, err
	}
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, nil, err
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, nil, err
	}
	return sql.OpenDB(connector), connector.Shutdown, nil
}

// handle takes an order. Lambda's deadline is the context's: it ends what still waits.
func handle(ctx context.Context, o Order) (Receipt, error) {
	if _, err := db.ExecContext(ctx, "INSERT INTO orders (id, item) VALUES (?, ?)", o.ID, o.Item); err != nil {
		return Receipt{}, err
	}
	var r Receipt
	err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM orders").Scan(&r.Orders)
	return r, err
}

func main() {
	if errOpen != nil {
		log.Fatal(errOpen)
	}
	// Lambda kills the environment 500 ms after SIGTERM. No invocation runs then, so that
	// there is nothing to wait for but the server's side of goodbye.
	lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		if err := shutdown(ctx); err != nil {
			log.Print(err)
		}
		os.Exit(0)
	}))
}
