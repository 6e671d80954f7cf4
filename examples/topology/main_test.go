package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// canary is the password, which must not come out anywhere.
const canary = "cAnArY-7f3"

// look runs the program.
func look(t *testing.T, o options) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), o, &stdout, &stderr)
	if strings.Contains(stdout.String()+stderr.String(), canary) {
		t.Errorf("the password comes out:\n%s\n%s", stdout.String(), stderr.String())
	}
	return code, stdout.String(), stderr.String()
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}

// TestSimulation: without a DSN there is a failover to be seen, of each kind of cluster.
func TestSimulation(t *testing.T) {
	for kind, want := range map[string][]string{
		"aurora":         {"aurora: its endpoint has the form of Aurora's", "epoch 1, writer instance-1", "instance-3  reader  up     20ms", "writer changed: instance-2", "epoch 3, writer instance-2"},
		"multiAZCluster": {"multiAZCluster: server is 8.0.39", "instance-3  reader  up     0ms", "writer changed: instance-2", ", writer instance-2"},
		"dns":            {"dns: server is 8.0.39", "writer lost: 127.0.0.1", "writer changed: 127.0.0.1", "epoch 3, writer 127.0.0.1"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			code, out, errs := look(t, options{sim: kind, length: 4 * time.Second, timeout: 5 * time.Second})
			if code != exitFine {
				t.Errorf("exit code %d: %s", code, errs)
			}
			contains(t, out, append(want, "topology chosen: ", "writer lost: ", "ROUND TRIP")...)
			contains(t, errs, "a simulated cluster")
		})
	}
}

// served is a simulated cluster that any program reaches, and a DSN that leads to it.
func served(t *testing.T, cfg aurorasim.Config) (*aurorasim.Cluster, string) {
	t.Helper()
	port := aurorasim.LoopbackPort(t)
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": canary}, Handler: minidb.New()})
	t.Cleanup(server.Close)
	cfg.Upstream, cfg.IDs, cfg.Network, cfg.Port = aurorasim.FakeServer(server), []string{"11", "12", "13"}, aurorasim.Loopback, port
	sim, err := aurorasim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return sim, fmt.Sprintf("u:%s@tcp(127.0.0.11:%d,127.0.0.12:%d)/?fpInstanceHost=127.0.0.?:%d", canary, port, port, port)
}

// TestCluster: a cluster as it is, and what the exit code says of it.
func TestCluster(t *testing.T) {
	sim, dsn := served(t, aurorasim.Config{})
	o := options{dsn: dsn, timeout: 2 * time.Second}
	sim.Instance("13").Lag(1500 * time.Millisecond)
	code, out, errs := look(t, o)
	if code != exitFine || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	contains(t, out, "aurora: server is Aurora 3.08.2", "epoch 1, writer 11", "1500ms", "127.0.0.13:")

	o.asJSON, o.ping = true, true
	code, out, errs = look(t, o)
	var shown cluster
	if err := json.Unmarshal([]byte(out), &shown); err != nil || code != exitFine {
		t.Fatalf("exit code %d: %v: %s: %s", code, err, errs, out)
	}
	if shown.Topology != "aurora" || shown.Writer != "11" || shown.Epoch != 1 || len(shown.Instances) != 3 {
		t.Errorf("%+v", shown)
	}
	for n, i := range shown.Instances {
		if i.RoundTripMS == nil || i.State != "up" || i.Verified != (n == 0) || (i.LagMS != nil) != (n > 0) {
			t.Errorf("%+v", i)
		}
	}

	sim.Instance("12").Refuse() // which nobody but -ping finds
	o.asJSON = false
	_, out, _ = look(t, o)
	contains(t, out, "cannot connect", "1500ms")

	if err := sim.Writer().Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.dsn = strings.ReplaceAll(dsn, "127.0.0.12:", "127.0.0.13:")
	if code, out, _ = look(t, o); code != exitNoWriter {
		t.Errorf("exit code %d without a writer: %s", code, out)
	}
	contains(t, out, "writer none", "unknown  down")
}

// TestWatchJSON: each line of what happens is an object, the last one the cluster.
func TestWatchJSON(t *testing.T) {
	sim, dsn := served(t, aurorasim.Config{})
	time.AfterFunc(500*time.Millisecond, func() {
		_ = sim.Failover(t.Context(), aurorasim.Failover{PromoteAfter: 100 * time.Millisecond, RestartAfter: -1})
	})
	code, out, errs := look(t, options{dsn: dsn + "&fpProbeInterval=100ms", watch: true, asJSON: true, length: 1500 * time.Millisecond, timeout: time.Second})
	if code != exitFine || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	var events []string
	var last cluster
	for line := range strings.Lines(out) {
		var i item
		if err := json.Unmarshal([]byte(line), &i); err != nil || i.Time.IsZero() {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, strings.TrimSpace(i.Event+" "+i.Instance))
		last = cluster{}
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatal(err)
		}
	}
	contains(t, strings.Join(events, "\n")+"\n", "topology chosen\n", "writer changed 11\n", "writer lost 11\n", "instance down 11\n", "writer changed 12\n")
	if last.Writer != "12" || last.Decided != "aurora: server is Aurora 3.08.2" {
		t.Errorf("%+v", last)
	}
}

// TestDenied: what is missing is said, as a warning where auto goes on without, else as an error.
func TestDenied(t *testing.T) {
	_, dsn := served(t, aurorasim.Config{Denied: []string{"u"}})
	code, out, errs := look(t, options{dsn: dsn, timeout: time.Second, asJSON: true})
	contains(t, errs, "level=WARN", "GRANT PROCESS, REPLICATION CLIENT ON *.*", "replica_host_status")
	contains(t, out, `"topology":"static"`, `"warnings":["a failover cannot be followed to hosts that the DSN does not name`)
	if code != exitFine {
		t.Errorf("exit code %d", code)
	}
	code, out, errs = look(t, options{dsn: dsn + "&fpTopology=aurora", timeout: time.Second})
	contains(t, errs, "topology: ", "GRANT PROCESS, REPLICATION CLIENT ON *.*")
	if code != exitUnreachable || out != "" {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestBadFlags(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for dsn, want := range map[string]int{
		"u:" + canary + "@tcp(host": exitUsage, "u:" + canary + "@tcp(host)/?fpTopologie=auto": exitUsage,
		"u:" + canary + "@tcp(a,b)/?fpTopology=dns":                  exitUsage,
		"u:" + canary + "@tcp(" + closed.Addr().String() + ")/":      exitUnreachable,
		"u:" + canary + "@tcp(nowhere.invalid:3306)/?fpTopology=dns": exitUnreachable,
	} {
		code, out, errs := look(t, options{dsn: dsn, timeout: 100 * time.Millisecond})
		if code != want || out != "" || !strings.Contains("\n"+errs, "\ntopology: ") {
			t.Errorf("exit code %d, want %d: %s%s", code, want, out, errs)
		}
	}
	if code, _, errs := look(t, options{sim: "oracle"}); code != exitUsage || !strings.Contains(errs, "want aurora") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
