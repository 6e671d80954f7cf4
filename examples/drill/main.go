// Command drill rehearses failovers under load, with the plain driver and with
// failoverproxy side by side.
//
//	go run ./examples/drill                    a simulated cluster, nothing to install
//	go run ./examples/drill -server mariadb    the simulated cluster over a real server (or mysql)
//	go run ./examples/drill -dsn DSN           a real cluster: you trigger the failover
//
// Both loads do the same: reads as text and prepared, single writes, and transfers
// between accounts in transactions. After a quiet phase the writer is killed, then
// switched over as planned, then frozen. A ledger checks at the end that every write
// that was acknowledged is there once and that no transaction was applied by half.
//
// The exit code is 1 if the ledger finds a violation or a read through failoverproxy
// had an error.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// options are the command line's.
type options struct {
	dsn      string
	server   string
	workers  int
	baseline time.Duration
	phase    time.Duration
	outage   time.Duration
	timeout  time.Duration
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.dsn, "dsn", "", "run on a real cluster: user:password@tcp(host)/; databases fp_drill_plain and fp_drill_ours are made in it")
	flag.StringVar(&o.server, "server", "", "put the simulated cluster over an installed server: mariadb or mysql")
	flag.IntVar(&o.workers, "workers", 4, "goroutines of each kind of work, in each load")
	flag.DurationVar(&o.baseline, "baseline", 3*time.Second, "quiet phase before the first failover")
	flag.DurationVar(&o.phase, "phase", 9*time.Second, "length of the phase of each failover; with -dsn of the whole run, in minutes for example")
	flag.DurationVar(&o.outage, "outage", 2*time.Second, "time from the writer's end to the promotion of another")
	flag.DurationVar(&o.timeout, "timeout", 15*time.Second, "deadline of each operation")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("drill: unexpected argument %q", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, o)
	if err != nil {
		log.Fatalf("drill: %v", err)
	}
	if !ok {
		os.Exit(1)
	}
}

// run does the drill and reports whether it went well.
func run(ctx context.Context, o options) (bool, error) {
	stages, err := stagesOf(ctx, o)
	if err != nil {
		return false, err
	}
	defer func() {
		for _, s := range slices.Backward(stages) { // the first one has the server
			s.close()
		}
	}()
	for _, s := range stages {
		if err := s.ledger.Setup(ctx, s.db); err != nil {
			return false, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	working, finish := context.WithCancel(ctx)
	defer finish()
	var loads sync.WaitGroup
	for _, s := range stages {
		loads.Go(func() { s.load.run(working, o) })
	}
	board := newBoard(os.Stdout, stages)
	watching, stopBoard := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { board.run(watching) })
	if o.dsn != "" {
		board.announce("on a real cluster: trigger a failover now; this runs for " + o.phase.String())
		sleep(ctx, o.phase)
	} else {
		rehearse(ctx, o, stages, board)
	}
	finish()
	loads.Wait()
	stopBoard()
	watcher.Wait()
	return board.conclude(ctx)
}

// rehearse lets the simulated clusters fail over, in each of the ways.
func rehearse(ctx context.Context, o options, stages []*stage, b *board) {
	b.announce("baseline")
	sleep(ctx, o.baseline)
	for _, kind := range []aurorasim.Kind{aurorasim.Kill, aurorasim.Switchover, aurorasim.Frozen} {
		if ctx.Err() != nil {
			return
		}
		b.announce(fmt.Sprintf("%s: the writer is %s, another is promoted %s later, DNS follows %s after that", kind, map[aurorasim.Kind]string{
			aurorasim.Kill: "killed", aurorasim.Switchover: "switched over", aurorasim.Frozen: "frozen",
		}[kind], o.outage, dnsDelay))
		end := time.Now().Add(o.phase)
		var scripts sync.WaitGroup
		for _, s := range stages {
			scripts.Go(func() { s.fail(ctx, kind, o.outage) })
		}
		scripts.Wait()
		sleep(ctx, time.Until(end))
		for _, s := range stages {
			s.load.closePhase(strings.ToLower(kind.String()))
		}
	}
}

// dnsDelay is how long the cluster endpoint's name lags behind, as it does on Aurora.
const dnsDelay = 3 * time.Second

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
