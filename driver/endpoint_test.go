package driver

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// reach opens a program that knows the cluster by these hosts, and checks that it finds the
// writer and the readers, and follows a failover.
func (r *rig) reach(hosts, params string, within time.Duration, dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	r.Helper()
	cfg, err := ParseDSN("u:secret@tcp(" + hosts + ")/shop?fpReadYourWrites=0&" + params)
	r.must(err)
	if dial == nil {
		dial = r.sim.DialContext
	}
	c, err := NewConnector(cfg, WithDialer(dial), WithLogger(slog.New(slog.DiscardHandler)))
	r.must(err)
	p := &rig{T: r.T, sim: r.sim, script: r.script, c: c, db: sql.OpenDB(c)}
	defer p.balanced()
	defer p.db.Close()
	start := time.Now()
	p.must(p.exec(p.db, insert))
	if took := time.Since(start); took > within {
		r.Errorf("%s: the first statement took %s", hosts, took)
	}
	s := c.Snapshot()
	if w := s.Writer(); w == nil || w.ID != r.sim.Writer().ID || len(s.Instances) != 3 {
		r.Errorf("%s: %s", hosts, s)
	}
	wait := p.background(aurorasim.Kill)
	p.must(p.read(p.db)())
	if got := p.instanceOf(selectOne); got == s.LastWriter() {
		r.Errorf("%s: read on the dead writer", hosts)
	}
	wait()
	p.must(p.exec(p.db, insert))
	if got := p.instanceOf(insert); got != r.sim.Writer().ID {
		r.Errorf("%s: written on %s", hosts, got)
	}
	time.Sleep(3 * time.Second) // the old writer is back
}

const domain = ".abc123.us-east-1.rds.amazonaws.com"

// TestEndpointForms: a cluster is found whatever name of it the program knows.
func TestEndpointForms(t *testing.T) {
	for name, test := range map[string]struct {
		hosts, params string
		dns           []string // where the host leads that is no name of the cluster's
	}{
		"cluster":                        {hosts: "sim.cluster-abc123.us-east-1.rds.amazonaws.com"},
		"upper case, dot":                {hosts: "SIM.Cluster-abc123.us-east-1.rds.amazonaws.com."},
		"readers":                        {hosts: "sim.cluster-ro-abc123.us-east-1.rds.amazonaws.com", params: "fpTarget=writer"},
		"custom":                         {hosts: "mine.cluster-custom-abc123.us-east-1.rds.amazonaws.com", dns: []string{"instance-3", "instance-2"}},
		"writer's instance":              {hosts: "instance-1" + domain},
		"reader's instance":              {hosts: "instance-3" + domain},
		"two instances":                  {hosts: "instance-2" + domain + ",instance-3" + domain},
		"a domain of one's own":          {hosts: "db.example.com", params: "fpInstanceHost=%3F" + domain, dns: []string{"instance-1"}},
		"its readers":                    {hosts: "db-ro.example.com", params: "fpInstanceHost=%3F" + domain + ":3306", dns: []string{"instance-2", "instance-3"}},
		"its readers, and the cluster's": {hosts: "db-ro.example.com,sim.cluster-abc123.us-east-1.rds.amazonaws.com", dns: []string{"instance-2", "instance-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, "", func(r *rig) {
				if test.dns != nil {
					host, _, _ := strings.Cut(test.hosts, ",")
					r.sim.SetDNS(host, test.dns...)
				}
				r.reach(test.hosts, test.params, 0, nil)
			})
		})
	}
	t.Run("a domain of one's own, without fpInstanceHost", func(t *testing.T) {
		bubble(t, "", func(r *rig) {
			r.sim.SetDNS("db.example.com", "instance-1")
			cfg, err := ParseDSN("u:secret@tcp(db.example.com)/shop")
			r.must(err)
			db, err := OpenDB(cfg, WithDialer(r.sim.DialContext))
			r.must(err)
			defer db.Close()
			if err := r.exec(db, insert); err == nil || !strings.Contains(err.Error(), "cannot be derived from db.example.com:3306: set fpInstanceHost") {
				r.Errorf("got %v", err)
			}
		})
	})
}

// TestSeedDownAtStart: any one of several hosts is out when the program starts.
func TestSeedDownAtStart(t *testing.T) {
	const gone = "instance-2"
	for name, fault := range map[string]func(r *rig) *aurorasim.Fault{
		"refused":    func(r *rig) *aurorasim.Fault { return r.sim.Instance(gone).Refuse() },
		"black hole": func(r *rig) *aurorasim.Fault { return r.sim.Instance(gone).BlackHole() },
		"silent":     func(r *rig) *aurorasim.Fault { return r.sim.Instance(gone).AcceptSilent() },
		"no name":    func(r *rig) *aurorasim.Fault { return r.sim.NXDomain(gone + domain) },
		"no room":    func(r *rig) *aurorasim.Fault { return r.sim.Instance(gone).TooManyConnections() },
	} {
		for _, hosts := range []string{
			gone + domain + ",sim.cluster-abc123.us-east-1.rds.amazonaws.com",
			"sim.cluster-abc123.us-east-1.rds.amazonaws.com," + gone + domain,
			"instance-3" + domain + "," + gone + domain + ",instance-1" + domain,
			gone + domain + ",instance-3" + domain,
		} {
			t.Run(name+"/"+hosts, func(t *testing.T) {
				bubble(t, "", func(r *rig) {
					f := fault(r)
					time.AfterFunc(800*time.Millisecond, f.Clear) // it is the next writer
					r.reach(hosts, "", 250*time.Millisecond, nil)
				})
			})
		}
	}
}

// TestIPv6Literals: the hosts are addresses, and are dialled as such; with TLS they are what
// is verified.
func TestIPv6Literals(t *testing.T) {
	addrs := map[string]string{"[2001:db8::1]:3306": "instance-1", "[2001:db8::2]:3306": "instance-2", "[2001:db8::3]:3306": "instance-3"}
	secure(t, theCA, func(b *secured) {
		for addr, id := range addrs {
			host, _, _ := net.SplitHostPort(addr)
			own, _, _ := net.SplitHostPort(b.sim.Instance(id).Endpoint())
			b.must(b.sim.Instance(id).Certify(host, own))
		}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if id, ok := addrs[addr]; ok {
				addr = b.sim.Instance(id).Endpoint()
			}
			return b.sim.DialContext(ctx, network, addr)
		}
		b.reach("[2001:DB8:0::2],[2001:db8::1]:3306", "fpTopology=aurora&fpInstanceHost=%3F"+domain+"&fpTLSCA="+url.QueryEscape(b.file), 0, dial)

		b.script.On("select @@global.read_only, 0 as `@@global.innodb_read_only`", fakemysql.Result{
			Columns: []fakemysql.Column{fakemysql.Int("a"), fakemysql.Int("b")}, Rows: [][]any{{int64(0), int64(0)}},
		})
		w := b.sim.Writer() // instance-2, by now
		for _, test := range []struct{ certified, want string }{
			{"2001:db8::2", ""}, {"2001:db8::3", "not 2001:db8::2"}, {"2001-db8--2.example.com", "doesn't contain any IP SANs"},
		} {
			b.must(w.Certify(test.certified))
			cfg, err := ParseDSN("u:secret@tcp(2001:db8:0::2)/shop?fpTopology=static")
			b.must(err)
			cfg.TLSCA = b.file
			db, err := OpenDB(cfg, WithDialer(dial), WithLogger(slog.New(slog.DiscardHandler)))
			b.must(err)
			err = b.exec(db, insert)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				b.Errorf("certified for %s: %v", test.certified, err)
			}
			b.must(db.Close())
		}
	})
}

// TestUnixSockets: the hosts are sockets, one of which leads nowhere.
func TestUnixSockets(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		if s.Socket == "" {
			t.Skip("the server's directory has too long a name for a socket")
		}
		cfg, err := ParseDSN(s.DSN(database))
		if err != nil {
			t.Fatal(err)
		}
		cfg.MySQL.Net, cfg.Hosts, cfg.Topology = "unix", []string{s.Socket, "/nowhere/mysql.sock"}, "static"
		if again, err := ParseDSN(cfg.FormatDSN()); err != nil || len(again.Hosts) != 2 || again.Hosts[0] != s.Socket {
			t.Errorf("%s: %v", again, err)
		}
		c, err := NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		defer db.Close()
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT 1").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := db.QueryRowContext(ctx, "SELECT SLEEP(10)").Scan(&n); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		eventually(t, "the statement was killed over a socket", func() bool { return c.Stats().Cancels.Killed == 1 })
		eventually(t, "the other socket is down", func() bool {
			s := c.Snapshot()
			return s.Writer() != nil && s.Lookup("/nowhere/mysql.sock").State.String() == "down"
		})
	})
}

// TestCustomEndpoint: that its list of instances is not known is warned of once, unless the
// program says by weights whom it means.
func TestCustomEndpoint(t *testing.T) {
	for params, warnings := range map[string]int{"": 1, "fpReaderWeights=instance-2:1,*:0": 0} {
		bubble(t, "", func(r *rig) {
			const host = "mine.cluster-custom-abc123.us-east-1.rds.amazonaws.com"
			r.sim.SetDNS(host, "instance-3")
			var log bytes.Buffer
			cfg, err := ParseDSN("u:secret@tcp(" + host + ")/shop?" + params)
			r.must(err)
			db, err := OpenDB(cfg, WithDialer(r.sim.DialContext), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			r.must(err)
			r.must(r.exec(db, insert))
			time.Sleep(time.Minute)
			r.must(db.Close())
			if n := strings.Count(log.String(), "level=WARN"); n != warnings || strings.Count(log.String(), "custom endpoint stands for") != warnings {
				r.Errorf("%q: %s", params, log.String())
			}
		})
	}
}
