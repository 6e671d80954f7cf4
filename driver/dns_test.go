package driver

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// deployed is our driver under a small load in front of a simulated deployment that is no
// Aurora, in a bubble.
type deployed struct {
	*testing.T
	sim  *aurorasim.Cluster
	c    *Connector
	db   *sql.DB
	book *ledger.Ledger

	mu      sync.Mutex
	writes  []time.Time // that succeeded
	errs    []error     // of reads
	reads   int
	longest time.Duration // of them

	verdict ledger.Verdict // in the end
}

// deploy runs happen in the third second of a minute of load, and has the ledger judged.
func deploy(t *testing.T, config aurorasim.Config, params string, happen func(d *deployed), check func(d *deployed)) {
	t.Helper()
	deployAt(t, config, (*aurorasim.Cluster).Endpoint, "fpPoolSize=4&"+params, time.Minute, happen, check)
}

// deployAt is deploy with a DSN of these hosts, and so much load after what happens.
func deployAt(
	t *testing.T, config aurorasim.Config, hosts func(*aurorasim.Cluster) string, params string, after time.Duration, happen func(d *deployed), check func(d *deployed),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config.Upstream, config.Network = aurorasim.Fake(), aurorasim.Memory
		sim, err := aurorasim.Start(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		cfg, err := ParseDSN("u:secret@tcp(" + hosts(sim) + ")/shop?fpFailoverTimeout=1m&" + params)
		if err != nil {
			t.Fatal(err)
		}
		d := &deployed{T: t, sim: sim, book: ledger.New(ledger.WithClassifier(fateOf))}
		if d.c, err = NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)), WithDialer(sim.DialContext)); err != nil {
			t.Fatal(err)
		}
		d.db = sql.OpenDB(d.c)
		defer d.db.Close()
		if err := d.book.Setup(t.Context(), d.db); err != nil {
			t.Fatal(err)
		}
		stop := d.load()
		time.Sleep(3 * time.Second)
		happen(d)
		time.Sleep(after)
		if err := sim.Settled(t.Context()); err != nil {
			t.Error(err)
		}
		stop()
		check(d)
		verdict, err := d.book.Judge(t.Context(), d.db)
		if err != nil || !verdict.OK() || len(d.errs) > 0 {
			t.Errorf("ledger %s, %v; errors of reads: %v", verdict, err, d.errs)
		}
		d.verdict = verdict
		t.Logf("%s; %d writes; %s", verdict, len(d.writes), d.c.Snapshot())
		if g := d.c.Stats().Gate; g.Entered != g.Drained || g.Waiting != 0 {
			t.Errorf("gate: %+v", g)
		}
	})
}

// load writes, reads and transfers until stop is called.
func (d *deployed) load() (stop func()) {
	ctx, cancel := context.WithCancel(d.Context())
	var running sync.WaitGroup
	work := func(f func() error) {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := f(); err != nil {
					d.mu.Lock()
					d.errs = append(d.errs, err)
					d.mu.Unlock()
				}
				time.Sleep(53 * time.Millisecond)
			}
		})
	}
	for range 3 {
		work(func() error {
			if d.book.Write(d.Context(), d.db) == nil {
				d.mu.Lock()
				d.writes = append(d.writes, time.Now())
				d.mu.Unlock()
			}
			return nil
		})
		work(func() error { _ = d.book.Transfer(d.Context(), d.db); return nil })
	}
	work(func() error {
		began := time.Now()
		var n int64
		err := d.db.QueryRowContext(d.Context(), "SELECT balance FROM fp_accounts WHERE id = 1").Scan(&n)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reads, d.longest = d.reads+1, max(d.longest, time.Since(began))
		return err
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// firstWrite is how long after a moment the first write succeeded, and when there was none
// before.
func (d *deployed) firstWrite(since time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.IndexFunc(d.writes, func(at time.Time) bool { return !at.Before(since) }); i >= 0 {
		return d.writes[i].Sub(since)
	}
	return time.Hour
}

// strays are the statements of the application that an instance executed after a moment.
func (d *deployed) strays(id string, since time.Time) int {
	return d.sim.Count(func(s aurorasim.Statement) bool {
		return s.Instance == id && s.Received.After(since) && strings.Contains(s.SQL, "fp_")
	})
}

// named is when the name led to the new writer at last.
func (d *deployed) named() time.Time {
	for _, e := range slices.Backward(d.sim.Events()) {
		if e.Kind == aurorasim.EventDNS {
			return e.Time
		}
	}
	d.Fatal("the name leads where it did")
	return time.Time{}
}

// TestDNS: an RDS Multi-AZ instance under load fails over in all ways that its name, and the
// old server, may go along with.
func TestDNS(t *testing.T) {
	const (
		pause  = 500 * time.Millisecond  // between two look-ups
		steady = 5500 * time.Millisecond // the longest time between two polls
	)
	for name, tc := range map[string]struct {
		script aurorasim.Failover
		more   func(d *deployed) // while it runs
		within time.Duration     // of the name's change, the first write
		leave  time.Duration     // of the name's change, the last statement on the old server
	}{
		"dead":            {script: aurorasim.Failover{Kind: aurorasim.Kill, DNSAfter: 5 * time.Second}, within: pause},
		"dead, back soon": {script: aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: time.Second, DNSAfter: 5 * time.Second}, within: pause},
		"silent":          {script: aurorasim.Failover{Kind: aurorasim.Frozen, DNSAfter: 5 * time.Second}, within: pause + time.Second},
		"read-only":       {script: aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true, DNSAfter: 5 * time.Second}, within: pause},
		"still writes":    {script: aurorasim.Failover{StillWrites: 30 * time.Second, DNSAfter: 5 * time.Second}, within: pause, leave: steady},
		"still writes, resolvers disagree": {
			script: aurorasim.Failover{StillWrites: 30 * time.Second},
			more: func(d *deployed) {
				time.Sleep(time.Second)
				host, _, _ := net.SplitHostPort(d.sim.Endpoint())
				for range 400 {
					d.sim.SetDNS(host, "instance-1", "instance-2") // in turn
					time.Sleep(100 * time.Millisecond)
				}
				d.sim.SetDNS(host)
			},
			within: pause, leave: steady,
		},
		"read-only at first": {
			script: aurorasim.Failover{Kind: aurorasim.Kill, PromoteAfter: 10 * time.Second, DNSAfter: time.Millisecond},
			more: func(d *deployed) {
				time.Sleep(4 * time.Second)
				host, _, _ := net.SplitHostPort(d.sim.Endpoint())
				d.sim.SetDNS(host, "instance-2")
			},
			within: pause,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := aurorasim.Config{Deployment: aurorasim.MultiAZInstance, Instances: 2}
			deploy(t, config, "fpTopology=dns", func(d *deployed) {
				var more sync.WaitGroup
				defer more.Wait()
				if tc.more != nil {
					more.Go(func() { tc.more(d) })
				}
				f := tc.script
				if f.PromoteAfter == 0 {
					f.PromoteAfter = 3 * time.Second
				}
				if f.RestartAfter == 0 {
					f.RestartAfter = -1
				}
				if err := d.sim.Failover(d.Context(), f); err != nil {
					d.Fatal(err)
				}
			}, func(d *deployed) {
				if first := d.firstWrite(d.named()); first > tc.within+60*time.Millisecond {
					d.Errorf("the first write came %s after the name led to the new server", first)
				}
				if n := d.strays("instance-1", d.named().Add(tc.leave)); n > 0 {
					d.Errorf("%d statements on the old server later than %s after that", n, tc.leave)
				}
				s := d.c.Snapshot()
				if w := s.Writer(); w == nil || w.ID != "192.0.2.12:3306" || len(s.Instances) != 1 || s.Epoch == 1 {
					d.Errorf("in the end: %s", s)
				}
			})
		})
	}
}

// TestDNSResolverIsAway: while the name does not exist nothing happens to those who are connected.
func TestDNSResolverIsAway(t *testing.T) {
	config := aurorasim.Config{Deployment: aurorasim.MultiAZInstance, Instances: 2}
	deploy(t, config, "fpTopology=dns", func(d *deployed) {
		host, _, _ := net.SplitHostPort(d.sim.Endpoint())
		fault := d.sim.NXDomain(host)
		time.Sleep(20 * time.Second)
		fault.Clear()
	}, func(d *deployed) {
		if s := d.c.Snapshot(); s.Epoch != 1 || s.Writer() == nil || d.c.Stats().Gate.Entered > 0 {
			d.Errorf("%s; gate %+v", s, d.c.Stats().Gate)
		}
	})
}
