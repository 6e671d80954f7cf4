package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// simulation is a cluster in this process that fails over.
type simulation struct {
	cluster *aurorasim.Cluster
	cfg     *driver.Config
}

// simulations are what -sim may say.
var simulations = map[string]aurorasim.Config{
	"aurora":         {},
	"multiAZCluster": {Deployment: aurorasim.MultiAZCluster},
	"dns":            {Deployment: aurorasim.MultiAZInstance, Instances: 2},
}

const (
	simLength = 5 * time.Second
	simOutage = time.Second
)

func simulate(ctx context.Context, kind string) (*simulation, error) {
	config, ok := simulations[kind]
	if !ok {
		return nil, fmt.Errorf("-sim %q: want aurora, multiAZCluster or dns", kind)
	}
	s := &simulation{}
	config.Upstream, config.DiscardLog = aurorasim.Fake(), true
	var err error
	if s.cluster, err = aurorasim.Start(ctx, config); err != nil {
		return nil, err
	}
	s.cfg = driver.NewConfig()
	s.cfg.MySQL.User, s.cfg.MySQL.Passwd, s.cfg.MySQL.Net = "sim", "sim", "tcp"
	s.cfg.Hosts = []string{s.cluster.Endpoint()}
	return s, nil
}

// start lets the cluster be used through c, and its writer be killed after a second, until stop
// is called.
func (s *simulation) start(ctx context.Context, c *driver.Connector, errs io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	fmt.Fprintf(errs, "topology: a simulated cluster: in a second its writer is killed, and another one is promoted %s later\n", simOutage)
	db := sql.OpenDB(c)
	var running sync.WaitGroup
	running.Go(func() {
		for sleep(ctx, 20*time.Millisecond) {
			_ = db.PingContext(ctx)
		}
	})
	running.Go(func() {
		if sleep(ctx, time.Second) {
			_ = s.cluster.Failover(ctx, aurorasim.Failover{PromoteAfter: simOutage, RestartAfter: simOutage, DNSAfter: simOutage / 2})
		}
	})
	return func() {
		cancel()
		running.Wait()
		db.Close()
	}
}

// sleep reports whether ctx goes on after so long.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (s *simulation) close() {
	_ = s.cluster.Close()
}
