package driver

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/topology"
)

// TestReplication lets the source of a real replication, three servers with GTIDs, die
// by SIGKILL under load; a replica is promoted and the other one follows it. Then the old
// source comes back: as a replica, or without having been demoted, so that two take
// writes. Then the new source is lost, too, for a moment by its connections and for a
// second by a SIGKILL, and other programs start while two take writes and while only the
// old source does. Nothing of what the application does may reach the old source.
//
// Asynchronous replication may lose what a dead source acknowledged, and no driver can
// do anything about that. So that the ledger's verdict says something about ours, the
// first source acknowledges only what a replica has received (semi-synchronous replication),
// and the replica that has received most is promoted when it has applied it all. A
// write that was in flight when the source died may be on its disk and nowhere else:
// that is one in doubt.
//
//	go test ./driver -run TestReplication -v
func TestReplication(t *testing.T) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		t.Run(flavor.String()+"/back as a replica", func(t *testing.T) { testReplication(t, flavor, (*replicated).rejoin) })
		t.Run(flavor.String()+"/back and not demoted", func(t *testing.T) { testReplication(t, flavor, (*replicated).splitBrain) })
	}
}

// replicated is a replication under load.
type replicated struct {
	*mysqld.Replication
	old   *mysqld.Server // the source that was killed
	seen  string         // its query log when it was
	c     *Connector
	load  *workload
	cfg   *Config
	first time.Duration // from the promotion to the first write

	readers *Connector // of those that only read
	rows    []func(kept bool) string
}

func testReplication(t *testing.T, flavor mysqld.Flavor, back func(*replicated, *testing.T)) {
	r := startReplication(t, flavor, "writer")
	stop := r.load.start(t.Context())
	defer stop()
	r.goesOn(t)
	r.phase("kill", func() string {
		r.failover(t)
		return r.firstWriteAfter()
	})
	back(r, t)
	r.goesOn(t)
	stop()
	r.judge(t)
	if got := statements(strings.TrimPrefix(queryLog(t, r.old), r.seen)); len(got) > 0 {
		t.Errorf("%d statements of the application on the old source: %q", len(got), got[:min(len(got), 5)])
	}
	if n := len(statements(queryLog(t, r.Source))); n < 100 {
		t.Errorf("%d statements of the application on the new source: the query log tells nothing", n)
	}
}

// TestReplicationSwitchover makes another server the source under load, as planned: no
// statement in autocommit may have an error or be in doubt. The old source goes on
// as a replica of the new one. Then a replica dies, that answers reads, and is back.
func TestReplicationSwitchover(t *testing.T) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		t.Run(flavor.String(), func(t *testing.T) {
			r := startReplication(t, flavor, "auto")
			sourceFirst := r.cfg.Clone()
			slices.Reverse(sourceFirst.Hosts)
			for _, cfg := range []*Config{r.cfg, sourceFirst} {
				_, said := undecided(t, cfg)
				documented(t, said)
			}
			stop := r.load.start(t.Context())
			defer stop()
			r.goesOn(t)
			r.phase("switchover", func() string {
				if err := r.SwitchOver(t.Context(), r.Servers[2]); err != nil {
					t.Fatal(err)
				}
				r.firstWrite(t)
				return r.firstWriteAfter()
			})
			if err := r.Repoint(t.Context(), r.Servers[:2]...); err != nil {
				t.Fatal(err)
			}
			r.sees(t, r.old, topology.Reader, topology.StateUp)
			r.goesOn(t)
			r.loseReader(t, r.old)
			r.goesOn(t)
			stop()
			verdict := r.judge(t)
			autocommit := slices.DeleteFunc(r.load.writeErrors, func(err error) bool { return errors.Is(err, failover.ErrTransactionLost) })
			if verdict.InDoubt > 0 || len(autocommit) > 0 {
				t.Errorf("writes failed: %v; %s", autocommit, verdict)
			}
		})
	}
}

// judge checks what must hold after every scenario.
func (r *replicated) judge(t *testing.T) ledger.Verdict {
	t.Helper()
	verdict, err := r.load.ledger.Judge(context.WithoutCancel(t.Context()), r.load.db)
	if err != nil {
		t.Fatal(err)
	}
	judge(t, r.c, r.load, verdict)
	t.Logf("%d reads, %d errors; %d writes in doubt; %d transactions lost; longest read %s; first write %s after the promotion; ledger %s",
		r.load.reads, len(r.load.readErrors), verdict.InDoubt, r.c.Stats().Statements.TransactionLost,
		slices.Max(r.load.longest[reading]).Round(time.Millisecond), r.first.Round(time.Millisecond), verdict)
	table := troubleHead
	for _, row := range r.rows {
		table += row(verdict.OK()) + "\n"
	}
	t.Log("\n" + table)
	return verdict
}

// phase notes what something that happens does to the load: a row of a table.
func (r *replicated) phase(what string, happen func() (over string)) {
	type count struct{ reads, readErrors, inDoubt, lost int }
	now := func() count {
		s := r.c.Stats().Statements
		return count{r.load.reads, len(r.load.readErrors), int(s.OutcomeUnknown), int(s.TransactionLost)}
	}
	r.load.mu.Lock()
	before := now()
	clear(r.load.longest[reading])
	r.load.mu.Unlock()
	over := happen()
	r.load.mu.Lock()
	defer r.load.mu.Unlock()
	after, longest := now(), slices.Max(r.load.longest[reading])
	r.rows = append(r.rows, func(kept bool) string {
		return troubleRow("replication", r.Source.Flavor.String(), what, after.reads-before.reads, after.readErrors-before.readErrors, longest,
			after.inDoubt-before.inDoubt, uint64(after.lost-before.lost), over, kept)
	})
}

func (r *replicated) firstWriteAfter() string {
	return "first write after " + r.first.Round(time.Millisecond).String()
}

// loseReader kills a replica, starts a program of whose hosts it is the first, and has it back.
func (r *replicated) loseReader(t *testing.T, replica *mysqld.Server) {
	answered := func() uint64 {
		for _, in := range r.readers.Stats().Pool.Instances {
			if in.ID == replica.Addr() {
				return in.Borrowed
			}
		}
		return 0
	}
	before := answered()
	r.load.until(t, "the replica answers reads", func() bool { return answered() > before+20 })
	r.phase("a reader is lost", func() string {
		if err := replica.Kill(); err != nil {
			t.Fatal(err)
		}
		r.goesOn(t)
		return "–"
	})
	r.phase("a program starts, its first host is down", func() string {
		began := time.Now()
		hosts := r.cfg.Hosts
		defer func() { r.cfg.Hosts = hosts }()
		r.cfg.Hosts = append([]string{replica.Addr()}, slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return h == replica.Addr() })...)
		if port, err := r.fresh(t.Context()); err != nil || port != r.Source.Port {
			t.Errorf("a program that starts now finds port %d, not %d: %v", port, r.Source.Port, err)
		}
		return "its first transaction after " + time.Since(began).Round(time.Millisecond).String()
	})
	r.phase("a reader is back", func() string {
		if err := r.Rejoin(t.Context(), replica); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r.load.until(t, "the replica answers reads again", func() bool { return answered() > 0 && r.readers.Snapshot().Lookup(replica.Addr()).LagKnown })
		return "its first read after " + time.Since(began).Round(time.Millisecond).String()
	})
}

// startReplication starts three servers under load. Those that only read have a connector of their
// own, with that fpTarget.
func startReplication(t *testing.T, flavor mysqld.Flavor, target string) *replicated {
	r := &replicated{Replication: mysqld.Replicate(t, flavor, 3)}
	r.old = r.Source
	see := "REPLICATION CLIENT"
	if flavor == mysqld.FlavorMariaDB {
		see = "SLAVE MONITOR"
	}
	// Not root, who may write to read-only servers.
	err := r.Source.Exec(t.Context(), "CREATE DATABASE shop", "CREATE USER app@'%' IDENTIFIED BY 'app'",
		"GRANT ALL ON shop.* TO app@'%'", "GRANT "+see+" ON *.* TO app@'%'")
	if err != nil {
		t.Fatal(err)
	}
	hosts := make([]string, len(r.Servers))
	for i, s := range r.Servers {
		hosts[i] = s.Addr()
	}
	r.caught(t)
	slices.Reverse(hosts) // the order says nothing
	// The machine may be slow, and a replica's lag is not what is tested.
	r.cfg, err = ParseDSN("app:app@tcp(" + strings.Join(hosts, ",") + ")/shop?fpTopology=replication&fpProbeInterval=500ms&fpMaxReplicaLag=1m")
	if err != nil {
		t.Fatal(err)
	}
	if r.c, err = NewConnector(r.cfg, WithLogger(slog.New(slog.DiscardHandler))); err != nil {
		t.Fatal(err)
	}
	r.readers = r.c
	if target != "writer" {
		cfg := r.cfg.Clone()
		cfg.Target = target
		if r.readers, err = NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler))); err != nil {
			t.Fatal(err)
		}
	}
	r.load = &workload{db: sql.OpenDB(r.c), readers: sql.OpenDB(r.readers), ledger: ledger.New(ledger.WithClassifier(fateOf))}
	t.Cleanup(func() {
		r.load.readers.Close()
		r.load.db.Close()
	})
	if err := r.load.ledger.Setup(t.Context(), r.load.db); err != nil {
		t.Fatal(err)
	}
	r.caught(t) // or a replica that answers while there is no source has no accounts
	return r
}

// caught waits until the replicas have what the source has.
func (r *replicated) caught(t *testing.T) {
	t.Helper()
	for _, s := range r.Servers {
		if s == r.Source {
			continue
		}
		if err := r.Caught(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// count is how many reads there were so far.
func (w *workload) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads
}

// failover kills the source and promotes a replica.
func (r *replicated) failover(t *testing.T) {
	if err := r.old.Kill(); err != nil {
		t.Fatal(err)
	}
	r.seen = queryLog(t, r.old)
	if err := r.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.firstWrite(t)
	for _, s := range r.Servers {
		if s != r.old && s != r.Source {
			if err := r.Repoint(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// firstWrite waits for the first write after the promotion.
func (r *replicated) firstWrite(t *testing.T) {
	r.load.until(t, "writes go on", func() bool {
		index := slices.IndexFunc(r.load.writes, r.Promoted.Before)
		if index >= 0 {
			r.first = r.load.writes[index].Sub(r.Promoted)
		}
		return index >= 0
	})
}

// rejoin brings the old source back as a replica.
func (r *replicated) rejoin(t *testing.T) {
	if err := r.Rejoin(t.Context(), r.old); err != nil {
		t.Fatal(err)
	}
	r.sees(t, r.old, topology.Reader, topology.StateUp)
	r.goesOn(t)
	r.load.until(t, "the lag of the old source is known", func() bool { return r.c.Snapshot().Lookup(r.old.Addr()).LagKnown })
}

// splitBrain brings the old source back as it was.
func (r *replicated) splitBrain(t *testing.T) {
	if err := r.old.Restart(); err != nil {
		t.Fatal(err)
	}
	r.sees(t, r.old, topology.Unknown, topology.StateUp)
	r.goesOn(t)
	for range 3 { // the new one is suspected, with every connection lost
		r.cut(t)
		r.c.cluster.monitor.Suspect(r.Source.Addr(), r.c.Snapshot().Epoch, topology.ReasonConnectionLost)
		r.goesOn(t)
	}
	if port, err := r.fresh(t.Context()); err != nil || port != r.Source.Port {
		t.Errorf("a program that starts now finds port %d, not %d: %v", port, r.Source.Port, err)
	}
	r.load.until(t, "the replica's lag is known", func() bool {
		return slices.ContainsFunc(r.c.Snapshot().Instances, func(in topology.Instance) bool { return in.LagKnown })
	})
	if err := r.Source.Kill(); err != nil {
		t.Fatal(err)
	}
	r.sees(t, r.Source, topology.Writer, topology.StateDown)
	reads := r.load.count()
	// The time in which the other one could be taken.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if port, err := r.fresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that starts while the source is down finds port %d, %v", port, err)
	}
	if n := r.load.count() - reads; n < 50 {
		t.Errorf("%d reads on the replica while there was no source: %+v", n, r.c.Snapshot().Instances)
	}
	if err := r.Source.Restart(); err != nil {
		t.Fatal(err)
	}
	r.goesOn(t)
	r.sees(t, r.old, topology.Unknown, topology.StateUp)
}

// cut ends all connections of the application to the new source.
func (r *replicated) cut(t *testing.T) {
	db, err := sql.Open("mysql", r.Source.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM information_schema.processlist WHERE user = 'app'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		ids = append(ids, 0)
		if err := rows.Scan(&ids[len(ids)-1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		t.Fatal("no connections to cut", err)
	}
	for _, id := range ids {
		_, _ = db.ExecContext(t.Context(), fmt.Sprintf("KILL %d", id)) // it may have ended by itself
	}
}

// fresh starts another program, which says where its transactions go.
func (r *replicated) fresh(ctx context.Context) (port int, err error) {
	c, err := NewConnector(r.cfg, WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return 0, err
	}
	db := sql.OpenDB(c)
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	err = tx.QueryRowContext(ctx, "SELECT @@port").Scan(&port)
	return port, err
}

// sees waits until the driver knows a server as it is.
func (r *replicated) sees(t *testing.T, s *mysqld.Server, role topology.Role, state topology.State) {
	t.Helper()
	r.load.until(t, fmt.Sprintf("%s is %s %s in %s", s.Addr(), role, state, r.c.Snapshot()), func() bool {
		in := r.c.Snapshot().Lookup(s.Addr())
		return in.Role == role && in.State == state
	})
}

// goesOn waits until work is being done on the new source.
func (r *replicated) goesOn(t *testing.T) {
	t.Helper()
	now := time.Now()
	r.load.until(t, "work goes on", func() bool {
		writes := r.load.writes
		return len(writes) > 100 && writes[len(writes)-100].After(now)
	})
}

func queryLog(t *testing.T, s *mysqld.Server) string {
	t.Helper()
	text, err := s.QueryLog()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var (
	logged = regexp.MustCompile(`(\d+) (Connect|Query|Prepare|Execute)\t(.*)`)
	asked  = regexp.MustCompile(`^SELECT @@version|^SELECT m.MEMBER_ID|^SHOW (REPLICA|ALL SLAVES) STATUS$`) // by the monitor
)

// statements are those of the application in a query log of one run of a server. A
// server's applier of what it replicates is in the log, too, without a login.
func statements(log string) (statements []string) {
	sessions := make(map[string]bool)
	for _, line := range logged.FindAllStringSubmatch(log, -1) {
		switch id, command, rest := line[1], line[2], line[3]; {
		case command == "Connect":
			sessions[id] = strings.HasPrefix(rest, "app@")
		case sessions[id] && !asked.MatchString(rest):
			statements = append(statements, rest)
		}
	}
	return statements
}

// TestReplicationWithoutPrivilege: a user who may not see the state of replication is
// told what to grant, once, and can work all the same.
func TestReplicationWithoutPrivilege(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		err := s.Exec(t.Context(), "CREATE USER may_not@'%' IDENTIFIED BY 'may_not'", "GRANT ALL ON "+database+".* TO may_not@'%'")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Exec(context.WithoutCancel(t.Context()), "DROP USER may_not@'%'") //nolint:errcheck // the server ends with the tests
		cfg, err := ParseDSN("may_not:may_not@tcp(" + s.Addr() + ")/" + database + "?fpTopology=replication&fpProbeInterval=100ms")
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		c, err := NewConnector(cfg, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		defer db.Close()
		if err := db.PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		for c.Snapshot().Writer().Verified < 5 {
			time.Sleep(10 * time.Millisecond) // a few polls
		}
		if err := db.Close(); err != nil { // the log is complete
			t.Fatal(err)
		}
		grant := map[mysqld.Flavor]string{mysqld.FlavorMySQL: "GRANT REPLICATION CLIENT ON *.*", mysqld.FlavorMariaDB: "GRANT SLAVE MONITOR ON *.*"}[s.Flavor]
		if text := log.String(); strings.Count(text, grant) != 1 || strings.Contains(text, "password") {
			t.Errorf("the log: %s", text)
		}
	})
}
