package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// harmless are the statements of somebody who changes nothing: SET is that of the connection's own
// session.
var harmless = regexp.MustCompile(`^(SELECT @@|SELECT [A-Z_]+\(|SELECT SERVER_ID, |SELECT endpoint, |SET session_track_state_change = ON$|SHOW |KILL QUERY \d+$|SET NAMES |SET SESSION |SET @@session\.)`)

// served is a simulated cluster that any program reaches, and a DSN that leads to it.
func served(t *testing.T) (*aurorasim.Cluster, string) {
	t.Helper()
	port := aurorasim.LoopbackPort(t)
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": canary}, Handler: minidb.New()})
	t.Cleanup(server.Close)
	sim, err := aurorasim.Start(t.Context(), aurorasim.Config{
		Upstream: aurorasim.FakeServer(server), IDs: []string{"11", "12", "13"}, Network: aurorasim.Loopback, Port: port, TLS: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, sim.AuthorityPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return sim, fmt.Sprintf("u:%s@tcp(127.0.0.11:%d)/?fpInstanceHost=127.0.0.?:%d&fpTLSCA=%s", canary, port, port, strings.ReplaceAll(file, "/", "%2F"))
}

// TestNothingChanges: what the instances get to hear changes nothing, whatever the program's own
// connections begin with.
func TestNothingChanges(t *testing.T) {
	sim, dsn := served(t)
	code, out, _ := examined(t, options{dsn: dsn + "&fpInitQuery=INSERT+INTO+connects+VALUES+(1)"})
	if code != exitHealthy {
		t.Errorf("exit code %d: %s", code, out)
	}
	contains(t, out, "skip  init query")
	heard := sim.Relays(nil)
	if len(heard) < 10 {
		t.Errorf("only %d statements", len(heard))
	}
	for _, r := range heard {
		if r.SQL != "" && !harmless.MatchString(r.SQL) {
			t.Errorf("%s was asked %q", r.Instance, r.SQL)
		}
	}
}

// TestNobodyIsKilled: where one name leads to two servers, the number of a connection is another
// program's on the other one.
func TestNobodyIsKilled(t *testing.T) {
	var servers [2]*fakemysql.Server
	for i := range servers {
		servers[i] = fakemysql.New(fakemysql.Config{Handler: minidb.New()})
		defer servers[i].Close()
	}
	theirs := mysql.NewConfig()
	theirs.DialFunc = servers[1].Dial
	connector, err := mysql.NewConnector(theirs)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	other, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "SET GLOBAL server_id = 2"); err != nil {
		t.Fatal(err)
	}
	interrupted := make(chan int, 1)
	go func() {
		n := -1
		_ = other.QueryRowContext(t.Context(), "SELECT SLEEP(1)").Scan(&n)
		interrupted <- n
	}()

	cfg := driver.NewConfig()
	dials := 0
	cfg.MySQL.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return servers[(dials-1)%2].Dial(ctx, network, addr)
	}
	in := &instance{addr: "balancer:3306"}
	if err := in.ask(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(in.killErr, errElsewhere) || dials < 2 {
		t.Errorf("%v after %d dials", in.killErr, dials)
	}
	if n := <-interrupted; n != 0 {
		t.Errorf("another program's SLEEP ends with %d", n)
	}
}

// TestTrouble: a view that may not be read, an instance that is silent, one that refuses.
func TestTrouble(t *testing.T) {
	sim, dsn := served(t)
	denied := sim.DenyView("u")
	for _, topology := range []string{"aurora", "auto"} {
		code, out, _ := examined(t, options{dsn: dsn + "&fpTopology=" + topology})
		if code != exitUnhealthy {
			t.Errorf("%s: exit code %d", topology, code)
		}
		contains(t, out, "fail  privileges", "> GRANT PROCESS, REPLICATION CLIENT ON *.* TO 'u'@'%';")
	}
	denied.Clear()
	sim.Instance("12").AcceptSilent()
	sim.Instance("13").TooManyConnections()
	code, out, _ := examined(t, options{dsn: dsn, timeout: 500 * time.Millisecond})
	if code != exitUnhealthy {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, "> no answer: let security groups", "> there is no room for another connection")
}

// TestCertificates: one instance has the certificate of another host, one has no TLS at all.
func TestCertificates(t *testing.T) {
	sim, dsn := served(t)
	if err := sim.Instance("12").Certify("db.example.com"); err != nil {
		t.Fatal(err)
	}
	sim.Instance("13").NoTLS()
	code, out, _ := examined(t, options{dsn: dsn})
	if code != exitUnhealthy {
		t.Errorf("exit code %d", code)
	}
	_, port, _ := net.SplitHostPort(sim.Instance("11").Addr())
	documented(t, "2. The certificate of another host, and no TLS", strings.ReplaceAll(out, ":"+port, ":3306"))

	for _, in := range sim.Instances() {
		if err := in.Certify("db.example.com"); err != nil {
			t.Fatal(err)
		}
	}
	code, out, _ = examined(t, options{dsn: dsn})
	if code != exitUnreachable {
		t.Errorf("exit code %d where no instance can be used: %s", code, out)
	}
	contains(t, out, "fail  topology", "its certificate is for db.example.com, not for 127.0.0.11")
}

// TestServers: one server, healthy, and with too many programs.
func TestServers(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		named := strings.NewReplacer(s.Addr(), "db-1.local:3306")
		code, out, _ := examined(t, options{dsn: s.DSN(database), processes: 10})
		if code != exitHealthy {
			t.Errorf("exit code %d", code)
		}
		documented(t, map[mysqld.Flavor]string{mysqld.FlavorMySQL: "A healthy MySQL", mysqld.FlavorMariaDB: "A healthy MariaDB"}[s.Flavor], named.Replace(out))
		if s.Flavor == mysqld.FlavorMariaDB {
			return
		}
		code, out, _ = examined(t, options{dsn: s.DSN(database), processes: 40})
		if code != exitUnhealthy {
			t.Errorf("exit code %d for 40 processes", code)
		}
		documented(t, "3. Too few connections for all processes", named.Replace(out))
	})
}

// TestParameters: a server as many are set up.
func TestParameters(t *testing.T) {
	s := mysqld.MariaDB(t, mysqld.WithArgs("--wait-timeout=60", "--skip-name-resolve=OFF", "--init-connect=SET autocommit=0"))
	code, out, _ := examined(t, options{dsn: s.DSN("")})
	if code != exitUnhealthy {
		t.Errorf("exit code %d", code)
	}
	documented(t, "4. Idle connections that the server ends first", strings.ReplaceAll(out, s.Addr(), "db-1.local:3306"))
}

var advised = regexp.MustCompile(`> (GRANT [^;]*);`)

// TestReplication: a user with too few privileges gets those that the doctor names, and all is well; then
// a replica takes writes, and another one stops.
func TestReplication(t *testing.T) {
	r := mysqld.Replicate(t, mysqld.FlavorMySQL, 3)
	err := r.Source.Exec(t.Context(), "CREATE USER app@'%' IDENTIFIED BY '"+canary+"'", "CREATE DATABASE shop", "GRANT ALL ON shop.* TO app@'%'")
	if err != nil {
		t.Fatal(err)
	}
	var addrs, names []string
	for i, s := range r.Servers {
		addrs = append(addrs, s.Addr())
		names = append(names, s.Addr(), fmt.Sprintf("db-%d.local:3306", i+1))
		if s != r.Source {
			if err := r.Caught(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	named := strings.NewReplacer(names...)
	o := options{dsn: "app:" + canary + "@tcp(" + strings.Join(addrs, ",") + ")/shop"}
	code, out, _ := examined(t, o)
	if code != exitUnhealthy {
		t.Errorf("exit code %d without privileges", code)
	}
	documented(t, "1. Privileges that the monitor lacks", named.Replace(out))

	statement := advised.FindStringSubmatch(out)
	if statement == nil {
		t.Fatal("no advice")
	}
	if err := r.Source.Exec(t.Context(), statement[1]); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Servers[1:] {
		if err := r.Caught(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, _ := examined(t, o); code != exitHealthy {
		t.Errorf("exit code %d with %s: %s", code, statement[1], out)
	}
	for _, s := range r.Servers {
		log, err := s.QueryLog()
		if err != nil {
			t.Fatal(err)
		}
		judgeLog(t, log)
	}

	if err := r.Servers[1].Exec(t.Context(), "SET GLOBAL read_only=OFF"); err != nil {
		t.Fatal(err)
	}
	if err := r.Servers[2].Exec(t.Context(), "STOP REPLICA SQL_THREAD"); err != nil {
		t.Fatal(err)
	}
	if code, out, _ = examined(t, o); code != exitUnhealthy {
		t.Errorf("exit code %d", code)
	}
	documented(t, "5. A replica that takes writes, and one that stands still", named.Replace(out))
}

// judgeLog looks at what the user app has sent to a server: lines with number, kind and statement.
func judgeLog(t *testing.T, log string) {
	t.Helper()
	entry := regexp.MustCompile(`(?m)^\S+\s+(\d+) (Connect|Query|Prepare|Execute)\t(.*)$`)
	ours := make(map[string]bool)
	asked := 0
	for _, e := range entry.FindAllStringSubmatch(log, -1) {
		switch {
		case e[2] == "Connect":
			ours[e[1]] = strings.HasPrefix(e[3], "app@")
		case ours[e[1]]:
			if asked++; !harmless.MatchString(e[3]) {
				t.Errorf("asked %q", e[3])
			}
		}
	}
	if asked < 10 {
		t.Errorf("only %d statements in the log", asked)
	}
}
