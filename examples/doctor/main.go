// Command doctor examines a cluster before a team trusts its data to it through failoverproxy: who
// the writer is and by what that was found, what the user may not do, TLS of each instance, lag, clocks,
// room for all connections, parameters that hurt, latency; with advice in words.
//
//	go run ./examples/doctor                           a simulated cluster, nothing to install
//	go run ./examples/doctor -dsn DSN -processes 40    a cluster, for a program that runs 40 times
//	go run ./examples/doctor -dsn DSN -strict -json    in a pipeline
//
// DSN is a program's own, with all of its parameters: what is examined is what that program would
// meet. Run it where the program runs, for names, routes and latency are those of the place.
//
// Nothing on the cluster is changed: there are SELECT, SHOW and the SETs of a connection's own
// session, and one KILL QUERY of a connection of the doctor's that does nothing at that time.
//
// The exit code is 0 if the cluster is healthy, though there may be warnings, 1 if something failed,
// or with -strict is worth a warning, 2 if the command line is wrong or no instance can be reached.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
)

// options are the command line's.
type options struct {
	dsn       string
	processes int
	strict    bool
	asJSON    bool
	timeout   time.Duration
	now       func() time.Time // for what ends some day: certificates, versions
}

// The exit codes.
const (
	exitHealthy = iota
	exitUnhealthy
	exitUnreachable
)

func main() {
	o := options{now: time.Now}
	flag.StringVar(&o.dsn, "dsn", "", "the cluster: user:password@tcp(host)/; without it a simulated one is examined")
	flag.IntVar(&o.processes, "processes", 1, "how many processes of the program use the cluster at the same time")
	flag.BoolVar(&o.strict, "strict", false, "let warnings count as failures")
	flag.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	flag.DurationVar(&o.timeout, "timeout", 10*time.Second, "longest wait for the cluster, and for each instance")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "doctor: unexpected argument %q\n", flag.Arg(0))
		os.Exit(exitUnreachable)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, o, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run prints to out and returns the exit code. Neither out nor errs ever has the password.
func run(ctx context.Context, o options, out, errs io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintln(errs, "doctor:", err)
		return exitUnreachable
	}
	switch {
	case o.processes < 1:
		return fail(fmt.Errorf("-processes %d: want 1 or more", o.processes))
	case o.timeout < time.Millisecond:
		return fail(fmt.Errorf("-timeout %s: want 1ms or more", o.timeout))
	}
	cfg, err := driver.ParseDSN(o.dsn)
	if o.dsn == "" {
		var sim *simulation
		if sim, err = simulate(ctx); err == nil {
			defer sim.close()
			cfg = sim.cfg
			fmt.Fprintln(errs, "doctor: a simulated cluster; -dsn examines a real one")
		}
	}
	if err != nil {
		return fail(err)
	}
	f, err := gather(ctx, cfg, o)
	if err != nil {
		return fail(err)
	}
	r := examine(f)
	if err := r.print(out, o.asJSON); err != nil {
		return fail(err)
	}
	switch {
	case !f.reached():
		return exitUnreachable
	case r.Failures > 0, o.strict && r.Warnings > 0:
		return exitUnhealthy
	}
	return exitHealthy
}
