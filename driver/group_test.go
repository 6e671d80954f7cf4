package driver

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/topology"
)

// grouped is a group replication of three real members under load.
type grouped struct {
	*mysqld.Group
	c    *Connector
	load *workload
	log  *sharedLog
}

// sharedLog is a log that is read while it is written.
type sharedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *sharedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *sharedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// envGroup runs the tests of a group of real members.
const envGroup = "FP_GROUP"

func startGroup(t *testing.T, multi bool) *grouped {
	t.Helper()
	if os.Getenv(envGroup) == "" {
		t.Skipf("takes minutes, and a machine without other work: members that get no time are expelled; set %s=1", envGroup)
	}
	g := &grouped{Group: mysqld.StartGroup(t, 3, multi), log: new(sharedLog)}
	err := g.Servers[0].Exec(t.Context(), "CREATE DATABASE shop", "CREATE USER app@'%' IDENTIFIED BY 'app'",
		"GRANT ALL ON shop.* TO app@'%'", "GRANT SELECT ON performance_schema.* TO app@'%'")
	if err != nil {
		t.Fatal(err)
	}
	// One host of three is enough; it is not the primary. It has the account when it lets it in.
	cfg, err := ParseDSN("app:app@tcp(" + g.Servers[1].Addr() + ")/shop?fpTopology=groupReplication&fpProbeInterval=500ms&fpMaxReplicaLag=1m")
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range g.Servers {
		within(t, 10*time.Second, "the account has come to each member", func() bool {
			db, err := sql.Open("mysql", "app:app@tcp("+member.Addr()+")/shop")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var members int // which the last of the grants lets it count
			return db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM performance_schema.replication_group_members").Scan(&members) == nil
		})
	}
	if g.c, err = NewConnector(cfg, WithLogger(slog.New(slog.NewTextHandler(g.log, nil)))); err != nil {
		t.Fatal(err)
	}
	g.load = &workload{db: sql.OpenDB(g.c), readers: sql.OpenDB(g.c), ledger: ledger.New(ledger.WithClassifier(fateOf))}
	t.Cleanup(func() {
		g.load.readers.Close()
		g.load.db.Close()
		if t.Failed() {
			t.Log(g.log)
		}
	})
	if err := g.load.ledger.Setup(t.Context(), g.load.db); err != nil {
		t.Fatal(err)
	}
	return g
}

// writer is the member that the driver writes to.
func (g *grouped) writer(t *testing.T) *mysqld.Server {
	t.Helper()
	if w := g.c.Snapshot().Writer(); w != nil {
		for _, s := range g.Servers {
			if s.Addr() == w.ID {
				return s
			}
		}
	}
	t.Fatalf("no writer: %s", g.c.Snapshot())
	return nil
}

// goesOn waits until writes succeed that began now or later.
func (g *grouped) goesOn(t *testing.T) time.Duration {
	t.Helper()
	now, index := time.Now(), -1
	g.load.until(t, "writes go on", func() bool {
		index = slices.IndexFunc(g.load.writes, now.Before)
		return index >= 0 && len(g.load.writes) > index+50
	})
	g.load.mu.Lock()
	defer g.load.mu.Unlock()
	return g.load.writes[index].Sub(now)
}

// sees waits until the driver knows a member as it is; role Unknown is not at all.
func (g *grouped) sees(t *testing.T, s *mysqld.Server, role topology.Role, state topology.State) {
	t.Helper()
	g.load.until(t, s.Addr()+" is "+role.String()+" "+state.String(), func() bool {
		in := g.c.Snapshot().Lookup(s.Addr())
		return in == nil && role == topology.Unknown || in != nil && in.Role == role && in.State == state
	})
}

func (g *grouped) judge(t *testing.T, first time.Duration) {
	t.Helper()
	verdict, err := g.load.ledger.Judge(context.WithoutCancel(t.Context()), g.load.db)
	if err != nil || !verdict.OK() || len(g.load.readErrors) > 0 {
		t.Errorf("ledger %s, %v; read errors: %v", verdict, err, g.load.readErrors)
	}
	t.Logf("%d reads, %d write errors; longest read %s; first write %s after the fault; ledger %s; %s", g.load.reads, len(g.load.writeErrors),
		slices.Max(g.load.longest[reading]).Round(time.Millisecond), first.Round(time.Millisecond), verdict, g.c.Snapshot())
	_, what, _ := strings.Cut(t.Name(), "/")
	t.Log("\n" + troubleHead + troubleRow("groupReplication", "MySQL 9.7", what, g.load.reads, len(g.load.readErrors), slices.Max(g.load.longest[reading]),
		verdict.InDoubt, g.c.Stats().Statements.TransactionLost, "first write "+first.Round(time.Millisecond).String()+" after the fault", verdict.OK()))
	if gate := g.c.Stats().Gate; gate.Waiting != 0 {
		t.Errorf("gate: %+v", gate)
	}
}

// TestGroup lets the writer of a real group of three be killed, or freeze until it is expelled, under
// load, with one primary and with several. Then it comes back.
//
//	go test ./driver -run TestGroup -v
func TestGroup(t *testing.T) {
	for name, tc := range map[string]struct {
		multi, freeze bool
		within        time.Duration // the group itself takes some 5 s to give a member up
	}{
		"one primary/killed":        {within: 10 * time.Second},
		"one primary/frozen":        {freeze: true, within: 12 * time.Second},
		"several primaries/killed":  {multi: true, within: 10 * time.Second},
		"several primaries/freezes": {multi: true, freeze: true, within: 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGroup(t, tc.multi)
			stop := g.load.start(t.Context())
			defer func() { stop() }()
			g.goesOn(t)
			g.auto(t)
			old := g.writer(t)
			for _, s := range g.Servers {
				if s != old {
					g.sees(t, s, topology.Reader, topology.StateUp)
				}
			}
			fail := old.Kill
			if tc.freeze {
				fail = func() error { return g.Freeze(t.Context(), old) }
			}
			if err := fail(); err != nil {
				t.Fatal(err)
			}
			first := g.goesOn(t)
			if first > tc.within || g.writer(t) == old {
				t.Errorf("%s until writes went on: %s", first, g.c.Snapshot())
			}
			if tc.freeze {
				g.sees(t, old, topology.Unknown, topology.StateUnknown) // expelled
				if err := g.Thaw(t.Context(), old); err != nil {
					t.Fatal(err)
				}
				if err := g.Until(t.Context(), old, old, "ERROR"); err != nil {
					t.Fatal(err)
				}
				seen := queryLog(t, old) // what had been sent to it before it fell silent, it has read by now
				g.goesOn(t)
				if got := statements(strings.TrimPrefix(queryLog(t, old), seen)); len(got) > 0 {
					t.Errorf("%d statements on a member that was expelled: %q", len(got), got[:min(len(got), 5)])
				}
			}
			stop() // on a small machine a member never catches up with the load
			g.rejoin(t, old)
			stop = g.load.start(t.Context())
			g.goesOn(t)
			stop()
			g.judge(t, first)
			if n := g.c.Stats().MonitorConnections; n != 1 {
				t.Errorf("%d connections of the monitor", n)
			}
		})
	}
}

// rejoin brings a member back, and waits until the driver knows it.
func (g *grouped) rejoin(t *testing.T, s *mysqld.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := g.Rejoin(ctx, s); err != nil {
		t.Fatal(err)
	}
	g.sees(t, s, topology.Reader, topology.StateUp)
}

// auto starts another program, which is not told what kind of cluster it is.
func (g *grouped) auto(t *testing.T) {
	t.Helper()
	cfg, err := ParseDSN("app:app@tcp(" + g.Servers[2].Addr() + ")/shop")
	if err != nil {
		t.Fatal(err)
	}
	c, said := undecided(t, cfg)
	if got := c.Snapshot().Provider; got != "groupReplication" {
		t.Errorf("auto takes a group for %s", got)
	}
	documented(t, said)
}

// TestGroupQuorum kills two of three at once. The third one says still that it is the primary, and
// ONLINE; what is written there hangs. It is no writer before an operator makes it a group of its own,
// and what hung is in doubt, not stuck.
func TestGroupQuorum(t *testing.T) {
	g := startGroup(t, false)
	stop := g.load.start(t.Context())
	defer stop()
	g.goesOn(t)
	last := g.writer(t)
	for _, s := range g.Servers {
		if s != last {
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.sees(t, last, topology.Writer, topology.StateDown)
	if role, err := g.Primary(t.Context(), last); err != nil || role != last {
		t.Errorf("the member itself says that %v is the primary, %v: this test is about something else", role, err)
	}
	time.Sleep(2 * time.Second)
	if w := g.c.Snapshot().Writer(); w != nil {
		t.Errorf("a member without a quorum is believed: %s", g.c.Snapshot())
	}
	if !strings.Contains(g.log.String(), "it has no quorum") {
		t.Error("the log does not say why")
	}
	if err := g.Force(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	first := g.goesOn(t)
	stop()
	for _, s := range g.Servers {
		if s != last {
			g.rejoin(t, s)
		}
	}
	g.load.readErrors = nil // there was nobody to read from
	g.judge(t, first)
}
