package main

import (
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestCrowd invokes many environments at a time on a server with room for fewer connections,
// each several times. With FP_CROWD=100 there are so many, and the plain driver is shown beside.
func TestCrowd(t *testing.T) {
	const room, invocations = 20, 5
	environments := 50
	drivers := []string{""}
	if s := os.Getenv("FP_CROWD"); s != "" {
		var err error
		if environments, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
		drivers = append(drivers, "mysql")
	}
	for _, name := range drivers {
		server := mysqld.MariaDB(t, mysqld.WithMaxConnections(room))
		for _, statement := range []string{"CREATE DATABASE shop", "CREATE TABLE shop.orders (id BIGINT PRIMARY KEY, item VARCHAR(64))", "FLUSH STATUS"} {
			if err := server.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		dsn := fmt.Sprintf("app:app@tcp(%s)/shop", server.Addr())
		if err := server.Exec(t.Context(), "CREATE USER app IDENTIFIED BY 'app'"); err != nil {
			t.Fatal(err)
		}
		if err := server.Exec(t.Context(), "GRANT ALL ON shop.* TO app"); err != nil {
			t.Fatal(err)
		}
		if name == "" {
			dsn += "?fpPoolSize=1&fpPoolMaxIdle=0&fpProbeInterval=0"
		}
		c := crowd{t: t, n: environments, env: []string{"DSN=" + dsn, "DRIVER=" + name}}
		c.run(invocations)

		db, err := sql.Open("mysql", server.DSN("shop"))
		if err != nil {
			t.Fatal(err)
		}
		var orders, most int
		var ignored string
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM orders").Scan(&orders); err != nil {
			t.Error(err)
		}
		if err := db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Max_used_connections'").Scan(&ignored, &most); err != nil {
			t.Error(err)
		}
		_ = db.Close()
		t.Logf("driver %q: %d environments, %d invocations, %d errors (%s), longest %s, %d orders, at most %d of %d connections",
			name, environments, environments*invocations, c.errors, c.example, c.longest.Round(time.Millisecond), orders, most, room)
		if name == "" && (c.errors != 0 || orders != environments*invocations) {
			t.Errorf("%d errors, %d orders", c.errors, orders)
		}
	}
}

// crowd is a number of environments that are invoked at the same time.
type crowd struct {
	t   *testing.T
	n   int
	env []string

	mu      sync.Mutex
	errors  int
	example string // of an error
	longest time.Duration
}

func (c *crowd) run(invocations int) {
	environments := make([]*environment, c.n)
	for i := range environments {
		environments[i] = start(c.t, c.env...)
	}
	var all sync.WaitGroup
	for i, e := range environments {
		all.Go(func() {
			for k := range invocations {
				_, took, err := e.invoke(Order{ID: int64(i*invocations + k), Item: "hat"})
				c.mu.Lock()
				c.longest = max(c.longest, took)
				if err != nil {
					c.errors++
					c.example = err.Error()
				}
				c.mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, e := range environments {
		e.end()
	}
}
