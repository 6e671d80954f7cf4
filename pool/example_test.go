package pool_test

import (
	"context"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/pool"
)

func Example() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "p"}, Handler: fakemysql.NewScript()})
	defer server.Close()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net = "u", "p", "tcp"
	dialer := backend.NewDialer(backend.Config{MySQL: cfg, Dial: server.Dial})

	ctx := context.Background()
	p := pool.New(pool.Config{Size: 2, MaxIdle: pool.Fixed(2), Connect: func(ctx context.Context, m pool.Member) (*backend.Backend, error) {
		return dialer.Connect(ctx, m.Addr)
	}})
	p.Apply(1, []pool.Member{{ID: "instance-1", Addr: "instance-1:3306", Role: "writer"}})

	// A thousand sessions, one statement each, share what two backends can do.
	for range 1000 {
		var s pool.Session
		if err := s.Borrow(ctx, p.Instance("instance-1", "writer"), "SELECT 1"); err != nil {
			fmt.Println(err)
			return
		}
		// ... s.Backend() executes a statement ...
		s.Release(ctx)
	}
	in := p.Stats().Instances[0]
	fmt.Println("leases:", in.Borrowed, "connections:", in.Open)
	fmt.Println(p.Close(ctx, true))
	// Output:
	// leases: 1000 connections: 1
	// <nil>
}
