package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// stage is one driver with a cluster of its own, so that the loads do not disturb
// each other, and the same things happen to both.
type stage struct {
	name   string
	ours   *driver.Connector // nil for the plain driver
	sim    *aurorasim.Cluster
	db     *sql.DB
	judge  *sql.DB // plain, to read the ledger
	ledger *ledger.Ledger
	load   *load
	closer []func() error
}

func (s *stage) close() {
	for _, end := range slices.Backward(s.closer) {
		if err := end(); err != nil {
			log.Printf("drill: %s: %v", s.name, err)
		}
	}
}

// stagesOf sets up both drivers on what the command line asks for.
func stagesOf(ctx context.Context, o options) ([]*stage, error) {
	var server *mysqld.Server
	if o.server != "" {
		var err error
		if server, err = startServer(ctx, o.server); err != nil {
			return nil, err
		}
	}
	var stages []*stage
	for i, name := range []string{"plain", "failoverproxy"} {
		s := &stage{name: name}
		stages = append(stages, s)
		if server != nil && i == 0 {
			s.closer = append(s.closer, server.Close)
		}
		database := "fp_drill_" + []string{"plain", "ours"}[i]
		cfg, dial, err := s.cluster(ctx, o, server, database)
		if err == nil {
			err = s.open(cfg, dial, name == "plain")
		}
		if err != nil {
			for _, s := range stages {
				s.close()
			}
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return stages, nil
}

func startServer(ctx context.Context, name string) (*mysqld.Server, error) {
	flavor, ok := map[string]mysqld.Flavor{"mariadb": mysqld.FlavorMariaDB, "mysql": mysqld.FlavorMySQL}[name]
	if !ok {
		return nil, fmt.Errorf("-server %q: want mariadb or mysql", name)
	}
	return mysqld.Start(ctx, flavor, mysqld.Options{})
}

// cluster starts the stage's simulated cluster, or takes the real one, with a database
// of its own.
func (s *stage) cluster(ctx context.Context, o options, server *mysqld.Server, database string) (*driver.Config, dialer, error) {
	if o.dsn != "" {
		cfg, err := driver.ParseDSN(o.dsn)
		if err != nil {
			return nil, nil, err
		}
		return cfg, nil, s.createDatabase(ctx, cfg, database)
	}
	var upstream aurorasim.Upstream
	user, password := "drill", "drill"
	if server != nil {
		var err error
		if upstream, err = aurorasim.Server(server.DSN("")); err != nil {
			return nil, nil, err
		}
		user, password = server.User, server.Password
		admin, err := driver.ParseDSN(server.DSN(""))
		if err != nil {
			return nil, nil, err
		}
		if err := s.createDatabase(ctx, admin, database); err != nil {
			return nil, nil, err
		}
	} else {
		fake := fakemysql.New(fakemysql.Config{Users: map[string]string{user: password}, Handler: minidb.New()})
		s.closer = append(s.closer, func() error { fake.Close(); return nil })
		upstream = aurorasim.FakeServer(fake)
	}
	sim, err := aurorasim.Start(ctx, aurorasim.Config{Upstream: upstream, DiscardLog: true})
	if err != nil {
		return nil, nil, err
	}
	s.sim = sim
	s.closer = append(s.closer, sim.Close)
	cfg := driver.NewConfig()
	cfg.MySQL.User, cfg.MySQL.Passwd, cfg.MySQL.Net = user, password, "tcp"
	cfg.Hosts = []string{sim.Endpoint()}
	if server != nil {
		cfg.MySQL.DBName = database
	}
	return cfg, sim.DialContext, nil
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

func (s *stage) createDatabase(ctx context.Context, cfg *driver.Config, name string) error {
	db := plain(cfg, nil)
	defer db.Close()
	_, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+name)
	cfg.MySQL.DBName = name
	return err
}

// open opens the stage's pool.
func (s *stage) open(cfg *driver.Config, dial dialer, asPlain bool) error {
	s.judge = plain(cfg, dial)
	s.closer = append(s.closer, s.judge.Close)
	if asPlain {
		s.db = plain(cfg, dial)
		s.closer = append(s.closer, s.db.Close)
	} else {
		opts := []driver.Option{driver.WithLogger(slog.New(slog.DiscardHandler))}
		if dial != nil {
			opts = append(opts, driver.WithDialer(dial))
		}
		c, err := driver.NewConnector(cfg, opts...)
		if err != nil {
			return err
		}
		s.ours = c
		s.db = sql.OpenDB(c)
		s.closer = append(s.closer, s.db.Close)
	}
	s.ledger = ledger.New(ledger.WithClassifier(fate))
	s.load = newLoad(s.db, s.ledger)
	return nil
}

// plain opens a pool of the plain driver, as programs do: sized, with a connect
// timeout, on the cluster's endpoint.
func plain(cfg *driver.Config, dial dialer) *sql.DB {
	c := cfg.MySQL.Clone()
	c.Addr, c.DialFunc = cfg.Hosts[0], dial
	c.Logger = log.New(io.Discard, "", 0)
	connector, err := mysql.NewConnector(c)
	if err != nil {
		log.Fatalf("drill: %v", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(64)
	db.SetMaxIdleConns(64)
	return db
}

// fail lets the stage's cluster fail over.
func (s *stage) fail(ctx context.Context, kind aurorasim.Kind, outage time.Duration) {
	err := s.sim.Failover(ctx, aurorasim.Failover{
		Kind: kind, PromoteAfter: outage, RestartAfter: outage / 2, DNSAfter: dnsDelay,
	})
	if err != nil && ctx.Err() == nil {
		log.Printf("drill: %s: %v", s.name, err)
		return
	}
	s.load.promoted(s.sim.PromotedAt())
}

// fate tells the ledger what an error says of the write.
func fate(err error) ledger.Fate {
	if err == nil {
		return ledger.Acknowledged
	}
	if fe, ok := errors.AsType[*failover.Error](err); ok && fe.Outcome == failover.NotExecuted {
		return ledger.NotExecuted
	}
	return ledger.Unknown
}
