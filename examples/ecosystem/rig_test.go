package ecosystem

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	_ "github.com/failoverproxy/failoverproxy"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.DiscardHandler))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"), // looks for old statements for ever
		goleak.IgnoreAnyFunction(mysqld.RunFunction), goleak.Cleanup(mysqld.Exit))
}

// cluster is a simulated Aurora cluster over a real server, which any program reaches by its DSN.
type cluster struct {
	*testing.T
	*aurorasim.Cluster
	dsn  string
	root *sql.DB // the wrapped driver's, straight to the server
}

// outage is how long the cluster has no writer in a failover.
const outage = 300 * time.Millisecond

// each runs a test on a cluster over each server.
func each(t *testing.T, f func(t *testing.T, c *cluster)) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		t.Run(flavor.String(), func(t *testing.T) {
			t.Parallel()
			f(t, start(t, flavor))
		})
	}
}

func start(t *testing.T, flavor mysqld.Flavor) *cluster {
	t.Helper()
	s, database := mysqld.Shared(t, flavor)
	upstream, err := aurorasim.Server(s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	port := aurorasim.LoopbackPort(t)
	sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: upstream, Network: aurorasim.Loopback, IDs: []string{"11", "12", "13"}, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	c := &cluster{T: t, Cluster: sim, dsn: fmt.Sprintf("%s:%s@tcp(127.0.0.11:%d,127.0.0.12:%d)/%s?fpInstanceHost=127.0.0.?:%d", s.User, s.Password, port, port, database, port)}
	if c.root, err = sql.Open("mysql", s.DSN(database)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.root.Close() })
	if _, err := c.root.ExecContext(t.Context(), "CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, item VARCHAR(64) NOT NULL, quantity INT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	return c
}

// failover kills the writer and promotes another instance, and returns when that takes writes.
func (c *cluster) failover() {
	c.Helper()
	if err := c.Failover(c.Context(), aurorasim.Failover{Kind: aurorasim.Kill, PromoteAfter: outage, RestartAfter: 2 * time.Second}); err != nil {
		c.Fatal(err)
	}
}

// orders counts the rows as the server has them.
func (c *cluster) orders() (n int) {
	c.Helper()
	if err := c.root.QueryRowContext(c.Context(), "SELECT COUNT(*) FROM orders").Scan(&n); err != nil {
		c.Fatal(err)
	}
	return n
}

// went says where statements went whose text contains part, since the log was reset: how many of
// them to the writer, and to readers.
func (c *cluster) went(part string) (writer, readers int) {
	for _, r := range c.Relays(aurorasim.Contains(part)) {
		if r.Instance == c.Writer().ID {
			writer++
		} else {
			readers++
		}
	}
	return writer, readers
}

// goes checks where what f does goes to.
func (c *cluster) goes(what, part string, writer, readers int, f func() error) {
	c.Helper()
	c.ResetLog()
	if err := f(); err != nil {
		c.Errorf("%s: %v", what, err)
	}
	if w, r := c.went(part); w != writer || r != readers {
		c.Errorf("%s: %q went to the writer %d times and to readers %d times, want %d and %d", what, part, w, r, writer, readers)
		for _, r := range c.Relays(nil) {
			c.Logf("%s %v %s", r.Instance, r.Command, r.SQL)
		}
	}
}

// outlives has a library read all the time, and lose the writer in the middle of a transaction.
// count counts the orders with the library. order places two in a transaction that begins again,
// and calls middle between them.
func (c *cluster) outlives(count func(ctx context.Context) (int, error), order func(ctx context.Context, middle func()) error) {
	c.Helper()
	ctx, stop := context.WithTimeout(c.Context(), 20*time.Second)
	defer stop()
	if err := order(ctx, func() {}); err != nil {
		c.Fatalf("a transaction before the failover: %v", err)
	}
	reading, done := context.WithCancel(ctx)
	var readers sync.WaitGroup
	var during atomic.Int64
	for range 2 {
		readers.Go(func() {
			for reading.Err() == nil {
				n, err := count(ctx)
				if err != nil || n != 2 && n != 4 {
					c.Errorf("read: %d orders, %v", n, err)
					return
				}
				if c.Writer() == nil {
					during.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	tries := 0
	err := order(ctx, func() {
		if tries++; tries == 1 {
			c.failover()
		}
	})
	done()
	readers.Wait()
	if err != nil || tries != 2 {
		c.Errorf("the transaction was run %d times: %v", tries, err)
	}
	if n := c.orders(); n != 4 {
		c.Errorf("%d orders, want 4", n)
	}
	if n, err := count(ctx); n != 4 || err != nil {
		c.Errorf("the library counts %d orders: %v", n, err)
	}
	if during.Load() == 0 {
		c.Error("nothing was read while there was no writer")
	}
}
