package ecosystem

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// pod is a program in Kubernetes: its server, and what the kubelet asks it.
type pod struct {
	*testing.T
	*Probes
	server *httptest.Server
	served chan struct{} // closed when /slow is in the middle of its transaction
	finish chan struct{} // lets it end
}

func newPod(t *testing.T, dsn string, patience time.Duration) *pod {
	t.Helper()
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{
		T: t, Probes: &Probes{DB: sql.OpenDB(connector), Connector: connector, Patience: patience},
		served: make(chan struct{}), finish: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", p.Live)
	mux.HandleFunc("/readyz", p.Ready)
	mux.HandleFunc("/orders", func(w http.ResponseWriter, r *http.Request) {
		var n int
		if err := p.DB.QueryRowContext(r.Context(), "SELECT COUNT(*) FROM orders").Scan(&n); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		if err := p.slow(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	p.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		p.server.Close()
		p.DB.Close()
	})
	return p
}

func (p *pod) slow(ctx context.Context) error {
	tx, err := p.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (item, quantity) VALUES ('tea', 1)"); err != nil {
		return err
	}
	close(p.served)
	<-p.finish
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (item, quantity) VALUES ('cup', 2)"); err != nil {
		return err
	}
	return tx.Commit()
}

// get asks as the kubelet does, within a second, and returns the status, 0 for none.
func (p *pod) get(path string) int {
	ctx, cancel := context.WithTimeout(p.Context(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server.URL+path, nil)
	if err != nil {
		p.Error(err)
		return 0
	}
	answer, err := p.server.Client().Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		p.Logf("%s: %d %s", path, answer.StatusCode, strings.TrimSpace(string(text)))
	}
	return answer.StatusCode
}

func (p *pod) expect(when, path string, status int) {
	p.Helper()
	if got := p.get(path); got != status {
		p.Errorf("%s: %s: %d, want %d", when, path, got, status)
	}
}

// TestReady: no pod leaves its Service for a failover, and requests that read are answered all the time.
func TestReady(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		p := newPod(t, c.dsn, time.Minute)
		if p.Connector.Snapshot() != nil {
			t.Error("somebody has connected before the first probe")
		}
		p.expect("at the start", "/readyz", http.StatusOK)
		failed := make(chan error)
		go func() {
			failed <- c.Failover(t.Context(), aurorasim.Failover{Kind: aurorasim.Kill, PromoteAfter: outage})
		}()
		without := 0
		for over := false; !over; {
			select {
			case err := <-failed:
				if over = true; err != nil {
					t.Error(err)
				}
			default:
			}
			p.expect("in a failover", "/orders", http.StatusOK)
			p.expect("in a failover", "/readyz", http.StatusOK)
			p.expect("in a failover", "/livez", http.StatusOK)
			if p.Connector.Snapshot().Writer() == nil {
				without++
			}
		}
		if without == 0 {
			t.Error("the probes never met a cluster without a writer")
		}
	})
}

// TestReadyPatience: a cluster that stays without a writer is another matter, and no reason to restart.
func TestReadyPatience(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		p := newPod(t, c.dsn, 200*time.Millisecond)
		p.expect("at the start", "/readyz", http.StatusOK)
		if err := c.Writer().Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); p.get("/readyz") == http.StatusOK; time.Sleep(10 * time.Millisecond) {
			p.get("/orders") // which notices
			if time.Since(begun) > 10*time.Second {
				t.Fatal("ready without a writer")
			}
		}
		p.expect("without a writer", "/livez", http.StatusOK)
		p.expect("without a writer", "/orders", http.StatusOK)
		if err := c.Promote(t.Context(), "12"); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); p.get("/readyz") != http.StatusOK; time.Sleep(10 * time.Millisecond) {
			if time.Since(begun) > 10*time.Second {
				t.Fatal("not ready with a writer")
			}
		}
	})
}

// TestReadyBeforeDatabase: a pod that comes up before its database waits, and is ready as soon
// as that is there, though nobody sends it requests.
func TestReadyBeforeDatabase(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		var closed []*aurorasim.Fault
		for _, i := range c.Instances() {
			closed = append(closed, i.Refuse())
		}
		p := newPod(t, c.dsn, time.Minute)
		if status := p.get("/readyz"); status == http.StatusOK {
			t.Error("ready without a database")
		}
		p.expect("without a database", "/livez", http.StatusOK)
		for _, f := range closed {
			f.Clear()
		}
		p.expect("with a database", "/readyz", http.StatusOK)
	})
}

// TestStop: a pod that stops says so first, ends what it has begun, and is gone within its time.
func TestStop(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		p := newPod(t, c.dsn, time.Minute)
		p.expect("at the start", "/readyz", http.StatusOK)
		slow := make(chan int)
		go func() { slow <- p.get("/slow") }()
		<-p.served
		stopped := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			stopped <- p.Stop(ctx, p.server.Config)
		}()
		for p.get("/orders") != 0 { // until nothing new is taken
			time.Sleep(time.Millisecond)
		}
		w := httptest.NewRecorder()
		if p.Ready(w, httptest.NewRequest(http.MethodGet, "/readyz", nil)); w.Code != http.StatusServiceUnavailable {
			t.Errorf("ready while it stops: %d", w.Code)
		}
		close(p.finish)
		if status := <-slow; status != http.StatusOK || c.orders() != 2 {
			t.Errorf("what had begun: %d, %d orders", status, c.orders())
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := p.DB.PingContext(t.Context()); err == nil {
			t.Error("a statement after the end")
		}
	})
}

// TestStopInTime: what does not end is ended.
func TestStopInTime(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		p := newPod(t, c.dsn, time.Minute)
		go p.get("/slow")
		<-p.served
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err := p.Stop(ctx, p.server.Config)
		if took := time.Since(begun); err == nil || took > 5*time.Second {
			t.Errorf("%s: %v", took, err)
		}
		close(p.finish)
		if n := c.orders(); n != 0 {
			t.Errorf("%d orders of a transaction that was ended", n)
		}
	})
}
