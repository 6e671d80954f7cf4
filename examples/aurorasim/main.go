// Command aurorasim puts a simulated Aurora cluster in front of any MySQL or MariaDB,
// so that people can rehearse failovers with their own applications.
//
//	go run ./examples/aurorasim -upstream 'root:secret@tcp(127.0.0.1:3306)/' -port 3307
//	go run ./examples/aurorasim -fake -after 30s -kind frozen -every 1m
//
// The instances listen on 127.0.0.11, 127.0.0.12, … so an application uses
//
//	user:password@tcp(127.0.0.11:3307,127.0.0.12:3307)/db?fpInstanceHost=127.0.0.?:3307
//
// with the upstream's own users. At the prompt, "help" lists what can be done to the
// cluster; -after, -every and -kind do it by the clock. Do not put it in front of a
// server that matters: it KILLs the connections of an instance that dies.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// options are the command line's.
type options struct {
	upstream     string
	fake         bool
	port         int
	instances    int
	kind         string
	after, every time.Duration
	outage       time.Duration
	restart      time.Duration
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("aurorasim: ")
	var o options
	flag.StringVar(&o.upstream, "upstream", "", "DSN of the server to stand in front of, with a user that may KILL")
	flag.BoolVar(&o.fake, "fake", false, "stand in front of a small database in memory, user drill, password drill")
	flag.IntVar(&o.port, "port", 3307, "port on 127.0.0.11 and up")
	flag.IntVar(&o.instances, "instances", 3, "number of instances")
	flag.StringVar(&o.kind, "kind", "kill", "failover by the clock: kill, switchover or frozen")
	flag.DurationVar(&o.after, "after", 0, "time to the first failover by the clock; 0 = none")
	flag.DurationVar(&o.every, "every", 0, "time between failovers by the clock; 0 = only the first")
	flag.DurationVar(&o.outage, "outage", 3*time.Second, "time from the writer's end to the promotion of another")
	flag.DurationVar(&o.restart, "restart", 5*time.Second, "time from the promotion to the old writer's return as a reader")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run starts the cluster and obeys the prompt and the clock until in or ctx ends.
func run(ctx context.Context, o options, in io.Reader, out io.Writer) error {
	if _, ok := kinds[o.kind]; !ok {
		return fmt.Errorf("-kind %q: want kill, switchover or frozen", o.kind)
	}
	upstream, closeUpstream, err := upstreamOf(o)
	if err != nil {
		return err
	}
	defer closeUpstream()
	// Identifiers that make addresses of the pattern 127.0.0.?, so that no DNS is needed.
	ids := make([]string, o.instances)
	for i := range ids {
		ids[i] = strconv.Itoa(11 + i)
	}
	cluster, err := aurorasim.Start(ctx, aurorasim.Config{
		Upstream: upstream, Instances: o.instances, IDs: ids, Network: aurorasim.Loopback, Port: o.port, DiscardLog: true,
		OnEvent: func(e aurorasim.Event) { fmt.Fprintf(out, "  %v\n", e) },
	})
	if err != nil {
		return err
	}
	defer cluster.Close()
	fmt.Fprintf(out, "instances on 127.0.0.11 to 127.0.0.%d, port %d; DSN for failoverproxy:\n", 10+o.instances, o.port)
	fmt.Fprintf(out, "  USER:PASSWORD@tcp(127.0.0.11:%d,127.0.0.12:%d)/DB?fpInstanceHost=127.0.0.?:%d\n", o.port, o.port, o.port)
	fmt.Fprintln(out, `type "help" for what can be done`)

	p := &prompt{cluster: cluster, options: o, out: out, faults: make(map[string]*aurorasim.Fault)}
	lines := read(ctx, in)
	clock := timer(o.after)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock:
			if err := p.failover(ctx, o.kind, ""); err != nil {
				fmt.Fprintln(out, " ", err)
			}
			clock = timer(o.every)
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if err := p.obey(ctx, line); errors.Is(err, errQuit) {
				return nil
			} else if err != nil {
				fmt.Fprintln(out, " ", err)
			}
		}
	}
}

func timer(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// read passes lines on until in ends. A terminal's last read ends with the program.
func read(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

func upstreamOf(o options) (aurorasim.Upstream, func(), error) {
	switch {
	case o.fake == (o.upstream != ""):
		return aurorasim.Upstream{}, nil, errors.New("say either -upstream DSN or -fake")
	case o.fake:
		server := fakemysql.New(fakemysql.Config{Users: map[string]string{"drill": "drill"}, Handler: minidb.New()})
		return aurorasim.FakeServer(server), server.Close, nil
	}
	u, err := aurorasim.Server(o.upstream)
	return u, func() {}, err
}
