// Command wrap shows how a program that has its own pool of go-sql-driver/mysql goes over to
// failoverproxy: nothing changes in how it makes the pool, one line comes after it.
//
//	go run ./examples/wrap 'user:password@tcp(mycluster.cluster-abc.eu-west-1.rds.amazonaws.com)/shop'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/driver"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: wrap DSN")
	}
	if err := run(context.Background(), os.Args[1], os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// openPool is what the program has done so far.
func openPool(dsn string) (*sql.DB, error) {
	pool, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(20)
	pool.SetConnMaxLifetime(10 * time.Minute)
	return pool, nil
}

// openConnector is the same for a program whose password is a token that changes.
func openConnector(dsn string, token func(ctx context.Context, addr string) (string, error)) (*driver.Connector, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	signIn := mysql.BeforeConnect(func(ctx context.Context, cfg *mysql.Config) (err error) {
		cfg.Passwd, err = token(ctx, cfg.Addr)
		return err
	})
	if err := cfg.Apply(signIn); err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}

	// The new line. A function cannot be read out of a connector: given once more, it is called
	// for each instance that is found, with the instance's address.
	return driver.WrapConnector(connector, driver.WithConfig(func(c *driver.Config) { _ = c.MySQL.Apply(signIn) }))
}

func run(ctx context.Context, dsn string, out io.Writer) error {
	pool, err := openPool(dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	db, err := driver.Wrap(pool) // the new line: from here on the program uses db
	if err != nil {
		return err
	}
	defer db.Close()
	if err := greet(ctx, out, "wrapped pool", db); err != nil {
		return err
	}
	fmt.Fprintln(out, "at most", db.Stats().MaxOpenConnections, "at once, as before")

	var asked atomic.Int64                                      // by whoever connects
	password := func(context.Context, string) (string, error) { // stands for a token of IAM's
		asked.Add(1)
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			return "", err
		}
		return cfg.Passwd, nil
	}
	connector, err := openConnector(dsn, password)
	if err != nil {
		return err
	}
	db = sql.OpenDB(connector)
	defer db.Close()
	if err := greet(ctx, out, "wrapped connector", db); err != nil {
		return err
	}
	fmt.Fprintln(out, "tokens were asked for:", asked.Load() > 0)
	fmt.Fprintln(out, "the cluster:", connector.Snapshot())
	return greet(ctx, out, "the program's own pool", pool)
}

func greet(ctx context.Context, out io.Writer, name string, db *sql.DB) error {
	var one int
	if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err := fmt.Fprintln(out, name, "answers")
	return err
}
