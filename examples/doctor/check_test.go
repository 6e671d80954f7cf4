package main

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/topology"
)

// healthy is a source a and its replica b, of whom no check has anything to say.
func healthy() *facts {
	server := func(id string, role topology.Role, readOnly string) *instance {
		return &instance{
			id: id, addr: id + ".example.com:3306", role: role, state: topology.StateUp, lagKnown: role == topology.Reader,
			variables: map[string]string{
				"version": "8.4.3", "wait_timeout": "28800", "interactive_timeout": "28800", "read_only": readOnly, "super_read_only": readOnly,
				"innodb_read_only": "OFF", "skip_name_resolve": "ON", "max_connect_errors": "100", "session_track_state_change": "OFF", "autocommit": "ON",
				"init_connect": "", "log_bin": "ON", "gtid_mode": "ON", "log_replica_updates": "ON", "log_slave_updates": "ON", "max_connections": "1000",
				"max_user_connections": "0",
			},
			user: "'app'@'%'", grants: []string{"GRANT USAGE ON *.* TO `app`@`%`", "GRANT ALL PRIVILEGES ON `shop`.* TO `app`@`%`"},
			connects: []time.Duration{time.Millisecond}, pings: []time.Duration{time.Millisecond / 2}, clock: clock{known: true}, killed: true,
			wanted: true, tls: verifiedUntil(today().AddDate(1, 0, 0)),
		}
	}
	cfg := driver.NewConfig()
	cfg.Hosts = []string{"10.0.0.1:3306", "10.0.0.2:3306"}
	f := &facts{cfg: cfg, processes: 10, now: today(), provider: "replication", decided: "replication: so it is", instances: []*instance{
		server("a", topology.Writer, "OFF"), server("b", topology.Reader, "ON"),
	}}
	f.instances[1].sources = []source{{from: "a:3306", receives: "Yes", applies: "Yes"}}
	return f
}

func verifiedUntil(end time.Time) *tls.ConnectionState {
	leaf := &x509.Certificate{NotAfter: end, DNSNames: []string{"a.example.com"}, Subject: pkix.Name{CommonName: "a"}}
	root := &x509.Certificate{NotAfter: end.AddDate(9, 0, 0)}
	return &tls.ConnectionState{Version: tls.VersionTLS13, ServerName: "a.example.com", PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf, root}}}
}

// set changes a variable of both.
func set(name, value string) func(f *facts) {
	return func(f *facts) {
		for _, in := range f.instances {
			if in.variables[name] = value; value == "absent" {
				delete(in.variables, name)
			}
		}
	}
}

// reader changes the second instance.
func reader(change func(in *instance)) func(f *facts) {
	return func(f *facts) { change(f.instances[1]) }
}

func program(change func(cfg *driver.Config)) func(f *facts) {
	return func(f *facts) { change(f.cfg) }
}

// TestHealthy: each check says that all is well, and says it.
func TestHealthy(t *testing.T) {
	f := healthy()
	said := make(map[string]bool)
	for i, c := range checks {
		for _, one := range c(f) {
			said[one.Check] = true
			if one.Level != ok || one.Text == "" || one.Advice != "" {
				t.Errorf("check %d: %+v", i, one)
			}
		}
	}
	if len(said) < 15 {
		t.Errorf("only %v", said)
	}
}

// TestChecks: one thing is wrong, and the one finding that is not ok says so. An advice of - is none.
func TestChecks(t *testing.T) {
	deny := errors.New("fpTopology: GRANT SELECT ON what it names, or GRANT PROCESS, REPLICATION CLIENT ON *.*: denied")
	no := func(number uint16) error { return &mysql.MySQLError{Number: number, Message: "no"} }
	bad := func(cause error) error {
		leaf := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 9)}}
		return fmt.Errorf("tls: %w", &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: cause})
	}
	fails := func(err error) func(*facts) { return reader(func(in *instance) { in.err = err }) }
	for name, tc := range map[string]struct {
		change       func(*facts)
		level        level
		text, advice string
	}{
		"no writer":             {func(f *facts) { f.instances[0].state = topology.StateDown }, fail, "a writer down, b reader up", "fpFailoverTimeout"},
		"no reader":             {func(f *facts) { f.instances = f.instances[:1] }, warn, "the only instance", "add a reader"},
		"writable reader":       {reader(func(in *instance) { in.variables["read_only"] = "OFF" }), fail, "takes writes", "SET PERSIST super_read_only = ON;"},
		"reader down":           {reader(func(in *instance) { in.state = topology.StateDown }), warn, "can be connected to", "again"},
		"behind":                {reader(func(in *instance) { in.lag = 3 * time.Second }), warn, "is 3s behind", "fpMaxReplicaLag"},
		"far behind":            {reader(func(in *instance) { in.lag = time.Hour }), fail, "is 1h0m0s behind", "find out why"},
		"no lag":                {reader(func(in *instance) { in.lagKnown = false }), fail, "its lag is not known", "privileges"},
		"broken replication":    {reader(func(in *instance) { in.sources[0] = source{"a:3306", "Yes", "No", "Duplicate\n entry"} }), fail, "applier No: Duplicate entry", "START REPLICA"},
		"warning with grant":    {func(f *facts) { f.warnings = []string{deny.Error()} }, fail, "GRANT PROCESS", "GRANT PROCESS, REPLICATION CLIENT ON *.* TO 'app'@'%';"},
		"warning":               {func(f *facts) { f.warnings = []string{"two claim it", "two claim it"} }, warn, "two claim it", "-"},
		"super":                 {func(f *facts) { f.instances[0].grants[0] = "GRANT RELOAD, SUPER ON *.* TO x" }, warn, "has SUPER", "another user"},
		"all privileges":        {func(f *facts) { f.instances[0].grants[0] = "GRANT ALL PRIVILEGES ON *.* TO x" }, warn, "has ALL PRIVILEGES:", "another user"},
		"no kill":               {reader(func(in *instance) { in.killErr = no(1095) }), warn, "KILL QUERY", "fpCancelQuery=off"},
		"elsewhere":             {reader(func(in *instance) { in.killErr = errElsewhere }), warn, "two connections lead to two servers", "name the servers themselves"},
		"proxy":                 {reader(func(in *instance) { in.killErr = no(1094) }), warn, "there is a proxy", "fpCancelQuery=off"},
		"no tls":                {reader(func(in *instance) { in.wanted = false }), warn, "not used", "fpTLSCA=FILE"},
		"preferred":             {reader(func(in *instance) { in.tls = nil }), warn, "tls=preferred does without", "tls=true"},
		"skip-verify":           {reader(func(in *instance) { in.tls.VerifiedChains = nil }), warn, "not verified: anybody could be the server; its certificate is for a.example.com", "fpTLSCA=FILE"},
		"old tls":               {reader(func(in *instance) { in.tls.Version = tls.VersionTLS11 }), warn, "TLS 1.1", "tls_version"},
		"certificate soon over": {reader(func(in *instance) { in.tls = verifiedUntil(today().AddDate(0, 0, 20)) }), warn, "until 2026-12-11, in 20 days", "renew"},
		"certificate over":      {reader(func(in *instance) { in.tls = verifiedUntil(today().AddDate(0, 0, 1)) }), fail, "in 1 day", "renew"},
		"clock ahead":           {reader(func(in *instance) { in.clock.ahead = 9 * time.Second }), warn, "is 9s ahead of", "chronyc"},
		"clock far behind":      {reader(func(in *instance) { in.clock.ahead = -9 * time.Minute }), fail, "is 9m0s behind", "chronyc"},
		"no clock":              {reader(func(in *instance) { in.clock.known = false }), skip, "cannot be read", "-"},
		"too many":              {func(f *facts) { f.processes = 34 }, fail, "34 processes × (fpPoolSize 25, monitor 1, KILL 4) = 1020, more than max_connections 1000", "fpPoolSize=21 fits; or max_connections of 1134"},
		"nearly too many":       {func(f *facts) { f.processes = 31 }, warn, "= 930 of max_connections 1000: little is left", "fpPoolSize=24 fits"},
		"far too many":          {func(f *facts) { f.processes = 500 }, fail, "= 15000", "no pool fits so many processes: run fewer"},
		"a share":               {program(func(c *driver.Config) { c.PoolSize = driver.Percent(60) }), fail, "(fpPoolSize 600,", "fpPoolSize=85 fits"},
		"limit of the user":     {set("max_user_connections", "100"), fail, "more than max_user_connections 100", "fpPoolSize=4 fits; or max_user_connections of 334"},
		"a fleet takes all":     {func(f *facts) { f.processes, f.cfg.FleetMax = 40, driver.Percent(95) }, warn, "40 processes with fpFleetMax 95% = 950 of max_connections 1000: little is left", "fpFleetMax=90% leaves room"},
		"a fleet too large":     {func(f *facts) { f.processes, f.cfg.FleetMax = 200, driver.Percent(60) }, fail, "200 processes × (1 backend at least, monitor 1, KILL 4) = 1200, more than max_connections 1000", "no pool fits so many processes: run fewer, or max_connections of 1334"},
		"wait_timeout":          {set("wait_timeout", "60"), fail, "wait_timeout 1m0s, fpPoolIdleTimeout 5m0s", "fpPoolIdleTimeout=30s; or SET PERSIST wait_timeout = 600;"},
		"no idle timeout":       {program(func(c *driver.Config) { c.PoolIdleTimeout, c.PoolMaxLifetime = 0, 0 }), fail, "ends idle connections before", "fpPoolIdleTimeout=4h0m0s"},
		"polls too rare":        {func(f *facts) { set("wait_timeout", "4")(f) }, fail, "fpProbeInterval 5s", "fpPoolIdleTimeout=2s"},
		"names":                 {set("skip_name_resolve", "OFF"), warn, "skip_name_resolve is off", "skip_name_resolve=ON in the server's configuration file"},
		"no session tracking":   {set("session_track_state_change", "absent"), warn, "no session_track_state_change", "MySQL since 5.7"},
		"autocommit":            {set("autocommit", "OFF"), warn, "autocommit is off", "autocommit=1"},
		"init_connect":          {set("init_connect", "SET NAMES x"), warn, "SET NAMES x", "fpInitQuery"},
		"innodb_read_only":      {reader(func(in *instance) { in.variables["innodb_read_only"] = "ON" }), warn, "can never be promoted", "start it without"},
		"no binary log":         {reader(func(in *instance) { in.variables["log_bin"] = "OFF" }), warn, "has no binary log", "log_bin=binlog in"},
		"no gtid":               {reader(func(in *instance) { in.variables["gtid_mode"] = "OFF_PERMISSIVE" }), warn, "gtid_mode is OFF_PERMISSIVE", "up to ON"},
		"replica's log":         {reader(func(in *instance) { in.variables["log_replica_updates"] = "OFF" }), warn, "log_replica_updates is off", "log_replica_updates=ON"},
		"old version":           {set("version", "8.0.39"), warn, "MySQL 8.0.39, whose support ended in April 2026", "plan an upgrade"},
		"old Aurora":            {func(f *facts) { f.provider = "aurora"; set("aurora_version", "2.11.1")(f) }, warn, "Aurora MySQL 2.11.1, whose support ended in October 2024", "plan"},
		"slow connect":          {reader(func(in *instance) { in.connects[0] = 600 * time.Millisecond }), warn, "more than half of fpProbeTimeout (1s)", "fpProbeTimeout=1.8s"},
		"very slow connect":     {reader(func(in *instance) { in.connects[0] = 2 * time.Second }), fail, "not be over within fpProbeTimeout", "fpProbeTimeout=6s"},
		"far away":              {reader(func(in *instance) { in.pings[0] = 70 * time.Millisecond }), warn, "another instance is much nearer", "fpReaderLatencyWindow=5ms"},
		"init query":            {program(func(c *driver.Config) { c.InitQuery = "DO 1" }), skip, "fpInitQuery is not run", "by hand"},
		"dns":                   {program(func(c *driver.Config) { c.Hosts = []string{"db.example.com:3306"} }), skip, "the time to live of db.example.com is not checked", "-"},
		"static":                {func(f *facts) { f.provider = "static"; f.instances[1].lagKnown = true }, warn, "replication: so it is", "no failover is followed"},
		"password":              {fails(no(1045)), fail, "b.example.com:3306: Error 1045", "user or password"},
		"database":              {fails(no(1049)), fail, "1049", "database of the DSN"},
		"full":                  {fails(no(1040)), fail, "1040", "no room"},
		"blocked":               {fails(no(1129)), fail, "1129", "FLUSH HOSTS"},
		"host":                  {fails(no(1130)), fail, "1130", "CREATE USER"},
		"wants tls":             {fails(no(3159)), fail, "3159", "add tls=true"},
		"no tls there":          {fails(mysql.ErrNoTLS), fail, "b.example.com", "offers no TLS"},
		"no such name":          {fails(&net.DNSError{Err: "no such host", Name: "b", IsNotFound: true}), fail, "no such host", "fpInstanceHost"},
		"no answer":             {fails(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), fail, "i/o timeout", "security groups"},
		"other host":            {fails(bad(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "b"})), fail, "tls: ", "its certificate is for 10.0.0.9, not for b"},
		"unknown authority":     {fails(bad(x509.UnknownAuthorityError{})), fail, "tls: ", "fpTLSCA=FILE"},
		"expired":               {fails(bad(x509.CertificateInvalidError{Reason: x509.Expired})), fail, "tls: ", "renew it"},
		"something else":        {fails(errors.New("strange")), fail, "b.example.com:3306: strange", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			tc.change(f)
			var texts []string
			said := make(map[string]bool)
			found := false
			for _, one := range examine(f).Findings {
				if one.Level == ok {
					continue
				}
				texts = append(texts, fmt.Sprintf("%+v", one))
				said[one.Text] = true
				found = found || one.Level == tc.level && strings.Contains(one.Text, tc.text) && (one.Advice == "" && tc.advice == "-" || tc.advice != "-" && strings.Contains(one.Advice, tc.advice))
			}
			if !found || len(said) > 2 {
				t.Errorf("want %s %q > %q, got\n%s", tc.level, tc.text, tc.advice, strings.Join(texts, "\n"))
			}
		})
	}
}

// TestPeculiar: what would be wrong elsewhere.
func TestPeculiar(t *testing.T) {
	for name, change := range map[string]func(*facts){
		"primaries of a group": func(f *facts) {
			f.provider = "groupReplication"
			set("group_replication_single_primary_mode", "OFF")(f)
			set("read_only", "OFF")(f)
		},
		"Aurora's reader": func(f *facts) {
			f.provider = "aurora"
			set("aurora_version", "3.08.2")(f)
			f.instances[1].variables["read_only"], f.instances[1].variables["innodb_read_only"] = "OFF", "ON"
			f.instances[0].grants = []string{"GRANT SUPER ON *.* TO x"}
		},
		"a MariaDB whose SUPER is stopped": func(f *facts) {
			set("version", "10.11.6-MariaDB")(f)
			set("super_read_only", "absent")(f)
			f.instances[0].grants = []string{"GRANT SUPER ON *.* TO x"}
		},
		"whole seconds": func(f *facts) { f.instances[0].clock = clock{true, 3 * time.Second, 1500 * time.Millisecond} },
		"no KILL":       func(f *facts) { f.cfg.CancelQuery, f.instances[0].killErr, f.processes = false, errors.New("no"), 34 },
		"this machine":  func(f *facts) { f.instances[0].addr, f.instances[0].wanted = "127.0.0.1:3306", false },
		"a fleet":       func(f *facts) { f.processes, f.cfg.FleetMax = 40, driver.Percent(60) },
		"old age":       func(f *facts) { f.cfg.PoolIdleTimeout = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			change(f)
			for _, one := range examine(f).Findings {
				if one.Level != ok {
					t.Errorf("%+v", one)
				}
			}
		})
	}
	f := healthy()
	f.err, f.provider, f.instances = errors.New("failoverproxy: lacks GRANT SELECT ON mysql.rds_topology: no"), "", []*instance{{id: "a", addr: "a:1", err: errors.New("refused")}}
	r := examine(f)
	if f.reached() || r.Failures != 3 || len(r.Findings) != 3 || r.Findings[2].Advice != "GRANT SELECT ON mysql.rds_topology TO 'root'@'%';" && r.Findings[2].Advice != "GRANT SELECT ON mysql.rds_topology TO ''@'%';" {
		t.Errorf("%+v", r)
	}
}
