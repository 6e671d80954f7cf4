package driver

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// mirrorings are the ways of mirroring whose cost is of interest.
var mirrorings = []struct {
	name   string
	policy MirrorPolicy
}{
	{"off", MirrorPolicy{}},
	{"unsampled", MirrorPolicy{Rate: 1e-15}},
	{"0.1", MirrorPolicy{Rate: 0.1}},
	{"1", MirrorPolicy{Rate: 1}},
	{"1,compared", MirrorPolicy{Rate: 1, Compare: 1}},
}

// BenchmarkMirrorOverhead is BenchmarkOverhead with a mirror, to which connections cost nothing,
// either: what is measured is the CPU of both sides.
func BenchmarkMirrorOverhead(b *testing.B) {
	replaying(b)
	for name, run := range overheads {
		b.Run("statement="+name, func(b *testing.B) {
			b.Run("mirror=raw", func(b *testing.B) {
				db := drivers["mysql"](b, freeOfCost["mysql"])
				defer db.Close()
				b.ReportAllocs()
				run(b, db)
			})
			for _, m := range mirrorings {
				b.Run("mirror="+m.name, func(b *testing.B) {
					benchMirror(b, freeOfCost[Name], drivers["mysql"](b, freeOfCost["mysql"]), m.policy, run)
				})
			}
			b.Run("mirror=blocked", func(b *testing.B) { // full, that is, but for the first ones
				s := &stubborn{release: make(chan struct{})}
				benchMirror(b, freeOfCost[Name], sql.OpenDB(s), MirrorPolicy{Rate: 1, MaxConcurrent: 1}, run)
				close(s.release)
			})
		})
	}
}

// BenchmarkMirror is a query by its text, with both servers on the machine.
func BenchmarkMirror(b *testing.B) {
	s, database := mysqld.Shared(b, mysqld.FlavorMariaDB)
	b.Run("mirror=raw", func(b *testing.B) {
		db := drivers["mysql"](b, s.DSN(database))
		defer db.Close()
		b.ReportAllocs()
		overheads["text"](b, db)
	})
	for _, m := range mirrorings {
		b.Run("mirror="+m.name, func(b *testing.B) {
			benchMirror(b, s.DSN(database), drivers["mysql"](b, s.DSN(database)), m.policy, overheads["text"])
		})
	}
}

// benchMirror closes the mirror when the benchmark is over.
func benchMirror(b *testing.B, dsn string, other *sql.DB, policy MirrorPolicy, run func(b *testing.B, db *sql.DB)) {
	b.Helper()
	b.Cleanup(func() { other.Close() })
	other.SetMaxIdleConns(mirrorConcurrent)
	c := connectorTo(b, dsn, WithMirror(other, policy))
	db := sql.OpenDB(c)
	b.Cleanup(func() { db.Close() })
	if err := db.PingContext(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	run(b, db)
	b.StopTimer()
	b.ReportMetric(float64(c.Stats().Mirror.Sent)/float64(b.N), "sent/op")
}

// connectorTo is a connector that logs nothing.
func connectorTo(tb testing.TB, dsn string, opts ...Option) *Connector {
	tb.Helper()
	cfg, err := ParseDSN(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := NewConnector(cfg, append(opts, WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// TestMirrorAllocations: a mirror costs nothing where a statement is not sampled.
func TestMirrorAllocations(t *testing.T) {
	s, database := mysqld.Shared(t, mysqld.FlavorMariaDB)
	other, err := sql.Open("mysql", s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx := context.Background() // another one makes goroutines, which allocate now and then
	measure := func(policy MirrorPolicy) (allocations float64, sampled uint64) {
		c := connectorTo(t, s.DSN(database), WithMirror(other, policy))
		db := sql.OpenDB(c)
		defer db.Close()
		db.SetMaxOpenConns(1)
		allocations = testing.AllocsPerRun(500, func() {
			var n int
			if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&n); err != nil {
				t.Error(err)
			}
		})
		return allocations, c.Stats().Mirror.Sampled
	}
	off, _ := measure(MirrorPolicy{})
	unsampled, _ := measure(MirrorPolicy{Rate: 1e-15})
	if unsampled > off {
		t.Errorf("%v allocations with a mirror that gets nothing, %v without", unsampled, off)
	}
	if _, sampled := measure(MirrorPolicy{Rate: 1}); sampled < 500 {
		t.Errorf("%d statements drawn when all are: nothing is measured", sampled)
	}
}
