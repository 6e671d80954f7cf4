package driver

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// onlyAt wants everything that the program asked for since the log was reset to have gone to
// one instance, and nothing to hang at another one.
func (r *rig) onlyAt(id string) {
	r.Helper()
	for _, text := range []string{insert, selectOne, "SELECT n FROM one WHERE n = ?"} {
		for _, relay := range r.sim.Seen(text) {
			if relay.Instance != id {
				r.Errorf("%q reached %s at %s (sent on: %t), the writer is %s", text, relay.Instance, relay.Time.Format("04:05.000"), relay.Sent, id)
			}
		}
	}
	for _, i := range r.sim.Instances() {
		if s := i.Stats(); i.ID != id && (s.Held != 0 || s.Refused != 0) {
			r.Errorf("%s holds %d statements and refused %d", i.ID, s.Held, s.Refused)
		}
	}
}

// TestFencing lets instances say that they are the writer that are not, and old news come
// from others: no statement reaches an instance that is not the true writer.
func TestFencing(t *testing.T) {
	believer := func(kind aurorasim.Kind) func(r *rig) {
		return func(r *rig) {
			r.must(r.sim.Failover(r.Context(), aurorasim.Failover{
				Kind: kind, PromoteAfter: time.Second, RestartAfter: 6 * time.Second, DNSAfter: 18 * time.Second,
				StaleViews: 12 * time.Second, BelievesWriter: 14 * time.Second,
			}))
		}
	}
	skewed := func(old, next, reader time.Duration) func(r *rig) {
		return func(r *rig) {
			for n, d := range []time.Duration{old, next, reader} {
				r.sim.Instances()[n].Skew(d)
			}
			time.Sleep(11 * time.Second) // two steady polls
			believer(aurorasim.Kill)(r)
		}
	}
	for name, test := range map[string]struct {
		fault func(r *rig)
		then  func(r *rig) // once the new writer is known
	}{
		"a killed writer returns and has not noticed":     {believer(aurorasim.Kill), nil},
		"a demoted writer returns and has not noticed":    {believer(aurorasim.Switchover), nil},
		"a frozen writer returns and has not noticed":     {believer(aurorasim.Frozen), nil},
		"it returns while the new one loses a connection": {believer(aurorasim.Kill), func(r *rig) { time.Sleep(7 * time.Second); r.sim.Writer().ResetConnections() }},
		"it returns while the new one is slow to answer":  {believer(aurorasim.Kill), func(r *rig) { r.sim.Writer().Delay(300*time.Millisecond, nil) }},
		"a reader takes itself for the writer":            {believer(aurorasim.Kill), func(r *rig) { r.sim.Instance("instance-3").BelieveWriter() }},
		"all the others take themselves for the writer": {believer(aurorasim.Kill), func(r *rig) {
			time.Sleep(7 * time.Second)
			r.sim.Instance("instance-3").BelieveWriter()
		}},
		"a reader's view stands still":                         {believer(aurorasim.Kill), func(r *rig) { r.sim.Instance("instance-3").HoldView() }},
		"the old writer's clock is ahead":                      {skewed(time.Hour, 0, 0), nil},
		"the old writer's clock is behind":                     {skewed(-time.Hour, 0, 0), nil},
		"the new writer's clock is behind":                     {skewed(0, -time.Hour, 0), nil},
		"the new writer's clock is ahead":                      {skewed(0, time.Hour, 0), nil},
		"the reader's clock is ahead":                          {skewed(0, 0, time.Hour), nil},
		"all clocks differ":                                    {skewed(time.Minute, -2*time.Minute, 90*time.Second), nil},
		"all clocks jump back afterwards":                      {believer(aurorasim.Kill), func(r *rig) { jump(r, -time.Hour) }},
		"all clocks jump forward afterwards":                   {believer(aurorasim.Kill), func(r *rig) { jump(r, time.Hour) }},
		"the new writer's clock jumps back afterwards":         {believer(aurorasim.Kill), func(r *rig) { r.sim.Writer().Skew(-time.Hour) }},
		"the old writer's clock jumps forward when it is back": {believer(aurorasim.Kill), func(r *rig) { r.sim.Instance("instance-1").Skew(time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, "fpReadFallback=off", func(r *rig) {
				l := r.load()
				time.Sleep(time.Second)
				test.fault(r)
				for deadline := time.Now().Add(4 * time.Second); ; time.Sleep(10 * time.Millisecond) {
					if w := r.c.Snapshot().Writer(); w != nil && w.ID == "instance-2" {
						break
					}
					if time.Now().After(deadline) {
						r.Fatalf("the new writer is not believed: %s", r.c.Snapshot())
					}
				}
				synctest.Wait()
				before := r.sim.Instances()[0].Stats().Refused
				if before != 0 {
					r.Errorf("%d writes met the old writer", before)
				}
				since, written := time.Now(), r.reached(insert)
				if test.then != nil {
					test.then(r)
				}
				time.Sleep(25 * time.Second)
				for _, relay := range r.sim.Relays(func(s aurorasim.Statement) bool { return s.SQL == insert || s.SQL == selectOne }) {
					if relay.Time.After(since) && relay.Instance != "instance-2" {
						r.Errorf("%q reached %s", relay.SQL, relay.Instance)
					}
				}
				for _, i := range r.sim.Instances() {
					if n := i.Stats().Held; i.ID != "instance-2" && n != 0 {
						r.Errorf("%s holds %d statements", i.ID, n)
					}
				}
				if r.reached(insert) < written+100 {
					r.Errorf("only %d writes", r.reached(insert)-written)
				}
				l.end(4 * time.Second)
			})
		})
	}
}

// jump moves all clocks.
func jump(r *rig, d time.Duration) {
	for _, i := range r.sim.Instances() {
		i.Skew(d)
	}
}

// TestReadOnlyIsOutAtOnce: a writer that has become a reader and keeps its connections is
// met by those statements that were on their way to it, and by nobody after them.
func TestReadOnlyIsOutAtOnce(t *testing.T) {
	demote := func(r *rig) (wait func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.must(r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true, PromoteAfter: time.Second}))
		}()
		time.Sleep(100 * time.Millisecond) // it waits a moment for what is under way
		return func() { <-done }
	}
	for name, test := range map[string]struct {
		run  func(r *rig)
		most int64 // statements that it refuses
	}{
		"one after the other": {func(r *rig) {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { r.must(r.exec(r.db, insert)) })
				synctest.Wait()
			}
			all.Wait()
		}, 1},
		"all at once": {func(r *rig) {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { r.must(r.exec(r.db, insert)) })
			}
			all.Wait()
		}, 5}, // fpPoolSize: they were sent before the first answer came
		"prepared": {func(r *rig) {
			st, err := r.db.PrepareContext(r.Context(), "INSERT INTO t VALUES (?)")
			r.must(err)
			defer st.Close()
			for range 20 {
				_, err := st.ExecContext(r.Context(), 1)
				r.must(err)
			}
		}, 1},
		"in transactions": {func(r *rig) {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					for {
						tx, err := r.db.BeginTx(r.Context(), nil)
						r.must(err)
						if err = r.exec(tx, insert); err == nil {
							r.must(tx.Commit())
							return
						}
						_ = tx.Rollback()
					}
				})
			}
			all.Wait()
		}, 5},
		"noticed by the steady poll": {func(r *rig) {
			time.Sleep(10 * time.Second)
			for range 20 {
				r.must(r.exec(r.db, insert))
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, "fpPoolSize=5", func(r *rig) {
				var all sync.WaitGroup
				f := r.sim.Writer().Delay(time.Second, aurorasim.SQL(update))
				for range 5 { // so that all connections are there
					all.Go(func() { r.must(r.exec(r.db, update)) })
				}
				all.Wait()
				f.Clear()
				old := r.sim.Writer()
				wait := demote(r)
				test.run(r)
				wait()
				if n := old.Stats().Refused; n > test.most {
					r.Errorf("%d statements met the server that had become read-only, want %d at most", n, test.most)
				}
				if n := r.reached(insert) + r.reached("INSERT INTO t VALUES (?)"); n != 20 {
					r.Errorf("%d writes reached the upstream, want 20", n)
				}
				r.sim.ResetLog()
				for range 20 {
					r.must(r.exec(r.db, insert))
				}
				for _, relay := range r.sim.Seen(insert) {
					if relay.Instance == old.ID {
						r.Errorf("a write reached %s afterwards", old.ID)
					}
				}
			})
		})
	}
}

// TestReadOnlyAnswers: a refusal by number is a sign of a demotion, whichever it is, and the
// statement runs once, at the writer that is found.
func TestReadOnlyAnswers(t *testing.T) {
	for _, number := range []uint16{1290, 1836, 1792} {
		bubble(t, "", func(r *rig) {
			f := r.sim.Writer().ErrorThenClose(number, "read-only", aurorasim.SQL(insert))
			r.must(r.exec(r.db, insert))
			if n := r.reached(insert); n != 1 || f.Hits() != 1 {
				r.Errorf("%d: executed %d times, %d hits", number, n, f.Hits())
			}
			if s := r.c.Snapshot(); s.Epoch != 1 {
				r.Errorf("%d: %s", number, s)
			}
		})
	}
}

// TestNoLeaseOfAnOlderEpoch: sessions that lie at rest with their connection to an old writer
// that lives on do not use it again.
func TestNoLeaseOfAnOlderEpoch(t *testing.T) {
	bubble(t, "", func(r *rig) {
		old := r.sim.Writer()
		conns := make([]queryer, 5)
		for i := range conns {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			r.must(r.exec(conn, insert)) // keeps its lease, for the question that may follow
			conns[i] = conn
		}
		r.must(r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true}))
		time.Sleep(10 * time.Second)
		r.sim.ResetLog()
		for _, conn := range conns {
			r.must(r.exec(conn, insert))
			_, err := r.rows(r.Context(), conn, selectOne)
			r.must(err)
		}
		r.onlyAt("instance-2")
		if n := old.Stats().Refused; n != 0 {
			r.Errorf("%d statements met the old writer", n)
		}
	})
}
