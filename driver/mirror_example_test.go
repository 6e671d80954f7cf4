package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// All reads of books go to the next version's server as well, and both answers are compared.
func ExampleWithMirror() {
	today, tomorrow := serving("Emma"), serving("Persuasion")
	defer today.Close()
	defer tomorrow.Close()
	quiet := driver.WithLogger(slog.New(slog.DiscardHandler))

	cfg, err := driver.ParseDSN("app:secret@tcp(db.example.com)/?fpTopology=static")
	if err != nil {
		fmt.Println(err)
		return
	}
	next, err := driver.OpenDB(cfg, driver.WithDialer(tomorrow.Dial), quiet) // with a DSN of its own
	if err != nil {
		fmt.Println(err)
		return
	}
	defer next.Close()
	connector, err := driver.NewConnector(cfg, driver.WithDialer(today.Dial), quiet,
		driver.WithMirror(next, driver.MirrorPolicy{
			Rate:    1,
			Compare: 1,
			Match:   func(_ context.Context, query string) bool { return strings.Contains(query, "FROM books") },
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	db := sql.OpenDB(connector)
	defer db.Close()

	var title string
	if err := db.QueryRow("SELECT title FROM books WHERE id = 7").Scan(&title); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(title)
	for connector.Stats().Mirror.Answered == 0 {
		time.Sleep(time.Millisecond)
	}
	for _, e := range connector.MirrorSample() {
		fmt.Println(e.Statement, "has different", e.Difference)
	}
	// Output:
	// Emma
	// SELECT title FROM books WHERE id = ? has different values
}

// serving makes a server that knows a book.
func serving(title string) *fakemysql.Server {
	answer := func(name string, value any) fakemysql.Result {
		return fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Text(name)}, Rows: [][]any{{value}}}
	}
	writable := fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("r"), fakemysql.Int("i")}, Rows: [][]any{{int64(0), int64(0)}}}
	return fakemysql.New(fakemysql.Config{
		Users: map[string]string{"app": "secret"},
		Handler: fakemysql.NewScript().On("SELECT title FROM books WHERE id = 7", answer("title", title)).
			On("SELECT @@global.read_only, @@global.innodb_read_only", writable),
	})
}
