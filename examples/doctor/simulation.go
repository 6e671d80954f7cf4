package main

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// simulation is a cluster in this process. One of its readers is behind, so that there is something to
// be seen.
type simulation struct {
	cluster *aurorasim.Cluster
	cfg     *driver.Config
}

func simulate(ctx context.Context) (*simulation, error) {
	s := &simulation{}
	var err error
	if s.cluster, err = aurorasim.Start(ctx, aurorasim.Config{Upstream: aurorasim.Fake(), TLS: true}); err != nil {
		return nil, err
	}
	s.cluster.Instance("instance-3").Lag(3 * time.Second)
	s.cfg = driver.NewConfig()
	s.cfg.MySQL.User, s.cfg.MySQL.Passwd, s.cfg.MySQL.Net = "sim", "sim", "tcp"
	s.cfg.MySQL.TLS = &tls.Config{RootCAs: s.cluster.Authority()}
	s.cfg.MySQL.DialFunc = s.cluster.DialContext
	s.cfg.Hosts = []string{s.cluster.Endpoint()}
	return s, nil
}

func (s *simulation) close() {
	_ = s.cluster.Close()
}
