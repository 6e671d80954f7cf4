package driver

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/topology"
)

// load is what runs while a cluster changes: sessions that read as text and prepared, and
// sessions that write.
type load struct {
	*rig
	stop    chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	longest time.Duration // read or write
	reads   int
	acked   int // writes that were acknowledged
	refused int // writes that surely did not run
	inDoubt int
}

// load starts six sessions.
func (r *rig) load() *load {
	l := &load{rig: r, stop: make(chan struct{})}
	st, err := r.db.PrepareContext(r.Context(), "SELECT n FROM one WHERE n = ?")
	r.must(err)
	r.Cleanup(func() { _ = st.Close() })
	for i := range 2 {
		pause := time.Duration(20+3*i) * time.Millisecond
		l.session(pause, func() {
			if _, err := r.rows(r.Context(), r.db, selectOne); err != nil {
				r.Errorf("read: %v", err)
			}
			l.count(func() { l.reads++ })
		})
		l.session(pause+time.Millisecond, func() {
			var n int
			if err := st.QueryRowContext(r.Context(), 1).Scan(&n); err != nil {
				r.Errorf("prepared read: %v", err)
			}
			l.count(func() { l.reads++ })
		})
		l.session(pause+2*time.Millisecond, func() {
			err := r.exec(r.db, insert)
			fate := fateOf(err)
			l.count(func() {
				switch {
				case err == nil:
					l.acked++
				case fate == ledger.NotExecuted:
					l.refused++
				default:
					l.inDoubt++
				}
			})
		})
	}
	return l
}

func (l *load) session(pause time.Duration, work func()) {
	l.running.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			case <-time.After(pause):
			}
			start := time.Now()
			work()
			l.count(func() { l.longest = max(l.longest, time.Since(start)) })
		}
	})
}

func (l *load) count(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// end stops the load and checks its books: no write ran that was said not to have run, none
// twice.
func (l *load) end(atMost time.Duration) {
	l.Helper()
	close(l.stop)
	l.running.Wait()
	if n := l.reached(insert); n < l.acked || n > l.acked+l.inDoubt {
		l.Errorf("%d writes reached the server, %d were acknowledged, %d are in doubt", n, l.acked, l.inDoubt)
	}
	if l.refused > 0 {
		l.Errorf("%d writes failed that had not run", l.refused)
	}
	if l.longest > atMost {
		l.Errorf("somebody waited for %s, want %s at most", l.longest, atMost)
	}
	g := l.c.Stats().Gate
	if g.TimedOut+g.Cancelled+g.Refused != 0 {
		l.Errorf("gate: %+v", g)
	}
	if n := l.c.Stats().MonitorConnections; n != 1 {
		l.Errorf("%d connections of the monitor", n)
	}
	l.Logf("%d reads, %d writes, %d in doubt, longest %s; gate %+v; %s", l.reads, l.acked, l.inDoubt, l.longest, g, l.c.Snapshot())
}

// TestView lets what a program knows of its cluster die in every way, under load: no read
// has an error, no write runs twice, and everybody goes on.
func TestView(t *testing.T) {
	host := func(addr string) string {
		host, _, _ := net.SplitHostPort(addr)
		return host
	}
	crash := func(r *rig) {
		for _, i := range r.sim.Instances() {
			r.must(i.Crash(r.Context()))
		}
	}
	for name, test := range map[string]struct {
		params string
		run    func(r *rig)
		atMost time.Duration
		writer string // afterwards
		count  int    // of instances, afterwards
	}{
		"the endpoint's name is gone for a while": {"", func(r *rig) {
			f := r.sim.NXDomain(host(r.sim.Endpoint()))
			defer f.Clear()
			time.Sleep(20 * time.Second)
			r.failover(aurorasim.Kill)
			time.Sleep(20 * time.Second)
		}, 1100 * time.Millisecond, "instance-2", 3},
		"all names are gone for a while": {"", func(r *rig) {
			faults := []*aurorasim.Fault{r.sim.NXDomain(host(r.sim.Endpoint()))}
			for _, i := range r.sim.Instances() {
				faults = append(faults, r.sim.NXDomain(host(i.Endpoint())))
			}
			time.Sleep(20 * time.Second) // what is connected goes on
			r.sim.Writer().ResetConnections()
			time.Sleep(10 * time.Second) // and now nobody gets anywhere
			for _, f := range faults {
				f.Clear()
			}
			time.Sleep(10 * time.Second)
		}, 11 * time.Second, "instance-1", 3},
		"no name but the endpoint's exists for a while": {"", func(r *rig) {
			var faults []*aurorasim.Fault
			for _, i := range r.sim.Instances() {
				faults = append(faults, r.sim.NXDomain(host(i.Endpoint())))
			}
			r.sim.Writer().ResetConnections()
			time.Sleep(10 * time.Second)
			for _, f := range faults {
				f.Clear()
			}
			time.Sleep(10 * time.Second)
		}, 11 * time.Second, "instance-1", 3},
		"all instances are gone and back with other addresses": {"", func(r *rig) {
			crash(r)
			time.Sleep(10 * time.Second)
			r.must(r.sim.Restore(r.Context(), "instance-1", "instance-2", "instance-3"))
			time.Sleep(10 * time.Second)
		}, 11 * time.Second, "instance-1", 3},
		"the same, another one as the writer": {"", func(r *rig) {
			crash(r)
			time.Sleep(10 * time.Second)
			r.must(r.sim.Restore(r.Context(), "instance-3", "instance-2", "instance-1"))
			time.Sleep(10 * time.Second)
		}, 11 * time.Second, "instance-3", 3},
		"restored from a snapshot": {"", func(r *rig) {
			crash(r)
			time.Sleep(10 * time.Second)
			r.must(r.sim.Restore(r.Context(), "restored-1", "restored-2"))
			time.Sleep(10 * time.Second)
		}, 11 * time.Second, "restored-1", 2},
		"restored from a snapshot under our feet": {"", func(r *rig) {
			r.must(r.sim.Restore(r.Context(), "restored-1", "restored-2"))
			time.Sleep(20 * time.Second)
		}, 2 * time.Second, "restored-1", 2},
		"a reader is added": {"", func(r *rig) {
			_, err := r.sim.Add("instance-4")
			r.must(err)
			time.Sleep(20 * time.Second)
		}, time.Millisecond, "instance-1", 4},
		"a reader is removed": {"", func(r *rig) {
			r.must(r.sim.Remove(r.Context(), "instance-2"))
			time.Sleep(20 * time.Second)
		}, time.Millisecond, "instance-1", 2},
		"a reader is added and promoted": {"", func(r *rig) {
			_, err := r.sim.Add("instance-4")
			r.must(err)
			r.must(r.sim.Failover(r.Context(), aurorasim.Failover{To: "instance-4", PromoteAfter: time.Second, RestartAfter: time.Second}))
			time.Sleep(20 * time.Second)
		}, 1200 * time.Millisecond, "instance-4", 4},
		"a reader is renamed": {"", func(r *rig) {
			r.must(r.sim.Rename(r.Context(), "instance-2", "other"))
			time.Sleep(20 * time.Second)
		}, time.Millisecond, "instance-1", 3},
		"the writer is renamed": {"", func(r *rig) {
			r.must(r.sim.Rename(r.Context(), "instance-1", "other"))
			time.Sleep(20 * time.Second)
		}, 2 * time.Second, "other", 3},
		"the writer is removed, a reader promoted": {"", func(r *rig) {
			r.must(r.sim.Remove(r.Context(), "instance-1"))
			time.Sleep(time.Second)
			r.must(r.sim.Promote(r.Context(), "instance-2"))
			time.Sleep(20 * time.Second)
		}, 1200 * time.Millisecond, "instance-2", 2},
		"one instance, which crashes and restarts in place": {"", func(r *rig) {
			r.must(r.sim.Remove(r.Context(), "instance-2"))
			r.must(r.sim.Remove(r.Context(), "instance-3"))
			time.Sleep(20 * time.Second)
			crash(r)
			time.Sleep(8 * time.Second)
			r.must(r.sim.Instance("instance-1").Return())
			r.must(r.sim.Promote(r.Context(), "instance-1"))
			time.Sleep(20 * time.Second)
		}, 8200 * time.Millisecond, "instance-1", 1},
		"scaled to zero and back": {"fpFailoverTimeout=2m", func(r *rig) {
			crash(r)
			time.Sleep(60 * time.Second)
			for _, i := range r.sim.Instances() {
				r.must(i.Return())
			}
			r.must(r.sim.Promote(r.Context(), "instance-1"))
			time.Sleep(20 * time.Second)
		}, 60200 * time.Millisecond, "instance-1", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, test.params, func(r *rig) {
				l := r.load()
				time.Sleep(time.Second)
				test.run(r)
				l.end(test.atMost)
				s := r.c.Snapshot()
				if w := s.Writer(); w == nil || w.ID != test.writer || len(s.Instances) != test.count {
					r.Errorf("%s, want %s as the writer of %d", s, test.writer, test.count)
				}
				ctx := failover.WithoutRetry(context.Background())
				if _, err := r.db.ExecContext(ctx, insert); err != nil {
					r.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// TestNoSockets: a process that has no sockets left goes on with what it has, and blames no
// instance for it.
func TestNoSockets(t *testing.T) {
	var none atomic.Bool
	told := Hooks{SnapshotChanged: func(_, _ *topology.Snapshot, events []topology.Event) {
		for _, e := range events {
			if none.Load() && e.Kind != topology.Warning {
				t.Errorf("%s", e)
			}
		}
	}}
	bubble(t, "", func(r *rig) {
		cfg, err := ParseDSN("u:secret@tcp(" + r.sim.Endpoint() + ")/shop")
		r.must(err)
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if none.Load() {
				return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("socket", syscall.EMFILE)}
			}
			return r.sim.DialContext(ctx, network, addr)
		}
		c, err := NewConnector(cfg, WithDialer(dial), WithHooks(told), WithLogger(slog.New(slog.DiscardHandler)))
		r.must(err)
		p := &rig{T: r.T, sim: r.sim, script: r.script, c: c, db: sql.OpenDB(c)}
		defer p.db.Close()
		p.must(p.exec(p.db, insert))
		none.Store(true)
		var all sync.WaitGroup
		for range 3 { // two of them need a connection that cannot be made
			all.Go(func() {
				tx, err := p.db.BeginTx(p.Context(), nil)
				p.must(err)
				time.Sleep(5 * time.Second)
				p.must(p.exec(tx, update))
				p.must(tx.Commit())
			})
		}
		time.Sleep(11 * time.Second)
		none.Store(false)
		all.Wait()
	})
}
