package aurorasim

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

const ledgerInsert = "INSERT INTO fp_ledger (worker, seq) VALUES (?, ?)"

// entry is a write's number.
type entry struct{ worker, seq int64 }

// writers write to whatever instance they can reach, each write once, until stopped.
type writers struct {
	r    *rig
	wg   sync.WaitGroup
	stop context.CancelFunc

	mu    sync.Mutex
	acked map[entry]bool
}

func startWriters(t *testing.T, r *rig, n int) *writers {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{r: r, stop: cancel, acked: make(map[entry]bool)}
	for worker := range n {
		// One pool for each instance: each worker insists on each in turn.
		var pools []*sql.DB
		for _, i := range r.Instances() {
			pools = append(pools, r.open(i.Addr()))
		}
		w.wg.Go(func() { w.write(ctx, int64(worker), pools) })
	}
	return w
}

func (w *writers) write(ctx context.Context, worker int64, pools []*sql.DB) {
	for seq := int64(0); ctx.Err() == nil; seq++ {
		// A frozen instance does not answer: do not wait for ever.
		one, cancel := context.WithTimeout(ctx, 25*time.Millisecond)
		db := pools[int(worker+seq)%len(pools)]
		var err error
		if worker%2 == 0 {
			_, err = db.ExecContext(one, ledgerInsert, worker, seq)
		} else {
			err = w.transaction(one, db, worker, seq)
		}
		cancel()
		if err == nil {
			w.mu.Lock()
			w.acked[entry{worker, seq}] = true
			w.mu.Unlock()
		}
	}
}

func (w *writers) transaction(ctx context.Context, db *sql.DB, worker, seq int64) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO fp_ledger (worker, seq) VALUES (%d, %d)", worker, seq)); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (w *writers) end() map[entry]bool {
	w.stop()
	w.wg.Wait()
	return w.acked
}

// sentBy gives, for each write whose relay reached the upstream, the relays.
func sentBy(t *testing.T, r *rig) map[entry][]Relay {
	sent := make(map[entry][]Relay)
	for _, s := range r.Relays(Contains("INSERT INTO fp_ledger")) {
		if !s.Sent {
			continue
		}
		var e entry
		if len(s.Args) == 2 {
			e = entry{s.Args[0].(int64), s.Args[1].(int64)}
		} else if _, err := fmt.Sscanf(s.SQL, "INSERT INTO fp_ledger (worker, seq) VALUES (%d, %d)", &e.worker, &e.seq); err != nil {
			t.Fatal(err)
		}
		sent[e] = append(sent[e], s)
	}
	return sent
}

// TestFence lets writers insist on every instance during 20 failovers of all kinds.
// What is in the volume must be what was relayed, each write once, with all that was
// acknowledged, and nothing that went through an old writer may come after its
// successor's promotion.
func TestFence(t *testing.T) {
	scripts := []Failover{
		{Kind: Kill, PromoteAfter: 5 * time.Millisecond, RestartAfter: 10 * time.Millisecond},
		{Kind: Switchover, PromoteAfter: 2 * time.Millisecond},
		{Kind: Frozen, PromoteAfter: 10 * time.Millisecond, RestartAfter: 10 * time.Millisecond},
		{Kind: Switchover, KeepConnections: true},
		{Kind: Kill, BelievesWriter: 20 * time.Millisecond},
	}
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		first := r.Writer().ID
		w := startWriters(t, r, 6)
		for n := range 20 {
			before := len(r.Relays(Contains("INSERT")))
			failover(t, r, scripts[n%len(scripts)])
			eventually(t, "writes go on", func() bool { return len(r.Relays(Contains("INSERT"))) > before+150 })
			if err := r.Settled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		acked := w.end()
		// What is on its way still would blur the picture.
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		sent := sentBy(t, r)
		checkFence(t, r, first, sent)
		checkRows(t, r, acked, sent)
	})
}

// checkFence checks that each relay that reached the upstream came through the writer
// of its time.
func checkFence(t *testing.T, r *rig, writer string, sent map[entry][]Relay) {
	t.Helper()
	type moment struct {
		seq    uint64
		writer string // from then on; empty = none
	}
	moments := []moment{{0, writer}}
	for _, e := range r.Events() {
		switch e.Kind {
		case EventPromote:
			moments = append(moments, moment{e.Seq, e.Instance})
		case EventCrash, EventDemote, EventFreeze:
			moments = append(moments, moment{e.Seq, ""})
		}
	}
	if len(moments) < 40 {
		t.Fatalf("%d changes of the writer", len(moments))
	}
	for e, relays := range sent {
		if len(relays) != 1 {
			t.Errorf("%+v was relayed %d times", e, len(relays))
		}
		at := 0
		for at+1 < len(moments) && moments[at+1].seq < relays[0].Seq {
			at++
		}
		if moments[at].writer != relays[0].Instance {
			t.Errorf("%+v went through %s when the writer was %q", e, relays[0].Instance, moments[at].writer)
		}
	}
}

// checkRows compares the volume with the log.
func checkRows(t *testing.T, r *rig, acked map[entry]bool, sent map[entry][]Relay) {
	t.Helper()
	rows := strings.Split(show(t, r.direct(), "SELECT worker, seq FROM fp_ledger ORDER BY id"), "; ")
	there := make(map[entry]bool)
	var promotions []uint64
	for _, e := range r.Events() {
		if e.Kind == EventPromote {
			promotions = append(promotions, e.Seq)
		}
	}
	newest := 0
	for _, row := range rows {
		var e entry
		if _, err := fmt.Sscan(row, &e.worker, &e.seq); err != nil {
			t.Fatal(err)
		}
		if there[e] {
			t.Errorf("%+v is there twice", e)
		}
		there[e] = true
		relays := sent[e]
		if len(relays) == 0 {
			t.Errorf("%+v is there and was never relayed", e)
			continue
		}
		// Rows are numbered as they were executed: none of an older reign may
		// come after one of a newer.
		reign, _ := slices.BinarySearch(promotions, relays[0].Seq)
		if reign < newest {
			t.Errorf("%+v, relayed before promotion %d, was executed after it", e, newest)
		}
		newest = max(newest, reign)
	}
	lost, answered := 0, 0
	for e, relays := range sent {
		ok := len(relays) > 0 && relays[0].Answered && relays[0].Err == 0 && e.worker%2 == 0
		if ok {
			answered++
		}
		if ok && !there[e] {
			t.Errorf("%+v was executed, says the log, and is not there", e)
		}
		if !there[e] {
			lost++
		}
	}
	for e := range acked {
		if !there[e] {
			t.Errorf("%+v was acknowledged and is not there", e)
		}
	}
	t.Logf("%d relayed, %d there, %d acknowledged, %d relayed and killed", len(sent), len(there), len(acked), lost)
	if len(acked) == 0 || answered == 0 {
		t.Error("nothing was written")
	}
}

// direct opens a pool to the upstream itself, past the cluster.
func (r *rig) direct() *sql.DB {
	return r.open("upstream", func(cfg *mysql.Config) {
		cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return r.cfg.Upstream.Dial(ctx) }
	})
}

// TestFenceEndsWaitingWrites has writes that wait for a lock in the upstream when
// their instance ends. They must not be executed when the lock is free at last:
// neither those of live connections nor those whose client has gone.
func TestFenceEndsWaitingWrites(t *testing.T) {
	const update = "UPDATE fp_accounts SET balance = balance + 1 WHERE id = 1"
	eachUpstream(t, func(t *testing.T, up *backend) {
		for _, f := range []Failover{{Kind: Kill}, {Kind: Switchover}, {Kind: Switchover, KeepConnections: true}, {Kind: Frozen}} {
			for _, gone := range []bool{false, true} {
				r := up.start(t, Config{}) // another cluster over the same upstream
				r.ledger()
				holder, err := r.direct().BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				exec(t, holder, "UPDATE fp_accounts SET balance = balance + 100 WHERE id = 1")
				old := r.Writer()
				c := r.conn(old.Addr())
				done := make(chan error, 1)
				go func() { done <- try(t, c, update) }()
				eventually(t, "the write waits in the upstream", func() bool { return r.Count(SQL(update)) == 1 })
				if gone {
					old.ResetConnections()
					<-done
				}
				failover(t, r, f)
				if err := holder.Commit(); err != nil {
					t.Fatal(err)
				}
				if err := r.Settled(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !gone {
					if err := <-done; err == nil {
						t.Errorf("%+v: the write succeeded", f)
					}
				}
				c = r.conn(r.Writer().Addr())
				exec(t, c, "UPDATE fp_accounts SET balance = balance + 10 WHERE id = 1")
				wantShow(t, c, "210", "SELECT balance FROM fp_accounts WHERE id = 1")
			}
		}
	})
}

// TestFenceWaitsForRollback has a transaction that takes long to roll back, of a
// connection that lives and of one that has ended just before.
func TestFenceWaitsForRollback(t *testing.T) {
	eachServer(t, func(t *testing.T, up *backend) {
		for _, gone := range []bool{false, true} {
			r := up.start(t, Config{})
			r.ledger()
			c := r.conn(r.Endpoint())
			exec(t, c, ledgerInsert, 1, 1)
			exec(t, c, "BEGIN")
			for range 16 {
				exec(t, c, "INSERT INTO fp_ledger (worker, seq) SELECT worker, seq FROM fp_ledger")
			}
			if gone {
				r.Writer().ResetConnections()
			}
			began := time.Now()
			failover(t, r, Failover{Kind: Kill})
			t.Logf("65535 rows were rolled back in %v", time.Since(began))
			next := r.conn(r.Writer().Addr())
			exec(t, next, "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
			wantShow(t, next, "1", "SELECT COUNT(*) FROM fp_ledger")
			exec(t, next, "SET innodb_lock_wait_timeout = 1")
			wantShow(t, next, "1", "SELECT COUNT(*) FROM fp_ledger FOR UPDATE")
		}
	})
}
