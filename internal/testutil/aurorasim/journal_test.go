package aurorasim

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

func TestJournal(t *testing.T) {
	r := scripted(t, Config{}, fakemysql.Config{Handler: fakemysql.NewScript().On("INSERT INTO t VALUES (?, ?)")})
	c := r.conn(r.Endpoint())
	exec(t, c, "INSERT INTO t VALUES (?, ?)", 1, "a")
	exec(t, c, "INSERT INTO t VALUES (?, ?)", 1, "b")
	wantShow(t, c, "1", "SELECT 1")
	if n := r.Count(SQL("INSERT INTO t VALUES (?, ?)")); n != 2 {
		t.Errorf("%d executions", n)
	}
	if n := r.Count(SQL("INSERT INTO t VALUES (?, ?)", 1, "b")); n != 1 {
		t.Errorf("%d executions with these parameters", n)
	}
	if n := r.Count(Contains("INSERT")); n != 2 {
		t.Errorf("%d INSERTs: a prepare is no execution", n)
	}
	prepares := r.Relays(func(s Statement) bool { return s.Command == wire.ComStmtPrepare })
	if len(prepares) != 2 {
		t.Errorf("%d prepares", len(prepares))
	}
	seen := r.Seen("SELECT 1")
	if len(seen) != 1 {
		t.Fatalf("SELECT 1 was seen %d times", len(seen))
	}
	s := seen[0]
	if s.Instance != "instance-1" || s.User != testUser || s.Conn == 0 || !s.Sent || !s.Answered || s.Local || s.Err != 0 || s.Time.IsZero() {
		t.Errorf("%+v", s)
	}
	wantErrno(t, try(t, c, "NONSENSE"), 1064, "nonsense")
	if seen := r.Seen("NONSENSE"); len(seen) != 1 || seen[0].Err != 1064 || !seen[0].Sent {
		t.Errorf("%+v", seen)
	}
	stats := r.Writer().Stats()
	if stats.Accepted != 1 || stats.Open != 1 || stats.Sent != int64(len(r.Relays(nil))) {
		t.Errorf("%+v", stats)
	}
	r.ResetLog()
	if n := len(r.Relays(nil)); n != 0 {
		t.Errorf("%d relays after a reset", n)
	}
}

func TestDiscardLog(t *testing.T) {
	r := scripted(t, Config{DiscardLog: true}, fakemysql.Config{})
	c := r.conn(r.Endpoint())
	for range 5 {
		wantShow(t, c, "1", "SELECT 1")
	}
	if n := len(r.Relays(nil)); n != 0 {
		t.Errorf("%d relays remembered", n)
	}
	if s := r.Writer().Stats(); s.Sent != 5 {
		t.Errorf("%d counted", s.Sent)
	}
	failover(t, r, Failover{})
	if r.PromotedAt().IsZero() {
		t.Error("no promotion")
	}
}

// TestEvents checks that callbacks come in order, one at a time.
func TestEvents(t *testing.T) {
	var mu sync.Mutex
	var got []Event
	r := scripted(t, Config{OnEvent: func(e Event) {
		if !mu.TryLock() {
			t.Error("two callbacks at a time")
			return
		}
		defer mu.Unlock()
		got = append(got, e)
	}}, fakemysql.Config{})
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() { r.Instance(fmt.Sprintf("instance-%d", n%3+1)).Lag(time.Second) })
		wg.Go(func() { r.Instance("instance-3").Delay(time.Hour, SQL("x")).Clear() })
	}
	failover(t, r, Failover{Kind: Switchover})
	wg.Wait()
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := r.Events()
	eventually(t, "every event was called back", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) == len(all)
	})
	if !slices.IsSortedFunc(got, func(a, b Event) int { return int(a.Seq) - int(b.Seq) }) {
		t.Error("the callbacks are out of order")
	}
	var kinds []EventKind
	for _, e := range all {
		if e.Kind != EventFault && e.Kind != EventClear {
			kinds = append(kinds, e.Kind)
		}
	}
	if len(kinds) < 4 || !slices.Equal(kinds[:4], []EventKind{EventFailover, EventDemote, EventFence, EventPromote}) {
		t.Errorf("the script's events: %v", kinds)
	}
}

func TestEventString(t *testing.T) {
	e := Event{Time: time.Date(2025, 1, 2, 3, 4, 5, 6e6, time.UTC), Kind: EventPromote, Instance: "instance-2"}
	if got := e.String(); got != "03:04:05.006 promote instance-2" {
		t.Errorf("%q", got)
	}
	if Kill.String()+Switchover.String()+Frozen.String()+Kind(7).String() != "killswitchoverfrozenkind 7" {
		t.Error("the kinds' names")
	}
}
