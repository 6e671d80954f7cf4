package aurorasim_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// A program sees its writer die and finds the next one where the cluster's name now
// leads.
func Example() {
	ctx := context.Background()
	server := fakemysql.New(fakemysql.Config{Handler: fakemysql.NewScript().On("INSERT INTO t VALUES (1)")})
	defer server.Close()
	sim, err := aurorasim.Start(ctx, aurorasim.Config{Upstream: aurorasim.FakeServer(server)})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sim.Close() }()

	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = "app", "tcp", sim.Endpoint()
	cfg.DialFunc = sim.DialContext
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	db.SetMaxIdleConns(-1) // a new connection for each statement

	who := func() {
		var id string
		var readOnly bool
		if err := db.QueryRowContext(ctx, "SELECT @@aurora_server_id, @@innodb_read_only").Scan(&id, &readOnly); err != nil {
			log.Fatal(err)
		}
		fmt.Println(id, "read only:", readOnly)
	}
	who()

	// The name follows 50 ms after the promotion: until then it leads to nobody.
	script := aurorasim.Failover{Kind: aurorasim.Kill, DNSAfter: 50 * time.Millisecond, RestartAfter: 100 * time.Millisecond}
	if err := sim.Failover(ctx, script); err != nil {
		log.Fatal(err)
	}
	_, err = db.ExecContext(ctx, "INSERT INTO t VALUES (1)")
	fmt.Println("just after the promotion:", err != nil)
	if err := sim.Settled(ctx); err != nil {
		log.Fatal(err)
	}
	who()
	_, err = db.ExecContext(ctx, "INSERT INTO t VALUES (1)")
	fmt.Println("in the end:", err)
	fmt.Println("relayed:", sim.Count(aurorasim.SQL("INSERT INTO t VALUES (1)")))
	// Output:
	// instance-1 read only: false
	// just after the promotion: true
	// instance-2 read only: false
	// in the end: <nil>
	// relayed: 1
}
