package awsauth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/failoverproxy/failoverproxy/driver"
)

// keyring gives the AWS credentials of the moment.
type keyring struct {
	mu sync.Mutex
	id string
	key
}

func (k *keyring) turn(id string, to key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.id, k.key = id, to
}

func (k *keyring) Retrieve(context.Context) (aws.Credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret, SessionToken: k.session, CanExpire: !k.ends.IsZero(), Expires: k.ends}, nil
}

func (r *rds) open(t *testing.T, dsn string, p driver.CredentialsProvider) (*driver.Connector, *sql.DB) {
	t.Helper()
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c, err := driver.NewConnector(cfg, driver.WithCredentials(p), driver.WithDialer(r.dial), driver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() { db.Close() })
	return c, db
}

// TestIAMOnMySQL is IAM authentication from the DSN to the account of a real server, whose
// plugin checks the token as RDS does.
func TestIAMOnMySQL(t *testing.T) {
	const instanceB = "b.abc123.eu-west-1.rds.amazonaws.com"
	r := newRDS(t, instanceA, instanceB)
	if err := r.Exec(t.Context(), "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL", "GRANT SELECT, PROCESS ON *.* TO app"); err != nil {
		t.Fatal(err)
	}
	first, second := key{secret: secretKey, session: sessionKey, ends: time.Now().Add(time.Hour)}, key{secret: "canary-other-key"}
	ring := &keyring{id: accessKey, key: first}
	provider := IAM(IAMConfig{User: "app", AWS: &aws.Config{Credentials: ring}})
	dsn := func(host string) string {
		return "tcp(" + host + ")/?fpTopology=static&fpFailoverTimeout=5s&fpTLSCA=" + url.QueryEscape(r.ca)
	}
	c, db := r.open(t, dsn(instanceA), provider)
	ctx := t.Context()
	var user, cipher string
	if err := db.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&user); err != nil || user != "app@%" {
		t.Fatalf("%q %v", user, err)
	}
	if err := db.QueryRowContext(ctx, "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&user, &cipher); err != nil || cipher == "" {
		t.Errorf("cipher %q, %v", cipher, err)
	}
	// So does the connection that a KILL QUERY goes over.
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	var n int
	if err := db.QueryRowContext(short, "SELECT SLEEP(10)").Scan(&n); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); c.Stats().Cancels.Killed == 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
	}
	if k := c.Stats().Cancels; k.Killed != 1 {
		t.Errorf("%+v", k)
	}
	if v := r.logins(); len(v) < 3 || strings.Join(v, "") != strings.Repeat("app: <nil>", len(v)) {
		t.Errorf("logins %q", v) // monitor, session, KILL
	}
	if s := c.Stats().Credentials; s.Calls != 1 || s.Failures != 0 {
		t.Errorf("%+v", s)
	}

	t.Run("the other instance has a token of its own", func(t *testing.T) {
		_, other := r.open(t, dsn(instanceB), provider)
		if err := other.PingContext(t.Context()); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if token := r.seen[len(r.seen)-1]; !strings.HasPrefix(token, instanceB+":3306?") {
			t.Error(token)
		}
	})
	t.Run("new AWS credentials", func(t *testing.T) {
		held, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		r.mu.Lock()
		r.keys = map[string]key{"AKIDNEXT": second}
		r.mu.Unlock()
		r.logins()
		// The token that there is was signed with a key that is gone; the next one is, too.
		_, stranger := r.open(t, dsn(instanceA), provider)
		err = stranger.PingContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), "1045") {
			t.Errorf("a key that is gone: %v", err)
		}
		for next := err; next != nil; next = errors.Unwrap(next) {
			if text := fmt.Sprintf("%v %+v %#v", next, next, next); strings.Contains(text, "canary") || strings.Contains(text, "X-Amz-Signature") {
				t.Error("a secret in ", text)
			}
		}
		if err := held.PingContext(t.Context()); err != nil {
			t.Errorf("a connection that there was: %v", err)
		}
		ring.turn("AKIDNEXT", second)
		// The provider is not asked again at once after what it gave was refused.
		for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			err = stranger.PingContext(t.Context())
		}
		if err != nil {
			t.Errorf("%v, logins %q", err, r.logins())
		}
	})
	t.Run("without TLS", func(t *testing.T) {
		for _, params := range []string{"", "&tls=preferred", "&tls=false"} {
			cfg, err := driver.ParseDSN("tcp(" + instanceA + ")/?fpTopology=static" + params)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := driver.NewConnector(cfg, driver.WithCredentials(provider)); err == nil || !strings.Contains(err.Error(), "tls") {
				t.Errorf("%q: %v", params, err)
			}
		}
	})
	t.Run("a host that no token can be for", func(t *testing.T) {
		_, db := r.open(t, dsn("db.example.com"), provider)
		err := db.PingContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), "IAMConfig.Endpoints") {
			t.Error(err)
		}
	})
}
