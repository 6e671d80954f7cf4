package driver

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/topology"
)

// The bound that is promised for silent deaths, with the defaults. A bubble's network and
// server take no time, so what is executed again adds none.
const silentDeath = 2*time.Second + time.Second // fpStallTimeout + fpProbeTimeout

// silences are the ways in which a writer dies without a word. Another one is promoted half a
// second later.
var silences = map[string]func(r *rig){
	"frozen": func(*rig) {},
	"black hole": func(r *rig) {
		w := r.sim.Writer()
		w.BlackHole()
		w.ResetConnections()
	},
	"black hole, connections stay": func(r *rig) { r.sim.Writer().BlackHole() },
	"accepts and is silent": func(r *rig) {
		w := r.sim.Writer()
		w.AcceptSilent()
		w.ResetConnections()
	},
}

// die carries out one of silences, and the promotion.
func (r *rig) die(fault func(r *rig)) {
	r.Helper()
	fault(r)
	script := aurorasim.Failover{Kind: aurorasim.Frozen, PromoteAfter: 500 * time.Millisecond, RestartAfter: time.Hour}
	if err := r.sim.Failover(r.Context(), script); err != nil {
		r.Error(err)
	}
}

// readers reads in n sessions without a pause, until wait is called. The longest read is
// exact: time passes in a bubble only while all wait.
func (r *rig) readers(n int, read func(i int) error) (wait func() time.Duration) {
	var mu sync.Mutex
	var longest time.Duration
	stop := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(20*time.Millisecond + time.Duration(i)*time.Millisecond):
				}
				start := time.Now()
				if err := read(i); err != nil {
					r.Errorf("session %d after %s: %v", i, time.Since(start), err)
				}
				mu.Lock()
				longest = max(longest, time.Since(start))
				mu.Unlock()
			}
		})
	}
	return func() time.Duration {
		close(stop)
		running.Wait()
		return longest
	}
}

// TestSilentDeath checks that reads go on within fpStallTimeout + fpProbeTimeout, whatever
// the writer does to be silent, whoever reads in whatever way, and in every phase of the
// clock by which we look.
func TestSilentDeath(t *testing.T) {
	text := func(r *rig) func(int) error {
		return func(int) error {
			_, err := r.rows(r.Context(), r.db, selectOne)
			return err
		}
	}
	for how, test := range map[string]struct {
		params   string
		sessions int
		read     func(r *rig) func(i int) error
	}{
		"one session":           {"", 1, text},
		"twenty sessions":       {"", 20, text},
		"each read connects":    {"fpPoolMaxIdle=0", 3, text},
		"one connect at a time": {"fpPoolMaxIdle=0&fpConnectConcurrency=1", 3, text},
		"prepared": {"", 20, func(r *rig) func(int) error {
			st, err := r.db.PrepareContext(r.Context(), "SELECT n FROM one WHERE n = ?")
			r.must(err)
			r.Cleanup(func() { _ = st.Close() })
			return func(int) error {
				var n int
				return st.QueryRowContext(r.Context(), 1).Scan(&n)
			}
		}},
		"in a transaction": {"", 5, func(r *rig) func(int) error {
			return func(int) error {
				tx, err := r.db.BeginTx(r.Context(), nil)
				if err != nil {
					return err
				}
				defer tx.Rollback()
				_, err = r.rows(r.Context(), tx, selectOne)
				if errors.Is(err, failover.ErrTransactionLost) {
					err = nil // told in time, which is what this is about
				}
				return err
			}
		}},
		"among cancelled ones": {"", 4, func(r *rig) func(int) error {
			return func(i int) error {
				ctx, cancel := r.Context(), func() {}
				if i > 0 { // they hang up before the silence is long enough
					ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
				}
				defer cancel()
				_, err := r.rows(ctx, r.db, selectOne)
				if i > 0 && errors.Is(err, context.DeadlineExceeded) {
					err = nil
				}
				return err
			}
		}},
	} {
		for fault, set := range silences {
			t.Run(how+"/"+fault, func(t *testing.T) {
				t.Parallel()
				var longest time.Duration
				for _, phase := range []time.Duration{0, time.Millisecond, 33 * time.Millisecond, 50 * time.Millisecond, 99 * time.Millisecond, 150 * time.Millisecond} {
					// Without the readers' help, which would hide how long it takes.
					bubble(t, "fpReadFallback=off&"+test.params, func(r *rig) {
						wait := r.readers(test.sessions, test.read(r))
						time.Sleep(200*time.Millisecond + phase)
						r.die(set)
						time.Sleep(3500 * time.Millisecond)
						took := wait()
						if took > silentDeath {
							r.Errorf("phase %s: a read took %s", phase, took)
						}
						longest = max(longest, took)
						if s := r.c.Snapshot(); s.Writer() == nil || s.Writer().ID != "instance-2" {
							r.Errorf("phase %s: %s", phase, s)
						}
					})
				}
				if longest < 500*time.Millisecond {
					t.Errorf("longest read %s: it did not meet the fault", longest)
				}
				t.Logf("longest read %s", longest)
			})
		}
	}
}

// TestNoFailover goes through what must not be taken for the death of a writer: nobody is
// told that it is lost, no epoch begins, no statement waits at the gate.
func TestNoFailover(t *testing.T) {
	long := func(r *rig, d time.Duration) {
		r.Helper()
		f := r.sim.Writer().Delay(d, aurorasim.SQL(selectRows))
		defer f.Clear()
		start, before := time.Now(), r.reached(selectRows)
		if _, err := r.rows(r.Context(), r.db, selectRows); err != nil {
			r.Errorf("after %s: %v", time.Since(start), err)
		}
		if took := time.Since(start); took != d || r.reached(selectRows) != before+1 {
			r.Errorf("took %s, executed %d times", took, r.reached(selectRows)-before)
		}
	}
	for name, test := range map[string]struct {
		params string
		run    func(r *rig)
	}{
		"a long query alone": {"", func(r *rig) { long(r, 10*time.Minute) }},
		"a long query among others": {"", func(r *rig) {
			wait := r.readers(3, func(int) error {
				time.Sleep(700 * time.Millisecond)
				return r.exec(r.db, insert)
			})
			long(r, 10*time.Minute)
			wait()
		}},
		"long queries in all connections that there may be": {"fpPoolSize=2", func(r *rig) {
			var both sync.WaitGroup
			f := r.sim.Writer().Delay(10*time.Minute, aurorasim.SQL(selectOne))
			defer f.Clear()
			for range 2 {
				both.Go(func() {
					if _, err := r.rows(r.Context(), r.db, selectOne); err != nil {
						r.Error(err)
					}
				})
			}
			both.Wait()
		}},
		"a long query on a server that is full": {"", func(r *rig) {
			if _, err := r.rows(r.Context(), r.db, selectOne); err != nil {
				r.Error(err)
			}
			defer r.sim.Writer().TooManyConnections().Clear()
			long(r, time.Minute)
		}},
		"a long query on a server that answers a probe slowly": {"", func(r *rig) {
			defer r.sim.Writer().Delay(400*time.Millisecond, aurorasim.Contains("replica_host_status")).Clear()
			long(r, time.Minute)
		}},
		"a long query in a transaction": {"", func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			f := r.sim.Writer().Delay(10*time.Minute, aurorasim.SQL(selectOne))
			_, err = r.rows(r.Context(), tx, selectOne)
			r.must(err)
			f.Clear()
			r.must(tx.Commit())
		}},
		"a slow query": {"", func(r *rig) { long(r, 5*time.Second) }},
		"a dropped connection of the monitor": {"", func(r *rig) {
			f := r.sim.Writer().SwallowAnswer(aurorasim.Contains("replica_host_status"))
			time.Sleep(time.Minute)
			if f.Hits() != 1 {
				r.Error("it was not dropped")
			}
			r.must(r.exec(r.db, insert))
		}},
		"a connection of the monitor that falls silent": {"", func(r *rig) {
			f := r.sim.Writer().MuteAnswer(aurorasim.Contains("replica_host_status"))
			time.Sleep(time.Minute)
			if f.Hits() != 1 {
				r.Error("it was not silent")
			}
			r.must(r.exec(r.db, insert))
		}},
		"a reader's death": {"", func(r *rig) {
			r.must(r.sim.Instance("instance-3").Crash(r.Context()))
			time.Sleep(time.Minute)
			r.must(r.exec(r.db, insert))
		}},
		"a reader that is frozen": {"", func(r *rig) {
			r.sim.Instance("instance-3").Freeze()
			time.Sleep(time.Minute)
			r.must(r.exec(r.db, insert))
		}},
		"cancels": {"", func(r *rig) {
			for range 10 {
				cancelled(r, time.Second)
			}
			if n := r.c.Stats().Cancels.Killed; n == 0 {
				r.Error("nothing was killed")
			}
		}},
		"cancels that close the connection": {"fpCancelQuery=off", func(r *rig) {
			for range 10 {
				cancelled(r, time.Second)
			}
		}},
		"nothing to do after prepared statements": {"fpPreparedCache=1", func(r *rig) {
			for _, text := range []string{"SELECT n FROM one WHERE n = ?", "INSERT INTO t VALUES (?)", "SELECT n FROM one WHERE n = ?"} {
				st, err := r.db.PrepareContext(r.Context(), text)
				r.must(err)
				_, err = st.ExecContext(r.Context(), 1)
				r.must(err)
				r.must(st.Close())
			}
			synctest.Wait() // the monitor makes its connection meanwhile
			before := r.sim.Writer().Stats().Accepted
			time.Sleep(4 * time.Minute)
			if n := r.sim.Writer().Stats().Accepted - before; n != 0 {
				r.Errorf("%d connections, to look into the silence of a server that was asked nothing", n)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			told := Hooks{SnapshotChanged: func(_, s *topology.Snapshot, events []topology.Event) {
				for _, e := range events {
					if e.Kind == topology.WriterLost || e.Kind == topology.InstanceSuspected && e.Instance == "instance-1" {
						t.Errorf("%s", e)
					}
				}
			}}
			bubbleWith(t, test.params, []Option{WithLogger(slog.New(slog.DiscardHandler)), WithHooks(told)}, func(r *rig) {
				test.run(r)
				if s, g := r.c.Snapshot(), r.c.Stats().Gate; s.Epoch != 1 || s.Writer() == nil || g.Entered != 0 {
					r.Errorf("%s, gate %+v", s, g)
				}
			})
		})
	}
}

// cancelled runs a statement whose context ends long before it.
func cancelled(r *rig, after time.Duration) {
	r.Helper()
	f := r.sim.Writer().Delay(time.Hour, aurorasim.SQL(selectOne))
	defer f.Clear()
	ctx, cancel := context.WithTimeout(r.Context(), after)
	defer cancel()
	if _, err := r.rows(ctx, r.db, selectOne); !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("got %v", err)
	}
}

// TestSilentStranger: a statement runs on where the cluster has an instance no more, for as long as
// that answers others. When it has fallen silent the statement ends as anywhere else.
func TestSilentStranger(t *testing.T) {
	bubble(t, "fpTarget=reader&fpProbeInterval=20s&fpReaderWeights=instance-3:1,*:0", func(r *rig) {
		r.must(r.sim.Remove(r.Context(), "instance-3"))
		defer r.sim.Writer().HoldView().Clear() // it comes back, and is in nobody's list
		stranger, err := r.sim.Add("instance-3")
		r.must(err)
		r.must(r.db.PingContext(r.Context()))
		time.Sleep(time.Second)
		defer stranger.Delay(time.Hour, aurorasim.SQL(selectRows)).Clear()
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Minute)
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := r.rows(ctx, r.db, selectRows)
			done <- err
		}()
		time.Sleep(time.Minute)
		if left := r.c.cluster.pool.Left("instance-3"); len(done) > 0 || left == "" || r.c.Snapshot().Lookup("instance-3") != nil {
			r.Fatalf("%d have ended, left %q: %s", len(done), left, r.c.Snapshot())
		}
		stranger.BlackHole()
		stranger.Freeze()
		since := time.Now()
		if r.must(<-done); time.Since(since) > silentDeath {
			r.Errorf("took %s", time.Since(since))
		}
	})
}
