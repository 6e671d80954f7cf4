// Command topology prints what failoverproxy sees in a cluster: the instances, who
// the writer is, how far readers are behind, and by what it took the cluster for what it is.
//
//	go run ./examples/topology                     a simulated cluster that fails over, nothing to install
//	go run ./examples/topology -dsn DSN            a cluster as it is now
//	go run ./examples/topology -dsn DSN -ping      the same, with a connection to each instance
//	go run ./examples/topology -dsn DSN -watch     what happens to it, until interrupted
//	go run ./examples/topology -dsn DSN -json      the same for programs
//
// DSN is a program's own, with all of its parameters, so that what is printed is what that
// program would see: whether the privileges are enough, whether names resolve and certificates
// are good. Nothing is written to the cluster. Without -ping only the instances that the monitor
// asks are connected to, which is the writer alone in some clusters: "verified" says who has
// answered itself. With -watch an event is seen as soon as the monitor can know, for the want of
// other traffic within fpProbeInterval: put fpProbeInterval=1s into the DSN to see it sooner.
//
// Warnings go to standard error, as the driver logs them, but with -watch, where they are among
// what happens. The exit code is 0 if there is a writer, 3 if the cluster can be asked and has
// none, 1 if it cannot be asked, 2 if the command line is wrong.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/topology"
)

// options are the command line's.
type options struct {
	dsn     string
	sim     string
	watch   bool
	ping    bool
	asJSON  bool
	length  time.Duration
	timeout time.Duration
}

// The exit codes.
const (
	exitFine = iota
	exitUnreachable
	exitUsage
	exitNoWriter
)

func main() {
	var o options
	flag.StringVar(&o.dsn, "dsn", "", "the cluster: user:password@tcp(host)/; without it a simulated one is watched while it fails over")
	flag.StringVar(&o.sim, "sim", "aurora", "what to simulate without -dsn: aurora, multiAZCluster or dns")
	flag.BoolVar(&o.watch, "watch", false, "print what happens, until interrupted")
	flag.BoolVar(&o.ping, "ping", false, "connect to each instance and measure the round trip")
	flag.BoolVar(&o.asJSON, "json", false, "print JSON, one object per line")
	flag.DurationVar(&o.length, "for", 0, "how long to watch; 0 = until interrupted, 5s without -dsn")
	flag.DurationVar(&o.timeout, "timeout", 10*time.Second, "longest wait for the cluster's first answer")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "topology: unexpected argument %q\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, o, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run prints to out and returns the exit code. Neither out nor errs ever has the password.
func run(ctx context.Context, o options, out, errs io.Writer) int {
	fail := func(code int, err error) int {
		fmt.Fprintln(errs, "topology:", err)
		return code
	}
	var opts []driver.Option
	var sim *simulation
	cfg, err := driver.ParseDSN(o.dsn)
	if o.dsn == "" {
		if sim, err = simulate(ctx, o.sim); err == nil {
			defer sim.close()
			cfg, opts = sim.cfg, append(opts, driver.WithDialer(sim.cluster.DialContext))
			o.watch, o.length = true, cmp.Or(o.length, simLength)
		}
	}
	if err != nil {
		return fail(exitUsage, err)
	}
	v := newView(o, out)
	logger := slog.New(slog.DiscardHandler)
	if !o.watch {
		logger = slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	c, err := driver.NewConnector(settings(cfg, o), append(opts,
		driver.WithLogger(logger),
		driver.WithHooks(driver.Hooks{
			SnapshotChanged: func(_, s *topology.Snapshot, events []topology.Event) { v.news.changed(s, events) },
			IncidentEnded:   func(i failover.Incident) { v.news.ended(i) },
		}))...)
	if err != nil {
		return fail(exitUsage, err)
	}
	defer c.Close()
	session, err := c.Connect(ctx)
	if err != nil {
		return fail(exitUnreachable, err)
	}
	defer session.Close()
	if sim != nil {
		defer sim.start(ctx, c, errs)()
	}
	await(ctx, c, o)
	if o.watch {
		v.watch(ctx, c, o.length)
	}
	v.show(c)
	if c.Snapshot().Writer() == nil {
		return exitNoWriter
	}
	return exitFine
}

// settings is the configuration of a program that only looks.
func settings(cfg *driver.Config, o options) *driver.Config {
	cfg = cfg.Clone()
	cfg.FailoverTimeout = min(cfg.FailoverTimeout, o.timeout)
	cfg.ProbeTimeout = min(cfg.ProbeTimeout, o.timeout)
	if o.ping && cfg.ReaderLatencyWindow == 0 {
		cfg.ReaderLatencyWindow = time.Hour // which excludes nobody, and round trips are measured
	}
	if !o.watch {
		// Replicas are asked in turn, half of them at each poll.
		cfg.ProbeInterval = max(min(cfg.ProbeInterval, 300*time.Millisecond), cfg.ProbeIntervalFast)
	}
	return cfg
}

// await gives what is not known at once, such as the lag of replicas, a moment to come.
func await(ctx context.Context, c *driver.Connector, o options) {
	for end := time.Now().Add(min(o.timeout, 2*time.Second)); time.Now().Before(end) && ctx.Err() == nil && !known(c, o.ping); {
		time.Sleep(10 * time.Millisecond)
	}
}

// known reports whether there is nothing left to wait for.
func known(c *driver.Connector, ping bool) bool {
	s := c.Snapshot()
	pools := poolsOf(c)
	for _, in := range s.Instances {
		p, pooled := pools[in.ID]
		switch {
		case in.State == topology.StateDown:
		case in.Role == topology.Reader && !in.LagKnown && s.Provider != "static":
			return false
		case ping && (!pooled || p.RoundTrip == 0 && p.DialErrors == 0):
			return false
		}
	}
	return s.Writer() != nil
}
