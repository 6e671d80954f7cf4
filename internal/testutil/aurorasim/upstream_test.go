package aurorasim

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

func TestMain(m *testing.M) {
	code := m.Run()
	mysqld.StopShared()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// backend is an upstream for a test, and how clients log in to it.
type backend struct {
	Upstream
	login
	real bool // a server, not the fake
}

// start starts a cluster over the upstream, which stays when the cluster ends.
func (b *backend) start(t *testing.T, cfg Config) *rig {
	t.Helper()
	cfg.Upstream = b.Upstream
	cfg.Upstream.Close = nil
	r := start(t, cfg)
	r.login = b.login
	return r
}

// eachUpstream runs a test over every kind of upstream: the fake and two servers.
func eachUpstream(t *testing.T, f func(t *testing.T, up *backend)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) {
		b := &backend{Upstream: Fake(), login: login{testUser, testPassword, "fp"}}
		t.Cleanup(func() { _ = b.Close() })
		f(t, b)
	})
	eachServer(t, f)
}

// eachServer runs a test over real servers only.
func eachServer(t *testing.T, f func(t *testing.T, up *backend)) {
	t.Helper()
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) { f(t, server(t, s, database)) })
}

func server(t *testing.T, s *mysqld.Server, database string) *backend {
	t.Helper()
	up, err := Server(s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Close() })
	return &backend{Upstream: up, login: login{s.User, s.Password, database}, real: true}
}
