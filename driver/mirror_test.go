package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/topology"
)

// reflection is a rig with a mirror: a server of its own, behind the wrapped driver's *sql.DB.
type reflection struct {
	*rig
	answers *fakemysql.Script
	server  *fakemysql.Server
	away    bool // nobody can connect
	mirror  *sql.DB

	sessions []*sql.Conn // to be closed
}

const selectArg = "SELECT n FROM one WHERE n = ?"

// mirrored runs a test in a bubble, with a mirror that answers as the cluster does.
func mirrored(t *testing.T, policy MirrorPolicy, test func(r *reflection)) {
	t.Helper()
	mirroredWith(t, "", policy, test)
}

// mirroredWith is mirrored with parameters of the DSN.
func mirroredWith(t *testing.T, params string, policy MirrorPolicy, test func(r *reflection)) {
	t.Helper()
	r := &reflection{answers: fakemysql.NewScript()}
	option := func(o *options) { // called within the bubble
		r.answers.On(selectRows, numbers(1, 2, 3)).On(selectOne, numbers(1)).On(selectArg, numbers(1)).On(selectLock, numbers(1))
		r.server = fakemysql.New(fakemysql.Config{Users: map[string]string{"m": "hidden"}, Handler: r.answers})
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = "m", "hidden", "tcp", "mirror:3306", &mysql.NopLogger{}
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if r.away {
				return nil, errors.New("refused")
			}
			return r.server.Dial(ctx, network, addr)
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r.mirror = sql.OpenDB(connector)
		WithMirror(r.mirror, policy)(o)
	}
	bubbleWith(t, params, []Option{WithLogger(slog.New(slog.DiscardHandler)), option}, func(rig *rig) {
		r.rig = rig
		defer r.server.Close()
		defer r.mirror.Close()
		defer rig.db.Close()
		defer func() {
			for _, c := range r.sessions {
				c.Close()
			}
		}()
		test(r)
		for _, c := range r.sessions {
			r.must(c.Close())
		}
		r.sessions = nil
		if err := rig.db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		r.adds()
		if s := rig.c.Stats().Mirror; s.Running != 0 {
			t.Errorf("%d statements run on the mirror after Close", s.Running)
		}
	})
}

func numbers(n ...int64) fakemysql.Result {
	r := fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}}
	for _, n := range n {
		r.Rows = append(r.Rows, []any{n})
	}
	return r
}

// adds checks that the mirror's counters add up.
func (r *reflection) adds() {
	r.Helper()
	s := r.c.Stats().Mirror
	if s.Sampled != s.Sent+s.Dropped.Busy+s.Dropped.Large+s.Dropped.Closed || s.Sent != s.Running+s.Answered+s.Failed+s.TimedOut+s.Cancelled ||
		s.Same+s.Reordered+s.Different+s.Unread > s.Answered {
		r.Errorf("the mirror's counters do not add up: %+v", s)
	}
}

// counts waits for the mirror and compares its counters, latencies apart.
func (r *reflection) counts(want MirrorStats) {
	r.Helper()
	synctest.Wait()
	r.adds()
	got := r.c.Stats().Mirror
	got.Primary, got.Mirror = MirrorLatency{}, MirrorLatency{}
	if got != want {
		r.Errorf("the mirror's counters are\n%+v, want\n%+v", got, want)
	}
}

// read reads a query to its end, and wants so many rows.
func (r *reflection) read(q queryer, want int, query string, args ...any) {
	r.Helper()
	got, err := r.rows(r.Context(), q, query, args...)
	if err != nil || len(got) != want {
		r.Fatalf("%s: %v, %v", query, got, err)
	}
}

// TestMirrorSends goes through what is sent to a mirror and what is not.
func TestMirrorSends(t *testing.T) {
	type sends = func(r *reflection)
	for name, test := range map[string]struct {
		run        sends
		sent       uint64
		ineligible uint64
	}{
		"a query": {func(r *reflection) { r.read(r.db, 3, selectRows) }, 1, 0},
		"a query with arguments": {func(r *reflection) {
			r.read(r.db, 1, selectArg, 1)
		}, 1, 0},
		"a prepared statement": {func(r *reflection) {
			st, err := r.db.PrepareContext(r.Context(), selectOne)
			r.must(err)
			defer st.Close()
			for range 2 {
				var n int
				r.must(st.QueryRowContext(r.Context()).Scan(&n))
			}
		}, 2, 0},
		"writes": {func(r *reflection) {
			r.must(r.exec(r.db, insert))
			r.must(r.exec(r.db, update))
		}, 0, 0},
		"a locking read":              {func(r *reflection) { r.read(r.db, 1, selectLock) }, 0, 0},
		"what the last statement did": {func(r *reflection) { r.read(r.db, 1, "SELECT LAST_INSERT_ID()") }, 0, 0},
		"who asks":                    {func(r *reflection) { r.read(r.db, 1, "SELECT CONNECTION_ID()") }, 0, 1},
		"a transaction": {func(r *reflection) {
			tx, err := r.db.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
			r.must(err)
			r.read(tx, 3, selectRows)
			r.must(tx.Commit())
		}, 0, 1},
		"a transaction begun by text": {func(r *reflection) {
			c := r.session()
			r.must(r.exec(c, "BEGIN"))
			r.read(c, 3, selectRows)
			r.must(r.exec(c, "COMMIT"))
			r.read(c, 3, selectRows)
		}, 1, 1},
		"without autocommit": {func(r *reflection) {
			c := r.session()
			r.must(r.exec(c, "SET autocommit=0"))
			r.read(c, 3, selectRows)
			r.must(r.exec(c, "COMMIT"))
		}, 0, 1},
		"a session with variables": {func(r *reflection) {
			c := r.session()
			r.must(r.exec(c, "SET time_zone='+01:00'"))
			r.read(c, 3, selectRows)
		}, 0, 1},
		"a session with another schema": {func(r *reflection) {
			c := r.session()
			r.must(r.exec(c, "USE other"))
			r.read(c, 3, selectRows)
		}, 0, 1},
		"a session with a temporary table": {func(r *reflection) {
			c := r.session()
			r.must(r.exec(c, "CREATE TEMPORARY TABLE x (n INT)"))
			r.read(c, 3, selectRows)
		}, 0, 1},
		"what failed": {func(r *reflection) {
			if _, err := r.rows(r.Context(), r.db, "SELECT n FROM nothing"); err == nil {
				r.Error("no error")
			}
		}, 0, 0},
		"what failed after rows": {func(r *reflection) {
			r.sim.Writer().ErrorAfter(3, 1317, "interrupted", aurorasim.SQL(selectRows))
			if _, err := r.rows(r.Context(), r.db, selectRows); err == nil {
				r.Error("no error")
			}
		}, 0, 0},
		"Exec":   {func(r *reflection) { r.must(r.exec(r.db, selectOne)) }, 0, 0},
		"a ping": {func(r *reflection) { r.must(r.db.PingContext(r.Context())) }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			mirrored(t, MirrorPolicy{Rate: 1}, func(r *reflection) {
				test.run(r)
				r.counts(MirrorStats{Sampled: test.sent, Sent: test.sent, Answered: test.sent, Ineligible: test.ineligible})
			})
		})
	}
}

func (r *reflection) session() *sql.Conn {
	r.Helper()
	c, err := r.db.Conn(r.Context())
	r.must(err)
	r.sessions = append(r.sessions, c)
	return c
}

// TestMirrorWithoutAutocommit has a DSN that the first answer only shows to begin a transaction.
func TestMirrorWithoutAutocommit(t *testing.T) {
	mirroredWith(t, "autocommit=0", MirrorPolicy{Rate: 1}, func(r *reflection) {
		r.session()
		c := r.session() // which has executed nothing
		r.read(c, 3, selectRows)
		r.counts(MirrorStats{Ineligible: 1})
		r.must(r.exec(c, "COMMIT"))
		r.read(c, 3, selectRows)
		r.counts(MirrorStats{Ineligible: 2})
	})
}

// TestMirrorCompares lets the mirror answer in other ways than the cluster.
func TestMirrorCompares(t *testing.T) {
	for name, test := range map[string]struct {
		answer fakemysql.Result
		want   MirrorDifference
	}{
		"same":    {numbers(1, 2, 3), ""},
		"values":  {numbers(1, 2, 4), DifferentValues},
		"twice":   {numbers(1, 1, 3), DifferentValues},
		"null":    {fakemysql.Result{Columns: numbers().Columns, Rows: [][]any{{int64(1)}, {int64(2)}, {nil}}}, DifferentValues},
		"order":   {numbers(3, 1, 2), DifferentOrder},
		"more":    {numbers(1, 2, 3, 3), DifferentRows},
		"none":    {numbers(), DifferentRows},
		"columns": {fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("m")}, Rows: numbers(1, 2, 3).Rows}, DifferentColumns},
	} {
		t.Run(name, func(t *testing.T) {
			mirrored(t, MirrorPolicy{Rate: 1, Compare: 1}, func(r *reflection) {
				r.answers.On(selectRows, test.answer)
				r.read(r.db, 3, selectRows)
				want := MirrorStats{Sampled: 1, Sent: 1, Answered: 1}
				switch test.want {
				case "":
					want.Same = 1
				case DifferentOrder:
					want.Reordered = 1
				default:
					want.Different = 1
				}
				r.counts(want)
				sample := r.c.MirrorSample()
				if test.want == "" {
					if len(sample) != 0 {
						t.Errorf("%+v", sample)
					}
					return
				}
				if len(sample) != 1 {
					t.Fatalf("%d events", len(sample))
				}
				e := sample[0]
				if e.Difference != test.want || e.Statement != selectRows || e.Error != "" || e.Primary.Rows != 3 || e.Mirror.Rows != len(test.answer.Rows) ||
					(e.Primary.Hash == e.Mirror.Hash) != (test.want == DifferentColumns) {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}

// TestMirrorUnread compares results only if the program has read all their rows, which QueryRow has
// without having seen the end.
func TestMirrorUnread(t *testing.T) {
	mirrored(t, MirrorPolicy{Rate: 1, Compare: 1}, func(r *reflection) {
		var n int
		r.must(r.db.QueryRowContext(r.Context(), selectOne).Scan(&n))
		r.counts(MirrorStats{Sampled: 1, Sent: 1, Answered: 1, Same: 1})
		r.must(r.db.QueryRowContext(r.Context(), selectRows).Scan(&n))
		r.counts(MirrorStats{Sampled: 2, Sent: 2, Answered: 2, Same: 1, Unread: 1})
		rows, err := r.db.QueryContext(r.Context(), selectRows)
		r.must(err)
		r.must(rows.Close())
		r.must(rows.Err())
		r.counts(MirrorStats{Sampled: 3, Sent: 3, Answered: 3, Same: 1, Unread: 2})
	})
}

// TestMirrorComparesAfterFailover: the first answer was lost before its first row.
func TestMirrorComparesAfterFailover(t *testing.T) {
	mirrored(t, MirrorPolicy{Rate: 1, Compare: 1}, func(r *reflection) {
		r.sim.Writer().CutAfter(2, aurorasim.SQL(selectRows))
		r.read(r.db, 3, selectRows)
		if got := r.reached(selectRows); got != 2 {
			t.Errorf("the cluster was asked %d times", got)
		}
		r.counts(MirrorStats{Sampled: 1, Sent: 1, Answered: 1, Same: 1})
	})
}

// TestMirrorArguments lets the program change its bytes as soon as it may.
func TestMirrorArguments(t *testing.T) {
	for _, query := range []func(r *reflection, arg []byte) (*sql.Rows, error){
		func(r *reflection, arg []byte) (*sql.Rows, error) {
			return r.db.QueryContext(r.Context(), selectArg, arg)
		},
		func(r *reflection, arg []byte) (*sql.Rows, error) {
			st, err := r.db.PrepareContext(r.Context(), selectArg)
			r.must(err)
			r.Cleanup(func() { st.Close() })
			return st.QueryContext(r.Context(), arg)
		},
	} {
		mirrored(t, MirrorPolicy{Rate: 1}, func(r *reflection) {
			arg := []byte("one")
			rows, err := query(r, arg)
			r.must(err)
			copy(arg, "two")
			r.must(rows.Close())
			r.must(rows.Err())
			r.counts(MirrorStats{Sampled: 1, Sent: 1, Answered: 1})
			calls := r.answers.Calls()
			last := calls[len(calls)-1]
			if got := fmt.Sprintf("%s", last.Args); last.SQL != selectArg || got != "[one]" {
				t.Errorf("the mirror was asked %q with %s", last.SQL, got)
			}
		})
	}
}

// TestMirrorMatch asks the program, which may panic.
func TestMirrorMatch(t *testing.T) {
	type key struct{}
	policy := MirrorPolicy{Rate: 1, Match: func(ctx context.Context, query string) bool {
		if query == selectOne {
			panic("no " + query)
		}
		return ctx.Value(key{}) != nil
	}}
	mirrored(t, policy, func(r *reflection) {
		r.read(r.db, 3, selectRows)
		r.read(r.db, 1, selectOne)
		r.counts(MirrorStats{Panics: 1})
		ctx := context.WithValue(r.Context(), key{}, true)
		_, err := r.rows(ctx, r.db, selectRows)
		r.must(err)
		r.counts(MirrorStats{Panics: 1, Sampled: 1, Sent: 1, Answered: 1})
	})
}

// TestMirrorTarget: the mirror may be ours, too, and has readers.
func TestMirrorTarget(t *testing.T) {
	m := newMirror(&mirrorOption{policy: MirrorPolicy{Rate: 1}}, nil)
	defer m.stop()
	mirrored(t, MirrorPolicy{}, func(r *reflection) {
		session := newConn(r.c.cluster)
		x, err := session.begin("/* fp:writer */ "+selectRows, nil)
		r.must(err)
		s := m.draw(WithTarget(t.Context(), topology.Reader), session, &x)
		if s == nil || s.target != topology.Reader || s.text != x.text {
			t.Errorf("%+v", s)
		}
	})
}

// TestMirrorRate draws by lot.
func TestMirrorRate(t *testing.T) {
	const n, rate = 100000, 0.1
	drew := 0
	for range n {
		if drawn(rate) {
			drew++
		}
	}
	// Seven standard deviations.
	if off := math.Abs(float64(drew) - n*rate); off > 7*math.Sqrt(n*rate*(1-rate)) {
		t.Errorf("%d of %d", drew, n)
	}
	if drawn(0) || !drawn(1) {
		t.Error("0 or 1 is no certainty")
	}
}

// TestMirrorLarge does not keep large statements.
func TestMirrorLarge(t *testing.T) {
	mirrored(t, MirrorPolicy{Rate: 1}, func(r *reflection) {
		r.read(r.db, 1, selectArg, strings.Repeat("x", mirrorBytes))
		r.counts(MirrorStats{Sampled: 1, Dropped: MirrorDrops{Large: 1}})
	})
}

// TestMirrorBadInput names the field that is wrong.
func TestMirrorBadInput(t *testing.T) {
	db := sql.OpenDB(nil)
	defer db.Close()
	cfg, err := ParseDSN("u:" + canary + "@tcp(127.0.0.1:1)/")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		db     *sql.DB
		policy MirrorPolicy
		want   string
	}{
		{nil, MirrorPolicy{Rate: 1}, "WithMirror: db is nil"},
		{nil, MirrorPolicy{}, "WithMirror: db is nil"},
		{db, MirrorPolicy{Rate: 1.1}, "MirrorPolicy.Rate is 1.1"},
		{db, MirrorPolicy{Rate: -0.1}, "MirrorPolicy.Rate is -0.1"},
		{db, MirrorPolicy{Rate: math.NaN()}, "MirrorPolicy.Rate is NaN"},
		{db, MirrorPolicy{Rate: math.Inf(1)}, "MirrorPolicy.Rate is +Inf"},
		{db, MirrorPolicy{Compare: math.NaN()}, "MirrorPolicy.Compare is NaN"},
		{db, MirrorPolicy{Compare: 2}, "MirrorPolicy.Compare is 2"},
		{db, MirrorPolicy{MaxConcurrent: -1}, "MirrorPolicy.MaxConcurrent is -1"},
		{db, MirrorPolicy{Timeout: -time.Second}, "MirrorPolicy.Timeout is -1s"},
		{db, MirrorPolicy{Samples: -1}, "MirrorPolicy.Samples is -1"},
	} {
		_, err := NewConnector(cfg, WithMirror(test.db, test.policy))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%+v: %v, want %s", test.policy, err, test.want)
		}
		if _, err := OpenDB(cfg, WithMirror(test.db, test.policy)); err == nil {
			t.Errorf("%+v: OpenDB takes it", test.policy)
		}
	}
	c, err := NewConnector(cfg, WithMirror(nil, MirrorPolicy{}), WithMirror(db, MirrorPolicy{}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.cluster.mirror != nil || c.MirrorSample() != nil || !reflect.ValueOf(c.Stats().Mirror).IsZero() {
		t.Error("there is a mirror at Rate 0")
	}
}
