package driver

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// FuzzDSNRoundTrip: whatever ParseDSN accepts, FormatDSN writes so that ParseDSN
// makes an equal Config of it, and what the wrapped driver accepts too means the
// same to both.
func FuzzDSNRoundTrip(f *testing.F) {
	for _, tc := range readCases[goodDSN](f, "dsn_good.json") {
		f.Add(tc.DSN)
	}
	for _, tc := range readCases[badDSN](f, "dsn_bad.json") {
		f.Add(tc.DSN)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		c, err := ParseDSN(dsn)
		if err != nil {
			if _, ok := errors.AsType[*dsnError](err); !ok || c != nil {
				t.Fatalf("%q: a %T beside %v", dsn, err, c)
			}
			return
		}
		checkRoundTrip(t, c)
		if theirs, err := mysql.ParseDSN(dsn); err == nil {
			ours := []string{c.MySQL.User, c.MySQL.Passwd, c.MySQL.Net, c.MySQL.DBName}
			if want := []string{theirs.User, theirs.Passwd, theirs.Net, theirs.DBName}; !reflect.DeepEqual(ours, want) {
				t.Errorf("%q: got %q, the wrapped driver has %q", dsn, ours, want)
			}
		}
	})
}

// FuzzConfigRoundTrip is the other way round: whatever normalize accepts of a
// Config that a program filled in comes back from its DSN.
func FuzzConfigRoundTrip(f *testing.F) {
	f.Add("user", "secret", "a,b:2", "app", "?.example", "static", "sql_mode", "'ANSI'", "/etc/ssl/ca.pem", int64(5e9), 10, uint8(50), true)
	f.Add("a@b", "p@/ss?w:rd&", "[::1]:1", "a/b?c%d@", "", "", "time_zone", "a&b=c+d %", "", int64(0), 1, uint8(101), false)
	f.Fuzz(func(t *testing.T, user, password, hosts, database, pattern, topology, param, value, ca string, d int64, n int, percent uint8, flag bool) {
		if strings.Contains(user, ":") || strings.ContainsAny(param, "=&/") || strings.ContainsAny(hosts, "@") {
			t.Skip("no DSN can say that")
		}
		c := NewConfig()
		c.MySQL.User, c.MySQL.Passwd, c.MySQL.DBName = user, password, database
		c.Hosts = strings.Split(hosts, ",")
		c.InstanceHost, c.Topology, c.TLSCA = pattern, topology, ca
		c.PoolSize, c.PoolMaxIdle = Size(n), Percent(int(percent))
		c.BorrowTimeout, c.StallTimeout, c.ProbeInterval = time.Duration(d), time.Duration(d), time.Duration(d)
		c.GateSize, c.RetryReads = n, flag
		// Only those parameters that the wrapped driver has no field for.
		probe, err := mysql.ParseDSN("/?x" + param + "=1")
		if err != nil || len(probe.Params) != 1 {
			t.Skip("a parameter of the wrapped driver's")
		}
		c.MySQL.Params = map[string]string{"x" + param: value}
		if c.normalize() != nil {
			return
		}
		checkRoundTrip(t, c)
	})
}

// FuzzDSNSecret looks for a canary, which stands where a password does, in the
// errors of DSNs however malformed, and in what a Config prints.
func FuzzDSNSecret(f *testing.F) {
	const canary = "c4n4ry-of-7he-mine"
	for _, before := range []string{
		"", ":", "/", "a/b", "p@tcp(x", "@", "x@tcp(", "(", ")/", "@tcp(h)/db?fpPoolSize=", "/?fpPoolSize=", "/x?fp", "/x?tls=", "/?parseTime=",
		"@tcp(h)/?a=%zz&loc=", "/?fpInstanceHost=?", "@unix(", "%zz/", "/%zz?", "@tcp(h)/?serverPubKey=", "@tcp(h:", "@tcp(h,", "/?%zz",
	} {
		for _, after := range []string{"", "/", "/?x", "=", "%zz", "?fpTarget=x", "&fpTarget=", "(", ")", ")/", ":3306)/"} {
			for _, rest := range []string{"tcp(db:3306)/app", "", "/", "tcp(db", "tcp(db:x)/?fpTarget=x", "db:3306/app", "tcp(db)/?fpTarget=reader", "unix(@a)/"} {
				f.Add("user", before, after, rest)
			}
		}
	}
	f.Fuzz(func(t *testing.T, user, before, after, rest string) {
		shows := func(s string) bool {
			return strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary))
		}
		if shows(user + before + after + rest) {
			t.Skip("the canary twice")
		}
		for _, dsn := range []string{
			user + ":" + before + canary + after + "@" + rest, // as it is meant
			user + ":" + before + canary + after,              // cut off behind the password
		} {
			c, err := ParseDSN(dsn)
			switch {
			case err == nil && strings.Contains(c.MySQL.Passwd, canary):
				for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", c, c, c, c, c, c), c.LogValue().String(), slog.AnyValue(*c).Resolve().String()} {
					if shows(s) {
						t.Errorf("%q prints %s", dsn, s)
					}
				}
				for _, spoil := range []func(*Config){
					func(c *Config) { c.MySQL.TLS, c.MySQL.TLSConfig = nil, c.MySQL.Passwd },
					func(c *Config) { c.Target = "x" + c.MySQL.Passwd },
					func(c *Config) { c.Hosts = append(c.Hosts, c.MySQL.Passwd+",") },
					func(c *Config) { c.MySQL.Params = map[string]string{"fp" + c.MySQL.Passwd: ""} },
				} {
					spoilt := c.Clone()
					spoil(spoilt)
					if err := spoilt.normalize(); err == nil || shows(err.Error()) {
						t.Errorf("%q, then spoilt: %v", dsn, err)
					}
				}
			case err != nil && shows(err.Error()) && !parameterOfItsOwn(dsn, canary):
				t.Errorf("%q: %v", dsn, err)
			}
		}
	})
}

// parameterOfItsOwn reports that dsn is well-formed as far as its parameters and
// that what is in one of them cannot be told from a value: nothing behind it
// says that it belongs to a password.
func parameterOfItsOwn(dsn, s string) bool {
	p, err := splitDSN(dsn)
	return err == nil && strings.Contains(p.params, s) && !strings.Contains(p.database+p.params, "@")
}
