package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/pool"
)

// fleetStage is a server with a user who may do nothing special.
func fleetStage(t *testing.T, s *mysqld.Server, limits, params string, opts ...Option) *stage {
	t.Helper()
	if err := s.Exec(t.Context(), "CREATE DATABASE IF NOT EXISTS shop", "CREATE USER 'a@b' IDENTIFIED BY 'app' "+limits, "GRANT ALL ON shop.* TO 'a@b'"); err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseDSN("a@b:app@tcp(" + s.Addr() + ")/shop?fpTopology=static&" + params)
	if err != nil {
		t.Fatal(err)
	}
	return stageOf(t, s, "shop", cfg, opts...)
}

// busy runs short queries on so many goroutines until done, and returns the first error.
func (st *stage) busy(goroutines int, done func() bool) {
	st.Helper()
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range goroutines {
		wg.Go(func() {
			for !stop.Load() {
				if err := scan(context.Background(), st.db, "SELECT SLEEP(0.01)"); err != nil {
					st.Error(err)
					return
				}
			}
		})
	}
	for end := time.Now().Add(30 * time.Second); !done() && !st.Failed(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			st.Errorf("nothing came of it: %+v", st.pool())
			break
		}
	}
	stop.Store(true)
	wg.Wait()
}

// TestFleetSource: what a server tells is found without any privilege, named once, and counts
// the user's own connections from wherever.
func TestFleetSource(t *testing.T) {
	check := func(t *testing.T, s *mysqld.Server, want string) {
		t.Helper()
		log := new(sharedLog)
		st := fleetStage(t, s, "", "fpFleetMax=50%25")
		st.c.cluster.fleet.log = slog.New(slog.NewTextHandler(log, nil))
		other, err := sql.Open("mysql", "a@b:app@tcp("+s.Addr()+")/")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		for range 3 {
			c, err := other.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		st.number(st.db, "SELECT 1")
		f := st.pool().Fleet
		if f.Connections < 4 || f.Connections > 5 || f.Max != 500 || f.Budget != 250 { // three, ours, and perhaps its monitor's already; the root's do not count
			t.Errorf("%+v", f)
		}
		if text := log.String(); strings.Count(text, "fpFleetMax") != 1 || !strings.Contains(text, `source=`+want+"\n") || strings.Contains(text, "WARN") {
			t.Errorf("want one line with %s:\n%s", want, text)
		}
	}
	t.Run("mariadb", func(t *testing.T) { check(t, mysqld.MariaDB(t), "information_schema.PROCESSLIST") })
	t.Run("mysql", func(t *testing.T) { check(t, mysqld.MySQL(t), "information_schema.PROCESSLIST") })
	t.Run("mysql with its performance schema", func(t *testing.T) {
		check(t, mysqld.MySQL(t, mysqld.WithPerformanceSchema()), "performance_schema.processlist")
	})
}

// TestFleetCrowd: a server without room, for all or for our user, is no error, and no reason to
// wait for another connection than those that there are.
func TestFleetCrowd(t *testing.T) {
	mysqld.Each(t, func(t *testing.T, s *mysqld.Server) {
		t.Run("of all", func(t *testing.T) {
			st := fleetStage(t, s, "", "fpFleetMax=100%25&fpPoolSize=50&fpFailoverTimeout=2s")
			st.number(st.db, "SELECT 1")
			st.root.SetMaxOpenConns(0)
			for range 34 { // of 40, ours has two
				c, err := st.root.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			st.busy(40, func() bool { return st.pool().DialErrors > 0 && st.pool().Open >= 3 })
			st.asRoot("DROP USER 'a@b'")
		})
		t.Run("of the user's", func(t *testing.T) {
			st := fleetStage(t, s, "WITH MAX_USER_CONNECTIONS 10", "fpFleetMax=100%25&fpPoolSize=50&fpFailoverTimeout=2s")
			st.number(st.db, "SELECT 1")
			st.busy(40, func() bool { return st.pool().Open >= 7 })
			if f := st.pool().Fleet; f.Max != 10 || f.Budget != 10 {
				t.Errorf("%+v", f)
			}
			st.asRoot("DROP USER 'a@b'")
		})
	}, mysqld.WithMaxConnections(40))
}

// fleetQuestion begins what servers are asked.
const fleetQuestion = "SELECT IF(@@max_user_connections"

func fleetAnswer(n ...int64) fakemysql.Reply {
	row := make([]any, len(n))
	for i := range n {
		row[i] = n[i]
	}
	return fakemysql.Rows([]fakemysql.Column{fakemysql.Int("max"), fakemysql.Int("connections")}, row)
}

// TestFleetAnswers: servers that answer nothing of use.
func TestFleetAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		reply func(question string) fakemysql.Reply
		want  []string
	}{
		"the second way": {func(question string) fakemysql.Reply {
			if strings.Contains(question, "performance_schema") {
				return fakemysql.Fail(1142, "42000", "denied")
			}
			return fleetAnswer(100, 3)
		}, []string{"level=INFO", "information_schema.PROCESSLIST", "budget=60"}},
		"an empty list": {func(string) fakemysql.Reply { return fleetAnswer(100, 0) }, []string{"level=WARN", "fpFleetMax", "limit=1 "}},
		"refused":       {func(string) fakemysql.Reply { return fakemysql.Fail(1142, "42000", "denied") }, []string{"level=WARN", "1142"}},
	} {
		t.Run(name, func(t *testing.T) {
			fakeBubble(t, "fpFleetMax=60%25", func(f *fake) {
				log := new(sharedLog)
				f.c.cluster.fleet.log = slog.New(slog.NewTextHandler(log, nil))
				f.script.OnPrefix(fleetQuestion, func(_ context.Context, c fakemysql.Call) fakemysql.Reply { return test.reply(c.SQL) })
				for range 100 {
					f.must(scan(f.Context(), f.db, "SELECT n FROM one"))
					time.Sleep(10 * time.Second)
				}
				if text := log.String(); strings.Count(text, "\n") != 1 {
					f.Errorf("want one line:\n%s", text)
				}
				for _, want := range test.want {
					if text := log.String(); !strings.Contains(text, want) {
						f.Errorf("%q is not in %s", want, text)
					}
				}
			})
		})
	}
}

// TestFleetFailover: on an instance that takes over the share begins anew, and no read fails.
func TestFleetFailover(t *testing.T) {
	bubble(t, "fpFleetMax=60%25", func(r *rig) {
		var seen atomic.Int64
		r.script.OnPrefix(fleetQuestion, func(context.Context, fakemysql.Call) fakemysql.Reply {
			return fleetAnswer(1000, max(seen.Load(), 20))
		})
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for !stop.Load() {
					tx, err := r.db.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
					r.must(err)
					time.Sleep(10 * time.Millisecond)
					if err := scan(r.Context(), tx, selectOne); err != nil && !errors.Is(err, failover.ErrTransactionLost) {
						r.Error(err)
					}
					time.Sleep(10 * time.Millisecond)
					_ = tx.Rollback()
				}
			})
		}
		writer := func() pool.InstanceStats {
			for _, in := range r.c.Stats().Pool.Instances {
				if in.Role == writerRole {
					return in
				}
			}
			return pool.InstanceStats{}
		}
		time.Sleep(10 * time.Second)
		old := writer()
		r.failover(aurorasim.Kill)
		time.Sleep(10 * time.Second)
		if now := writer(); old.Size < 20 || now.Size < 20 || now.ID == old.ID {
			r.Errorf("before %+v, after %+v", old, now)
		}
		stop.Store(true)
		wg.Wait()
	})
}

// TestFleetMetrics: what is seen of the fleet can be collected, and the limit is the one in
// force.
func TestFleetMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	opts := []Option{WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))), WithLogger(slog.New(slog.DiscardHandler))}
	bubbleWith(t, "fpFleetMax=60%25&fpFleetSize=10", opts, func(r *rig) {
		r.script.OnPrefix(fleetQuestion, func(context.Context, fakemysql.Call) fakemysql.Reply { return fleetAnswer(200, 0) })
		r.must(scan(r.Context(), r.db, selectOne))
		time.Sleep(10 * time.Second) // the first question came before there was an answer
		got := levels(r.T, reader)
		want := map[string]int64{"failoverproxy.fleet.budget": 120, "failoverproxy.fleet.connections": 0, "db.client.connection.max": 11}
		for name, n := range want {
			if value, ok := got[name]; !ok || value != n {
				r.Errorf("%s is %d, want %d; all: %s", name, value, n, fmt.Sprint(got))
			}
		}
	})
}
