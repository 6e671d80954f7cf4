package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestCancelKeepsTheBackend cancels statements of all kinds in the middle.
func TestCancelKeepsTheBackend(t *testing.T) {
	const mark = "cancel_me"
	type test struct {
		name string
		f    func(st *stage, ctx context.Context) error
	}
	exec := func(query string) func(st *stage, ctx context.Context) error {
		return func(st *stage, ctx context.Context) error {
			_, err := st.db.ExecContext(ctx, query)
			return err
		}
	}
	query := func(query string, args ...any) func(st *stage, ctx context.Context) error {
		return func(st *stage, ctx context.Context) error { return scan(ctx, st.db, query, args...) }
	}
	const sleep, update = "SELECT /*cancel_me*/ SLEEP(30)", "UPDATE /*cancel_me*/ w SET v = v + 1 WHERE id = 1"
	tests := []test{
		{"SLEEP", query(sleep)},
		{"BENCHMARK", query("SELECT /*cancel_me*/ BENCHMARK(4000000000, SHA2('x', 256))")},
		{"cross join", query("SELECT /*cancel_me*/ SUM(a.n*b.n+c.n*d.n) FROM n a, n b, n c, n d")},
		{"DO SLEEP", exec("DO /*cancel_me*/ SLEEP(30)")},
		{"row lock", exec(update)},
		{"text with arguments", query("SELECT /*cancel_me*/ SLEEP(?)", 30)},
		{"prepared", func(st *stage, ctx context.Context) error {
			s, err := st.db.PrepareContext(context.Background(), "SELECT /*cancel_me*/ SLEEP(?)")
			if err != nil {
				return err
			}
			defer s.Close()
			var v any
			return s.QueryRowContext(ctx, 30).Scan(&v)
		}},
		{"prepared Exec", func(st *stage, ctx context.Context) error {
			s, err := st.db.PrepareContext(context.Background(), "UPDATE /*cancel_me*/ w SET v = v + ? WHERE id = 1")
			if err != nil {
				return err
			}
			defer s.Close()
			_, err = s.ExecContext(ctx, 1)
			return err
		}},
		{"statement of a transaction, which goes on", func(st *stage, ctx context.Context) error {
			return st.inTx(context.Background(), func(tx *sql.Tx) error { return scan(ctx, tx, sleep) })
		}},
		{"row lock of a transaction, which goes on", func(st *stage, ctx context.Context) error {
			return st.inTx(context.Background(), func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, update)
				return err
			})
		}},
		{"a transaction's own context", func(st *stage, ctx context.Context) error {
			return st.inTx(ctx, func(tx *sql.Tx) error { return scan(ctx, tx, sleep) })
		}},
		{"sql.Conn", func(st *stage, ctx context.Context) error {
			c, err := st.db.Conn(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			return scan(ctx, c, sleep)
		}},
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				st := newStage(t, s, database, "fpPoolSize=1", unhurried)
				st.asRoot("DELETE FROM w WHERE id = 2")
				id := st.number(st.db, "SELECT CONNECTION_ID()")
				holder, err := st.root.BeginTx(context.Background(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := holder.ExecContext(context.Background(), "UPDATE w SET v = 0 WHERE id = 1"); err != nil {
					t.Fatal(err)
				}
				st.cancel(func() bool { return st.runs(mark) > 0 }, func(ctx context.Context) error { return test.f(st, ctx) })
				if err := holder.Rollback(); err != nil {
					t.Error(err)
				}
				eventually(t, "nothing runs", func() bool { return st.runs(mark) == 0 })
				if got := st.number(st.db, "SELECT CONNECTION_ID()"); got != id {
					t.Errorf("connection %d, was %d", got, id)
				}
				if p := st.pool(); p.Open != 1 || p.Dials != 1 || p.InTx != 0 {
					t.Errorf("%+v", p)
				}
				wantKept := int64(0)
				if strings.HasSuffix(test.name, "goes on") {
					wantKept = 1
				}
				if n := st.number(st.root, "SELECT COUNT(*) FROM w WHERE id = 2"); n != wantKept {
					t.Errorf("%d rows of the transaction, want %d", n, wantKept)
				}
				if n := st.number(st.root, "SELECT v FROM w WHERE id = 1"); n != 0 {
					t.Errorf("what was cancelled was done: %d", n)
				}
				t.Logf("ctx.Err() after %s", percentiles10(st.latencies))
			})
		}
	})
}

// inTx writes a row in a transaction under ctx, runs f and commits; its error is f's, or
// COMMIT's.
func (st *stage) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := st.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(context.Background(), "INSERT INTO w VALUES (2, 0)"); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	failed := f(tx)
	return errors.Join(failed, tx.Commit())
}

// TestCancelAStream cancels in the middle of a long result, read and unread.
func TestCancelAStream(t *testing.T) {
	const stream = "SELECT /*cancel_me*/ a.n, REPEAT('x', 100) FROM n a, n b, n c WHERE a.n >= 0"
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		for _, test := range []struct {
			name, query string
			args        []any
			read        bool // goes on reading
		}{
			{"while it is read", stream, nil, true},
			{"while it is read, prepared", stream + " AND a.n <> ?", []any{7}, true},
			{"while nobody reads", stream, nil, false},
			{"while nobody reads, prepared", stream + " AND a.n <> ?", []any{7}, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				cancelAStream(t, s, database, test.query, test.args, test.read)
			})
		}
	})
}

// cancelAStream cancels a query whose rows are being read, and checks that its connection goes on.
func cancelAStream(t *testing.T, s *mysqld.Server, database, query string, args []any, goesOn bool) {
	t.Helper()
	st := newStage(t, s, database, "fpPoolSize=1", unhurried)
	id := st.number(st.db, "SELECT CONNECTION_ID()")
	var read atomic.Int64
	st.cancel(func() bool { return read.Load() >= 100 }, func(ctx context.Context) error {
		rows, err := st.db.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if read.Add(1) >= 100 && !goesOn {
				<-ctx.Done()
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	})
	eventually(t, "nothing runs", func() bool { return st.runs("cancel_me") == 0 })
	if got := st.number(st.db, "SELECT CONNECTION_ID()"); got != id || st.pool().Dials != 1 {
		t.Errorf("connection %d, was %d: %+v", got, id, st.pool())
	}
	t.Logf("ctx.Err() after %s, %d rows", percentiles10(st.latencies), read.Load())
}

// TestCancelHitsNobodyElse cancels thousands of statements while others use the same
// backends.
func TestCancelHitsNobodyElse(t *testing.T) {
	cancels := int64(600)
	if testing.Short() {
		cancels = 300
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		st := newStage(t, s, database, "fpPoolSize=3", unhurried)
		var cancelled, innocent, finished atomic.Int64
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				for n := int64(0); cancelled.Load() < cancels; n++ {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(6+n*int64(i+1)%7)*500*time.Microsecond)
					if s.Flavor == mysqld.FlavorMariaDB {
						n = 1 // its KILL tries for 2 s to get the one mutex that all sleepers share
					}
					err := scan(ctx, st.db, []string{"SELECT SLEEP(9)", "SELECT SUM(a.n*b.n+c.n*d.n) FROM n a, n b, n c, n d", "SELECT SLEEP(?)"}[n%3], []any{9}[:n%3/2]...)
					cancel()
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("cancelled: %v", err)
						return
					}
					cancelled.Add(1)
				}
				finished.Add(1)
			})
			wg.Go(func() {
				for n := 0; finished.Load() < 3 && !t.Failed(); n++ {
					ctx, cancel := context.WithCancel(context.Background())
					var v int64 = -1
					var err error
					switch (n + i) % 4 {
					case 0: // a KILL shows as 1
						err = st.db.QueryRowContext(ctx, "SELECT SLEEP(0.001)").Scan(&v)
					case 1:
						err = st.db.QueryRowContext(ctx, "SELECT COUNT(*) * 0 FROM n a, n b WHERE a.n < 20").Scan(&v)
					case 2:
						err = st.db.QueryRowContext(ctx, "SELECT SLEEP(?)", 0.001).Scan(&v)
					default:
						_, err = st.db.ExecContext(ctx, "UPDATE w SET v = v + 1 WHERE id = 1")
						v = 0
					}
					cancel()
					if err != nil || v != 0 {
						t.Errorf("innocent statement %d: %d, %v", (n+i)%4, v, err)
					}
					innocent.Add(1)
				}
			})
		}
		wg.Wait()
		eventually(t, "nothing runs", func() bool { return st.runs("SLEEP(9)")+st.runs("n d") == 0 })
		k, p := st.c.Stats().Cancels, st.pool()
		t.Logf("%d cancelled, %d innocent; killed %d, failed %d, connections %d; %+v",
			cancelled.Load(), innocent.Load(), k.Killed, k.Failed, k.Connections, p)
		if p.Dials != 3 {
			t.Errorf("%d of %d cancels cost a connection", p.Dials-3, k.Killed)
		}
		if killed := k.Killed; p.Open > 3 || k.Connections > killWorkers || int64(killed) < cancels/4 || innocent.Load() < cancels/4 {
			t.Errorf("%d open, %d connections to kill", p.Open, k.Connections)
		}
	})
}

// TestCancelStorm cancels a thousand statements within a second.
func TestCancelStorm(t *testing.T) {
	runtime.GC() // what earlier tests have left is not to be collected while milliseconds count
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		t.Run("row locks", func(t *testing.T) { storm(t, s, database, "SELECT /*storm*/ v FROM w WHERE id = 1 FOR UPDATE") })
		// MariaDB's KILL tries for 2 s to get the one mutex that all sleepers share.
		t.Run("SLEEP", func(t *testing.T) {
			if s.Flavor == mysqld.FlavorMariaDB {
				t.SkipNow()
			}
			storm(t, s, database, "SELECT /*storm*/ SLEEP(4)")
		})
	})
}

func storm(t *testing.T, s *mysqld.Server, database, query string) {
	const size, each = 25, 40
	st := newStage(t, s, database, fmt.Sprintf("fpPoolSize=%d", size))
	st.db.SetMaxIdleConns(size)
	var wg sync.WaitGroup
	for range size {
		wg.Go(func() { _ = scan(context.Background(), st.db, "SELECT SLEEP(0.3)") })
	}
	wg.Wait()
	holder, err := st.root.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := scan(context.Background(), holder, "SELECT v FROM w WHERE id = 1 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	connections := func() (n int64) {
		var name string
		if err := holder.QueryRowContext(context.Background(), "SHOW GLOBAL STATUS LIKE 'Connections'").Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	st.runs("storm") // has its connection of root's open
	before, dials, start := connections(), st.pool().Dials, time.Now()
	var wrong atomic.Int64
	for range size {
		wg.Go(func() {
			for range each {
				at := time.Now().Add(25 * time.Millisecond)
				ctx, cancel := context.WithDeadline(context.Background(), at)
				err := scan(ctx, st.db, query)
				late := time.Since(at)
				cancel()
				st.mu.Lock()
				st.latencies = append(st.latencies, late)
				st.mu.Unlock()
				if !errors.Is(err, context.DeadlineExceeded) || late > loaded {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	took, k := time.Since(start), st.c.Stats().Cancels
	within(t, time.Second, "all statements end", func() bool { return st.runs("storm") == 0 })
	p := st.pool()
	opened, replaced := connections()-before, int64(p.Dials-dials)
	t.Logf("%d cancels in %s: %s; killed %d, failed %d, connections to kill %d; the server counted %d new ones; backends replaced %d, open %d",
		size*each, took.Round(time.Millisecond), percentiles10(st.latencies), k.Killed, k.Failed, k.Connections, opened, replaced, p.Open)
	// How many of the four are made depends on how fast the server answers.
	if k.Connections > killWorkers || opened-replaced > killWorkers || replaced > size || p.Open > size {
		t.Errorf("%d connections opened, %d of them to replace backends, %d to kill; %d open", opened, replaced, k.Connections, p.Open)
	}
	// A KILL that came before its statement did is repeated every 10 ms, for 80 ms at most.
	if n := k.Killed + k.Failed; n < size*each*9/10 || n > size*each*8 {
		t.Errorf("killed and failed: %d of %d", n, size*each)
	}
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d statements had another error or were late", n)
	}
	if err := holder.Rollback(); err != nil {
		t.Error(err)
	}
}

// TestCancelWithoutKill takes the ways away by which a statement could be killed.
func TestCancelWithoutKill(t *testing.T) {
	faults := map[string]func(i *aurorasim.Instance) *aurorasim.Fault{
		"frozen":               (*aurorasim.Instance).Freeze,
		"connections refused":  (*aurorasim.Instance).Refuse,
		"silent when greeting": (*aurorasim.Instance).AcceptSilent,
		"too many connections": (*aurorasim.Instance).TooManyConnections,
		"KILL refused": func(i *aurorasim.Instance) *aurorasim.Fault {
			return i.ErrorThenClose(1095, "You are not owner of thread", aurorasim.Contains("KILL QUERY"))
		},
		"KILL unanswered": func(i *aurorasim.Instance) *aurorasim.Fault {
			return i.Delay(time.Second, aurorasim.Contains("KILL QUERY"))
		},
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		for name, fault := range faults {
			t.Run(name, func(t *testing.T) {
				st, sim := simStage(t, s, database)
				id := st.number(st.db, "SELECT CONNECTION_ID()")
				var f *aurorasim.Fault
				st.cancel(func() bool {
					if st.runs("cancel_me") == 0 {
						return false
					}
					f = fault(sim.Writer())
					return true
				}, func(ctx context.Context) error { return scan(ctx, st.db, "SELECT /*cancel_me*/ SLEEP(3)") })
				eventually(t, "the backend is closed", func() bool { return st.pool().Open == 0 })
				f.Clear()
				if got := st.number(st.db, "SELECT CONNECTION_ID()"); got == id {
					t.Error("the same connection")
				}
				k := st.c.Stats().Cancels
				t.Logf("ctx.Err() after %s; killed %d, failed %d, connections %d", percentiles10(st.latencies), k.Killed, k.Failed, k.Connections)
			})
		}
	})
}

// TestCancelOvertakes: the KILL is there before the statement, which is still on its way.
func TestCancelOvertakes(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		st, sim := simStage(t, s, database)
		id := st.number(st.db, "SELECT CONNECTION_ID()")
		sim.Writer().Delay(20*time.Millisecond, aurorasim.Contains("cancel_me"))
		start := time.Now()
		st.cancel(func() bool { return time.Since(start) > 5*time.Millisecond }, func(ctx context.Context) error { return scan(ctx, st.db, "SELECT /*cancel_me*/ SLEEP(2)") })
		late := time.Now()
		eventually(t, "nothing runs", func() bool { return time.Since(late) > 100*time.Millisecond && st.runs("cancel_me") == 0 })
		if ran := time.Since(late); ran > time.Second {
			t.Errorf("the statement ran on for %s with nobody waiting for it", ran.Round(time.Millisecond))
		}
		if got := st.number(st.db, "SELECT CONNECTION_ID()"); got != id {
			t.Error("another connection")
		}
	})
}

// TestCancelPinsNothing: what is cancelled first on a new connection leaves nothing there;
// the flags are still those of what the connect did.
func TestCancelPinsNothing(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		st := newStage(t, s, database, "fpPoolSize=1")
		st.cancel(func() bool { return st.runs("cancel_me") > 0 }, func(ctx context.Context) error {
			return scan(ctx, st.db, "SELECT /*cancel_me*/ SUM(a.n*b.n+c.n*d.n) FROM n a, n b, n c, n d")
		})
		// database/sql closes the rows of a context that has ended beside the caller's return.
		eventually(t, "the backend is back", func() bool { return st.pool().InUse == 0 })
		if p := st.c.Stats().Pool; p.Instances[0].Pinned != 0 {
			t.Errorf("pinned by %v: %+v", p.Pins, p.Instances[0])
		}
		other := newStage(t, s, database, "fpPoolSize=1")
		_ = scan(context.Background(), other.db, "SELECT * FROM missing")
		if p := other.c.Stats().Pool; p.Instances[0].Pinned != 0 || p.Instances[0].InUse != 0 {
			t.Errorf("after an error: pinned by %v: %+v", p.Pins, p.Instances[0])
		}
	})
}

// TestCancelWithoutMoreConnections: the user may have no connection for the KILL.
func TestCancelWithoutMoreConnections(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		if err := s.Exec(t.Context(), "CREATE USER few IDENTIFIED BY 'few' WITH MAX_USER_CONNECTIONS 2", "GRANT ALL ON "+database+".* TO few"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Exec(context.Background(), "DROP USER few") }()
		cfg, err := ParseDSN("few:few@tcp(" + s.Addr() + ")/" + database + "?fpTopology=static&fpPoolSize=1&fpProbeInterval=1m")
		if err != nil {
			t.Fatal(err)
		}
		st := stageOf(t, s, database, cfg)
		st.number(st.db, "SELECT 1")
		eventually(t, "the monitor has the other connection", func() bool { return st.c.Stats().MonitorConnections == 1 })
		st.cancel(func() bool { return st.runs("cancel_me") > 0 }, func(ctx context.Context) error { return scan(ctx, st.db, "SELECT /*cancel_me*/ SLEEP(1)") })
		eventually(t, "the backend is closed", func() bool { return st.pool().Open == 0 })
		if k := st.c.Stats().Cancels; k.Failed != 1 || k.Connections != 0 {
			t.Errorf("failed %d, connections %d", k.Failed, k.Connections)
		}
		eventually(t, "the server forgets it", func() bool { return st.runs("cancel_me") == 0 })
		st.number(st.db, "SELECT 1")
		t.Logf("ctx.Err() after %s", percentiles10(st.latencies))
	})
}

// TestCancelWithoutCancelQuery: fpCancelQuery=off closes the connection.
func TestCancelWithoutCancelQuery(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		st := newStage(t, s, database, "fpPoolSize=1&fpCancelQuery=off")
		id := st.number(st.db, "SELECT CONNECTION_ID()")
		st.cancel(func() bool { return st.runs("cancel_me") > 0 }, func(ctx context.Context) error { return scan(ctx, st.db, "SELECT /*cancel_me*/ SLEEP(1)") })
		eventually(t, "the backend is closed", func() bool { return st.pool().Open == 0 })
		if got := st.number(st.db, "SELECT CONNECTION_ID()"); got == id || st.c.Stats().Cancels.Connections != 0 {
			t.Errorf("connection %d, was %d", got, id)
		}
		eventually(t, "nothing runs", func() bool { return st.runs("cancel_me") == 0 })
	})
}
