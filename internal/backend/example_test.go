package backend_test

import (
	"context"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

func Example() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "p"}, Handler: fakemysql.NewScript()})
	defer server.Close()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net = "u", "p", "tcp"
	dialer := backend.NewDialer(backend.Config{MySQL: cfg, Dial: server.Dial})

	ctx := context.Background()
	b, err := dialer.Connect(ctx, "instance-1:3306")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	for _, statement := range []string{"BEGIN", "COMMIT"} {
		if _, err := b.ExecContext(ctx, statement, nil); err != nil {
			fmt.Println(err)
		}
		fmt.Println(statement, b.InTransaction())
	}
	// Output:
	// BEGIN true
	// COMMIT false
}
