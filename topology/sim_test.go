package topology_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/topology"
)

// simulated runs a test with a simulated Aurora and the real wrapped driver, in a
// bubble. The hook checks that an old writer is never believed after a promotion.
func simulated(t *testing.T, test func(t *testing.T, sim *aurorasim.Cluster, m *topology.Monitor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: aurorasim.Fake(), Network: aurorasim.Memory})
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		m, err := topology.NewMonitor(topology.Config{
			Seeds: []string{sim.Endpoint()}, Dial: dialer(sim), Logger: slog.New(slog.DiscardHandler),
			Hooks: topology.Hooks{SnapshotChanged: func(_, s *topology.Snapshot, _ []topology.Event) {
				if w := s.Writer(); w != nil && !sim.Instance(w.ID).Writer() && time.Since(sim.PromotedAt()) < time.Minute {
					t.Errorf("%s is taken for the writer: %s", w.ID, s)
				}
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if _, err := m.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w := m.Snapshot().Writer(); w == nil || w.ID != sim.Writer().ID {
			t.Fatal(m.Snapshot())
		}
		test(t, sim, m)
	})
}

func dialer(sim *aurorasim.Cluster) func(context.Context, string) (topology.Conn, error) {
	return func(ctx context.Context, addr string) (topology.Conn, error) {
		cfg := mysql.NewConfig()
		cfg.Net, cfg.Addr, cfg.User = "tcp", addr, "root"
		cfg.Logger = &mysql.NopLogger{}
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return sim.DialContext(ctx, network, addr)
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, err
		}
		conn, err := connector.Connect(ctx)
		if err != nil {
			return nil, err
		}
		c, ok := conn.(topology.Conn)
		if !ok {
			return nil, fmt.Errorf("%T", conn)
		}
		return c, nil
	}
}

// reports lets statements meet the fault, as often as they may.
func reports(m *topology.Monitor, reason topology.Reason) {
	s := m.Snapshot()
	if w := s.Writer(); w != nil {
		m.Suspect(w.ID, s.Epoch, reason)
	}
}

// found waits for the promoted instance to be the usable writer, and returns how long
// after its promotion that was.
func found(t *testing.T, sim *aurorasim.Cluster, m *topology.Monitor) time.Duration {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		synctest.Wait()
		if w := m.Snapshot().Writer(); w != nil && sim.Instance(w.ID).Writer() {
			return time.Since(sim.PromotedAt())
		}
		if time.Now().After(deadline) {
			t.Fatalf("not found in a minute: %s", m.Snapshot())
		}
	}
}

func TestSimulatedFailovers(t *testing.T) {
	for name, tc := range map[string]struct {
		failover aurorasim.Failover
		reason   topology.Reason
		quiet    bool // no statement notices: the steady poll has to
		within   time.Duration
	}{
		"kill":                           {failover: aurorasim.Failover{Kind: aurorasim.Kill}, reason: topology.ReasonConnectionLost},
		"kill, row dropped":              {failover: aurorasim.Failover{Kind: aurorasim.Kill, DropRow: true}, reason: topology.ReasonConnectionLost},
		"kill, stale views":              {failover: aurorasim.Failover{Kind: aurorasim.Kill, StaleViews: 5 * time.Second}, reason: topology.ReasonConnectionLost},
		"kill, old writer believes":      {failover: aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: time.Second, BelievesWriter: 20 * time.Second}, reason: topology.ReasonConnectionLost},
		"kill, believes and stale views": {failover: aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: time.Second, BelievesWriter: 20 * time.Second, StaleViews: 10 * time.Second}, reason: topology.ReasonConnectionLost},
		"kill, promoted drops":           {failover: aurorasim.Failover{Kind: aurorasim.Kill, DropPromoted: true}, reason: topology.ReasonConnectionLost},
		"kill, unnoticed":                {failover: aurorasim.Failover{Kind: aurorasim.Kill}, quiet: true, within: 5600 * time.Millisecond},
		"switchover":                     {failover: aurorasim.Failover{Kind: aurorasim.Switchover}, reason: topology.ReasonGoodbye},
		"switchover, connections kept":   {failover: aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true}, reason: topology.ReasonReadOnly},
		"switchover, unnoticed":          {failover: aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true}, quiet: true, within: 5600 * time.Millisecond},
		"frozen":                         {failover: aurorasim.Failover{Kind: aurorasim.Frozen}, reason: topology.ReasonSilence},
		"frozen, old writer believes":    {failover: aurorasim.Failover{Kind: aurorasim.Frozen, RestartAfter: time.Second, BelievesWriter: 20 * time.Second}, reason: topology.ReasonSilence},
		"frozen, unnoticed":              {failover: aurorasim.Failover{Kind: aurorasim.Frozen}, quiet: true, within: 7600 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			simulated(t, func(t *testing.T, sim *aurorasim.Cluster, m *topology.Monitor) {
				old := sim.Writer().ID
				f := tc.failover
				f.PromoteAfter = 3 * time.Second
				if f.RestartAfter == 0 {
					f.RestartAfter = 2 * time.Second
				}
				var script sync.WaitGroup
				script.Go(func() {
					if err := sim.Failover(t.Context(), f); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(time.Millisecond)
				if !tc.quiet {
					reports(m, tc.reason)
				}
				script.Wait()
				within := tc.within
				if within == 0 {
					within = 150 * time.Millisecond
				}
				if took := found(t, sim, m); took > within {
					t.Errorf("took %s after the promotion, want %s", took, within)
				}
				// Lost connections while the old writer comes back, in whatever belief.
				for range 30 {
					time.Sleep(time.Second)
					reports(m, topology.ReasonConnectionLost)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				s := m.Snapshot()
				if s.Writer() == nil || s.Writer().ID == old || s.Lookup(old) == nil || s.Lookup(old).Role != topology.Reader || s.Lookup(old).State != topology.StateUp {
					t.Errorf("in the end: %s", s)
				}
				if n := m.Connections(); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

func TestSimulatedFaultsThatAreNoFailover(t *testing.T) {
	for name, fault := range map[string]func(sim *aurorasim.Cluster) (clear func()){
		"monitor's connection reset": func(sim *aurorasim.Cluster) func() { sim.Writer().ResetConnections(); return func() {} },
		"monitor's connection closed": func(sim *aurorasim.Cluster) func() {
			sim.Writer().CloseConnections()
			return func() {}
		},
		"too many connections":  func(sim *aurorasim.Cluster) func() { return sim.Writer().TooManyConnections().Clear },
		"a reader is dead":      func(sim *aurorasim.Cluster) func() { return sim.Readers()[0].BlackHole().Clear },
		"a reader is behind":    func(sim *aurorasim.Cluster) func() { return sim.Readers()[0].HoldView().Clear },
		"the endpoint is gone":  func(sim *aurorasim.Cluster) func() { return sim.NXDomain(sim.Endpoint()).Clear },
		"the endpoint moved on": func(sim *aurorasim.Cluster) func() { sim.SetDNS(sim.Endpoint(), sim.Readers()[0].ID); return func() {} },
	} {
		t.Run(name, func(t *testing.T) {
			simulated(t, func(t *testing.T, sim *aurorasim.Cluster, m *topology.Monitor) {
				clear := fault(sim)
				for range 60 {
					time.Sleep(time.Second)
					if w := m.Snapshot().Writer(); w == nil || m.Snapshot().Epoch != 1 {
						t.Fatal(m.Snapshot())
					}
				}
				clear()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := m.Connections(); n != 1 || m.Snapshot().Epoch != 1 {
					t.Errorf("%d connections, %s", n, m.Snapshot())
				}
			})
		})
	}
}

// TestSimulatedLateStart: the process starts after a failover, is led to the old writer
// by a name that is behind, and that one still believes that it is the writer.
func TestSimulatedLateStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: aurorasim.Fake(), Network: aurorasim.Memory})
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		old := sim.Writer().ID
		f := aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: time.Second, BelievesWriter: 40 * time.Second, DNSAfter: time.Hour}
		if err := sim.Failover(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		m, err := topology.NewMonitor(topology.Config{
			Seeds: []string{sim.Endpoint()}, Dial: dialer(sim), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if s, err := m.Discover(t.Context()); err != nil || s.Writer() == nil || s.Writer().ID != old {
			t.Fatalf("%s, %v: this test is about something else", s, err)
		}
		right := func() bool {
			synctest.Wait()
			w := m.Snapshot().Writer()
			return w != nil && sim.Instance(w.ID).Writer()
		}
		// Writes hang there, which is noticed. Who answers first is chance, and all of it is
		// in one instant of the table's time: it may take a second look.
		for n := 0; !right(); n++ {
			if n == 3 {
				t.Fatal(m.Snapshot())
			}
			time.Sleep(2 * time.Second)
			reports(m, topology.ReasonSilence)
		}
		for range 60 {
			if !right() {
				t.Fatal(m.Snapshot())
			}
			reports(m, topology.ReasonConnectionLost)
			time.Sleep(time.Second)
		}
		if in := m.Snapshot().Lookup(old); in.Role != topology.Reader || in.State != topology.StateUp {
			t.Errorf("in the end: %s", m.Snapshot())
		}
	})
}

// TestRefusedByOneThatLeaves: a reader has no room for the monitor's question and is taken out of the
// list before it has said so.
func TestRefusedByOneThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, err := aurorasim.Start(t.Context(), aurorasim.Config{
			Upstream: aurorasim.Fake(), Network: aurorasim.Memory, Deployment: aurorasim.MultiAZCluster,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		full, dial := errors.New("too many connections"), dialer(sim)
		leaver := sim.Instance("instance-2") // whose turn it is first
		var left atomic.Bool
		m, err := topology.NewMonitor(topology.Config{
			Provider: "multiAZCluster", Seeds: []string{sim.Endpoint()}, Logger: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, addr string) (topology.Conn, error) {
				if left.Load() && addr == leaver.Endpoint() {
					time.Sleep(10 * time.Millisecond)
					return nil, full
				}
				return dial(ctx, addr)
			},
			Explain: func(err error) topology.Problem {
				if errors.Is(err, full) {
					return topology.ProblemBusy
				}
				return topology.ProblemOther
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if _, err := m.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		left.Store(true)
		if err := sim.Remove(t.Context(), leaver.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := m.Snapshot(); s.Lookup(leaver.ID) != nil || s.Writer() == nil {
			t.Error(s)
		}
	})
}
