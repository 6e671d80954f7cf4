package driver

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

type goodDSN struct {
	DSN, Format                   string
	User, Password, Net, Database string
	Hosts                         []string
}

type badDSN struct {
	DSN   string
	Error []string // parts of the message
}

// readCases reads a table of testdata. An empty one is an error: a test without
// cases passes.
func readCases[T any](tb testing.TB, name string) []T {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	var cases []T
	if err := json.Unmarshal(data, &cases); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	if len(cases) == 0 {
		tb.Fatalf("%s has no cases", name)
	}
	return cases
}

func TestParseDSN(t *testing.T) {
	for _, tc := range readCases[goodDSN](t, "dsn_good.json") {
		t.Run(tc.DSN, func(t *testing.T) {
			c, err := ParseDSN(tc.DSN)
			if err != nil {
				t.Fatal(err)
			}
			m := c.MySQL
			got := goodDSN{tc.DSN, c.FormatDSN(), m.User, m.Passwd, m.Net, m.DBName, c.Hosts}
			if !reflect.DeepEqual(got, tc) {
				t.Errorf("\n got %+v\nwant %+v", got, tc)
			}
			if m.Addr != "" || m.TLS != nil && m.TLS.ServerName != "" {
				t.Errorf("MySQL.Addr is %q, TLS %v: an instance's, not the cluster's", m.Addr, m.TLS)
			}
			if (m.TLS != nil) != (m.TLSConfig != "") {
				t.Errorf("TLS is %v for tls=%s", m.TLS, m.TLSConfig)
			}
			checkRoundTrip(t, c)
		})
	}
}

// checkRoundTrip fails unless the DSN of c makes an equal Config and names no
// parameter of ours that is at its default.
func checkRoundTrip(t *testing.T, c *Config) {
	t.Helper()
	dsn := c.FormatDSN()
	again, err := ParseDSN(dsn)
	if err != nil {
		t.Fatalf("FormatDSN gave %q: %v", dsn, err)
	}
	if !reflect.DeepEqual(c, again) {
		t.Errorf("%q makes another Config:\n got %#v of %+v\nwant %#v of %+v", dsn, again, *again.MySQL, c, *c.MySQL)
	}
	if s := again.FormatDSN(); s != dsn {
		t.Errorf("%q is formatted as %q the second time", dsn, s)
	}
	defaults := NewConfig()
	_, params, _ := strings.Cut(dsn[strings.LastIndexByte(dsn, '/'):], "?")
	for param := range strings.SplitSeq(params, "&") {
		name, _, _ := strings.Cut(param, "=")
		if k := keyByName[name]; k != nil && k.get(c) == k.get(defaults) {
			t.Errorf("%q has %s, which is at its default", dsn, param)
		}
	}
}

func TestParseDSNErrors(t *testing.T) {
	for _, tc := range readCases[badDSN](t, "dsn_bad.json") {
		t.Run(tc.DSN, func(t *testing.T) {
			c, err := ParseDSN(tc.DSN)
			if err == nil {
				t.Fatalf("no error, but %v", c)
			}
			if c != nil {
				t.Errorf("an error and a Config: %v", c)
			}
			msg := err.Error()
			for _, part := range append([]string{"failoverproxy: "}, tc.Error...) {
				if !strings.Contains(msg, part) {
					t.Errorf("%q is not in: %s", part, msg)
				}
			}
			for _, secret := range []string{"secret", "hunter2", "sec/ret"} {
				if strings.Contains(msg, secret) {
					t.Errorf("the password is in: %s", msg)
				}
			}
			if len(tc.Error) == 0 {
				t.Errorf("the case says nothing about: %s", msg)
			}
		})
	}
}

// TestParseDSNLikeWrapped compares with the wrapped driver where there is one
// host and nothing of ours.
func TestParseDSNLikeWrapped(t *testing.T) {
	compared := 0
	for _, tc := range readCases[goodDSN](t, "dsn_good.json") {
		_, params, _ := strings.Cut(tc.DSN[strings.LastIndexByte(tc.DSN, '/'):], "?")
		if len(tc.Hosts) != 1 || tc.Net == "tcp6" || strings.Contains(params, "fp") || strings.HasSuffix(tc.Hosts[0], "]") ||
			strings.Contains(tc.DSN, "([::1])") || strings.Contains(params, "=-") {
			continue
		}
		compared++
		want, err := mysql.ParseDSN(tc.DSN)
		if err != nil {
			t.Fatalf("%q: %v", tc.DSN, err)
		}
		c, err := ParseDSN(tc.DSN)
		if err != nil {
			t.Fatalf("%q: %v", tc.DSN, err)
		}
		got := c.MySQL.Clone()
		got.Addr = c.Hosts[0]
		got.TLS, want.TLS = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n got %+v\nwant %+v", tc.DSN, got, want)
		}
	}
	if compared < 20 {
		t.Errorf("only %d DSNs were compared", compared)
	}
}

func TestNearest(t *testing.T) {
	for _, tc := range []struct{ s, want string }{
		{"fpTopolgy", "fpTopology"},
		{"fpTraget", "fpTarget"},
		{"fpprobeintervallfast", "fpProbeIntervalFast"},
		{"fpProbeIntervall", "fpProbeInterval"},
		{"fpTlsCa", "fpTLSCA"},
		{"fp" + strings.Repeat("x", 1_000_000), ""},
	} {
		err := unknownKey(tc.s)
		if !strings.Contains(err.Error(), "did you mean "+tc.want) || len(err.Error()) > 300 {
			t.Errorf("%.30q: %v", tc.s, err)
		}
	}
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ab", "xaxb", 2}} {
		if got := editDistance(tc.a, tc.b); got != tc.want {
			t.Errorf("%q to %q is %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

// samples are, for each key, texts that it accepts with what FormatDSN makes of
// them, whether this version supports them or not. The first is not the default.
var samples = map[string][][2]string{
	"fpTopology":            {{"static", "static"}, {"replication", "replication"}, {"dns", "dns"}, {"auto", "auto"}},
	"fpInstanceHost":        {{"?.example:1", "?.example:1"}, {"", ""}},
	"fpTarget":              {{"reader", "reader"}, {"auto", "auto"}},
	"fpReaderStrategy":      {{"weighted", "weighted"}},
	"fpReaderWeights":       {{"b:3,*:1,a:1:0", "*:1,a:1:0,b:3"}, {"a:007", "a:7"}, {"", ""}},
	"fpWriterIsReader":      {{"never", "never"}},
	"fpMaxReplicaLag":       {{"1500ms", "1.5s"}, {"0", "0"}},
	"fpReadYourWrites":      {{"1s", "1s"}, {"0", "0"}},
	"fpReadFallback":        {{"off", "off"}, {"FALSE", "off"}, {"0", "off"}},
	"fpReaderLatencyWindow": {{"2ms", "2ms"}},
	"fpPoolSize":            {{"60%", "60%"}, {"007", "7"}, {"100000", "100000"}, {"100%", "100%"}, {"1%", "1%"}},
	"fpPoolMinIdle":         {{"5", "5"}, {"0%", "0%"}},
	"fpPoolMaxIdle":         {{"25", "25"}, {"50%", "50%"}},
	"fpPoolIdleTimeout":     {{"1h", "1h"}},
	"fpPoolMaxLifetime":     {{"60m1s", "1h0m1s"}},
	"fpPoolMode":            {{"session", "session"}},
	"fpPinFilter":           {{"excludeVariableSets", "excludeVariableSets"}},
	"fpSessionReset":        {{"On", "on"}},
	"fpBorrowTimeout":       {{"0s", "0"}},
	"fpConnectConcurrency":  {{"1", "1"}},
	"fpInitQuery":           {{"SET @a = '/?&%'", "SET @a = '/?&%'"}, {"ü\x00\xff", "ü\x00\xff"}},
	"fpPreparedCache":       {{"0", "0"}},
	"fpFleetMax":            {{"80%", "80%"}, {"0", "0"}, {"off", "0"}, {"1%", "1%"}, {"100%", "100%"}},
	"fpFleetSize":           {{"3", "3"}, {"auto", "auto"}},
	"fpFailoverTimeout":     {{"10m", "10m"}, {"100h", "100h"}, {"10s", "10s"}},
	"fpGateSize":            {{"1000000000", "1000000000"}},
	"fpProbeInterval":       {{"1ms", "1ms"}},
	"fpProbeIntervalFast":   {{"10ms", "10ms"}},
	"fpProbeTimeout":        {{"2562047h47m16.854775807s", "2562047h47m16.854775807s"}},
	"fpStallTimeout":        {{"1us", "1µs"}},
	"fpRetryReads":          {{"off", "off"}},
	"fpResume":              {{"verify", "verify"}},
	"fpTxReplay":            {{"verify", "verify"}},
	"fpTxReplayMaxBytes":    {{"3", "3"}, {"2048", "2KiB"}, {"1024MiB", "1GiB"}, {"0", "0"}, {"1024GiB", "1024GiB"}},
	"fpCommitOutcome":       {{"app.commits", "app.commits"}, {"commits$1", "commits$1"}},
	"fpCancelQuery":         {{"off", "off"}},
	"fpTLSCA":               {{"/etc/ssl/ca.pem", "/etc/ssl/ca.pem"}},
}

// TestKeys checks each form, and that each key is bound to the field of its name
// and to no other.
func TestKeys(t *testing.T) {
	fields := reflect.TypeFor[Config]().NumField() - 2 // without MySQL and Hosts
	if len(keys) != fields || len(samples) != fields || len(keyByName) != fields {
		t.Errorf("%d keys, %d names, %d samples, %d fields", len(keys), len(keyByName), len(samples), fields)
	}
	for _, k := range keys {
		t.Run(k.name, func(t *testing.T) {
			for i, s := range samples[k.name] {
				c, again := NewConfig(), NewConfig()
				if err := k.parse(c, s[0]); err != nil {
					t.Fatal(err)
				}
				if got := k.get(c); got != s[1] {
					t.Errorf("%q is formatted as %q, want %q", s[0], got, s[1])
				}
				if err := k.parse(again, k.get(c)); err != nil || !reflect.DeepEqual(c, again) {
					t.Errorf("%q does not come back from %q: %v", s[0], k.get(c), err)
				}
				if got, want := changed(c), strings.TrimPrefix(k.name, "fp"); i == 0 && !slices.Equal(got, []string{want}) {
					t.Errorf("%q changes %v, want %s", s[0], got, want)
				}
				if err := k.check(c); err != nil && !strings.Contains(err.Error(), k.name+": ") ||
					err != nil && !strings.Contains(err.Error(), "not supported yet") {
					t.Errorf("%q: %v", s[0], err)
				}
			}
			c := NewConfig()
			if err := k.check(c); err != nil {
				t.Errorf("the default: %v", err)
			}
			if err := k.parse(c, k.def); err != nil || !reflect.DeepEqual(c, NewConfig()) {
				t.Errorf("the default's text %q: %v", k.def, err)
			}
		})
	}
}

// changed lists the fields in which c differs from the defaults.
func changed(c *Config) (names []string) {
	got, want := reflect.ValueOf(*c), reflect.ValueOf(*NewConfig())
	for i := range got.NumField() {
		if !reflect.DeepEqual(got.Field(i).Interface(), want.Field(i).Interface()) {
			names = append(names, got.Type().Field(i).Name)
		}
	}
	return names
}
