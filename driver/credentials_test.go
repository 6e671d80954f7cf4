package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/topology"
)

// vault is a provider that does as a test wants.
type vault struct {
	mu       sync.Mutex
	user     string
	password string
	validity time.Duration // 0 = no expiry
	takes    time.Duration
	err      error
	answer   func(ctx context.Context) (string, string, time.Time, error) // in place of all that
	calls    int
	forced   int
	atOnce   int // under way
	most     int // that were at the same time, for one instance
	asked    map[string]int
}

func (v *vault) Credentials(ctx context.Context, in topology.Instance) (string, string, time.Time, error) {
	v.mu.Lock()
	v.calls++
	v.atOnce++
	v.most = max(v.most, v.atOnce)
	if v.asked == nil {
		v.asked = make(map[string]int)
	}
	v.asked[in.Addr+" "+in.ID]++
	takes, answer := v.takes, v.answer
	v.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
	}
	var user, password string
	var expiry time.Time
	var err error
	if answer != nil {
		user, password, expiry, err = answer(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.atOnce--
	switch {
	case answer != nil:
		return user, password, expiry, err
	case ctx.Err() != nil:
		return "", "", time.Time{}, ctx.Err()
	case v.err != nil:
		return "", "", time.Time{}, v.err
	case v.validity > 0:
		expiry = time.Now().Add(v.validity)
	}
	return v.user, v.password, expiry, nil
}

func (v *vault) Refresh(ctx context.Context, in topology.Instance) (string, string, time.Time, error) {
	v.set(func() { v.forced++ })
	return v.Credentials(ctx, in)
}

func (v *vault) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

func (v *vault) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls
}

// safe is a rig whose passwords come from a vault.
type safe struct {
	*rig
	server *fakemysql.Server
	vault  *vault
	log    *journal
}

// locked runs a test in a bubble with a cluster of three instances and a program that has not
// connected yet.
func locked(t *testing.T, params string, v *vault, test func(s *safe)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		script := rigScript()
		server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "first-secret"}, Handler: script})
		defer server.Close()
		sim, err := aurorasim.Start(t.Context(), aurorasim.Config{Upstream: aurorasim.FakeServer(server), Network: aurorasim.Memory})
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		if v.user == "" && v.answer == nil {
			v.user, v.password = "u", "first-secret"
		}
		log := &journal{}
		s := &safe{rig: &rig{T: t, sim: sim, script: script}, server: server, vault: v, log: log}
		s.open(params)
		defer s.balanced()
		defer s.db.Close()
		test(s)
	})
}

func (s *safe) open(params string) {
	s.Helper()
	cfg, err := ParseDSN("tcp(" + s.sim.Endpoint() + ")/shop?" + params)
	s.must(err)
	s.c, err = NewConnector(cfg, WithDialer(s.sim.DialContext), WithCredentials(s.vault),
		WithLogger(slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	s.must(err)
	s.db = sql.OpenDB(s.c)
	s.db.SetMaxIdleConns(100)
}

// hold takes n more backends, which stay out until the function that it returns is called.
func (s *safe) hold(n int) (release func(), err error) {
	var all []*sql.Tx
	release = func() {
		for _, tx := range all {
			_ = tx.Rollback()
		}
	}
	for range n {
		tx, err := s.db.BeginTx(s.Context(), nil)
		if err == nil {
			_, err = tx.ExecContext(s.Context(), update)
			all = append(all, tx)
		}
		if err != nil {
			return release, err
		}
	}
	return release, nil
}

// healthy checks that no instance is in doubt, and that none ever was.
func (s *safe) healthy() {
	s.Helper()
	for _, in := range s.c.Snapshot().Instances {
		if in.State != topology.StateUp {
			s.Errorf("%s is %s", in.ID, in.State)
		}
	}
	for _, word := range []string{"suspected", "instance down", "writer lost"} {
		if strings.Contains(s.log.String(), word) {
			s.Errorf("%q in the log:\n%s", word, s.log)
		}
	}
}

// TestCredentialsAreKept counts how often a provider is asked.
func TestCredentialsAreKept(t *testing.T) {
	for name, test := range map[string]func(s *safe){
		"once for each address, and never for a statement": func(s *safe) {
			for range 100 {
				s.must(s.exec(s.db, insert))
			}
			release, err := s.hold(10)
			s.must(err)
			release()
			s.vault.set(func() {
				if s.vault.calls != len(s.vault.asked) || s.vault.calls > 4 {
					s.Errorf("asked %d times: %v", s.vault.calls, s.vault.asked)
				}
			})
		},
		"one call for all who wait": func(s *safe) {
			s.vault.set(func() { s.vault.takes = 300 * time.Millisecond })
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() { s.must(s.exec(s.db, insert)) })
			}
			all.Wait()
			s.vault.set(func() {
				for addr, n := range s.vault.asked {
					if n != 1 {
						s.Errorf("asked %d times for %s", n, addr)
					}
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) { locked(t, "", &vault{}, test) })
	}
}

// TestCredentialsExpire: tokens of a quarter of an hour.
func TestCredentialsExpire(t *testing.T) {
	const validity = 15 * time.Minute
	// still is a program each of whose statements makes a connection, and nothing else does.
	const still = "fpPoolMaxIdle=0"
	use := func(s *safe) { s.Helper(); s.must(s.exec(s.db, insert)) }
	for name, test := range map[string]func(s *safe){
		"renewed in the background while in use": func(s *safe) {
			use(s)
			n := s.vault.count()
			time.Sleep(11 * time.Minute)
			use(s)
			if s.vault.count() != n {
				s.Error("renewed too early")
			}
			time.Sleep(90 * time.Second)
			s.vault.set(func() { s.vault.takes = 5 * time.Second })
			start := time.Now()
			use(s)
			if took := time.Since(start); took > time.Second {
				s.Errorf("waited %s for the renewal", took)
			}
			time.Sleep(6 * time.Second)
			if got := s.c.Stats().Credentials; s.vault.count() != n+1 || got.Refreshes != 1 {
				s.Errorf("asked %d times, %+v", s.vault.count()-n, got)
			}
			time.Sleep(10 * time.Minute)
			use(s)
			if s.vault.count() != n+1 {
				s.Error("what was renewed is not used")
			}
		},
		"not while nobody needs it, and at once when somebody does": func(s *safe) {
			use(s)
			n := s.vault.count()
			time.Sleep(10 * time.Hour)
			if s.vault.count() != n {
				s.Errorf("asked %d times for nobody", s.vault.count()-n)
			}
			s.vault.set(func() { s.vault.password = "second-secret" })
			s.server.SetUsers(map[string]string{"u": "second-secret"})
			use(s)
			if got := s.c.Stats().Credentials; got.Calls != uint64(n)+1 || got.Forced != 0 {
				s.Errorf("%+v", got)
			}
		},
		"used to its end while the provider fails": func(s *safe) {
			use(s)
			s.vault.set(func() { s.vault.err = errors.New("throttled") })
			for range 14*6 + 5 { // to 14m50s
				time.Sleep(10 * time.Second)
				use(s)
			}
			time.Sleep(20 * time.Second)
			err := s.exec(s.db, insert)
			if !errors.Is(err, failover.ErrCredentials) || !errors.Is(err, s.vault.err) || !strings.Contains(err.Error(), "throttled") {
				s.Error(err)
			}
			if n := s.c.Stats().Credentials.Failures; n < 2 || n > 40 {
				s.Errorf("%d failures", n)
			}
			s.vault.set(func() { s.vault.err = nil })
			time.Sleep(time.Second)
			use(s)
			s.healthy()
		},
	} {
		t.Run(name, func(t *testing.T) {
			locked(t, still, &vault{validity: validity}, func(s *safe) {
				use(s) // over the connection that found the cluster, made for its endpoint
				test(s)
			})
		})
	}
}

// TestCredentialsRefused: the server does not take what it took before.
func TestCredentialsRefused(t *testing.T) {
	change := func(s *safe, password string) { s.server.SetUsers(map[string]string{"u": password}) }
	for name, test := range map[string]func(s *safe){
		"the provider knows the new one": func(s *safe) {
			change(s, "second-secret")
			s.vault.set(func() { s.vault.password = "second-secret" })
			release, err := s.hold(5)
			s.must(err)
			release()
			if got := s.c.Stats().Credentials; got.Forced != 1 || s.vault.forced != 1 {
				s.Errorf("%+v", got)
			}
		},
		"the provider is behind": func(s *safe) {
			change(s, "second-secret")
			time.AfterFunc(3*time.Second, func() { s.vault.set(func() { s.vault.password = "second-secret" }) })
			start := time.Now()
			release, err := s.hold(5)
			s.must(err)
			release()
			if took := time.Since(start); took < 3*time.Second || took > 5*time.Second {
				s.Errorf("took %s", took)
			}
			if got := s.c.Stats().Credentials.Forced; got > 10 {
				s.Errorf("%d forced calls", got)
			}
		},
		"the provider is ahead, its memory too": func(s *safe) {
			s.vault.set(func() { s.vault.password = "second-secret" })
			s.c.cluster.credentials.accounts[s.c.Snapshot().Writer().Addr].last.expiry = time.Unix(0, 0) // what it took before is over
			s.c.cluster.credentials.accounts[s.c.Snapshot().Writer().Addr].last.late = time.Unix(0, 0)
			time.AfterFunc(3*time.Second, func() { change(s, "second-secret") })
			release, err := s.hold(5)
			s.must(err)
			release()
		},
		"nobody knows it": func(s *safe) {
			change(s, "another-secret")
			start := time.Now()
			_, err := s.hold(5)
			if n, _ := failover.Number(err); n != 1045 || !strings.Contains(err.Error(), "credentials") || time.Since(start) > 11*time.Second {
				s.Errorf("after %s: %v", time.Since(start), err)
			}
			start = time.Now()
			if _, err = s.hold(5); err == nil || time.Since(start) > time.Second {
				s.Errorf("it goes on and takes %s: %v", time.Since(start), err)
			}
		},
		"another user": func(s *safe) {
			s.server.SetUsers(map[string]string{"v": "second-secret"})
			s.vault.set(func() { s.vault.user, s.vault.password = "v", "second-secret" })
			release, err := s.hold(5)
			s.must(err)
			release()
		},
	} {
		t.Run(name, func(t *testing.T) {
			locked(t, "", &vault{}, func(s *safe) {
				used, err := s.hold(2) // the first is the connection that found the cluster, made for its endpoint
				s.must(err)
				used()
				old, err := s.db.BeginTx(s.Context(), nil)
				s.must(err)
				_, err = old.ExecContext(s.Context(), update)
				s.must(err)
				test(s)
				_, err = old.ExecContext(s.Context(), update)
				s.must(err) // it lives on
				s.must(old.Commit())
				s.healthy()
			})
		})
	}
	t.Run("from the beginning", func(t *testing.T) {
		locked(t, "", &vault{user: "u", password: "wrong-secret"}, func(s *safe) {
			start := time.Now()
			err := s.exec(s.db, insert)
			if n, _ := failover.Number(err); n != 1045 || time.Since(start) > 0 || s.vault.forced != 1 {
				s.Errorf("after %s, %d forced calls: %v", time.Since(start), s.vault.forced, err)
			}
		})
	})
	t.Run("the provider is ahead", func(t *testing.T) {
		locked(t, "fpPoolMaxIdle=0", &vault{validity: time.Hour}, func(s *safe) {
			s.must(s.exec(s.db, insert))
			s.vault.set(func() { s.vault.password = "second-secret" })
			time.Sleep(56 * time.Minute) // it is renewed
			s.must(s.exec(s.db, insert))
			time.Sleep(time.Second)
			start := time.Now()
			for range 10 {
				s.must(s.exec(s.db, insert))
			}
			if time.Since(start) > 0 || s.c.Stats().Credentials.Forced == 0 {
				s.Errorf("took %s, %+v", time.Since(start), s.c.Stats().Credentials)
			}
			time.Sleep(time.Hour)
			s.server.SetUsers(map[string]string{"u": "second-secret"})
			s.must(s.exec(s.db, insert))
			s.healthy()
		})
	})
}

// TestCredentialsBadProvider: whatever a provider does, the error says so, in time, shows no
// password, and no instance is blamed.
func TestCredentialsBadProvider(t *testing.T) {
	const leaked = "leaked-secret"
	for name, test := range map[string]struct {
		answer func(ctx context.Context) (string, string, time.Time, error)
		wants  string
		takes  time.Duration
	}{
		"fails": {func(context.Context) (string, string, time.Time, error) {
			return "", "", time.Time{}, errors.New("no network")
		}, "no network", 0},
		"panics":  {func(context.Context) (string, string, time.Time, error) { panic("out of luck") }, "the provider panicked: out of luck", 0},
		"no user": {func(context.Context) (string, string, time.Time, error) { return "", leaked, time.Time{}, nil }, "returned no user", 0},
		"expired": {func(context.Context) (string, string, time.Time, error) {
			return "u", leaked, time.Now().Add(-time.Minute), nil
		}, "1m0s ago", 0},
		"tells": {func(context.Context) (string, string, time.Time, error) {
			return "u", leaked, time.Time{}, errors.New("not " + leaked)
		}, "not xxxxx", 0},
		"bad conn": {func(context.Context) (string, string, time.Time, error) {
			return "", "", time.Time{}, fmt.Errorf("lost: %w", driver.ErrBadConn)
		}, "lost", 0},
		"hangs": {func(ctx context.Context) (string, string, time.Time, error) {
			<-ctx.Done()
			return "", "", time.Time{}, ctx.Err()
		}, "has not answered within 7s (timeout)", 7 * time.Second},
		"hangs, and does not listen": {func(ctx context.Context) (string, string, time.Time, error) {
			time.Sleep(time.Minute)
			return "", "", time.Time{}, ctx.Err()
		}, "has not answered within 7s (timeout)", 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(s *safe, err error, took time.Duration) {
				s.Helper()
				if !errors.Is(err, failover.ErrCredentials) || errors.Is(err, driver.ErrBadConn) || !strings.Contains(err.Error(), test.wants) || !strings.Contains(err.Error(), "credentials") {
					s.Errorf("got %v, want %q", err, test.wants)
				}
				if took != test.takes {
					s.Errorf("took %s, want %s", took, test.takes)
				}
				for _, secret := range []string{leaked, "first-secret"} {
					if text := fmt.Sprintf("%v %+v %#v", err, err, err) + s.log.String(); strings.Contains(text, secret) {
						s.Errorf("a secret in %s", text)
					}
				}
			}
			t.Run("at first", func(t *testing.T) {
				locked(t, "timeout=7s", &vault{answer: test.answer}, func(s *safe) {
					start := time.Now()
					err := s.exec(s.db, insert)
					check(s, err, time.Since(start))
					if s.c.Snapshot() != nil {
						s.Error("found the cluster")
					}
					if ctx, cancel := context.WithTimeout(s.Context(), 3*time.Second); test.takes > 0 {
						defer cancel()
						time.Sleep(2 * time.Second)
						_, err := s.db.ExecContext(ctx, insert)
						if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the provider has not answered yet") {
							s.Error(err)
						}
					} else {
						cancel()
					}
					time.Sleep(time.Minute) // for a call to end
				})
			})
			t.Run("later", func(t *testing.T) {
				locked(t, "timeout=7s", &vault{validity: time.Hour}, func(s *safe) {
					s.must(s.exec(s.db, insert))
					s.vault.set(func() { s.vault.answer = test.answer })
					time.Sleep(2 * time.Hour)
					start := time.Now()
					_, err := s.hold(1) // what was idle is closed
					check(s, err, time.Since(start))
					s.sim.Writer().CloseConnections() // the monitor's is the only one, and it cannot make another
					time.Sleep(20 * time.Second)
					s.healthy()
					s.vault.set(func() { s.vault.answer = nil })
					time.Sleep(time.Minute)
					s.must(s.exec(s.db, insert))
					s.healthy()
				})
			})
		})
	}
}
