package driver

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/topology"
)

// TestMultiAZCluster: an RDS Multi-AZ DB cluster under load fails over in all ways.
func TestMultiAZCluster(t *testing.T) {
	for name, tc := range map[string]struct {
		script aurorasim.Failover
		within time.Duration // of the promotion, the first write
	}{
		"kill":                      {aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: 5 * time.Second}, 100 * time.Millisecond},
		"kill, old writer believes": {aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: time.Second, BelievesWriter: 30 * time.Second}, 100 * time.Millisecond},
		"kill, old writer stays away": {
			aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: -1}, 100 * time.Millisecond,
		},
		"switchover": {aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true}, 100 * time.Millisecond},
		"restart":    {aurorasim.Failover{Kind: aurorasim.Switchover, RestartAfter: 5 * time.Second}, 100 * time.Millisecond},
		"silent":     {aurorasim.Failover{Kind: aurorasim.Frozen, RestartAfter: 5 * time.Second}, 100 * time.Millisecond},
		"silent, old writer believes": {
			aurorasim.Failover{Kind: aurorasim.Frozen, RestartAfter: time.Second, BelievesWriter: 30 * time.Second}, 100 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := aurorasim.Config{Deployment: aurorasim.MultiAZCluster}
			deploy(t, config, "fpTopology=multiAZCluster", func(d *deployed) {
				d.settled("epoch 2: instance-1 writer up, instance-2 reader up, instance-3 reader up")
				f := tc.script
				f.PromoteAfter, f.DNSAfter = 4*time.Second, 20*time.Second
				if err := d.sim.Failover(d.Context(), f); err != nil {
					d.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				d.storm() // while the old writer is back, in whatever belief
			}, func(d *deployed) {
				if first := d.firstWrite(d.sim.PromotedAt()); first > tc.within+60*time.Millisecond {
					d.Errorf("the first write came %s after the promotion", first)
				}
				if n := d.strays("instance-1", d.sim.PromotedAt()); n > 0 && tc.script.BelievesWriter > 0 {
					d.Errorf("%d statements on the old writer", n)
				}
				if tc.script.RestartAfter < 0 {
					d.settled("instance-1 reader down, instance-2 writer up, instance-3 reader up")
				} else {
					d.settled("instance-1 reader up, instance-2 writer up, instance-3 reader up")
				}
				for _, in := range d.c.Snapshot().Instances {
					if in.Role == topology.Reader && in.State == topology.StateUp && !in.LagKnown {
						d.Errorf("the lag of %s is not known", in.ID)
					}
				}
				if n := d.c.Stats().MonitorConnections; n != 1 {
					d.Errorf("%d connections of the monitor", n)
				}
			})
		})
	}
}

// settled checks the snapshot.
func (d *deployed) settled(want string) {
	d.Helper()
	synctest.Wait()
	if got := d.c.Snapshot().String(); !strings.HasSuffix(got, want) {
		d.Errorf("%s, want %s", got, want)
	}
}

// storm suspects the writer once a second, as statements do whose connections are lost.
func (d *deployed) storm() {
	for range 20 {
		s := d.c.Snapshot()
		if w := s.Writer(); w != nil {
			d.c.cluster.monitor.Suspect(w.ID, s.Epoch, topology.ReasonConnectionLost)
		}
		time.Sleep(time.Second)
	}
}

// TestMultiAZReads: while there is no writer, readers that are near enough serve reads. How far
// they are behind is their own to say, and the writer's polls must not wipe it out.
func TestMultiAZReads(t *testing.T) {
	config := aurorasim.Config{Deployment: aurorasim.MultiAZCluster}
	deploy(t, config, "fpTopology=multiAZCluster&fpMaxReplicaLag=2s", func(d *deployed) {
		d.sim.Instance("instance-2").Lag(7 * time.Second)
		time.Sleep(12 * time.Second) // a poll of each reader
		s := d.c.Snapshot()
		if in := s.Lookup("instance-2"); !in.LagKnown || in.Lag != 7*time.Second {
			d.Errorf("%+v", in)
		}
		if in := s.Lookup("instance-3"); !in.LagKnown || in.Lag != 0 {
			d.Errorf("%+v", in)
		}
		before := d.sim.Count(aurorasim.Contains("fp_accounts WHERE id = 1"))
		done := make(chan error)
		go func() {
			done <- d.sim.Failover(d.Context(), aurorasim.Failover{To: "instance-2", PromoteAfter: 10 * time.Second, RestartAfter: time.Second})
		}()
		time.Sleep(9 * time.Second)
		ctx, cancel := context.WithTimeout(d.Context(), 100*time.Millisecond)
		defer cancel()
		var balance int64
		if err := d.db.QueryRowContext(ctx, "SELECT balance FROM fp_accounts WHERE id = 1").Scan(&balance); err != nil {
			d.Errorf("a read while there is no writer: %v", err)
		}
		if n := d.sim.Count(aurorasim.Contains("fp_accounts WHERE id = 1")) - before; n < 100 {
			d.Errorf("%d reads in 9 s without a writer", n)
		}
		if n := d.sim.Count(func(s aurorasim.Statement) bool {
			return s.Instance == "instance-2" && strings.Contains(s.SQL, "fp_accounts WHERE id = 1")
		}); n > 0 {
			d.Errorf("%d reads on the reader that is behind", n)
		}
		if err := <-done; err != nil {
			d.Error(err)
		}
	}, func(*deployed) {})
}
