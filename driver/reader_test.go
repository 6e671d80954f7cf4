package driver

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/pool"
)

// drained has the readers answer reads: there is no writer, and none is looked for.
func (r *rig) drained() {
	r.Helper()
	r.must(r.c.Drain(r.Context(), r.sim.Writer().ID))
}

// reads has so many goroutines read for so long, and returns which instances they reached.
func (r *rig) reads(clients int, d time.Duration) map[string]float64 {
	r.Helper()
	before := len(r.sim.Seen(selectOne))
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := r.read(r.db)(); err != nil {
					r.Error(err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	all.Wait()
	seen := r.sim.Seen(selectOne)[before:]
	shares := make(map[string]float64)
	for _, s := range seen {
		shares[s.Instance]++
	}
	for id := range shares {
		shares[id] /= float64(len(seen))
	}
	r.Logf("%d reads: %.3v", len(seen), shares)
	return shares
}

func (r *rig) statsOf(id string) pool.InstanceStats {
	r.Helper()
	for _, s := range r.c.Stats().Pool.Instances {
		if s.ID == id {
			return s
		}
	}
	r.Fatalf("no %s", id)
	return pool.InstanceStats{}
}

// distant is a connection to somewhere far away.
type distant struct {
	net.Conn
	travel time.Duration
}

func (d distant) Write(p []byte) (int, error) {
	time.Sleep(d.travel)
	return d.Conn.Write(p)
}

// TestReaderChoice: which reader answers.
func TestReaderChoice(t *testing.T) {
	const two, three = "instance-2", "instance-3"
	reads := aurorasim.SQL(selectOne)
	slow := func(r *rig) {
		r.sim.Instance(two).Delay(time.Millisecond, reads)
		r.sim.Instance(three).Delay(10*time.Millisecond, reads)
	}
	between := func(r *rig, share, low, high float64) {
		r.Helper()
		if share < low || share > high {
			r.Errorf("a share of %.3f, want %.3f to %.3f", share, low, high)
		}
	}
	for name, test := range map[string]struct {
		params string
		f      func(r *rig)
	}{
		"leastLoaded": {"", func(r *rig) {
			slow(r)
			r.reads(1, time.Second) // to learn it
			between(r, r.reads(1, 2*time.Second)[three], 0.04, 0.15)
			between(r, r.reads(12, 2*time.Second)[three], 0.05, 0.2)
			if s := r.statsOf(three); s.Latency < 10*time.Millisecond || s.Latency > 11*time.Millisecond || s.Weight <= 0 || s.Weight > 1 || s.Outstanding != 0 {
				r.Errorf("%+v", s)
			}
		}},
		"without an allocation": {"fpReaderWeights=instance-2:3,*:1&fpReaderLatencyWindow=1ms", func(r *rig) {
			s := r.c.Snapshot()
			if n := testing.AllocsPerRun(1000, func() { r.c.cluster.reader(s, time.Hour) }); n != 0 {
				r.Errorf("%v allocations", n)
			}
		}},
		"roundRobin": {"fpReaderStrategy=roundRobin", func(r *rig) {
			slow(r)
			between(r, r.reads(4, 2*time.Second)[three], 0.49, 0.51)
		}},
		"random": {"fpReaderStrategy=random&fpReaderWeights=instance-2:0", func(r *rig) {
			between(r, r.reads(4, time.Second)[three], 1, 1)
		}},
		"weighted": {"fpReaderStrategy=weighted&fpReaderWeights=instance-2:3,*:1", func(r *rig) {
			between(r, r.reads(4, 5*time.Second)[two], 0.75*0.95, 0.75*1.05)
		}},
		"weights without a load": {"fpReaderWeights=instance-2:3", func(r *rig) {
			between(r, r.reads(1, 5*time.Second)[two], 0.7, 0.8)
		}},
		"no weight, but nobody else": {"fpReaderWeights=instance-2:0", func(r *rig) {
			between(r, r.reads(4, time.Second)[two], 0, 0)
			r.must(r.sim.Instance(three).Crash(r.Context()))
			suspect(r.c, three)
			time.Sleep(2 * time.Second)
			between(r, r.reads(4, time.Second)[two], 1, 1)
		}},
		"one that is back": {"", func(r *rig) {
			time.Sleep(pool.Warmup)
			r.must(r.sim.Instance(three).Crash(r.Context()))
			suspect(r.c, three)
			time.Sleep(2 * time.Second)
			between(r, r.reads(6, time.Second)[three], 0, 0)
			dials := r.statsOf(two).Dials
			r.must(r.sim.Instance(three).Return())
			time.Sleep(200 * time.Millisecond)
			between(r, r.reads(6, 2*time.Second)[three], 0.03, 0.2)
			time.Sleep(pool.Warmup)
			between(r, r.reads(6, 2*time.Second)[three], 0.45, 0.55)
			if s := r.statsOf(two); s.Open < int(dials) {
				r.Errorf("connections were closed for it: %+v", s)
			}
		}},
		"one that lets nobody in": {"", func(r *rig) {
			full := r.sim.Instance(three).TooManyConnections()
			between(r, r.reads(4, 500*time.Millisecond)[three], 0, 0)
			s := r.statsOf(three)
			if s.ShunnedUntil.IsZero() || s.Weight != 0 || s.DialErrors > 20 {
				r.Errorf("%+v", s)
			}
			r.reads(2, 9*time.Second)
			if s = r.statsOf(three); s.DialErrors > 40 || time.Until(s.ShunnedUntil) < 500*time.Millisecond {
				r.Errorf("%+v", s)
			}
			full.Clear()
			time.Sleep(time.Until(s.ShunnedUntil) + time.Second)
			share := r.reads(4, time.Second)[three]
			between(r, share, 0.02, 0.5)
			time.Sleep(pool.Warmup)
			between(r, r.reads(4, time.Second)[three], 0.4, 0.6)
		}},
		"who makes its callers give up": {"", func(r *rig) {
			r.sim.Instance(three).Delay(time.Second, reads)
			late := 0
			for range 400 {
				ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
				if _, err := r.rows(ctx, r.db, selectOne); err != nil {
					late++
				}
				cancel()
			}
			if late == 0 || late > 60 {
				r.Errorf("%d of 400 reads were too late", late)
			}
		}},
		"who is not waited for": {"", func(r *rig) {
			r.sim.Instance(three).Delay(time.Second, reads)
			r.sim.Instance(two).Delay(time.Second, reads)
			for range 10 {
				ctx, cancel := context.WithCancel(r.Context())
				time.AfterFunc(time.Millisecond, cancel)
				if _, err := r.rows(ctx, r.db, selectOne); err == nil {
					r.Error("it was")
				}
			}
			if two, three := r.statsOf(two), r.statsOf(three); two.Latency != 0 || three.Latency != 0 || !two.ShunnedUntil.IsZero() || !three.ShunnedUntil.IsZero() {
				r.Errorf("%+v, %+v", two, three)
			}
		}},
		"who is near": {"fpReaderLatencyWindow=2ms&fpPoolSize=4", func(r *rig) {
			c, err := NewConnector(r.c.cluster.cfg, WithLogger(slog.New(slog.DiscardHandler)), WithDialer(
				func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := r.sim.DialContext(ctx, network, addr)
					if strings.HasPrefix(addr, three) {
						conn = distant{conn, 5 * time.Millisecond}
					}
					return conn, err
				}))
			r.must(err)
			db := sql.OpenDB(c)
			defer db.Close()
			r.c, r.db = c, db
			r.drained()
			r.sim.Instance(two).Delay(10*time.Millisecond, reads) // its statements, not the way
			time.Sleep(pool.Warmup)
			if s := r.statsOf(three); s.RoundTrip != 5*time.Millisecond || s.Dials != 1 {
				r.Errorf("%+v", s)
			}
			between(r, r.reads(3, 2*time.Second)[three], 0, 0)
			between(r, r.reads(12, 2*time.Second)[three], 0.4, 0.9)
			r.must(r.sim.Instance(two).Crash(r.Context()))
			suspect(r.c, two)
			time.Sleep(2 * time.Second)
			between(r, r.reads(3, 2*time.Second)[three], 1, 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, "fpMaxReplicaLag=1s&fpReadYourWrites=0&"+test.params, func(r *rig) {
				r.drained()
				test.f(r)
			})
		})
	}
}

// TestWeightsOfStrangers are warned of, once.
func TestWeightsOfStrangers(t *testing.T) {
	var log bytes.Buffer
	bubbleWith(t, "fpReaderWeights=instance-2:3,instance-9:1,*:1", []Option{WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}, func(r *rig) {
		r.failover(aurorasim.Kill)
		time.Sleep(time.Minute)
		r.must(r.db.Close())
		if s := log.String(); strings.Count(s, "fpReaderWeights") != 1 || !strings.Contains(s, `named=instance-9 instances="instance-1, instance-2, instance-3"`) {
			r.Error(s)
		}
	})
}
