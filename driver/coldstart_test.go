package driver

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// trip is the way to a server and back.
const trip = 10 * time.Millisecond

// faraway is a connection to a server at the distance of a trip: what is read after something was written
// takes that long to come.
type faraway struct {
	net.Conn
	sent atomic.Bool
}

func (c *faraway) Write(p []byte) (int, error) {
	c.sent.Store(true)
	return c.Conn.Write(p)
}

func (c *faraway) Read(p []byte) (int, error) {
	if c.sent.Swap(false) {
		time.Sleep(trip)
	}
	return c.Conn.Read(p)
}

// TestColdStart counts the round trips, one after the other, until the first answer in a new process.
func TestColdStart(t *testing.T) {
	for _, test := range []struct {
		name    string
		cluster aurorasim.Config
		params  string
		more    int // round trips than the raw driver's
	}{
		{"aurora", aurorasim.Config{}, "", 2},
		{"aurora, no polls", aurorasim.Config{}, "fpProbeInterval=0&fpPoolSize=1", 2},
		{"aurora, told", aurorasim.Config{}, "fpTopology=aurora", 2},
		// It is asked what it is, which it is (to KILL there and nowhere else), and to track state.
		{"one server", aurorasim.Config{Plain: true, Instances: 1}, "", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubbleOver(t, test.cluster, "", []Option{WithLogger(slog.New(slog.DiscardHandler))}, func(r *rig) {
				host := r.sim.Endpoint()
				if test.cluster.Plain {
					host = r.sim.Writer().Endpoint()
				}
				dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := r.sim.DialContext(ctx, network, addr)
					time.Sleep(trip) // SYN
					return &faraway{Conn: conn}, err
				}
				first := func(db *sql.DB) int {
					defer db.Close()
					began := time.Now()
					r.must(r.read(db)())
					return int(time.Since(began) / trip)
				}
				plain := mysql.NewConfig()
				plain.User, plain.Passwd, plain.Net, plain.Addr, plain.DBName = "u", "secret", "tcp", host, "shop"
				plain.DialFunc = dial
				connector, err := mysql.NewConnector(plain)
				r.must(err)
				raw := first(sql.OpenDB(connector))

				cfg, err := ParseDSN("u:secret@tcp(" + host + ")/shop?" + test.params)
				r.must(err)
				db, err := OpenDB(cfg, WithDialer(dial), WithLogger(slog.New(slog.DiscardHandler)))
				r.must(err)
				ours := first(db)
				t.Logf("round trips until the first answer: %d raw, %d ours", raw, ours)
				if ours-raw > test.more {
					t.Errorf("%d more round trips than the raw driver's %d, want %d at most", ours-raw, raw, test.more)
				}
			})
		})
	}
}
