package awsauth

import (
	"context"
	"database/sql"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
	"github.com/failoverproxy/failoverproxy/topology"
)

// recorder keeps what a provider gave.
type recorder struct {
	*IAMProvider
	mu     sync.Mutex
	tokens map[string][]string // by address
}

func (r *recorder) Credentials(ctx context.Context, in topology.Instance) (user, token string, expiry time.Time, err error) {
	user, token, expiry, err = r.IAMProvider.Credentials(ctx, in)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens[in.Addr] = append(r.tokens[in.Addr], token)
	return user, token, expiry, err
}

// TestIAMFailover: a simulated Aurora cluster whose instances are found by the driver, each
// of which gets tokens for its own name, through a failover and an hour.
func TestIAMFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakemysql.New(fakemysql.Config{UserPlugins: map[string]string{"app": "mysql_clear_password"}, Handler: minidb.New()})
		defer server.Close()
		sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: aurorasim.FakeServer(server), Network: aurorasim.Memory, RequireTLS: true})
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, sim.AuthorityPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := driver.ParseDSN("tcp(" + sim.Endpoint() + ")/?fpTLSCA=" + url.QueryEscape(ca))
		if err != nil {
			t.Fatal(err)
		}
		provider := &recorder{IAMProvider: IAM(IAMConfig{User: "app", AWS: static()}), tokens: make(map[string][]string)}
		c, err := driver.NewConnector(cfg, driver.WithCredentials(provider), driver.WithDialer(sim.DialContext), driver.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		defer db.Close()
		work := func() {
			t.Helper()
			for i := range 4 {
				ctx := t.Context()
				if i > 0 {
					ctx = driver.WithTarget(ctx, topology.Reader)
				}
				var user string
				if err := db.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&user); err != nil {
					t.Error(err)
				}
			}
		}
		work()
		if err := sim.Failover(t.Context(), aurorasim.Failover{Kind: aurorasim.Kill, PromoteAfter: time.Second, RestartAfter: time.Second}); err != nil {
			t.Error(err)
		}
		work()
		time.Sleep(time.Hour) // no token of before is good
		work()
		time.Sleep(time.Second)
		provider.mu.Lock()
		defer provider.mu.Unlock()
		last := 0
		for addr, tokens := range provider.tokens {
			for _, token := range tokens {
				// The moment that each was made at is in it.
				u, err := url.Parse("https://" + token)
				if err != nil {
					t.Fatal(err)
				}
				made, err := time.Parse(stamp, u.Query().Get("X-Amz-Date"))
				if err != nil {
					t.Fatal(err)
				}
				if time.Since(made) < time.Minute {
					last++
				}
				if err := judgeToken(token, addr, "us-east-1", "app", map[string]key{accessKey: {secret: secretKey, session: sessionKey}}, made); err != nil {
					t.Errorf("%s: %v: %s", addr, err, token)
				}
			}
		}
		if len(provider.tokens) != 4 || last < 2 { // three instances and the cluster's endpoint
			t.Errorf("tokens for %d names, %d of the last minute", len(provider.tokens), last)
		}
		if s := c.Stats(); s.Credentials.Failures != 0 || s.Credentials.Forced != 0 {
			t.Errorf("%+v", s.Credentials)
		}
	})
}
