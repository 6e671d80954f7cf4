package driver

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

func TestNewConfig(t *testing.T) {
	want := &Config{
		MySQL:              mysql.NewConfig(),
		Topology:           "auto",
		Target:             "writer",
		ReaderStrategy:     "leastLoaded",
		WriterIsReader:     "onlyIfNoReader",
		MaxReplicaLag:      time.Second,
		ReadYourWrites:     250 * time.Millisecond,
		ReadFallback:       true,
		PoolSize:           25,
		PoolMaxIdle:        Percent(100),
		PoolIdleTimeout:    5 * time.Minute,
		PoolMaxLifetime:    30 * time.Minute,
		PoolMode:           "transaction",
		BorrowTimeout:      30 * time.Second,
		ConnectConcurrency: 10,
		PreparedCache:      256,
		FailoverTimeout:    30 * time.Second,
		GateSize:           10_000,
		ProbeInterval:      5 * time.Second,
		ProbeIntervalFast:  100 * time.Millisecond,
		ProbeTimeout:       time.Second,
		StallTimeout:       2 * time.Second,
		RetryReads:         true,
		CancelQuery:        true,
		Resume:             "off",
		TxReplay:           "off",
		TxReplayMaxBytes:   1 << 20,
	}
	if err := (*Config)(nil).normalize(); err == nil {
		t.Error("nil is a valid Config")
	}
	c := NewConfig()
	if !reflect.DeepEqual(c, want) {
		t.Errorf("\n got %+v\nwant %+v", c, want)
	}
	if c.MySQL == NewConfig().MySQL {
		t.Error("two Configs share MySQL")
	}
	if err := c.normalize(); err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseDSN("/")
	if err != nil || !reflect.DeepEqual(c, parsed) {
		t.Errorf("the DSN / makes %v, %v, want %v", parsed, err, c)
	}
}

func TestNormalize(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		format string // after it, or
		want   string // in its error
	}{
		{"nothing", func(*Config) {}, "tcp(127.0.0.1:3306)/", ""},
		{"no MySQL", func(c *Config) { c.MySQL = nil }, "tcp(127.0.0.1:3306)/", ""},
		{"bare MySQL", func(c *Config) { c.MySQL = &mysql.Config{} }, "tcp(127.0.0.1:3306)/?allowNativePasswords=false&checkConnLiveness=false&maxAllowedPacket=0", ""},
		{"Addr", func(c *Config) { c.MySQL.Addr = "db.example" }, "tcp(db.example:3306)/", ""},
		{"Hosts before Addr", func(c *Config) { c.MySQL.Addr, c.Hosts = "x:1", []string{"a", "b:2"} }, "tcp(a:3306,b:2)/", ""},
		{"unix", func(c *Config) { c.MySQL.Net = "unix" }, "unix(/tmp/mysql.sock)/", ""},
		{"empty words", func(c *Config) {
			c.Topology, c.Target, c.ReaderStrategy, c.WriterIsReader, c.PoolMode, c.Resume, c.TxReplay = "", "", "", "", "", "", ""
		}, "tcp(127.0.0.1:3306)/", ""},
		{"no weights", func(c *Config) { c.ReaderWeights = map[string]int{} }, "tcp(127.0.0.1:3306)/", ""},
		{"nothing set", func(c *Config) { *c = Config{} }, "", "start from driver.NewConfig"},
		{"no size", func(c *Config) { c.PoolSize = 0 }, "", `fpPoolSize: "0": want a number`},
		{"negative", func(c *Config) { c.PoolSize = -1 }, "", `fpPoolSize: "-1"`},
		{"percentage out of range", func(c *Config) { c.PoolMaxIdle = Percent(101) }, "", "fpPoolMaxIdle"},
		{"number like a percentage", func(c *Config) { c.PoolMaxIdle = percentage + 101 }, "", "fpPoolMaxIdle"},
		{"duration", func(c *Config) { c.StallTimeout = -1 }, "", `fpStallTimeout: "-1ns"`},
		{"word", func(c *Config) { c.Topology = "Aurora" }, "", "did you mean aurora?"},
		{"pattern", func(c *Config) { c.InstanceHost = "x" }, "", "fpInstanceHost"},
		{"weights", func(c *Config) { c.ReaderWeights = map[string]int{"a": -1} }, "", "fpReaderWeights"},
		{"later", func(c *Config) { c.Resume = "verify" }, "", `fpResume: "verify": not supported yet`},
		{"auto without multiplexing", func(c *Config) { c.Target, c.PoolMode = "auto", "session" }, "", "fpTarget makes no sense with fpPoolMode"},
		{"a target that there is not", func(c *Config) { c.Target = "raeder" }, "", "did you mean reader?"},
		{"two hosts in one", func(c *Config) { c.Hosts = []string{"a:1,b:2"} }, "", "elements"},
		{"registered network without host", func(c *Config) { c.MySQL.Net = "sim" }, "", "no host"},
		{"rejectReadOnly", func(c *Config) { c.MySQL.RejectReadOnly = true }, "", "rejectReadOnly"},
		{"our keys in Params", func(c *Config) { c.MySQL.Params = map[string]string{"fpPoolSize": "3"} }, "", "fpPoolSize: it is in MySQL.Params"},
		{"wrapped TLS name", func(c *Config) { c.MySQL.TLSConfig = "nope" }, "", "unknown config name: nope"},
		{"min idle over size", func(c *Config) { c.PoolMinIdle, c.PoolMaxIdle = 26, 25 }, "", "fpPoolMinIdle is over fpPoolSize"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := NewConfig()
			tc.change(c)
			err := c.normalize()
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "" && c.FormatDSN() != tc.format:
				t.Errorf("got %s, want %s", c.FormatDSN(), tc.format)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if err != nil {
				return
			}
			before := c.Clone()
			if err := c.normalize(); err != nil || !reflect.DeepEqual(c, before) {
				t.Errorf("a second time: %v, %v, want %v", err, c, before)
			}
		})
	}
}

// TestNormalizeTLS checks whose name a TLS connection verifies: each instance's
// own, which is not known here, unless the program has chosen another.
func TestNormalizeTLS(t *testing.T) {
	for name, c := range map[string]*tls.Config{"dsn-plain": {}, "dsn-named": {ServerName: "chosen.example"}} {
		if err := mysql.RegisterTLSConfig(name, c); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { mysql.DeregisterTLSConfig(name) })
	}
	theirs, err := mysql.ParseDSN("tcp(a:1)/?tls=true")
	if err != nil || theirs.TLS.ServerName != "a" {
		t.Fatalf("the wrapped driver's own: %v, %v", theirs, err)
	}
	for _, tc := range []struct {
		change   func(m *mysql.Config)
		tls      bool
		name     string
		insecure bool
	}{
		{func(m *mysql.Config) {}, false, "", false},
		{func(m *mysql.Config) { m.TLSConfig = "false" }, false, "", false},
		{func(m *mysql.Config) { m.TLSConfig = "true" }, true, "", false},
		{func(m *mysql.Config) { m.TLSConfig = "skip-verify" }, true, "", true},
		{func(m *mysql.Config) { m.TLSConfig = "preferred" }, true, "", true},
		{func(m *mysql.Config) { m.TLSConfig = "dsn-plain" }, true, "", false},
		{func(m *mysql.Config) { m.TLSConfig = "dsn-named" }, true, "chosen.example", false},
		{func(m *mysql.Config) { m.TLS = &tls.Config{ServerName: "x"} }, true, "x", false},
		{func(m *mysql.Config) { *m = *theirs.Clone() }, true, "", false},
	} {
		c := NewConfig()
		tc.change(c.MySQL)
		if err := c.normalize(); err != nil {
			t.Fatal(err)
		}
		m := c.MySQL
		if (m.TLS != nil) != tc.tls || m.TLS != nil && (m.TLS.ServerName != tc.name || m.TLS.InsecureSkipVerify != tc.insecure) {
			t.Errorf("%s: got %v, want %+v", c, m.TLS, tc)
		}
		if m.AllowFallbackToPlaintext != (m.TLSConfig == "preferred") {
			t.Errorf("%s: fallback to plaintext is %v", c, m.AllowFallbackToPlaintext)
		}
	}
	if theirs.TLS.ServerName != "a" {
		t.Error("normalize has changed a clone's origin")
	}
}

// TestConflict includes what the table of keys refuses before, so far.
func TestConflict(t *testing.T) {
	for _, tc := range []struct {
		change func(*Config)
		want   []string
	}{
		{func(*Config) {}, nil},
		{func(c *Config) { c.PoolSize, c.PoolMaxIdle = 5, 5 }, nil},
		{func(c *Config) { c.PoolSize, c.PoolMinIdle = 5, Percent(100) }, nil},
		{func(c *Config) { c.PoolSize, c.PoolMinIdle = Percent(1), Percent(10) }, nil},
		{func(c *Config) { c.PoolMinIdle = 26 }, []string{"fpPoolMinIdle is over fpPoolSize", "is 26", "is 25 (the default)"}},
		{func(c *Config) { c.PoolMaxIdle = 26 }, []string{"fpPoolMaxIdle is over fpPoolSize"}},
		{func(c *Config) { c.PoolMinIdle, c.PoolMaxIdle = Percent(50), 12 }, []string{"fpPoolMinIdle is over fpPoolMaxIdle", "50%", "12"}},
		{func(c *Config) { c.ProbeIntervalFast = 5001 * time.Millisecond }, []string{"fpProbeIntervalFast", "fpProbeInterval", "5.001s"}},
		{func(c *Config) { c.ProbeInterval = 0 }, nil},
		{func(c *Config) { c.ProbeInterval, c.Target = 0, "auto" }, []string{"fpProbeInterval makes no sense with fpTarget", "auto"}},
		{func(c *Config) { c.ProbeInterval, c.ReaderLatencyWindow = 0, time.Second }, []string{"fpProbeInterval makes no sense with fpReaderLatencyWindow"}},
		{func(c *Config) { c.FailoverTimeout = 999 * time.Millisecond }, []string{"fpProbeTimeout", "fpFailoverTimeout", "999ms"}},
		{func(c *Config) { c.FailoverTimeout = 0 }, nil},
		{func(c *Config) { c.StallTimeout = 999 * time.Millisecond }, []string{"fpStallTimeout is shorter than fpProbeTimeout", "999ms", "1s (the default)"}},
		{func(c *Config) { c.StallTimeout, c.ProbeTimeout = 3*time.Second, 3*time.Second }, nil},
		{func(c *Config) { c.ProbeTimeout = 3 * time.Second }, []string{"fpStallTimeout is 2s (the default)", "fpProbeTimeout is 3s"}},
		{func(c *Config) { c.StallTimeout, c.ProbeTimeout = 0, 3*time.Second }, nil},
		{func(c *Config) { c.ProbeTimeout, c.FailoverTimeout = time.Millisecond, 99*time.Millisecond }, []string{"fpProbeIntervalFast is longer than fpFailoverTimeout", "99ms"}},
	} {
		c := NewConfig()
		tc.change(c)
		err := c.conflict()
		if (err == nil) != (tc.want == nil) {
			t.Errorf("got %v, want %q", err, tc.want)
			continue
		}
		for _, part := range tc.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q is not in: %v", part, err)
			}
		}
	}
}

func TestClone(t *testing.T) {
	if (*Config)(nil).Clone() != nil {
		t.Error("a clone of nil is not nil")
	}
	c, err := ParseDSN("user:secret@tcp(a,b)/?sql_mode=1")
	if err != nil {
		t.Fatal(err)
	}
	c.ReaderWeights = map[string]int{"a": 1}
	c.MySQL.TLS = &tls.Config{ServerName: "a"}
	d := c.Clone()
	if !reflect.DeepEqual(c, d) {
		t.Fatalf("got %v, want %v", d, c)
	}
	d.Hosts[0], d.ReaderWeights["a"], d.MySQL.Params["sql_mode"] = "x", 2, "2"
	d.MySQL.TLS.ServerName, d.MySQL.Passwd = "x", "x"
	if c.Hosts[0] != "a:3306" || c.ReaderWeights["a"] != 1 || c.MySQL.Params["sql_mode"] != "1" ||
		c.MySQL.TLS.ServerName != "a" || c.MySQL.Passwd != "secret" {
		t.Errorf("a change of the clone shows in %v", c)
	}
	c.MySQL.Params = map[string]string{}
	c.Clone().MySQL.Params["x"] = "y"
	if len(c.MySQL.Params) != 0 {
		t.Error("clones share an empty map")
	}
	if got := (&Config{}).Clone(); !reflect.DeepEqual(got, &Config{}) {
		t.Errorf("a clone of nothing is %v", got)
	}
}

func TestSize(t *testing.T) {
	for _, tc := range []struct {
		size  Size
		whole int
		want  int
		text  string
	}{
		{0, 10, 0, "0"},
		{7, 10, 7, "7"},
		{Percent(0), 10, 0, "0%"},
		{Percent(1), 10, 1, "1%"},
		{Percent(50), 25, 13, "50%"},
		{Percent(100), 25, 25, "100%"},
		{Percent(60), 0, 0, "60%"},
		{Percent(100), maxConnections * 1000, maxConnections * 1000, "100%"},
	} {
		if got := tc.size.Of(tc.whole); got != tc.want || tc.size.String() != tc.text {
			t.Errorf("%v of %d is %d, want %s and %d", tc.size, tc.whole, got, tc.text, tc.want)
		}
	}
}

// TestConfigPrinting fails if any way to print a Config shows its password.
func TestConfigPrinting(t *testing.T) {
	const password = "hunter2"
	c, err := ParseDSN("user:" + password + "@tcp(a,b)/app?fpPoolSize=3")
	if err != nil {
		t.Fatal(err)
	}
	const redacted = "user:xxxxx@tcp(a:3306,b:3306)/app?fpPoolSize=3"
	if got := c.String(); got != redacted {
		t.Errorf("got %q, want %q", got, redacted)
	}
	type holder struct {
		Config  *Config
		Value   Config
		private *Config
	}
	for _, v := range []any{c, *c, []*Config{c}, map[string]any{"c": *c}, holder{c, *c, c}, &holder{c, *c, c}, any(&c)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%p", "%T", "%10v", "%.3s", "%!"} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, password) || strings.Contains(s, fmt.Sprintf("%x", password)) {
				t.Errorf("%s of a %T: %s", verb, v, s)
			}
		}
		var buf bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&buf, nil), slog.NewJSONHandler(&buf, nil)} {
			slog.New(h).Info("x", "config", v, slog.Any("dsn", v), slog.Group("g", "v", v))
		}
		if strings.Contains(buf.String(), password) || !strings.Contains(buf.String(), "config") {
			t.Errorf("slog of a %T: %s", v, buf.String())
		}
	}
	for verb, want := range map[string]string{
		"%v": redacted, "%+v": redacted, "%s": redacted, "%q": `"` + redacted + `"`, "%#v": `driver.Config("` + redacted + `")`,
	} {
		if got := fmt.Sprintf(verb, c); got != want {
			t.Errorf("%s is %s, want %s", verb, got, want)
		}
	}
	if got := (&Config{}).String(); !strings.HasPrefix(got, "tcp/?") {
		t.Errorf("an empty Config is %q", got)
	}
	if got := c.FormatDSN(); !strings.Contains(got, password) {
		t.Errorf("FormatDSN lost the password: %s", got)
	}
}
