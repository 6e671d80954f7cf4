package aurorasim

import (
	"context"
	"database/sql"
	"io"
	"log"
	"net"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// BenchmarkRelay runs SELECT 1 through an instance, and past it for comparison, over
// the fake upstream: what is measured is the relay, not a server.
func BenchmarkRelay(b *testing.B) {
	s := fakemysql.New(fakemysql.Config{Handler: fakemysql.NewScript()})
	defer s.Close()
	for _, logged := range []bool{true, false} {
		c, err := Start(b.Context(), Config{Upstream: FakeServer(s), DiscardLog: !logged})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		reader := c.Instance("instance-2").Addr()
		name := map[bool]string{true: "logged", false: "unlogged"}[logged]
		b.Run("writer/"+name, func(b *testing.B) { benchmark(b, c.Endpoint(), c.DialContext) })
		b.Run("reader/"+name, func(b *testing.B) { benchmark(b, reader, c.DialContext) })
	}
	addr, err := s.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("direct", func(b *testing.B) { benchmark(b, addr.String(), nil) })
}

func benchmark(b *testing.B, addr string, dial func(context.Context, string, string) (net.Conn, error)) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DialFunc = testUser, "tcp", addr, dial
	cfg.Logger = log.New(io.Discard, "", 0)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		b.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	db.SetMaxIdleConns(16)
	db.SetMaxOpenConns(16)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		var one int
		for pb.Next() {
			if err := db.QueryRowContext(b.Context(), "SELECT 1").Scan(&one); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "statements/s")
}
