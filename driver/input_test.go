package driver

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// canary is the password in these tests; it must not come out anywhere.
const canary = "cAnArY-7f3"

// site is a simulated cluster on real ports, and what our driver logged.
type site struct {
	sim *aurorasim.Cluster
	log bytes.Buffer
}

func build(t *testing.T, cfg aurorasim.Config) *site {
	t.Helper()
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": canary}, Databases: []string{"shop"}, Handler: minidb.New()})
	t.Cleanup(server.Close)
	cfg.Upstream = aurorasim.FakeServer(server)
	sim, err := aurorasim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return &site{sim: sim}
}

// open opens a pool of ours with a DSN in which HOST stands for the cluster endpoint.
func (s *site) open(t *testing.T, dsn string) (*sql.DB, error) {
	t.Helper()
	cfg, err := ParseDSN(strings.ReplaceAll(dsn, "HOST", s.sim.Endpoint()))
	if err != nil {
		return nil, err
	}
	db, err := OpenDB(cfg, WithDialer(s.sim.DialContext), WithLogger(slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if err == nil {
		t.Cleanup(func() { db.Close() })
	}
	return db, err
}

// TestBadInput goes through what people get wrong: each a clear error that says what to
// change, without the password, and a later fix works.
func TestBadInput(t *testing.T) {
	for name, test := range map[string]struct {
		sim   aurorasim.Config
		dsn   string
		spoil func(s *site) (fix func())
		want  []string
	}{
		"wrong password":   {dsn: "u:wrong" + canary + "@tcp(HOST)/shop", want: []string{"1045"}},
		"no such database": {dsn: "u:" + canary + "@tcp(HOST)/nowhere", want: []string{"1049"}},
		"an endpoint that resolves to nothing": {
			dsn: "u:" + canary + "@tcp(HOST)/shop", want: []string{"no such host", "lookup sim.cluster-"},
			spoil: func(s *site) func() {
				host, _, _ := net.SplitHostPort(s.sim.Endpoint())
				return s.sim.NXDomain(host).Clear
			},
		},
		"nobody listens": {
			dsn: "u:" + canary + "@tcp(HOST)/shop?fpFailoverTimeout=1s", want: []string{"refused", "fpFailoverTimeout"},
			spoil: func(s *site) func() { return s.sim.Writer().Refuse().Clear },
		},
		"a server that never greets": {
			dsn: "u:" + canary + "@tcp(HOST)/shop?fpProbeTimeout=30ms&fpFailoverTimeout=1s", want: []string{"cannot connect"},
			spoil: func(s *site) func() { return s.sim.Writer().AcceptSilent().Clear },
		},
		"Aurora with a name that hides its instances": {
			dsn: "u:" + canary + "@tcp(127.0.0.1:PORT)/shop", want: []string{"fpInstanceHost"},
		},
		"aurora asked of a server that is none": {
			sim: aurorasim.Config{Plain: true}, dsn: "u:" + canary + "@tcp(HOST)/shop?fpTopology=aurora", want: []string{"cannot learn about the cluster"},
		},
		"aurora without the privilege": {
			sim: aurorasim.Config{Denied: []string{"u"}}, dsn: "u:" + canary + "@tcp(HOST)/shop?fpTopology=aurora", want: []string{"GRANT", "replica_host_status", "1142"},
		},
		"aurora without the view": {
			sim: aurorasim.Config{NoView: true}, dsn: "u:" + canary + "@tcp(HOST)/shop?fpTopology=aurora", want: []string{"not Aurora MySQL", "fpTopology=static"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := build(t, test.sim)
			fix := func() {}
			if test.spoil != nil {
				fix = test.spoil(s)
			}
			_, port, _ := net.SplitHostPort(s.sim.Writer().Addr())
			db, err := s.open(t, strings.ReplaceAll(test.dsn, "PORT", port))
			if err == nil {
				err = db.PingContext(t.Context())
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
			if strings.Contains(err.Error()+s.log.String(), canary) {
				t.Errorf("the password is in %v\n%s", err, s.log.String())
			}
			if test.spoil == nil {
				return
			}
			fix()
			if err := db.PingContext(t.Context()); err != nil {
				t.Errorf("after the fix: %v", err)
			}
		})
	}
}

// TestAutoFallsBack: Aurora whose instances may not be listed is followed by the DSN's
// host, with one warning.
func TestAutoFallsBack(t *testing.T) {
	s := build(t, aurorasim.Config{Denied: []string{"u"}})
	db, err := s.open(t, "u:"+canary+"@tcp(HOST)/shop")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := db.PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	if n := strings.Count(s.log.String(), "level=WARN"); n != 1 || !strings.Contains(s.log.String(), "GRANT SELECT") {
		t.Errorf("%d warnings in\n%s", n, s.log.String())
	}
}

// TestNoMySQL: something else listens there.
func TestNoMySQL(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
			c.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	db, err := sql.Open(Name, "u:"+canary+"@tcp("+l.Addr().String()+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	start := time.Now()
	if err := db.PingContext(t.Context()); err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "is no MySQL server") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 10*time.Second { // waiting makes no server of it
		t.Errorf("took %s", took)
	}
}

// TestSharing: equal DSNs share a pool and a monitor, which end with the last of them.
func TestSharing(t *testing.T) {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": canary}, Handler: minidb.New()})
	defer server.Close()
	const network = "sharing"
	mysql.RegisterDialContext(network, func(ctx context.Context, addr string) (net.Conn, error) { return server.Dial(ctx, network, addr) })
	defer mysql.DeregisterDialContext(network)
	dsn := "u:" + canary + "@" + network + "(anywhere)/"
	var dbs []*sql.DB
	for range 3 {
		db, err := sql.Open(Name, dsn)
		if err != nil {
			t.Fatal(err)
		}
		dbs = append(dbs, db)
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT 1").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the monitor has its connection", func() bool { return len(server.Conns()) >= 2 })
	if n := len(server.Conns()); n != 2 { // the monitor's and one backend
		t.Errorf("%d connections for three pools", n)
	}
	for i, db := range dbs {
		db.Close()
		if i < 2 {
			if err := dbs[2].PingContext(t.Context()); err != nil {
				t.Errorf("the others went with pool %d: %v", i, err)
			}
		}
	}
	eventually(t, "no connection is left", func() bool { return len(server.Conns()) == 0 })
	if err := dbs[0].PingContext(t.Context()); err == nil {
		t.Error("a closed pool answers")
	}
	again, err := sql.Open(Name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestShutdown(t *testing.T) {
	s := build(t, aurorasim.Config{})
	cfg, err := ParseDSN("u:" + canary + "@tcp(" + s.sim.Endpoint() + ")/shop")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConnector(cfg, WithDialer(s.sim.DialContext), WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (a BIGINT)"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- c.Shutdown(t.Context()) }()
	for errors.Is(db.PingContext(t.Context()), nil) {
		time.Sleep(time.Millisecond)
	}
	// What has begun may finish.
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO t (a) VALUES (1)"); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
