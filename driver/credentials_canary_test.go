package driver

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// mine is a program whose passwords must not come out anywhere: what it logs, traces, counts and
// can print is searched for them.
type mine struct {
	*testing.T
	log   *journal
	spans *tracetest.SpanRecorder
	meter *metric.ManualReader
	opts  []Option

	seen  int
	mu    sync.Mutex
	kinds map[string]int // errors by kind
}

func newMine(t *testing.T, opts ...Option) *mine {
	m := &mine{T: t, log: &journal{}, spans: tracetest.NewSpanRecorder(), meter: metric.NewManualReader(), kinds: make(map[string]int)}
	text := slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug - 10, AddSource: true})
	m.opts = append([]Option{
		WithLogger(slog.New(text)), WithTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(m.spans))),
		WithMeterProvider(metric.NewMeterProvider(metric.WithReader(m.meter))),
	}, opts...)
	return m
}

// canaries are the passwords: of a DSN, of providers, of secrets.
var canaries = []string{"cAnArY-dsn-8d1", "cAnArY-first-55e", "cAnArY-second-a90", "cAnArY-third-c77", "cAnArY-file-31b"}

// search looks for the canaries in a text, also as JSON, %q and %x write them.
func (m *mine) search(where, text string) {
	m.Helper()
	m.seen++
	lower := strings.ToLower(text)
	for _, c := range canaries {
		for _, form := range []string{c, fmt.Sprintf("%x", c), fmt.Sprint([]byte(c))} {
			if strings.Contains(lower, strings.ToLower(form)) {
				m.Errorf("%s shows %q: %.300s", where, c, text)
			}
		}
	}
}

// show prints values in all the ways that programs do.
func (m *mine) show(values ...any) {
	m.Helper()
	m.print([]string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"}, values...)
}

// shallow are the verbs that do not look into what a pointer leads to, which may be changing.
var shallow = []string{"%v", "%+v", "%#v"}

func (m *mine) print(verbs []string, values ...any) {
	m.Helper()
	for _, v := range values {
		name := fmt.Sprintf("%T", v)
		for _, verb := range verbs {
			m.search(verb+" of "+name, fmt.Sprintf(verb, v))
			m.search(verb+" of []"+name, fmt.Sprintf(verb, []any{v}))
			m.search(verb+" of struct with "+name, fmt.Sprintf(verb, struct{ V any }{v}))
		}
		if text, err := json.Marshal(v); err == nil {
			m.search("JSON of "+name, string(text))
		} else {
			m.search("JSON's error of "+name, err.Error())
		}
		var buffer bytes.Buffer
		slog.New(slog.NewJSONHandler(&buffer, nil)).Error("x", "value", v)
		slog.New(slog.NewTextHandler(&buffer, nil)).Error("x", "value", v)
		m.search("slog of "+name, buffer.String())
	}
}

// fails shows an error, and all that it is made of.
func (m *mine) fails(kind string, err error) {
	m.Helper()
	m.mu.Lock()
	m.kinds[kind]++
	m.mu.Unlock()
	if err == nil {
		m.Errorf("%s: no error", kind)
		return
	}
	if _, own := err.(indiscreet); !own { //nolint:errorlint // each link by itself
		m.show(err)
	}
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		if e.Unwrap() != nil {
			m.fails(kind, e.Unwrap())
		}
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			m.fails(kind, err)
		}
	}
}

// program shows all that a program can have of a connector.
func (m *mine) program(c *Connector, db *sql.DB) {
	m.Helper()
	m.print(shallow, c, db)
	m.show(c.Stats(), c.Snapshot(), c.Driver(), c.Pins(), m.opts, *c.cluster.cfg)
	if conn, err := db.Conn(m.Context()); err == nil {
		defer conn.Close()
		if err := conn.Raw(func(inner any) error { m.print(shallow, inner); return nil }); err != nil {
			m.Error(err)
		}
		m.print(shallow, conn)
	}
	m.metrics(c.cluster.credentials != nil)
}

// over closes a program, and shows what it leaves.
func (m *mine) over(c *Connector, db *sql.DB) {
	m.Helper()
	if err := db.Close(); err != nil {
		m.Error(err)
	}
	m.show(c)
	cl := c.cluster // no program has these
	m.print(shallow, cl, cl.dialer, cl.pool, cl.monitor, cl.canceler)
	if cl.credentials != nil {
		m.print(shallow, cl.credentials)
		for _, a := range cl.credentials.accounts {
			m.print(shallow, a, a.last, a.proven, a.last.Login)
		}
	}
}

// metrics searches what is counted now.
func (m *mine) metrics(provider bool) {
	m.Helper()
	var metrics metricdata.ResourceMetrics
	if err := m.meter.Collect(m.Context(), &metrics); err != nil {
		m.Error(err)
	}
	text, err := json.Marshal(metrics)
	m.search("the metrics", string(text)+fmt.Sprintf("%+v", metrics))
	if err != nil {
		m.Error(err)
	}
	if strings.Contains(string(text), "failoverproxy.credentials.calls") != provider {
		m.Error("the provider is not counted, or there is none")
	}
}

// end searches what was logged and traced meanwhile.
func (m *mine) end() {
	m.Helper()
	m.search("the log", m.log.String())
	for _, span := range m.spans.Ended() {
		m.search("a span", fmt.Sprintf("%s %+v %+v %+v", span.Name(), span.Attributes(), span.Events(), span.Status()))
	}
	m.Logf("searched %d texts, %d spans, %d bytes of log; errors: %v", m.seen, len(m.spans.Ended()), len(m.log.String()), m.kinds)
}

// canaryServer is where the passwords are used.
type canaryServer struct {
	addr   string
	opts   []Option
	accept func(password string) // of user app
}

// TestCredentialsCanary: passwords in DSNs, providers and files, on servers that take and refuse
// them, in every error that they lead to.
func TestCredentialsCanary(t *testing.T) {
	t.Run("fake", func(t *testing.T) {
		server := fakemysql.New(fakemysql.Config{Users: map[string]string{}, Handler: minidb.New()})
		defer server.Close()
		dial := func(ctx context.Context, _, addr string) (net.Conn, error) { return server.Dial(ctx, "tcp", addr) }
		searchFor(t, canaryServer{
			addr: "db.example.com:3306", opts: []Option{WithDialer(dial)},
			accept: func(password string) { server.SetUsers(map[string]string{"app": password}) },
		})
	})
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		create := fmt.Sprintf("CREATE USER app@'%%' IDENTIFIED BY '%s'", canaries[0])
		if err := s.Exec(t.Context(), create, "GRANT ALL ON *.* TO app@'%'"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Exec(context.WithoutCancel(t.Context()), "DROP USER app") }()
		searchFor(t, canaryServer{addr: s.Addr(), accept: func(password string) {
			if err := s.Exec(t.Context(), fmt.Sprintf("ALTER USER app@'%%' IDENTIFIED BY '%s'", password)); err != nil {
				t.Error(err)
			}
		}})
	})
}

func searchFor(t *testing.T, s canaryServer) {
	m := newMine(t, s.opts...)
	open := func(dsn string, opts ...Option) (*Connector, *sql.DB) {
		t.Helper()
		cfg, err := ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		m.show(cfg, *cfg)
		c, err := NewConnector(cfg, append(m.opts, opts...)...)
		if err != nil {
			m.fails("configuration", err)
			return nil, nil
		}
		return c, sql.OpenDB(c)
	}
	const params = "/?fpTopology=static&fpPoolMaxIdle=0&timeout=500ms&fpFailoverTimeout=1s"
	plain := "tcp(" + s.addr + ")" + params

	// The DSN's password: taken, and refused.
	s.accept(canaries[0])
	c, db := open("app:" + canaries[0] + "@" + plain)
	m.use(db)
	m.program(c, db)
	s.accept(canaries[1])
	m.fails("a DSN's password", db.PingContext(t.Context()))
	m.over(c, db)
	open("app:"+canaries[0]+"@"+plain, WithCredentials(given("app", canaries[1])))
	open(plain, WithCredentials(nil))
	open(plain, WithCredentials(inTheClear{given("app", canaries[1])}))

	// A provider, of which everything can go wrong.
	v := &vault{user: "app", password: canaries[1], validity: time.Hour}
	c, db = open("app@"+plain, WithCredentials(v))
	m.use(db)
	m.program(c, db)
	a := c.cluster.credentials.account(s.addr)
	broken := func(kind, want string, change func()) {
		t.Helper()
		v.set(change)
		c.cluster.credentials.mu.Lock()
		a.last.expiry, a.last.late, a.next = time.Unix(1, 0), time.Unix(1, 0), time.Time{} // it is over
		c.cluster.credentials.mu.Unlock()
		err := db.PingContext(t.Context())
		m.fails(kind, err)
		if !errors.Is(err, failover.ErrCredentials) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", kind, err, want)
		}
		m.program(c, db)
	}
	answer := func(user, password string, expiry time.Time, err error) func() {
		return func() {
			v.answer = func(context.Context) (string, string, time.Time, error) { return user, password, expiry, err }
		}
	}
	broken("a failure that tells all", "xxxxx", answer("app", canaries[2], time.Time{}, fmt.Errorf("neither %s nor %s", canaries[1], canaries[2])))
	broken("a failure of a type that has it", "short", answer("", "", time.Time{}, indiscreet{canaries[1]}))
	broken("no user", "no user", answer("", canaries[2], time.Time{}, nil))
	broken("expired", "expired", answer("app", canaries[2], time.Now().Add(-time.Hour), nil))
	broken("panic", "panicked", func() {
		v.answer = func(context.Context) (string, string, time.Time, error) { panic("what is " + canaries[1]) }
	})
	broken("hangs", "timeout", func() {
		v.answer = func(ctx context.Context) (string, string, time.Time, error) {
			<-ctx.Done()
			return "app", canaries[2], time.Time{}, ctx.Err()
		}
	})
	v.set(func() { v.answer, v.password = nil, canaries[3] })
	time.Sleep(longestPause)
	m.fails("a password of a provider's", db.PingContext(t.Context()))
	s.accept(canaries[3])
	m.use(db)
	m.program(c, db)
	m.over(c, db)
	m.fails("closed", db.PingContext(t.Context()))

	// A file.
	path := filepath.Join(t.TempDir(), "db.json")
	write(t, path, `{"username": "app", "password": "`+canaries[4]+`"}`)
	s.accept(canaries[4])
	p := FileCredentials(path)
	m.show(p, p.(*fileCredentials).last.Load())
	c, db = open(plain, WithCredentials(p))
	m.use(db)
	m.program(c, db)
	m.show(p, p.(*fileCredentials).last.Load())
	write(t, path, `{"username": "app", "password": "`+canaries[4])
	s.accept(canaries[2])
	m.fails("a broken file", db.PingContext(t.Context()))
	m.program(c, db)
	m.over(c, db)
	m.end()
}

// indiscreet is an error with a password in it that its text does not show.
type indiscreet struct{ Password string }

func (indiscreet) Error() string { return "short of words" }

// use runs statements that succeed and that fail.
func (m *mine) use(db *sql.DB) {
	m.Helper()
	var one int
	if err := db.QueryRowContext(m.Context(), "SELECT 1").Scan(&one); err != nil {
		m.Error(err)
	}
	_, err := db.ExecContext(m.Context(), "NONSENSE")
	m.fails("syntax", err)
	_, err = db.ExecContext(failover.WithoutRetry(m.Context()), "SELECT * FROM no.such_table")
	m.fails("no table", err)
	ctx, cancel := context.WithTimeout(m.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	_, err = db.ExecContext(ctx, "SELECT 1")
	m.fails("cancelled", err)
	tx, err := db.BeginTx(m.Context(), nil)
	if err != nil {
		m.Error(err)
		return
	}
	_, err = tx.ExecContext(m.Context(), "NONSENSE")
	m.fails("syntax", err)
	_ = tx.Rollback()
}
