package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/pool"
)

// TestPoolSizePercent: the server says how many connections there may be.
func TestPoolSizePercent(t *testing.T) {
	mysqld.Each(t, func(t *testing.T, s *mysqld.Server) {
		if err := s.Exec(t.Context(), "CREATE DATABASE shop", "CREATE USER app IDENTIFIED BY 'app'", "GRANT ALL ON shop.* TO app"); err != nil {
			t.Fatal(err)
		}
		reader := sdkmetric.NewManualReader()
		meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		open := func(params string) *stage {
			cfg, err := ParseDSN("app:app@tcp(" + s.Addr() + ")/shop?fpTopology=static&" + params)
			if err != nil {
				t.Fatal(err)
			}
			return stageOf(t, s, "shop", cfg, WithMeterProvider(meters))
		}
		all := func(st *stage, n int) (failed []error) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					if err := scan(context.Background(), st.db, "SELECT SLEEP(0.1)"); err != nil {
						mu.Lock()
						failed = append(failed, err)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			return failed
		}
		half := open("fpPoolSize=50%25")
		if failed := all(half, 60); len(failed) > 0 {
			t.Errorf("%d failed: %v", len(failed), failed[0])
		}
		if p := half.pool(); p.Size != 20 || p.Open != 20 {
			t.Errorf("50%% of 40: %+v", p)
		}
		if n := levels(t, reader)["db.client.connection.max"]; n != 20 {
			t.Errorf("db.client.connection.max is %d", n)
		}
		half.db.Close()
		more := open("fpPoolSize=60&fpFailoverTimeout=700ms&fpProbeTimeout=500ms&fpConnectConcurrency=60")
		failed := all(more, 60)
		p := more.pool()
		t.Logf("60 backends of a server with 40 connections: %d of 60 failed: %v; %+v", len(failed), failed, p)
		for _, err := range failed {
			if !strings.Contains(err.Error(), "1040") || !errors.Is(err, failover.ErrUnavailable) {
				t.Errorf("the cause is not named: %v", err)
			}
		}
		if p.InUse != 0 || p.Waiting != 0 || p.Connecting != 0 || p.Open > 40 {
			t.Errorf("something leaks: %+v", p)
		}
		more.number(more.db, "SELECT 1")
	}, mysqld.WithMaxConnections(40))
}

// TestPoolErrors: what is wrong is named, and nothing leaks.
func TestPoolErrors(t *testing.T) {
	const query = "SELECT n FROM one"
	t.Run("max_connections is hidden", func(t *testing.T) {
		fakeBubble(t, "fpPoolSize=50%25", func(f *fake) {
			f.script.OnFunc("SELECT @@max_connections", func(context.Context, fakemysql.Call) fakemysql.Reply { return fakemysql.Fail(1227, "42000", "denied") })
			f.names(scan(f.Context(), f.db, query), "fpPoolSize", "50%", "1227")
		})
	})
	t.Run("fpInitQuery fails", func(t *testing.T) {
		fakeBubble(t, "fpInitQuery=BROKEN", func(f *fake) {
			f.names(scan(f.Context(), f.db, query), "fpInitQuery", "1062")
		})
	})
	t.Run("fpInitQuery runs on each backend", func(t *testing.T) {
		fakeBubble(t, "fpPoolSize=3&fpInitQuery=SET+wait_timeout%3D77", func(f *fake) {
			for range 3 {
				_, err := f.conn().BeginTx(f.Context(), nil)
				f.must(err)
			}
			if n := f.script.Count("SET wait_timeout=77"); n != 3 {
				f.Errorf("%d times", n)
			}
		})
	})
	t.Run("a transaction waits for itself", func(t *testing.T) {
		fakeBubble(t, "fpPoolSize=1&fpBorrowTimeout=1s", func(f *fake) {
			tx, err := f.db.BeginTx(f.Context(), nil)
			f.must(err)
			f.must(scan(f.Context(), tx, query))
			f.timesOut("1 in transactions", "transaction that needs a second session", "fpPoolSize", "fpBorrowTimeout", "1s")
			f.must(tx.Commit())
		})
	})
	t.Run("rows that nobody closed", func(t *testing.T) {
		fakeBubble(t, "fpPoolSize=1&fpBorrowTimeout=3s&interpolateParams=true", func(f *fake) {
			f.script.OnPrefix("SELECT n FROM numbers", func(context.Context, fakemysql.Call) fakemysql.Reply {
				return fakemysql.Rows([]fakemysql.Column{fakemysql.Int("n")}, []any{int64(1)}, []any{int64(2)})
			})
			rows, err := f.db.QueryContext(f.Context(), "SELECT n FROM numbers WHERE name = 'hidden' AND n > 424242")
			f.must(err)
			rows.Next()
			time.Sleep(4 * time.Second)
			err = f.timesOut("rows not closed", "numbers", "for 7s")
			if s := err.Error(); strings.Contains(s, "hidden") || strings.Contains(s, "424242") {
				f.Errorf("literals in %s", s)
			}
			f.must(errors.Join(rows.Close(), rows.Err()))
		})
	})
	t.Run("pins", func(t *testing.T) {
		fakeBubble(t, "fpPoolSize=1&fpBorrowTimeout=1s", func(f *fake) {
			f.script.OnPrefix("CREATE TEMPORARY TABLE", func(context.Context, fakemysql.Call) fakemysql.Reply { return fakemysql.OK(0, 0) })
			c := f.conn()
			_, err := c.ExecContext(f.Context(), "CREATE TEMPORARY TABLE x (s VARCHAR(9) DEFAULT 'hidden')")
			f.must(err)
			if err := f.timesOut("1 pinned", "temporary table", "CREATE TEMPORARY TABLE"); strings.Contains(err.Error(), "hidden") {
				f.Errorf("literals in %v", err)
			}
		})
	})
	t.Run("after Close", func(t *testing.T) {
		fakeBubble(t, "", func(f *fake) {
			c := f.conn()
			f.must(scan(f.Context(), c, query))
			f.must(f.c.Close())
			f.must(f.c.Close())
			for what, err := range map[string]error{"session": scan(f.Context(), c, query), "new session": scan(f.Context(), f.db, query)} {
				if !errors.Is(err, failover.ErrClosed) {
					f.Errorf("%s: %v", what, err)
				}
			}
			synctest.Wait()
			if n := len(f.server.Conns()); n != 0 {
				f.Errorf("%d connections", n)
			}
		})
	})
}

// names checks that an error says so, and that nothing leaked.
func (f *fake) names(err error, words ...string) {
	f.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			f.Errorf("%q is not in: %v", w, err)
		}
	}
	synctest.Wait()
	if p := f.pool(); p.Open != 0 || p.InUse != 0 || p.Connecting != 0 || len(f.server.Conns()) > 1 {
		f.Errorf("%+v, %d connections", p, len(f.server.Conns()))
	}
}

// timesOut waits in vain for a backend.
func (f *fake) timesOut(words ...string) error {
	f.Helper()
	err := scan(f.Context(), f.db, "SELECT n FROM one")
	if !errors.Is(err, pool.ErrBorrowTimeout) {
		f.Fatalf("got %v", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			f.Errorf("%q is not in: %v", w, err)
		}
	}
	return err
}

// TestPoolKeepsReady: fpPoolMinIdle, fpPoolMaxIdle, fpPoolIdleTimeout, fpPoolMaxLifetime.
func TestPoolKeepsReady(t *testing.T) {
	busy := func(f *fake, n int) (end func()) {
		var txs []*sql.Tx
		for range n {
			tx, err := f.db.BeginTx(f.Context(), nil)
			f.must(err)
			txs = append(txs, tx)
		}
		return func() {
			for _, tx := range txs {
				f.must(tx.Rollback())
			}
			synctest.Wait()
		}
	}
	fewest := func(f *fake, d time.Duration) (least, most int) {
		least = 1 << 30
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			synctest.Wait()
			least, most = min(least, f.pool().Open), max(most, f.pool().Open)
		}
		return least, most
	}
	hundred := fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{int64(100)}}}
	for name, test := range map[string]struct {
		params string
		f      func(f *fake)
	}{
		"never over fpPoolSize": {"fpPoolSize=10%25&fpPoolMinIdle=4", func(f *fake) {
			f.script.On("SELECT @@max_connections", hundred)
			end := busy(f, 8)
			if _, most := fewest(f, 5*time.Second); most > 10 {
				f.Errorf("%d backends: %+v", most, f.pool())
			}
			end()
		}},
		"the idle timeout leaves fpPoolMinIdle": {"fpPoolSize=10&fpPoolMinIdle=4&fpPoolIdleTimeout=10s&fpPoolMaxLifetime=0", func(f *fake) {
			busy(f, 10)()
			if least, _ := fewest(f, time.Minute); least < 4 {
				f.Errorf("only %d ready for a while", least)
			}
			if p := f.pool(); p.Open != 4 || p.Dials != 10 {
				f.Errorf("%+v", p)
			}
		}},
		"fpPoolMaxIdle": {"fpPoolSize=10&fpPoolMaxIdle=3", func(f *fake) {
			busy(f, 10)()
			if p := f.pool(); p.Open != 3 {
				f.Errorf("%+v", p)
			}
		}},
		"fpPoolMaxIdle=0": {"fpPoolSize=10&fpPoolMaxIdle=0", func(f *fake) {
			busy(f, 2)()
			f.must(scan(f.Context(), f.db, "SELECT n FROM one"))
			synctest.Wait()
			if p := f.pool(); p.Open != 0 {
				f.Errorf("%+v", p)
			}
		}},
		"fpPoolMaxLifetime varies": {"fpPoolSize=20&fpPoolMaxLifetime=100s&fpPoolIdleTimeout=0", func(f *fake) {
			busy(f, 20)()
			least, _ := fewest(f, 85*time.Second)
			during := map[int]bool{}
			for range 30 {
				time.Sleep(time.Second)
				during[f.pool().Open] = true
			}
			time.Sleep(25 * time.Second)
			if p := f.pool(); least != 20 || len(during) < 2 || p.Open != 0 {
				f.Errorf("%d at 85s, then %v, %d at the end", least, during, p.Open)
			}
		}},
		"waiters are served in order": {"fpPoolSize=1", func(f *fake) {
			var served, want []string // as the server sees it
			f.script.OnPrefix("SELECT n FROM numbers", func(_ context.Context, call fakemysql.Call) fakemysql.Reply {
				served = append(served, call.SQL) // one connection, one at a time
				return fakemysql.Rows([]fakemysql.Column{fakemysql.Int("n")}, []any{int64(1)})
			})
			tx, err := f.db.BeginTx(f.Context(), nil)
			f.must(err)
			var wg sync.WaitGroup
			for i := range 20 {
				query := fmt.Sprintf("SELECT n FROM numbers WHERE n = %d", i)
				want = append(want, query)
				wg.Go(func() { f.must(scan(f.Context(), f.db, query)) })
				synctest.Wait()
			}
			f.must(tx.Commit())
			wg.Wait()
			if !slices.Equal(served, want) {
				f.Errorf("%q", served)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { fakeBubble(t, test.params, test.f) })
	}
}

// TestPoolReadyAfterFailures: what is kept ready is replaced when the server has closed it.
func TestPoolReadyAfterFailures(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		st := newStage(t, s, database, "fpPoolSize=10&fpPoolMinIdle=4&fpPoolIdleTimeout=2s&fpStallTimeout=100ms&fpProbeTimeout=100ms")
		st.number(st.db, "SELECT 1")
		ready := func() int64 {
			return st.number(st.root, "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '"+database+"' AND id <> CONNECTION_ID()")
		}
		eventually(t, "4 are ready", func() bool { return st.pool().Open == 4 && ready() >= 4 })
		before := st.pool().Dials
		rows, err := st.root.QueryContext(context.Background(), "SELECT id FROM information_schema.processlist WHERE db = ? AND id <> CONNECTION_ID()", database)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			_, _ = st.root.ExecContext(context.Background(), fmt.Sprintf("KILL %d", id))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "4 are ready again", func() bool { return st.pool().Dials >= before+4 && ready() >= 4 })
		t.Logf("%d on the server; %+v", ready(), st.pool())
	})
}

// TestIdleSessionIsSmall measures what an idle session costs that has run a statement.
func TestIdleSessionIsSmall(t *testing.T) {
	fakeBubble(t, "fpPoolSize=2", func(f *fake) {
		const sessions = 10_000
		f.must(f.db.PingContext(f.Context()))
		made := make([]*conn, 0, sessions)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range sessions {
			c, err := f.c.connect(f.Context())
			f.must(err)
			rows, err := c.QueryContext(f.Context(), "SELECT n FROM one", nil)
			f.must(err)
			f.must(rows.Close())
			c.IsValid()
			made = append(made, c)
		}
		f.script.On("SELECT n FROM one")
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := float64(after.HeapAlloc-before.HeapAlloc) / sessions
		f.Logf("an idle session: %d bytes of struct, %.0f bytes in all", reflect.TypeFor[conn]().Size(), each)
		if each > 1024 {
			f.Errorf("%.0f bytes", each)
		}
		for _, c := range made {
			f.must(c.Close())
		}
	})
}

// TestConnectThatHangsAtTheEnd: a server that lets somebody in and answers no question then is not
// waited for longer than for one that does not let anybody in.
func TestConnectThatHangsAtTheEnd(t *testing.T) {
	bubble(t, "fpStallTimeout=0&timeout=3s&fpPoolMaxIdle=0", func(r *rig) {
		f := r.sim.Writer().Delay(time.Hour, aurorasim.Contains("session_track"))
		time.AfterFunc(4*time.Second, f.Clear)
		start := time.Now()
		_, err := r.rows(r.Context(), r.db, selectOne)
		r.must(err)
		if took := time.Since(start); took < 3*time.Second || took > 7*time.Second {
			r.Errorf("it took %s", took)
		}
	})
}
