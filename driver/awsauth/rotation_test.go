package awsauth

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// rotation changes the password of a user on a real server and in Secrets Manager, in the
// order of AWS's rotation functions.
type rotation struct {
	*manager
	server *mysqld.Server
	users  []string // one, or two that take turns
	turn   int
}

func (r *rotation) user(turn int) string { return r.users[turn%len(r.users)] }

func (r *rotation) password(turn int) string { return fmt.Sprint("canary-", turn) }

// next makes one rotation. between is called when the server knows the new password and
// Secrets Manager does not say so yet.
func (r *rotation) next(ctx context.Context, between func()) error {
	r.turn++
	old, version := fmt.Sprint("v", r.turn), fmt.Sprint("v", r.turn+1)
	r.put(version, r.user(r.turn), r.password(r.turn))
	r.label(stagePending, version)
	if err := r.server.Exec(ctx, fmt.Sprintf("ALTER USER %s IDENTIFIED BY '%s'", r.user(r.turn), r.password(r.turn))); err != nil {
		return err
	}
	between()
	r.label(stagePrevious, old)
	r.label(stageCurrent, version)
	r.label(stagePending, "")
	return nil
}

// TestRotation changes passwords under load, in both of AWS's ways, and nobody notices.
func TestRotation(t *testing.T) {
	for name, users := range map[string][]string{"one user": {"app"}, "two users in turn": {"app", "app_clone"}} {
		t.Run(name, func(t *testing.T) {
			mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
				r := &rotation{manager: newManager(users[0], "canary-0"), server: s, users: users}
				for _, u := range users {
					if err := s.Exec(t.Context(), "CREATE OR REPLACE USER "+u+" IDENTIFIED BY 'canary-0'"); err != nil {
						// MySQL has no OR REPLACE.
						if err := s.Exec(t.Context(), "DROP USER IF EXISTS "+u, "CREATE USER "+u+" IDENTIFIED BY 'canary-0'"); err != nil {
							t.Fatal(err)
						}
					}
					if err := s.Exec(t.Context(), "GRANT ALL ON "+database+".* TO "+u); err != nil {
						t.Fatal(err)
					}
				}
				rotateUnderLoad(t, r, s.Addr(), database)
			})
		})
	}
}

func rotateUnderLoad(t *testing.T, r *rotation, addr, database string) {
	provider := Secret(SecretConfig{ID: secretID, AWS: r.served(t), TTL: time.Second})
	cfg, err := driver.ParseDSN("tcp(" + addr + ")/" + database + "?fpTopology=static&fpPoolSize=4")
	if err != nil {
		t.Fatal(err)
	}
	c, err := driver.NewConnector(cfg, driver.WithCredentials(provider), driver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	db.SetMaxIdleConns(-1) // every statement has a session of its own
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var statements, failed atomic.Int64
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for !done.Load() {
				var user, pin string
				// No other session could have the variable's connection: it is closed, and there is
				// a new one for each statement.
				if err := db.QueryRowContext(t.Context(), "SELECT CURRENT_USER(), @pin := UUID()").Scan(&user, &pin); err != nil || !strings.HasPrefix(user, "app") {
					failed.Add(1)
					t.Errorf("%q %v", user, err)
					return
				}
				statements.Add(1)
			}
		})
	}
	const rotations = 5
	for range rotations {
		// The load goes on for a while before, within and after each.
		pause(100 * time.Millisecond)
		if err := r.next(t.Context(), func() { pause(100 * time.Millisecond) }); err != nil {
			t.Error(err)
		}
	}
	pause(100 * time.Millisecond)
	done.Store(true)
	load.Wait()
	s, p := c.Stats().Credentials, provider.Stats()
	t.Logf("%d statements, %d errors, %d connections; driver %+v; provider %+v", statements.Load(), failed.Load(), c.Stats().Pool.Instances[0].Dials, s, p)
	if s.Failures != 0 || p.Failures != 0 {
		t.Errorf("%+v, %+v", s, p)
	}
	// One user is refused while the label has not moved, and gets in with what is pending. Of
	// two, the password that was given is good until its user's next turn, when there is another.
	one := len(r.users) == 1
	if p.Changes < rotations/2 || one && s.Forced == 0 || one != (p.Fallback > 0) {
		t.Errorf("what did the server refuse? %+v %+v", s, p)
	}
}

// pause is how long something goes on; nothing is waited for.
func pause(d time.Duration) { time.Sleep(d) }
