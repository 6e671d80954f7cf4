package aurorasim

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

func failover(t *testing.T, r *rig, f Failover) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Failover(ctx, f); err != nil {
		t.Fatal(err)
	}
}

// openTransaction begins one on the writer that holds a row's lock.
func openTransaction(t *testing.T, r *rig) *sql.Tx {
	t.Helper()
	tx, err := r.conn(r.Writer().Addr()).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	exec(t, tx, "UPDATE fp_accounts SET balance = balance - 10 WHERE id = 1")
	return tx
}

// TestFailoverKinds checks, for each kind, that the open transaction of the old
// writer and its lock are gone at the moment of promotion.
func TestFailoverKinds(t *testing.T) {
	scripts := map[string]Failover{
		"kill":       {Kind: Kill},
		"switchover": {Kind: Switchover},
		"kept":       {Kind: Switchover, KeepConnections: true, DropRow: true},
		"frozen":     {Kind: Frozen, PromoteAfter: 20 * time.Millisecond},
	}
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		for name, script := range scripts {
			t.Run(name, func(t *testing.T) {
				r := &rig{r.Cluster, t, r.login}
				r.ledger()
				old := r.Writer()
				openTransaction(t, r)
				began := time.Now()
				failover(t, r, script)
				if r.PromotedAt().Before(began.Add(script.PromoteAfter)) {
					t.Errorf("promoted %v after the start", r.PromotedAt().Sub(began))
				}
				if r.Writer() == old || r.Writer() == nil || old.Writer() {
					t.Fatalf("the writer is %+v", r.Writer())
				}
				c := r.conn(r.Writer().Addr())
				if err := try(t, c, "UPDATE fp_accounts SET balance = balance + 1 WHERE id = 1"); err != nil {
					t.Errorf("the first write after promotion: %v", err)
				}
				wantShow(t, c, "101", "SELECT balance FROM fp_accounts WHERE id = 1")
				if err := r.Settled(t.Context()); err != nil {
					t.Fatal(err)
				}
				back := r.conn(old.Addr())
				wantShow(t, back, "1 "+old.ID, "SELECT @@innodb_read_only, @@aurora_server_id")
				wantErrno(t, try(t, back, "DELETE FROM fp_accounts"), 1290, "a write to the old writer")
				wantShow(t, r.conn(r.Endpoint()), r.Writer().ID, "SELECT @@aurora_server_id")
				wantShow(t, r.conn(r.Endpoint()), old.ID, "SELECT server_id FROM information_schema.replica_host_status WHERE server_id = '"+old.ID+"'")
			})
		}
	})
}

func TestKillLooks(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		old := r.Writer()
		c := r.conn(old.Addr())
		failover(t, r, Failover{Kind: Kill, RestartAfter: -1, DNSAfter: time.Hour})
		if _, err := dialInstance(t, old, time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial to the dead instance: %v", err)
		}
		if err := try(t, c, "DO 1"); err == nil {
			t.Error("a connection survived the crash")
		}
		// The name is late.
		if _, err := r.DialContext(t.Context(), "tcp", r.Endpoint()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial to the cluster endpoint: %v", err)
		}
		if err := old.Return(); err != nil {
			t.Fatal(err)
		}
		wantShow(t, r.conn(old.Addr()), "1", "SELECT @@innodb_read_only")
	})
}

func TestFrozenLooks(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		old := r.Writer()
		c := r.conn(old.Addr())
		failover(t, r, Failover{Kind: Frozen, RestartAfter: -1})
		const insert = "INSERT INTO fp_ledger (worker, seq) VALUES (7, 7)"
		done := make(chan error, 1)
		go func() { done <- try(t, c, insert) }()
		eventually(t, "the write hangs", func() bool { return old.Stats().Held == 1 })
		// It is silent, also after it was fenced: connections neither end nor answer.
		fresh, err := dialInstance(t, old, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = fresh.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err = fresh.Read(make([]byte, 1))
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("a new connection: %v, want silence", err)
		}
		select {
		case err := <-done:
			t.Errorf("an old connection ended: %v", err)
		default:
		}
		if err := old.Return(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil {
			t.Error("the write of a fenced connection succeeded")
		}
		if n := r.Count(SQL(insert)); n != 0 {
			t.Errorf("it was relayed %d times", n)
		}
		wantShow(t, r.conn(old.Addr()), "1", "SELECT @@innodb_read_only")
	})
}

func TestSwitchoverKeepsConnections(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		old := r.Writer()
		idle := r.conn(old.Addr())
		wantShow(t, idle, "0", "SELECT @@innodb_read_only")
		lost, committing := openTransaction(t, r), r.conn(old.Addr())
		exec(t, committing, "BEGIN")
		exec(t, committing, "INSERT INTO fp_ledger (worker, seq) VALUES (1, 1)")
		failover(t, r, Failover{Kind: Switchover, KeepConnections: true})
		wantShow(t, idle, "1", "SELECT @@innodb_read_only")
		wantErrno(t, try(t, idle, "DELETE FROM fp_ledger"), 1290, "a write on a kept connection")
		wantErrno(t, try(t, lost, "UPDATE fp_accounts SET balance = 0 WHERE id = 1"), 1290, "a write in a lost transaction")
		_, err := result(t.Context(), lost, "SELECT 1")
		wantErrno(t, err, 1290, "a read in a lost transaction")
		if err := lost.Rollback(); err != nil {
			t.Errorf("ROLLBACK: %v", err)
		}
		wantErrno(t, try(t, committing, "COMMIT"), 1290, "COMMIT of a lost transaction")
		wantShow(t, committing, "0", "SELECT COUNT(*) FROM fp_ledger")
		wantShow(t, idle, "100", "SELECT balance FROM fp_accounts WHERE id = 1")
	})
}

func TestPromotedConnections(t *testing.T) {
	for _, drop := range []bool{false, true} {
		eachUpstream(t, func(t *testing.T, up *backend) {
			r := up.start(t, Config{})
			r.ledger()
			c := r.conn(r.Instance("instance-3").Addr())
			wantShow(t, c, "1", "SELECT @@innodb_read_only")
			failover(t, r, Failover{To: "instance-3", DropPromoted: drop})
			err := try(t, c, "INSERT INTO fp_ledger (worker, seq) VALUES (1, 1)")
			if got := err != nil; got != drop {
				t.Errorf("drop %v: a connection from before the promotion: %v", drop, err)
			}
		})
	}
}

func TestStaleViewsOfReaders(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		const query = "SELECT SERVER_ID FROM information_schema.replica_host_status WHERE SESSION_ID = 'MASTER_SESSION_ID' ORDER BY LAST_UPDATE_TIMESTAMP DESC LIMIT 1"
		failover(t, r, Failover{StaleViews: 150 * time.Millisecond})
		wantShow(t, r.conn(r.Instance("instance-2").Addr()), "instance-2", query)
		c := r.conn(r.Instance("instance-3").Addr())
		wantShow(t, c, "instance-1", query)
		if err := r.Settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantShow(t, c, "instance-2", query)
	})
}

func TestBelievesWriter(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		old := r.Writer()
		failover(t, r, Failover{Kind: Kill, RestartAfter: -1})
		belief := old.BelieveWriter()
		if err := old.Return(); err != nil {
			t.Fatal(err)
		}
		c := r.conn(old.Addr())
		wantShow(t, c, "0 instance-1", "SELECT @@innodb_read_only, @@aurora_server_id")
		wantShow(t, c, "instance-1", "SELECT SERVER_ID FROM information_schema.replica_host_status WHERE SESSION_ID = 'MASTER_SESSION_ID'")
		wantShow(t, c, "innodb_read_only OFF", "SHOW VARIABLES LIKE 'innodb_read_only'")
		const insert = "INSERT INTO fp_ledger (worker, seq) VALUES (6, 6)"
		done := make(chan error, 1)
		go func() { done <- try(t, c, insert) }()
		eventually(t, "the write hangs", func() bool { return old.Stats().Held == 1 })
		wantShow(t, r.conn(r.Writer().Addr()), "0 instance-2", "SELECT @@innodb_read_only, @@aurora_server_id")
		select {
		case err := <-done:
			t.Errorf("a write was answered: %v", err)
		default:
		}
		belief.Clear()
		if err := <-done; err == nil || errno(err) != 0 {
			t.Errorf("when it learns better: %v, want a broken connection", err)
		}
		if n := r.Count(SQL(insert)); n != 0 {
			t.Errorf("the write was relayed %d times", n)
		}
		wantShow(t, r.conn(old.Addr()), "1", "SELECT @@innodb_read_only")
	})
}

func TestDNS(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{Network: Memory, Domain: "xyz.rds.cn-north-1.amazonaws.com.cn", Name: "c1"})
		if got := r.Endpoint() + " " + r.ReaderEndpoint() + " " + r.InstanceHost(); got !=
			"c1.cluster-xyz.rds.cn-north-1.amazonaws.com.cn:3306 c1.cluster-ro-xyz.rds.cn-north-1.amazonaws.com.cn:3306 ?.xyz.rds.cn-north-1.amazonaws.com.cn:3306" {
			t.Errorf("names: %s", got)
		}
		seen := map[string]bool{}
		for range 4 {
			seen[show(t, r.conn(r.ReaderEndpoint()), "SELECT @@aurora_server_id")] = true
		}
		if len(seen) != 2 || !seen["instance-2"] || !seen["instance-3"] {
			t.Errorf("the reader endpoint led to %v", seen)
		}
		host, _, _ := net.SplitHostPort(r.Endpoint())
		lookup := func() string {
			addrs, err := r.Resolve(t.Context(), host)
			if err != nil {
				return err.Error()
			}
			return addrs[0]
		}
		if got := lookup(); got != "192.0.2.11" {
			t.Errorf("the endpoint is at %s", got)
		}
		byAddress, err := r.DialContext(t.Context(), "tcp", "192.0.2.13:3306")
		if err != nil {
			t.Fatal(err)
		}
		_ = byAddress.Close()
		nx := r.NXDomain(host)
		if _, err := r.DialContext(t.Context(), "tcp", r.Endpoint()); !isNotFound(err) {
			t.Errorf("dial to a name that does not exist: %v", err)
		}
		nx.Clear()
		r.SetDNS(host, "instance-3")
		wantShow(t, r.conn(r.Endpoint()), "instance-3", "SELECT @@aurora_server_id")
		r.SetDNS(host)
		failover(t, r, Failover{DNSAfter: 50 * time.Millisecond})
		if got := lookup(); got != "192.0.2.11" {
			t.Errorf("just after the promotion the endpoint is at %s", got)
		}
		if err := r.Settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := lookup(); got != "192.0.2.12" {
			t.Errorf("at last the endpoint is at %s", got)
		}
		for addr, bad := range map[string]func(error) bool{
			"instance-9.xyz.rds.cn-north-1.amazonaws.com.cn:3306": isNotFound,
			"example.com:3306": isNotFound,
			"instance-1.xyz.rds.cn-north-1.amazonaws.com.cn:3307": func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
		} {
			if _, err := r.DialContext(t.Context(), "tcp", addr); !bad(err) {
				t.Errorf("dial %s: %v", addr, err)
			}
		}
	})
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

func TestFailoverErrors(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{Instances: 2})
		ctx := t.Context()
		for _, to := range []string{"nope", "instance-1"} {
			if err := r.Failover(ctx, Failover{To: to}); err == nil {
				t.Errorf("a failover to %q succeeded", to)
			}
		}
		if err := r.Promote(ctx, "instance-2"); err == nil {
			t.Error("a promotion beside a writer succeeded")
		}
		if err := r.Instance("instance-2").Crash(ctx); err != nil {
			t.Fatal(err)
		}
		if err := r.Failover(ctx, Failover{}); err == nil {
			t.Error("a failover without a reader succeeded")
		}
		if r.Writer() == nil {
			t.Fatal("a failover that cannot be took the writer away")
		}
		// A script that is stopped leaves no writer; the next one makes one.
		if err := r.Instance("instance-2").Return(); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := r.Failover(short, Failover{PromoteAfter: time.Hour}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a stopped script: %v", err)
		}
		if w := r.Writer(); w != nil {
			t.Errorf("%s is the writer", w.ID)
		}
		if err := r.Promote(ctx, "instance-2"); err != nil {
			t.Error(err)
		}
		wantShow(t, r.conn(r.Instance("instance-2").Addr()), "0", "SELECT @@innodb_read_only")
	})
}

func TestBadConfig(t *testing.T) {
	up := Upstream{
		Dial: func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
		Kill: func(context.Context, []uint32) error { return nil },
	}
	for name, cfg := range map[string]Config{
		"no upstream":      {},
		"no kill":          {Upstream: Upstream{Dial: up.Dial}},
		"too many":         {Upstream: up, Instances: 1000},
		"negative":         {Upstream: up, Instances: -1},
		"more names":       {Upstream: up, Instances: 1, IDs: []string{"a", "b"}},
		"doubled names":    {Upstream: up, IDs: []string{"a", "a"}},
		"name with dot":    {Upstream: up, IDs: []string{"a.b"}},
		"domain of a part": {Upstream: up, Domain: "local"},
		"port":             {Upstream: up, Port: 70000},
	} {
		if c, err := Start(t.Context(), cfg); err == nil {
			t.Errorf("%s: started", name)
			_ = c.Close()
		}
	}
	// An upstream that is not there closes connections, and does not hang.
	r := start(t, Config{Upstream: up})
	if _, err := r.open(r.Endpoint()).Conn(t.Context()); err == nil {
		t.Error("connected without an upstream")
	}
}
