package driver

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/pool"
)

// The environment of TestFleetProcesses.
const (
	envFleetChild = "FP_FLEET_CHILD" // the DSN of a process of the fleet
	envFleet      = "FP_FLEET"       // "long" makes every phase last a minute, with 20 processes on MySQL, too
	envFleetGraph = "FP_FLEET_GRAPH" // a file for the graph of MariaDB's fleet
)

const (
	fleetGrace   = 10 * time.Second // after a change, for the sum to be within the budget
	fleetThreads = 50
	fleetSays    = "fleet: " // begins a line of a child's
)

// TestFleetProcess is what a process of TestFleetProcesses' fleet does: 50 goroutines with one
// short query after the other. It ends with its standard input.
func TestFleetProcess(t *testing.T) {
	dsn := os.Getenv(envFleetChild)
	if dsn == "" {
		t.Skip("is a part of TestFleetProcesses")
	}
	db, err := sql.Open(Name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxIdleConns(fleetThreads)
	ctx, end := context.WithCancel(t.Context())
	var done, failed atomic.Int64
	var once sync.Once
	var wg sync.WaitGroup
	for range fleetThreads {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := db.ExecContext(ctx, "DO SLEEP(0.02)")
				switch {
				case err == nil:
					done.Add(1)
				case ctx.Err() == nil:
					failed.Add(1)
					once.Do(func() { fmt.Printf("error: %v\n", err) })
				}
			}
		})
	}
	go func() {
		defer end()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	limit := 0
	for ctx.Err() == nil {
		for _, in := range fleetInstances() {
			limit = in.Size
		}
		fmt.Printf("%s%d %d %d\n", fleetSays, done.Load(), failed.Load(), limit)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	wg.Wait()
}

// fleetInstances are the instances of this process's one pool.
func fleetInstances() (all []pool.InstanceStats) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for _, e := range shared.clusters {
		all = append(all, e.cluster.stats().Pool.Instances...)
	}
	return all
}

// fleetProcess is one of the fleet, as its parent sees it.
type fleetProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
	read  chan struct{} // closed when its output has ended

	mu           sync.Mutex
	done, failed int
	limit        int
	other        []string // lines that are no report
}

func startFleetProcess(t *testing.T, dsn string) *fleetProcess {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &fleetProcess{cmd: exec.Command(binary, "-test.run", "^TestFleetProcess$"), read: make(chan struct{})} //nolint:noctx // it is killed by hand
	p.cmd.Env = append(os.Environ(), envFleetChild+"="+dsn, "GOMAXPROCS=1")
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.listen(output)
	return p
}

func (p *fleetProcess) listen(output io.Reader) {
	defer close(p.read)
	for lines := bufio.NewScanner(output); lines.Scan(); {
		line := lines.Text()
		p.mu.Lock()
		if report, ok := strings.CutPrefix(line, fleetSays); ok {
			_, _ = fmt.Sscan(report, &p.done, &p.failed, &p.limit)
		} else {
			p.other = append(p.other, line)
		}
		p.mu.Unlock()
	}
}

// kill ends the process as kill -9 does.
func (p *fleetProcess) kill() {
	_ = p.cmd.Process.Kill()
	<-p.read
	_ = p.cmd.Wait()
}

func (p *fleetProcess) report() (done, failed, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done, p.failed, p.limit
}

// realFleet is a server with a fleet of processes.
type realFleet struct {
	*testing.T
	server    *mysqld.Server
	dsn       string
	watcher   *sql.Conn
	processes []*fleetProcess
	budget    int
	long      bool          // all phases, of a minute each
	hold      time.Duration // for which the sum is watched, after the grace
	began     time.Time
	graph     fleetGraph
}

// TestFleetProcesses: real processes that know nothing of each other keep to their part of a
// server's connections, wherever they begin, and every one of them goes on; no error comes
// through. Outside of CI, with all phases on both servers, and a graph of what MariaDB had:
//
//	FP_FLEET=long FP_FLEET_GRAPH=$PWD/docs/fleet.svg go test ./driver -run TestFleetProcesses -v
func TestFleetProcesses(t *testing.T) {
	for _, test := range []struct {
		flavor    mysqld.Flavor
		processes int
	}{{mysqld.FlavorMariaDB, 20}, {mysqld.FlavorMySQL, 8}} {
		t.Run(test.flavor.String(), func(t *testing.T) {
			if os.Getenv(envFleet) == "long" {
				test.processes = 20
			}
			options, budget := []mysqld.Option{mysqld.WithMaxConnections(5 * test.processes)}, 3*test.processes
			start := mysqld.MariaDB
			if test.flavor == mysqld.FlavorMySQL {
				start = mysqld.MySQL
			}
			s := start(t, options...)
			f := newRealFleet(t, s, budget)
			f.live(test.processes)
			if file := os.Getenv(envFleetGraph); file != "" && test.flavor == mysqld.FlavorMariaDB {
				if err := os.WriteFile(file, f.graph.svg(budget, 5*test.processes), 0o644); err != nil { //nolint:gosec // documentation
					t.Fatal(err)
				}
			}
		})
	}
}

func newRealFleet(t *testing.T, s *mysqld.Server, budget int) *realFleet {
	t.Helper()
	if err := s.Exec(t.Context(), "CREATE USER app IDENTIFIED BY 'app'"); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	watcher, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { watcher.Close() })
	f := &realFleet{
		T: t, server: s, dsn: "app:app@tcp(" + s.Addr() + ")/?fpTopology=static&fpFleetMax=60%25&fpPoolSize=50",
		watcher: watcher, budget: budget, hold: 2 * time.Second, began: time.Now(),
	}
	if f.long = os.Getenv(envFleet) == "long"; f.long {
		f.hold = 50 * time.Second
	}
	t.Cleanup(func() {
		for _, p := range f.processes {
			p.kill()
		}
	})
	return f
}

// live is what the fleet goes through.
func (f *realFleet) live(processes int) {
	f.start(processes)
	f.phase("start")
	if f.long || f.server.Flavor == mysqld.FlavorMariaDB {
		f.kill(processes / 2)
		f.phase("half are killed")
		if f.long {
			f.start(processes / 2)
			f.phase("half are back")
		}
		f.kill(len(f.processes))
		f.start(processes)
		f.phase("all restart")
	}
	for i, p := range f.processes {
		_ = p.stdin.Close()
		<-p.read
		if err := p.cmd.Wait(); err != nil {
			f.Errorf("process %d: %v\n%s", i, err, strings.Join(p.other, "\n"))
		}
	}
	f.processes = nil
}

func (f *realFleet) start(n int) {
	f.Helper()
	for range n {
		f.processes = append(f.processes, startFleetProcess(f.T, f.dsn))
	}
}

// kill ends the first n processes.
func (f *realFleet) kill(n int) {
	f.blame(f.processes[:n])
	for _, p := range f.processes[:n] {
		p.kill()
	}
	f.processes = f.processes[n:]
}

// blame fails the test for every error that came through to an application.
func (f *realFleet) blame(processes []*fleetProcess) {
	f.Helper()
	for i, p := range processes {
		if _, failed, _ := p.report(); failed > 0 {
			f.Errorf("process %d: %d errors: %s", i, failed, strings.Join(p.other, "\n"))
		}
	}
}

// phase watches the fleet after a change.
func (f *realFleet) phase(name string) {
	f.Helper()
	f.graph.events = append(f.graph.events, fleetEvent{time.Since(f.began), name})
	early := f.watch(fleetGrace)
	before := make(map[*fleetProcess]int)
	for _, p := range f.processes {
		before[p], _, _ = p.report()
	}
	late := f.watch(f.hold)
	if late > f.budget {
		f.Errorf("%s: %d connections after %s, the budget is %d", name, late, fleetGrace, f.budget)
	}
	least, most, sum := 1<<30, 0, 0
	for i, p := range f.processes {
		done, _, limit := p.report()
		least, most, sum = min(least, limit), max(most, limit), sum+limit
		if done == before[p] {
			f.Errorf("%s: process %d has done nothing for %s", name, i, f.hold)
		}
	}
	f.blame(f.processes)
	f.Logf("%s: up to %d connections in the first %s, %d in the next %s, budget %d; backends of each of %d processes: %d to %d, %d in all",
		name, early, fleetGrace, late, f.hold, f.budget, len(f.processes), least, most, sum)
}

// watch counts the connections for d, and returns the most.
func (f *realFleet) watch(d time.Duration) (most int) {
	f.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		var n int
		if err := f.watcher.QueryRowContext(f.Context(), "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'").Scan(&n); err != nil {
			f.Fatal(err)
		}
		most = max(most, n)
		sample := fleetSample{at: time.Since(f.began), connections: n}
		for _, p := range f.processes {
			_, _, limit := p.report()
			sample.limits = append(sample.limits, limit)
		}
		f.graph.samples = append(f.graph.samples, sample)
	}
	return most
}
