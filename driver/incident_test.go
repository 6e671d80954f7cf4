package driver

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// has returns the first moment of a kind, and fails if there is none.
func (r *rig) has(i failover.Incident, what, instance string) (m failover.Moment) {
	r.Helper()
	for _, m = range i.Timeline {
		if m.What == what && m.Instance == instance {
			return m
		}
	}
	r.Errorf("no %s %s in %s", what, instance, i)
	return m
}

// over waits until the incident is, and returns it.
func (r *rig) over() failover.Incident {
	r.Helper()
	time.Sleep(3 * time.Second)
	list := r.c.Stats().Incidents
	if len(list) != 1 {
		r.Fatalf("%d incidents: %v", len(list), list)
	}
	return list[0]
}

func TestIncidents(t *testing.T) {
	for name, test := range map[string]func(r *rig){
		"a crash": func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			start := time.Now()
			r.sim.Writer().MuteAnswer(aurorasim.SQL(update))
			var statements sync.WaitGroup
			statements.Go(func() { r.wants(r.exec(r.db, update), failover.ErrOutcomeUnknown, failover.Unknown) })
			time.Sleep(time.Millisecond)
			wait := r.background(aurorasim.Kill)
			statements.Go(func() { r.must(r.exec(r.db, insert)) })
			statements.Go(func() { r.wants(r.exec(tx, insert), failover.ErrTransactionLost, failover.NotExecuted) })
			statements.Go(func() {
				ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := r.db.ExecContext(ctx, insert); ctx.Err() == nil || err == nil {
					r.Errorf("got %v", err)
				}
			})
			statements.Wait()
			wait()
			i := r.over()
			if want := (failover.Fates{Waited: 1, Lost: 1, InDoubt: 1, Cancelled: 1}); i.Statements != want {
				r.Errorf("statements: %s", i.Statements)
			}
			if i.Number != 1 || i.Old != "instance-1" || i.New != "instance-2" || i.Trigger != "connection lost" || i.Epoch != r.c.Snapshot().Epoch {
				r.Errorf("got %s, epoch %d", i, i.Epoch)
			}
			if i.Start.Sub(start) > 50*time.Millisecond || i.Confirmed.Sub(i.Start) > 50*time.Millisecond {
				r.Errorf("late: %s", i)
			}
			if out := i.Outage(); out < time.Second || out > 1150*time.Millisecond {
				r.Errorf("outage %s", out)
			}
			if i.End.Before(i.Restored) || i.End.Sub(i.Restored) > 100*time.Millisecond {
				r.Errorf("end %s after it was restored", i.End.Sub(i.Restored))
			}
			r.has(i, "instance suspected", "instance-1")
			if p := r.has(i, "probe", "instance-2"); p.Detail != "reader" || p.Count < 5 {
				r.Errorf("probes of instance-2: %s", p)
			}
			r.has(i, "instance down", "instance-1")
			r.has(i, "writer changed", "instance-2")
			r.has(i, "gate opened", "")
		},
		"a read that is executed again": func(r *rig) {
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(selectOne))
			_, err := r.rows(r.Context(), r.db, selectOne)
			r.must(err)
			i := r.over()
			if i.Statements != (failover.Fates{Reexecuted: 1}) || i.New != "" || !i.Confirmed.IsZero() || i.Outage() > 50*time.Millisecond {
				r.Errorf("got %s", i)
			}
		},
		"a switchover that only the steady poll sees": func(r *rig) {
			time.Sleep(6 * time.Second)
			r.must(r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true}))
			time.Sleep(6 * time.Second)
			i := r.over()
			if i.Statements.Total() != 0 || i.New != "instance-2" || i.Trigger != "no writer any more" || i.Confirmed != i.Start {
				r.Errorf("got %s", i)
			}
			if p := i.Timeline[0]; p.What != "probe" || p.Detail != "writer" && p.Detail != "reader" || i.Start.Sub(p.At) > 6*time.Second {
				r.Errorf("not the last probe before it: %s", p)
			}
		},
		"a failover during a failover is the same one": func(r *rig) {
			wait := r.background(aurorasim.Kill)
			r.must(r.exec(r.db, insert))
			wait()
			r.must(r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Kill}))
			r.must(r.exec(r.db, insert))
			i := r.over()
			if i.Old != "instance-1" || i.New != "instance-3" || i.Statements.Waited+i.Statements.Reexecuted != 2 {
				r.Errorf("got %s", i)
			}
		},
		"what is none": func(r *rig) {
			r.sim.Instance("instance-3").Refuse()
			ctx, cancel := context.WithTimeout(r.Context(), time.Millisecond)
			defer cancel()
			r.sim.Writer().Delay(10*time.Millisecond, aurorasim.SQL(selectOne))
			_, _ = r.rows(ctx, r.db, selectOne)
			time.Sleep(time.Minute)
			if list := r.c.Stats().Incidents; len(list) != 0 {
				r.Errorf("got %v", list)
			}
		},
		"the ring": func(r *rig) {
			for range 20 {
				r.sim.Writer().ResetConnections()
				r.sim.Writer().SwallowAnswer(aurorasim.SQL(selectOne))
				_, err := r.rows(r.Context(), r.db, selectOne)
				r.must(err)
				time.Sleep(3 * time.Second)
			}
			list := r.c.Stats().Incidents
			if len(list) != 16 || list[0].Number != 5 || list[15].Number != 20 {
				r.Errorf("%d incidents, from %d on", len(list), list[0].Number)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, "fpReadFallback=off", test) })
	}
}

// lines is a log as text.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestIncidentIsTold: one line of the log, one call of the hook, also of one that is not over
// when the connector is closed.
func TestIncidentIsTold(t *testing.T) {
	var log lines
	told := make(chan failover.Incident, 10)
	bubbleWith(t, "fpReadFallback=off", []Option{
		WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
		WithHooks(Hooks{IncidentEnded: func(i failover.Incident) { told <- i }}),
	}, func(r *rig) {
		wait := r.background(aurorasim.Kill)
		r.must(r.exec(r.db, insert))
		wait()
		time.Sleep(3 * time.Second)
		if len(told) != 1 {
			r.Errorf("told %d times", len(told))
		}
		r.must(r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Kill}))
		r.must(r.exec(r.db, insert))
	})
	if len(told) != 2 {
		t.Errorf("told %d times", len(told))
	}
	n := 0
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "incident ") {
			n++
			for _, part := range []string{"writer instance-", "waited", "probe instance-", "gate opened", "outage=", "statements=1"} {
				if !strings.Contains(line, part) {
					t.Errorf("no %q in %s", part, line)
				}
			}
			t.Log(line)
		}
	}
	if n != 2 {
		t.Errorf("%d lines", n)
	}
}
