package fakemysql_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

var users = map[string]string{"app": "secret", "nobody": ""}

// withTLS gives both sides what they need for verified TLS.
func withTLS(t *testing.T, server *fakemysql.Config) func(*mysql.Config) {
	t.Helper()
	own, roots, err := fakemysql.SelfSigned("db.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = own
	return func(cfg *mysql.Config) {
		cfg.TLS = &tls.Config{RootCAs: roots, ServerName: "db.example", MinVersion: tls.VersionTLS12}
	}
}

func TestLogin(t *testing.T) {
	for _, plugin := range []string{wire.NativePassword, wire.CachingSHA2Password} {
		for _, encrypted := range []bool{false, true} {
			for _, network := range []string{"pipe", "tcp", "unix"} {
				t.Run(fmt.Sprintf("%s/tls %v/%s", plugin, encrypted, network), func(t *testing.T) {
					testLogin(t, plugin, encrypted, network)
				})
			}
		}
	}
}

func testLogin(t *testing.T, plugin string, encrypted bool, network string) {
	config := fakemysql.Config{Users: users, AuthPlugin: plugin, Databases: []string{"shop"}}
	secure := func(*mysql.Config) {}
	if encrypted {
		secure = withTLS(t, &config)
	}
	s := serve(t, config)
	client := reach(t, s, network)
	secure(client)

	// The first login takes caching_sha2_password's full way, the second the fast.
	for range 2 {
		db := open(t, client.Clone())
		if id := one[uint32](t.Context(), t, db, "SELECT CONNECTION_ID()"); id == 0 {
			t.Error("connection id 0")
		}
		conns := s.Conns()
		last := conns[len(conns)-1]
		if last.TLS != encrypted || last.User != "app" || last.Database != "shop" {
			t.Errorf("the server sees %+v", last)
		}
	}

	// With and without TLS, a wrong password is one, cached or not.
	for range 2 {
		wrong := client.Clone()
		wrong.Passwd = "guess"
		wantError(t, open(t, wrong).PingContext(t.Context()), 1045)
		s.ForgetPasswords()
	}
	none := client.Clone()
	none.Passwd = ""
	wantError(t, open(t, none).PingContext(t.Context()), 1045)
	stranger := client.Clone()
	stranger.User = "stranger"
	wantError(t, open(t, stranger).PingContext(t.Context()), 1045)
	elsewhere := client.Clone()
	elsewhere.DBName = "attic"
	wantError(t, open(t, elsewhere).PingContext(t.Context()), 1049)

	empty := client.Clone()
	empty.User, empty.Passwd, empty.DBName = "nobody", "", ""
	if err := open(t, empty).PingContext(t.Context()); err != nil {
		t.Errorf("account without a password: %v", err)
	}
	if denied := s.Stats().Denied; denied != 5 {
		t.Errorf("%d logins denied, want 5", denied)
	}
}

// reach is a driver configuration that reaches s over a network.
func reach(t *testing.T, s *fakemysql.Server, network string) *mysql.Config {
	t.Helper()
	cfg := piped(s)
	if network == "pipe" {
		return cfg
	}
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	at, err := s.Listen(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DialFunc = nil
	cfg.Net, cfg.Addr = network, at.String()
	return cfg
}

// A pipe that is called "unix" is as safe as a socket: the driver sends the
// password as it is, and the server must take it.
func TestUnixLikePipe(t *testing.T) {
	s := serve(t, fakemysql.Config{Users: users, AuthPlugin: wire.CachingSHA2Password})
	cfg := piped(s)
	cfg.Net = "unix"
	if err := open(t, cfg).PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAuthSwitch(t *testing.T) {
	for _, tc := range []struct{ greeting, account string }{
		{wire.NativePassword, wire.CachingSHA2Password},
		{wire.CachingSHA2Password, wire.NativePassword},
	} {
		t.Run(tc.greeting+" to "+tc.account, func(t *testing.T) {
			s := serve(t, fakemysql.Config{
				Users: users, AuthPlugin: tc.greeting, UserPlugins: map[string]string{"app": tc.account},
			})
			if err := open(t, piped(s)).PingContext(t.Context()); err != nil {
				t.Error(err)
			}
			wrong := piped(s)
			wrong.Passwd = "guess"
			wantError(t, open(t, wrong).PingContext(t.Context()), 1045)
		})
	}
}

func TestAnybody(t *testing.T) {
	for _, plugin := range []string{wire.NativePassword, wire.CachingSHA2Password} {
		s := serve(t, fakemysql.Config{AuthPlugin: plugin})
		if err := open(t, piped(s)).PingContext(t.Context()); err != nil {
			t.Errorf("%s: %v", plugin, err)
		}
	}
}

func TestTLSIsVerified(t *testing.T) {
	var config fakemysql.Config
	secure := withTLS(t, &config)
	s := serve(t, config)
	cfg := piped(s)
	secure(cfg)
	cfg.TLS.ServerName = "other.example"
	if err := open(t, cfg).PingContext(t.Context()); err == nil {
		t.Error("the driver took a certificate of another host")
	}
}

func TestRequireTLS(t *testing.T) {
	config := fakemysql.Config{RequireTLS: true}
	secure := withTLS(t, &config)
	s := serve(t, config)
	wantError(t, open(t, piped(s)).PingContext(t.Context()), 3159)
	cfg := piped(s)
	secure(cfg)
	if err := open(t, cfg).PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTLSNotOffered(t *testing.T) {
	cfg := piped(serve(t, fakemysql.Config{}))
	cfg.TLS = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	if err := open(t, cfg).PingContext(t.Context()); !errors.Is(err, mysql.ErrNoTLS) {
		t.Errorf("error %v, want %v", err, mysql.ErrNoTLS)
	}
}

func TestConnInfo(t *testing.T) {
	got := make(chan fakemysql.ConnInfo, 1)
	s := serve(t, fakemysql.Config{Handler: handlerFunc(func(c fakemysql.ConnInfo) fakemysql.Session {
		got <- c
		return fakemysql.NewScript().Open(c)
	})})
	cfg := piped(s)
	cfg.ConnectionAttributes = "program_name:till,region:eu"
	take(t, open(t, cfg))
	c := <-got
	if c.User != "app" || c.Database != "shop" || c.TLS || c.ID != 1 {
		t.Errorf("%+v", c)
	}
	if c.Attributes["program_name"] != "till" || c.Attributes["region"] != "eu" || c.Attributes["_client_name"] != "Go-MySQL-Driver" {
		t.Errorf("attributes %v", c.Attributes)
	}
	if !c.Capabilities.Has(wire.ClientDeprecateEOF) || c.Capabilities.Has(wire.ClientSessionTrack) {
		t.Errorf("capabilities %#x: not what driver and server share", c.Capabilities)
	}
}

// handlerFunc is a Handler by its Open.
type handlerFunc func(fakemysql.ConnInfo) fakemysql.Session

func (f handlerFunc) Open(c fakemysql.ConnInfo) fakemysql.Session { return f(c) }

func TestHandlerWithoutSession(t *testing.T) {
	s := serve(t, fakemysql.Config{Handler: handlerFunc(func(fakemysql.ConnInfo) fakemysql.Session { return nil })})
	wantError(t, open(t, piped(s)).PingContext(t.Context()), 1105)
}

// A server that cannot take another client says so in place of its greeting,
// without SQLSTATE.
func TestTooManyConnections(t *testing.T) {
	s := serve(t, fakemysql.Config{MaxConnections: 1})
	db := open(t, piped(s))
	first := take(t, db)
	wantError(t, db.PingContext(t.Context()), 1040)
	greeting := firstPacket(t, s)
	if e, err := wire.ParseError(greeting); err != nil || e.State != "" || e.Number != 1040 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("the connection that is there: %v", err)
	}
	if st := s.Stats(); st.Refused != 2 || st.Accepted != 3 {
		t.Errorf("%+v", st)
	}
}

func TestRefuse(t *testing.T) {
	s := serve(t, fakemysql.Config{})
	db := open(t, piped(s))
	s.Refuse(&fakemysql.Error{Number: 1129, Message: "Host is blocked"})
	wantError(t, db.PingContext(t.Context()), 1129)
	s.Refuse(nil)
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func firstPacket(t *testing.T, s *fakemysql.Server) []byte {
	t.Helper()
	c, err := s.Dial(t.Context(), "pipe", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	p, err := wire.ReadPacket(c, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p.Payload
}

func TestClosedServerRefusesDials(t *testing.T) {
	s := fakemysql.New(fakemysql.Config{})
	s.Close()
	_, err := s.Dial(context.Background(), "tcp", "")
	if oe, ok := errors.AsType[*net.OpError](err); !ok || oe.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Listen(t.Context(), "tcp", "127.0.0.1:0"); !errors.Is(err, fakemysql.ErrServerClosed) {
		t.Errorf("error %v", err)
	}
	s.Close()
}

// ServeConn takes any net.Conn, one without buffers included.
func TestServeConnOverNetPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, fakemysql.Config{Users: users, AuthPlugin: wire.CachingSHA2Password})
		cfg := piped(s)
		cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go s.ServeConn(server)
			return client, nil
		}
		if got := one[int](t.Context(), t, open(t, cfg), "SELECT SLEEP(90)"); got != 0 {
			t.Errorf("SLEEP gives %d", got)
		}
	})
}

func TestServeEndsWithClose(t *testing.T) {
	s := fakemysql.New(fakemysql.Config{})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.Serve(l) }()
	cfg := piped(s)
	cfg.DialFunc, cfg.Net, cfg.Addr = nil, "tcp", l.Addr().String()
	if err := open(t, cfg).PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	if err := <-ended; !errors.Is(err, fakemysql.ErrServerClosed) {
		t.Errorf("error %v", err)
	}
	if err := s.Serve(l); !errors.Is(err, fakemysql.ErrServerClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
}
