package driver

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/topology"
)

// slowHook is a hook that takes a second when it is called next after it was armed. Until then
// the pool and the gate know of no newer snapshot.
type slowHook struct{ armed atomic.Bool }

func (h *slowHook) options() []Option {
	return []Option{WithLogger(slog.New(slog.DiscardHandler)), WithHooks(Hooks{
		SnapshotChanged: func(_, _ *topology.Snapshot, _ []topology.Event) {
			if h.armed.Swap(false) {
				time.Sleep(time.Second)
			}
		},
	})}
}

// suspect has an instance suspected, without reason.
func suspect(c *Connector, id string) {
	c.cluster.monitor.Suspect(id, c.Snapshot().Lookup(id).Since, topology.ReasonConnectionLost)
}

// TestReaderThatThePoolDoesNotKnowYet: a read that comes between a snapshot with a reader and
// the pool's hearing of it does not wait for a later one.
func TestReaderThatThePoolDoesNotKnowYet(t *testing.T) {
	var hook slowHook
	bubbleWith(t, "fpMaxReplicaLag=100ms", hook.options(), func(r *rig) {
		r.sim.Instance("instance-2").Lag(time.Minute)
		time.Sleep(6 * time.Second) // it is known
		three := r.sim.Instance("instance-3")
		r.must(three.Crash(r.Context()))
		suspect(r.c, three.ID)
		time.Sleep(time.Second)
		r.without(func() {
			hook.armed.Store(true)
			suspect(r.c, "instance-2")
			r.must(three.Return())
			start := time.Now()
			for r.c.Snapshot().Lookup(three.ID).State != topology.StateUp {
				time.Sleep(10 * time.Millisecond)
			}
			r.must(r.read(r.db)())
			if took := time.Since(start); took > 1100*time.Millisecond || r.instanceOf(selectOne) != three.ID {
				r.Errorf("took %s, on %s", took, r.instanceOf(selectOne))
			}
		})
	})
}

// TestDoubtThatThePoolHasStill: a read that needs a new connection does not go round in circles
// while the writer is well again and the pool has not heard of that. In circles, the bubble's
// time would stand still.
func TestDoubtThatThePoolHasStill(t *testing.T) {
	var hook slowHook
	bubble(t, "", func(r *rig) {
		dialer := WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(50 * time.Millisecond)
			return r.sim.DialContext(ctx, network, addr)
		})
		c, err := NewConnector(r.c.cluster.cfg, append(hook.options(), dialer)...)
		r.must(err)
		db := sql.OpenDB(c)
		defer db.Close()
		tx, err := db.BeginTx(r.Context(), nil) // has the only connection
		r.must(err)
		defer tx.Rollback()
		w := c.Snapshot().Writer()
		hook.armed.Store(true)
		suspect(c, w.ID)
		time.Sleep(100 * time.Millisecond)
		if c.Snapshot().Writer() == nil {
			r.Fatal(c.Snapshot())
		}
		r.must(r.read(db)())
	})
}

const outage = 10 * time.Second

// without runs f in the middle of an outage: the writer is dead, another is promoted after
// outage, and everybody has noticed.
func (r *rig) without(f func()) {
	r.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Kill, PromoteAfter: outage, RestartAfter: -1}); err != nil {
			r.Error(err)
		}
	}()
	time.Sleep(6 * time.Second) // the steady poll has noticed
	f()
	<-done
}

// takes fails the test if f does not take so long, and a poll.
func (r *rig) takes(want time.Duration, f func() error) {
	r.Helper()
	start := time.Now()
	r.must(f())
	if took := time.Since(start); took < want || took > want+110*time.Millisecond {
		r.Errorf("took %s, want %s", took, want)
	}
}

// promotion is how long the writer of without is still away when f begins.
const promotion = outage - 6*time.Second

func (r *rig) read(q queryer) func() error {
	return func() error {
		_, err := r.rows(r.Context(), q, selectOne)
		return err
	}
}

// instanceOf names the instance that a statement went to last.
func (r *rig) instanceOf(statement string) string {
	seen := r.sim.Seen(statement)
	if len(seen) == 0 {
		return ""
	}
	return seen[len(seen)-1].Instance
}

// TestReadFallback: reads while there is no writer.
func TestReadFallback(t *testing.T) {
	const lag = "fpMaxReplicaLag=100ms"
	for name, test := range map[string]struct {
		params string
		f      func(r *rig)
	}{
		"a reader answers": {lag, func(r *rig) {
			r.without(func() {
				r.takes(0, r.read(r.db))
				if got := r.instanceOf(selectOne); got != "instance-2" && got != "instance-3" {
					r.Errorf("answered by %q", got)
				}
				st, err := r.db.PrepareContext(r.Context(), "SELECT n FROM one WHERE n = ?")
				r.must(err)
				defer st.Close()
				r.takes(0, func() error { var n int; return st.QueryRowContext(r.Context(), 1).Scan(&n) })
				r.takes(promotion, func() error { return r.exec(r.db, insert) })
				r.takes(0, r.read(r.db))
				if got := r.instanceOf(selectOne); got != "instance-2" {
					r.Errorf("answered by %q though there is a writer", got)
				}
			})
		}},
		"off": {lag + "&fpReadFallback=off", func(r *rig) {
			r.without(func() { r.takes(promotion, r.read(r.db)) })
		}},
		"the first read after a crash": {lag, func(r *rig) {
			r.must(r.read(r.db)())
			wait := r.background(aurorasim.Kill)
			r.takes(0, r.read(r.db))
			wait()
		}},
		"a read that is cut off by the crash": {lag, func(r *rig) {
			r.sim.Writer().MuteAnswer(aurorasim.SQL(selectOne))
			time.AfterFunc(time.Second, func() { r.failover(aurorasim.Kill) })
			r.takes(time.Second, r.read(r.db))
			time.Sleep(time.Second)
		}},
		"nobody waits for a connection to a writer in doubt": {lag, func(r *rig) {
			r.sim.Writer().BlackHole()
			start := time.Now()
			r.must(r.read(r.db)())
			// The silence was noticed, and not waited for what a probe says.
			if took := time.Since(start); took > 2500*time.Millisecond {
				r.Errorf("took %s", took)
			}
		}},
		"what is no plain read waits": {lag, func(r *rig) {
			r.without(func() {
				r.takes(promotion, func() error { _, err := r.rows(r.Context(), r.db, selectLock); return err })
			})
		}},
		"a transaction waits": {lag, func(r *rig) {
			r.without(func() {
				r.takes(promotion, func() error {
					tx, err := r.db.BeginTx(r.Context(), nil)
					r.must(err)
					r.must(r.read(tx)())
					return tx.Commit()
				})
			})
		}},
		"a session that wrote waits until the reader has it": {lag, func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.sim.Instance("instance-2").Lag(20 * time.Millisecond)
			r.sim.Instance("instance-3").Lag(20 * time.Millisecond)
			time.Sleep(6 * time.Second) // it is known
			r.must(r.exec(conn, insert))
			wait := r.background(aurorasim.Kill)
			r.takes(0, r.read(r.db)) // another session did not
			r.takes(270*time.Millisecond, r.read(conn))
			wait()
		}},
		"a context carries the time of the write": {lag, func(r *rig) {
			ctx := WithReadYourWrites(r.Context())
			inner, cancel := context.WithCancel(WithReadYourWrites(ctx))
			defer cancel()
			tx, err := r.db.BeginTx(inner, nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			time.Sleep(time.Second)
			r.must(tx.Commit())
			mine, err := r.db.Conn(r.Context()) // the session of the transaction
			r.must(err)
			defer mine.Close()
			for _, ctx := range []context.Context{ctx, r.Context()} {
				other, err := r.db.Conn(r.Context())
				r.must(err)
				defer other.Close()
				want := 250 * time.Millisecond
				if ctx == r.Context() {
					want = 0
				} else {
					defer r.background(aurorasim.Kill)()
				}
				r.takes(want, func() error { _, err := r.rows(ctx, other, selectOne); return err })
			}
		}},
		"a write in doubt counts": {lag, func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.sim.Writer().MuteAnswer(aurorasim.SQL(insert))
			time.AfterFunc(time.Second, func() { r.failover(aurorasim.Kill) })
			r.wants(r.exec(conn, insert), failover.ErrOutcomeUnknown, failover.Unknown)
			r.takes(250*time.Millisecond, r.read(conn))
			time.Sleep(time.Second)
		}},
		"what commits counts": {lag, func(r *rig) {
			call := fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{int64(1)}}}
			r.script.On("CALL p()", call, fakemysql.Result{})
			for _, texts := range [][3]string{
				{"SET autocommit = 0", "SET autocommit = 1"}, {"BEGIN", "BEGIN", "ROLLBACK"}, {"", "CALL p()"},
			} {
				conn, err := r.db.Conn(r.Context())
				r.must(err)
				if texts[0] != "" {
					r.must(r.exec(conn, texts[0]))
				}
				r.must(r.exec(conn, insert))
				if texts[0] == "" {
					rows, err := conn.QueryContext(r.Context(), texts[1])
					r.must(err)
					time.Sleep(time.Second)
					r.must(rows.Close())
				} else {
					time.Sleep(time.Second)
					r.must(r.exec(conn, texts[1]))
				}
				if texts[2] != "" {
					r.must(r.exec(conn, texts[2]))
				}
				wait := r.background(aurorasim.Kill)
				r.takes(270*time.Millisecond, r.read(conn))
				r.must(conn.Close())
				wait()
				time.Sleep(10 * time.Second)
			}
		}},
		"fpReadYourWrites=0": {lag + "&fpReadYourWrites=0", func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, insert))
			wait := r.background(aurorasim.Kill)
			r.takes(0, r.read(conn))
			wait()
		}},
		"readers that are too far behind": {lag, func(r *rig) {
			r.sim.Instance("instance-2").Lag(101 * time.Millisecond)
			r.sim.Instance("instance-3").Lag(time.Minute)
			time.Sleep(6 * time.Second)
			r.without(func() { r.takes(promotion, r.read(r.db)) })
		}},
		"one is not": {lag, func(r *rig) {
			r.sim.Instance("instance-2").Lag(time.Minute)
			time.Sleep(6 * time.Second)
			r.without(func() {
				for range 10 {
					r.takes(0, r.read(r.db))
					if got := r.instanceOf(selectOne); got != "instance-3" {
						r.Errorf("answered by %s", got)
					}
				}
			})
		}},
		"no reader either, until one is back": {lag, func(r *rig) {
			two, three := r.sim.Instance("instance-2"), r.sim.Instance("instance-3")
			r.must(two.Crash(r.Context()))
			dead := three.Refuse()
			three.ResetConnections()
			time.AfterFunc(8*time.Second, dead.Clear)
			r.takes(0, r.read(r.db))
			r.without(func() {
				start := time.Now()
				r.must(r.read(r.db)())
				if took := time.Since(start); took < 2*time.Second || took > 2200*time.Millisecond {
					r.Errorf("took %s", took)
				}
			})
		}},
		"what a reader refuses goes to the writer": {lag, func(r *rig) {
			for _, id := range []string{"instance-2", "instance-3"} {
				f := r.sim.Instance(id).ErrorThenClose(1290, "read only", aurorasim.SQL(selectOne))
				time.AfterFunc(7*time.Second, f.Clear) // before it is the writer
			}
			r.without(func() {
				r.takes(promotion, r.read(r.db))
				if got := len(r.sim.Seen(selectOne)); got != 2 {
					r.Errorf("sent %d times", got)
				}
				for _, in := range r.c.Snapshot().Instances {
					if in.ID == "instance-3" && in.State.String() != "up" {
						r.Error("a reader is suspected that did what readers do")
					}
				}
			})
		}},
		"a reader that dies while it answers": {lag, func(r *rig) {
			three := r.sim.Instance("instance-3")
			for _, id := range []string{"instance-2", "instance-3"} {
				r.sim.Instance(id).SwallowAnswer(aurorasim.SQL(selectOne))
			}
			r.without(func() {
				start := time.Now()
				r.must(r.read(r.db)())
				if took := time.Since(start); took > 500*time.Millisecond {
					r.Errorf("took %s", took)
				}
				if !three.Up() || r.c.Stats().Statements.Retried == 0 {
					r.Error("nothing was tried again")
				}
			})
		}},
		"questions about the last statement are asked where it was": {lag, func(r *rig) {
			r.script.On("SELECT FOUND_ROWS()")
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.without(func() {
				r.must(r.read(conn)())
				where := r.instanceOf(selectOne)
				r.takes(0, func() error { _, err := r.rows(r.Context(), conn, "SELECT FOUND_ROWS()"); return err })
				if got := r.instanceOf("SELECT FOUND_ROWS()"); got != where {
					r.Errorf("asked %q, the answer is on %q", got, where)
				}
				r.must(r.read(conn)())
				r.must(r.exec(r.db, insert)) // the writer is back
				if _, err := r.rows(r.Context(), conn, "SELECT FOUND_ROWS()"); err != nil && !errors.Is(err, ErrAnswerGone) {
					r.Error(err)
				}
			})
		}},
		"the deadline wins": {lag + "&fpReadFallback=off", func(r *rig) {
			r.without(func() {
				ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := r.rows(ctx, r.db, selectOne); !errors.Is(err, context.DeadlineExceeded) {
					r.Errorf("got %v", err)
				}
			})
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.params, test.f) })
	}
}

// TestReadFallbackState: what a session is goes with it to a reader of a real server, and a
// session without autocommit stays away from it.
func TestReadFallbackState(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		sim := simulate(t, s, database, aurorasim.Config{})
		defer sim.Close()
		st := stageOf(t, s, database, simConfig(sim, s, database), WithDialer(sim.DialContext))
		one := func() *sql.Conn {
			conn, err := st.db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		ask := func(conn *sql.Conn, query string) (answer string) {
			if err := conn.QueryRowContext(t.Context(), query).Scan(&answer); err != nil {
				t.Errorf("%s: %v", query, err)
			}
			return answer
		}
		tracked, manual := one(), one()
		do := func(conn *sql.Conn, query string) {
			if _, err := conn.ExecContext(t.Context(), query); err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
		do(tracked, "SET time_zone = '+03:00', @x = 'mine'")
		do(tracked, "USE information_schema")
		do(manual, "SET autocommit = 0")
		const who = "SELECT CONCAT_WS(' ', @@aurora_server_id, @@time_zone, @x, DATABASE(), @@autocommit + 0)"
		if got := ask(tracked, who); got != "instance-1 +03:00 mine information_schema 1" {
			t.Errorf("before: %s", got)
		}
		if err := sim.Writer().Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got := ask(tracked, who); !strings.HasSuffix(got, " +03:00 mine information_schema 1") || strings.HasPrefix(got, "instance-1") {
				t.Errorf("on a reader: %s", got)
			}
		}
		answered := make(chan string)
		go func() { answered <- ask(manual, who) }()
		eventually(t, "the session without autocommit waits", func() bool { return st.c.Stats().Gate.Waiting == 1 })
		if err := sim.Promote(t.Context(), "instance-2"); err != nil {
			t.Fatal(err)
		}
		if got := <-answered; !strings.HasPrefix(got, "instance-2 ") || !strings.HasSuffix(got, " 0") {
			t.Errorf("without autocommit: %s", got)
		}
		do(manual, "INSERT INTO n VALUES (5000)")
		do(manual, "COMMIT")
	})
}
