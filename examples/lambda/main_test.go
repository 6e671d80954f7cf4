package main

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// stage is a simulated cluster, reached through a NAT gateway.
type stage struct {
	sim  *aurorasim.Cluster
	nat  *nat
	port int // of the gateway
}

func newStage(t *testing.T) *stage {
	t.Helper()
	fake := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Handler: minidb.New()})
	t.Cleanup(fake.Close)
	behind, front := aurorasim.LoopbackPort(t), aurorasim.LoopbackPort(t)
	sim, err := aurorasim.Start(t.Context(), aurorasim.Config{
		Upstream: aurorasim.FakeServer(fake), Network: aurorasim.Loopback, Port: behind, IDs: []string{"11", "12", "13"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	table := make(map[string]string)
	for _, id := range []string{"11", "12", "13"} {
		table[net.JoinHostPort("127.0.0."+id, strconv.Itoa(front))] = net.JoinHostPort("127.0.0."+id, strconv.Itoa(behind))
	}
	s := &stage{sim: sim, nat: translate(t, table), port: front}
	db, err := sql.Open("mysql", "app:secret@tcp(127.0.0.11:"+strconv.Itoa(behind)+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{"CREATE DATABASE shop", "CREATE TABLE shop.orders (id BIGINT PRIMARY KEY, item VARCHAR(64))"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// dsn names the parameters of ours that let a test see in seconds what takes minutes otherwise: a standstill
// counts after 3s, and what waits for silence waits for very long.
func (s *stage) dsn(params string) string {
	return fmt.Sprintf("DSN=app:secret@tcp(127.0.0.11:%d,127.0.0.12:%d,127.0.0.13:%d)/shop?fpInstanceHost=127.0.0.?:%d&fpPoolSize=1&fpStallTimeout=40s&fpProbeTimeout=20s%s",
		s.port, s.port, s.port, s.port, params)
}

// happening is what goes on while the function stands still.
type happening struct {
	name string
	do   func(context.Context, *stage) error
}

func failover(f aurorasim.Failover) func(context.Context, *stage) error {
	return func(ctx context.Context, s *stage) error { return s.sim.Failover(ctx, f) }
}

var happenings = []happening{
	{"nothing", func(context.Context, *stage) error { return nil }},
	{"the server closed the connections", func(_ context.Context, s *stage) error {
		for _, in := range s.sim.Instances() {
			in.CloseConnections()
		}
		return nil
	}},
	{"the gateway forgot the connections", func(_ context.Context, s *stage) error {
		s.nat.forget()
		return nil
	}},
	{"another writer, the old one is back as a reader", failover(aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: 100 * time.Millisecond})},
	{"another writer, the old one is gone", failover(aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: -1})},
	{"another writer, the connections are still there", failover(aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true})},
	{"another writer, the gateway forgot the connections", func(ctx context.Context, s *stage) error {
		s.nat.forget()
		return s.sim.Failover(ctx, aurorasim.Failover{Kind: aurorasim.Kill, RestartAfter: 100 * time.Millisecond})
	}},
}

// TestFreeze freezes the processes of functions, lets something happen, and looks at their next
// invocation: no error, nothing executed twice, and nothing waited for that takes a timeout to be
// known. With FP_FREEZE=10m they stand still for so long; FP_FREEZE_DRIVER=mysql shows
// what becomes of the plain driver's.
func TestFreeze(t *testing.T) {
	long, plain := 16*time.Second, os.Getenv("FP_FREEZE_DRIVER")
	if s := os.Getenv("FP_FREEZE"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	var functions []*function
	for _, h := range happenings {
		// A standstill counts after 3s, and after 15s where there are no polls.
		for _, polls := range []string{"fpProbeInterval=1s", "fpProbeInterval=0"} {
			f := newFunction(t, h.name+", "+polls, polls, plain)
			f.freeze()
			if err := h.do(t.Context(), f.stage); err != nil {
				t.Fatal(err)
			}
			functions = append(functions, f)
		}
	}
	time.Sleep(long) // the processes stand still for so long
	for _, f := range functions {
		t.Run(f.name, func(t *testing.T) {
			f.t = t
			f.thaw()
			got, first, err := f.invoke(Order{ID: 3, Item: "scarf"})
			if plain != "" {
				t.Logf("first %s, %v", first.Round(100*time.Microsecond), err)
				return
			}
			if err != nil || got.Orders != 3 {
				t.Fatalf("after the freeze: %+v, %v", got, err)
			}
			if first > 10*time.Second {
				t.Errorf("after the freeze an invocation took %s: it waited for a timeout", first)
			}
			got, next, err := f.invoke(Order{ID: 4, Item: "glove"})
			if err != nil || got.Orders != 4 {
				t.Fatalf("and then: %+v, %v", got, err)
			}
			took := f.end()
			if took > 500*time.Millisecond {
				t.Errorf("after SIGTERM it took %s to end", took)
			}
			t.Logf("cold %s, warm %s, first %s, next %s, SIGTERM %s", f.cold.Round(100*time.Microsecond), f.warm.Round(100*time.Microsecond),
				first.Round(100*time.Microsecond), next.Round(100*time.Microsecond), took.Round(time.Millisecond))
		})
	}
}

// function is an environment that has been invoked twice, with a cluster of its own.
type function struct {
	*environment
	stage      *stage
	name       string
	cold, warm time.Duration
}

func newFunction(t *testing.T, name, params, plain string) *function {
	t.Helper()
	s := newStage(t)
	dsn := []string{s.dsn("&" + params)}
	if plain != "" {
		dsn = []string{"DRIVER=" + plain, fmt.Sprintf("DSN=app:secret@tcp(127.0.0.11:%d)/shop", s.port)}
	}
	f := &function{environment: start(t, dsn...), stage: s, name: name}
	for id, took := range []*time.Duration{&f.cold, &f.warm} {
		var err error
		if _, *took, err = f.invoke(Order{ID: int64(id + 1), Item: "hat"}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}
