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

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// TestMirrorInTrouble: whatever the mirror does, the program gets its rows, in no time.
func TestMirrorInTrouble(t *testing.T) {
	const statements = 20
	silent := func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
		<-ctx.Done()
		return fakemysql.Fail(1317, "70100", "interrupted")
	}
	late := func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
		fakemysql.Delay(ctx, 400*time.Millisecond)
		return fakemysql.Reply{Results: []fakemysql.Result{numbers(1)}}
	}
	for name, test := range map[string]struct {
		breaks func(r *reflection)
		want   MirrorStats
		errors string
	}{
		"well": {func(*reflection) {}, MirrorStats{Sampled: 20, Sent: 20, Answered: 20, Same: 20}, ""},
		"dead": {func(r *reflection) { r.away = true }, MirrorStats{Sampled: 20, Sent: 20, Failed: 20}, "*errors.errorString"},
		"gone": {func(r *reflection) { r.answers.On(selectOne, fakemysql.Result{}); r.mirror.Close() }, MirrorStats{Sampled: 20, Sent: 20, Failed: 20}, "*errors.errorString"},
		"without the table": {func(r *reflection) {
			r.answers.OnFunc(selectOne, func(context.Context, fakemysql.Call) fakemysql.Reply {
				return fakemysql.Fail(1146, "42S02", "Table 'shop.one' doesn't exist")
			})
		}, MirrorStats{Sampled: 20, Sent: 20, Failed: 20}, "1146"},
		// Two are sent at once, and time out a second later, when half of the others have come.
		"silent": {
			func(r *reflection) { r.answers.OnFunc(selectOne, silent) },
			MirrorStats{Sampled: 20, Sent: 4, TimedOut: 4, Dropped: MirrorDrops{Busy: 16}},
			"context deadline exceeded",
		},
		// Two every 400 ms: at 0, 400, 800, 1200 and 1600.
		"slow": {
			func(r *reflection) { r.answers.OnFunc(selectOne, late) },
			MirrorStats{Sampled: 20, Sent: 10, Answered: 10, Same: 10, Dropped: MirrorDrops{Busy: 10}},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			mirrored(t, MirrorPolicy{Rate: 1, Compare: 1, MaxConcurrent: 2, Timeout: time.Second}, func(r *reflection) {
				test.breaks(r)
				for range statements {
					began := time.Now()
					r.read(r.db, 1, selectOne)
					if took := time.Since(began); took != 0 {
						t.Errorf("a statement took %v", took)
					}
					synctest.Wait() // what can end has ended
					time.Sleep(100*time.Millisecond + time.Microsecond)
				}
				time.Sleep(time.Second)
				r.counts(test.want)
				for _, e := range r.c.MirrorSample() {
					if e.Error != test.errors || e.Difference != "" || e.Statement != selectOne || e.Primary.Rows != 1 || strings.Contains(fmt.Sprintf("%+v", e), "hidden") {
						t.Errorf("%+v", e)
					}
				}
			})
		})
	}
}

// TestMirrorLatencies measures both sides.
func TestMirrorLatencies(t *testing.T) {
	mirrored(t, MirrorPolicy{Rate: 1}, func(r *reflection) {
		for _, d := range []time.Duration{time.Second, 3 * time.Second} {
			r.script.OnFunc(selectOne, func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
				fakemysql.Delay(ctx, d/10)
				return fakemysql.Reply{Results: []fakemysql.Result{numbers(1)}}
			})
			r.answers.OnFunc(selectOne, func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
				fakemysql.Delay(ctx, d)
				return fakemysql.Reply{Results: []fakemysql.Result{numbers(1)}}
			})
			r.read(r.db, 1, selectOne)
			time.Sleep(5 * time.Second)
		}
		s := r.c.Stats().Mirror
		if want := (MirrorLatency{400 * time.Millisecond, 300 * time.Millisecond}); s.Primary != want {
			t.Errorf("the primary's latencies: %+v", s.Primary)
		}
		if want := (MirrorLatency{4 * time.Second, 3 * time.Second}); s.Mirror != want {
			t.Errorf("the mirror's latencies: %+v", s.Mirror)
		}
	})
}

// TestMirrorSample is bounded, by kind.
func TestMirrorSample(t *testing.T) {
	mirrored(t, MirrorPolicy{Rate: 1, Compare: 1, Samples: 3}, func(r *reflection) {
		r.answers.On(selectRows, numbers(2, 1, 3)).On(selectOne, numbers(2))
		fail := func(context.Context, fakemysql.Call) fakemysql.Reply {
			return fakemysql.Fail(1054, "42S22", "'secret'")
		}
		for i := range 5 {
			text := fmt.Sprintf("SELECT n FROM failing%d WHERE s = 'secret' LIMIT 1", i)
			r.script.On(text, numbers(1))
			r.answers.OnFunc(text, fail)
			for _, query := range []string{text, selectRows, selectOne} {
				_, err := r.rows(r.Context(), r.db, query)
				r.must(err)
				time.Sleep(time.Second)
			}
		}
		sample := r.c.MirrorSample()
		if len(sample) != 9 {
			t.Fatalf("%d events", len(sample))
		}
		for i, e := range sample {
			want := []string{fmt.Sprintf("SELECT n FROM failing%d WHERE s = ? LIMIT ?", 2+i/3), selectRows, selectOne}[i%3]
			if e.Statement != want || i > 0 && !e.At.After(sample[i-1].At) || strings.Contains(fmt.Sprintf("%+v", e), "secret") {
				t.Errorf("event %d: %+v, want %s", i, e, want)
			}
		}
	})
}

// TestMirrorClose cancels what is under way, and Shutdown waits for it.
func TestMirrorClose(t *testing.T) {
	late := func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
		fakemysql.Delay(ctx, 3*time.Second)
		return fakemysql.Reply{Results: []fakemysql.Result{numbers(1)}}
	}
	for name, test := range map[string]struct {
		close func(r *reflection) error
		took  time.Duration
		want  MirrorStats
		err   error
	}{
		"Close":    {func(r *reflection) error { return r.c.Close() }, 0, MirrorStats{Sampled: 1, Sent: 1, Cancelled: 1}, nil},
		"Shutdown": {func(r *reflection) error { return r.c.Shutdown(r.Context()) }, 3 * time.Second, MirrorStats{Sampled: 1, Sent: 1, Answered: 1}, nil},
		"Shutdown, and no time": {func(r *reflection) error {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			return r.c.Shutdown(ctx)
		}, time.Second, MirrorStats{Sampled: 1, Sent: 1, Cancelled: 1}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			mirrored(t, MirrorPolicy{Rate: 1}, func(r *reflection) {
				r.answers.OnFunc(selectOne, late)
				r.read(r.db, 1, selectOne)
				synctest.Wait()
				began := time.Now()
				if err := test.close(r); !errors.Is(err, test.err) {
					t.Errorf("%v", err)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %v", took)
				}
				r.counts(test.want)
			})
		})
	}
}

// TestMirrorShutdownDrops: nothing new is sent while rows are read to their end.
func TestMirrorShutdownDrops(t *testing.T) {
	mirrored(t, MirrorPolicy{Rate: 1}, func(r *reflection) {
		rows, err := r.db.QueryContext(r.Context(), selectRows)
		r.must(err)
		done := make(chan error)
		go func() { done <- r.c.Shutdown(r.Context()) }()
		synctest.Wait()
		r.must(rows.Close())
		r.must(rows.Err())
		r.must(<-done)
		r.counts(MirrorStats{Sampled: 1, Dropped: MirrorDrops{Closed: 1}})
	})
}

// stubborn is a driver that ignores its context, or panics.
type stubborn struct {
	release chan struct{}
	panics  bool
}

func (s *stubborn) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s *stubborn) Driver() driver.Driver                        { return nil }
func (s *stubborn) Prepare(string) (driver.Stmt, error)          { return nil, errors.New("no") }
func (s *stubborn) Begin() (driver.Tx, error)                    { return nil, errors.New("no") }
func (s *stubborn) Close() error                                 { return nil }
func (s *stubborn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	if s.panics {
		panic("secret")
	}
	<-s.release
	return nil, errors.New("no")
}

// TestMirrorStubborn has a mirror whose driver cannot be stopped: the program's statements go on,
// and Close says what is left.
func TestMirrorStubborn(t *testing.T) {
	s := new(stubborn)
	var db *sql.DB
	bubbleWith(t, "", []Option{WithLogger(slog.New(slog.DiscardHandler)), func(o *options) {
		s.release = make(chan struct{})
		db = sql.OpenDB(s)
		WithMirror(db, MirrorPolicy{Rate: 1, MaxConcurrent: 3, Timeout: time.Second})(o)
	}}, func(rig *rig) {
		defer db.Close()
		defer close(s.release)
		r := &reflection{rig: rig}
		for range 10 {
			r.read(r.db, 1, selectOne)
		}
		time.Sleep(time.Minute)
		r.read(r.db, 1, selectOne)
		r.counts(MirrorStats{Sampled: 11, Sent: 3, Running: 3, Dropped: MirrorDrops{Busy: 8}})
		began := time.Now()
		err := r.c.Close()
		if took := time.Since(began); took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "3 statements have not ended on the mirror") {
			t.Errorf("Close after %v: %v", took, err)
		}
	})
}

// TestMirrorPanics has a mirror whose driver panics.
func TestMirrorPanics(t *testing.T) {
	var db *sql.DB
	bubbleWith(t, "", []Option{WithLogger(slog.New(slog.DiscardHandler)), func(o *options) {
		db = sql.OpenDB(&stubborn{panics: true})
		WithMirror(db, MirrorPolicy{Rate: 1})(o)
	}}, func(rig *rig) {
		defer db.Close()
		r := &reflection{rig: rig}
		r.read(r.db, 1, selectOne)
		r.counts(MirrorStats{Sampled: 1, Sent: 1, Failed: 1})
		if sample := r.c.MirrorSample(); len(sample) != 1 || sample[0].Error != "panic of type string" {
			t.Errorf("%+v", sample)
		}
	})
}

// belated is a connector that is known later.
type belated struct{ to *Connector }

func (l *belated) Connect(ctx context.Context) (driver.Conn, error) { return l.to.Connect(ctx) }
func (l *belated) Driver() driver.Driver                            { return l.to.Driver() }

// TestMirrorOfItself: a mirror that leads back to the same connector gets each statement once.
func TestMirrorOfItself(t *testing.T) {
	self := new(belated)
	var db *sql.DB
	bubbleWith(t, "", []Option{WithLogger(slog.New(slog.DiscardHandler)), func(o *options) {
		db = sql.OpenDB(self)
		WithMirror(db, MirrorPolicy{Rate: 1, Compare: 1})(o)
	}}, func(rig *rig) {
		defer db.Close()
		self.to = rig.c
		r := &reflection{rig: rig}
		for range 3 {
			r.read(r.db, 3, selectRows)
		}
		r.read(r.db, 1, selectArg, 1)
		r.counts(MirrorStats{Sampled: 4, Sent: 4, Answered: 4, Same: 4})
		if got := r.reached(selectRows); got != 6 {
			t.Errorf("%d statements reached the cluster for 3 and their mirrored ones", got)
		}
	})
}

// TestMirrorLoad runs many statements at once while the cluster fails over and the mirror answers
// slowly: nothing is lost or counted twice.
func TestMirrorLoad(t *testing.T) {
	mirrored(t, MirrorPolicy{Rate: 0.5, Compare: 0.5, MaxConcurrent: 3}, func(r *reflection) {
		r.answers.OnFunc(selectRows, func(ctx context.Context, _ fakemysql.Call) fakemysql.Reply {
			fakemysql.Delay(ctx, time.Millisecond)
			return fakemysql.Reply{Results: []fakemysql.Result{numbers(1, 2, 3)}}
		})
		wait := r.background(aurorasim.Kill)
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				for range 100 {
					if got, err := r.rows(r.Context(), r.db, selectRows); err != nil || len(got) != 3 {
						t.Errorf("%v, %v", got, err)
					}
					r.adds()
					time.Sleep(200 * time.Microsecond)
				}
			})
		}
		readers.Wait()
		wait()
		time.Sleep(time.Second)
		r.adds()
		s := r.c.Stats().Mirror
		if s.Running != 0 || s.Answered != s.Sent || s.Sent == 0 || s.Same == 0 || s.Different+s.Reordered+s.Unread != 0 {
			t.Errorf("%+v", s)
		}
		if got := uint64(r.answers.Count(selectRows)); got != s.Sent {
			t.Errorf("the mirror got %d statements, %d were sent", got, s.Sent)
		}
	})
}

// TestMirrorTelemetry looks at the metrics.
func TestMirrorTelemetry(t *testing.T) {
	reader := metric.NewManualReader()
	var db *sql.DB
	bubbleWith(t, "", []Option{WithLogger(slog.New(slog.DiscardHandler)), WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))), func(o *options) {
		db = sql.OpenDB(&stubborn{panics: true})
		WithMirror(db, MirrorPolicy{Rate: 1})(o)
	}}, func(rig *rig) {
		defer db.Close()
		r := &reflection{rig: rig}
		r.read(r.db, 1, selectOne)
		synctest.Wait()
		r.c.cluster.mirror.timed(time.Second, time.Second)
		var data metricdata.ResourceMetrics
		r.must(reader.Collect(t.Context(), &data))
		seen := make(map[string]string)
		for _, m := range data.ScopeMetrics[0].Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					for _, kv := range p.Attributes.ToSlice() {
						seen[m.Name+" "+kv.Value.AsString()] = fmt.Sprint(p.Value)
					}
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					for _, kv := range p.Attributes.ToSlice() {
						seen[m.Name+" "+kv.Value.AsString()] = fmt.Sprint(p.Count)
					}
				}
			}
		}
		for name, want := range map[string]string{
			"failoverproxy.mirror.statements failed": "1", "failoverproxy.mirror.statements answered": "0", "failoverproxy.mirror.statements dropped: busy": "0",
			"failoverproxy.mirror.results same": "0", "failoverproxy.mirror.duration primary": "1", "failoverproxy.mirror.duration mirror": "1",
		} {
			if seen[name] != want {
				t.Errorf("%s is %q, want %q", name, seen[name], want)
			}
		}
	})
}
