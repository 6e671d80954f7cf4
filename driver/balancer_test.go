package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestCancelBehindALoadBalancer: one address leads to two servers, whose connections have
// the same numbers.
func TestCancelBehindALoadBalancer(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		other, err := mysqld.Start(t.Context(), s.Flavor, mysqld.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		leads := atomic.Pointer[mysqld.Server]{}
		leads.Store(s)
		cfg, err := ParseDSN(s.User + ":" + s.Password + "@tcp(db.example.com:3306)/" + database + "?fpTopology=static&fpPoolSize=1&fpProbeInterval=1m")
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Exec(t.Context(), "CREATE DATABASE "+database); err != nil {
			t.Fatal(err)
		}
		st := stageOf(t, s, database, cfg, WithDialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, leads.Load().Addr())
		}))
		innocents, err := sql.Open("mysql", other.DSN(""))
		if err != nil {
			t.Fatal(err)
		}
		defer innocents.Close()
		id := st.number(st.db, "SELECT CONNECTION_ID()")
		twin, err := innocents.Conn(t.Context())
		for ; err == nil; twin, err = innocents.Conn(t.Context()) {
			var got int64
			if err = scanInto(t.Context(), twin, "SELECT CONNECTION_ID()", &got); got >= id || err != nil {
				if got != id {
					t.Fatalf("the other server is at %d already, %d is wanted: %v", got, id, err)
				}
				break
			}
			_ = twin.Raw(func(any) error { return driver.ErrBadConn })
		}
		if err != nil {
			t.Fatal(err)
		}
		leads.Store(other) // the KILL goes there
		innocent := make(chan error, 1)
		ready := make(chan struct{})
		go func() {
			defer twin.Close()
			close(ready)
			var v int64 = -1
			err := scanInto(context.Background(), twin, "SELECT SLEEP(1)", &v)
			if v != 0 {
				err = errors.Join(err, fmt.Errorf("SLEEP returned %d", v))
			}
			innocent <- err
		}()
		<-ready
		st.cancel(func() bool { return st.runs("cancel_me") > 0 }, func(ctx context.Context) error { return scan(ctx, st.db, "SELECT /*cancel_me*/ SLEEP(1)") })
		eventually(t, "the backend is closed", func() bool { return st.pool().Open == 0 })
		if err := <-innocent; err != nil {
			t.Errorf("the statement with number %d on the other server: %v", id, err)
		}
		k := st.c.Stats().Cancels
		if k.Killed != 0 || k.Failed != 1 || k.Connections != 1 {
			t.Errorf("killed %d, failed %d, connections %d", k.Killed, k.Failed, k.Connections)
		}
		t.Logf("thread %d on both; ctx.Err() after %s", id, percentiles10(st.latencies))
	})
}
