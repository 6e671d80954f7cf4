package driver

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// trouble is what happens to a cluster of some topology, and what the design allows it to cost.
type trouble struct {
	name   string
	happen func(d *deployed) (over string) // when it was over, and by what one knows
	read   time.Duration                   // the longest read
}

// host is a kind of cluster, and the hosts of the DSN that leads to it; nil = its endpoint.
type host struct {
	topology string
	config   aurorasim.Config
	hosts    func(*aurorasim.Cluster) string
	trouble  []trouble
}

const (
	tick        = 3 * time.Millisecond  // what a server takes for an answer
	alive       = 50 * time.Millisecond // the longest read while somebody is alive who may answer it
	promoted    = 150 * time.Millisecond
	renames     = 500*time.Millisecond + promoted // between two look-ups of a name
	noWriterFor = 2 * time.Second
	poll        = 5 * time.Second
)

// fails is a failover, after which writes go on within a limit. A limit of renames counts from the
// time at which the name leads to the new writer.
func fails(f aurorasim.Failover, limit time.Duration) func(d *deployed) string {
	return func(d *deployed) string {
		f.PromoteAfter = noWriterFor
		d.must(d.sim.Failover(d.Context(), f))
		since := d.sim.PromotedAt()
		if limit == renames {
			since = since.Add(f.DNSAfter)
			time.Sleep(f.DNSAfter)
		}
		return d.writesWithin(since, limit)
	}
}

// restarts lets the only one who can be the writer crash and come back.
func restarts(d *deployed) string {
	w := d.sim.Writer()
	d.must(w.Crash(d.Context()))
	time.Sleep(noWriterFor)
	d.must(w.Return())
	d.must(d.sim.Promote(d.Context(), w.ID))
	return d.writesWithin(time.Now(), promoted)
}

func (d *deployed) writesWithin(since time.Time, limit time.Duration) string {
	time.Sleep(time.Second)
	took := d.firstWrite(since)
	if took > limit {
		d.Errorf("the first write came after %s, want %s", took, limit)
	}
	return "first write after " + took.Round(time.Millisecond).String()
}

func (d *deployed) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func loseReader(d *deployed) { d.must(d.sim.Instance("instance-3").Crash(d.Context())) }

func missReader(d *deployed) string {
	loseReader(d)
	time.Sleep(poll)
	return "–"
}

// regainReader has a reader back that was away, and waits until it answers reads again.
func regainReader(d *deployed) string {
	loseReader(d)
	time.Sleep(2 * poll)
	d.must(d.sim.Instance("instance-3").Return())
	back := time.Now()
	for d.strays("instance-3", back) == 0 {
		if time.Since(back) > 3*poll {
			d.Errorf("no read on a reader that is back for %s", time.Since(back))
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "its first read after " + time.Since(back).Round(10*time.Millisecond).String()
}

// seedDown starts a program of whose hosts the first one is down.
func seedDown(d *deployed) string {
	loseReader(d)
	cfg := d.c.cluster.cfg.Clone()
	cfg.Hosts = []string{d.sim.Instance("instance-3").Endpoint(), d.sim.Endpoint()}
	began := time.Now()
	c, err := NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)), WithDialer(d.sim.DialContext))
	d.must(err)
	conn, err := c.connect(d.Context())
	d.must(err)
	_, err = conn.ExecContext(d.Context(), "UPDATE fp_accounts SET balance = balance WHERE id = 1", nil)
	d.must(err)
	took := time.Since(began)
	if took > promoted {
		d.Errorf("%s to the first write of a program that starts", took)
	}
	d.must(conn.Close())
	d.must(c.Close())
	return "its first write after " + took.Round(time.Millisecond).String()
}

// nameless lets the name not exist for a while.
func nameless(d *deployed) string {
	name, _, _ := net.SplitHostPort(d.sim.Endpoint())
	fault := d.sim.NXDomain(name)
	time.Sleep(2 * poll)
	fault.Clear()
	return "–"
}

// listed are troubles of clusters that list their members.
var listed = []trouble{
	{"kill", fails(aurorasim.Failover{RestartAfter: poll, DNSAfter: 2 * poll}, promoted), alive},
	{"switchover", fails(aurorasim.Failover{Kind: aurorasim.Switchover, RestartAfter: time.Second, DNSAfter: 2 * poll}, promoted), alive},
	{"a reader is lost", missReader, alive},
	{"a reader is back", regainReader, alive},
	{"a program starts, its first host is down", seedDown, alive},
}

var hosts = []host{
	{topology: "aurora", trouble: listed},
	{topology: "multiAZCluster", config: aurorasim.Config{Deployment: aurorasim.MultiAZCluster}, trouble: listed},
	{topology: "dns", config: aurorasim.Config{Deployment: aurorasim.MultiAZInstance, Instances: 2}, trouble: []trouble{
		{"kill", fails(aurorasim.Failover{RestartAfter: -1, DNSAfter: time.Second}, renames), noWriterFor + time.Second + renames},
		{"switchover", fails(aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true, DNSAfter: time.Second}, renames), noWriterFor + time.Second + renames},
		{"the name is away for 10 s", nameless, alive},
	}},
	{topology: "static", config: aurorasim.Config{Plain: true}, hosts: func(c *aurorasim.Cluster) string {
		var all []string
		for _, in := range c.Instances() {
			all = append(all, in.Endpoint())
		}
		return strings.Join(all, ",")
	}, trouble: []trouble{
		{"kill, the same one restarts", restarts, noWriterFor + promoted},
		{"a reader is lost", missReader, alive},
	}},
}

// TestTroubles lets each kind of cluster get into trouble, in simulated time, under load: reads
// that may go to readers, writes and transfers. With -v it prints a table.
//
//	go test ./driver -run 'TestTroubles|TestReplicationSwitchover' -v
func TestTroubles(t *testing.T) {
	var table strings.Builder
	for _, h := range hosts {
		if h.hosts == nil {
			h.hosts = (*aurorasim.Cluster).Endpoint
		}
		for _, tr := range h.trouble {
			t.Run(h.topology+"/"+tr.name, func(t *testing.T) {
				var d *deployed
				var over string
				// A backend for everybody: who waits for one does so under a lock of database/sql's, and
				// time stands still in a bubble while somebody waits for a lock.
				deployAt(t, h.config, h.hosts, "fpPoolSize=50&fpTarget=auto&fpReadYourWrites=0&fpTopology="+h.topology, 2*poll, func(now *deployed) {
					d = now
					for _, in := range d.sim.Instances() {
						in.Delay(tick, nil) // so that there is something in flight
					}
					for range 3 {
						defer d.load()()
						time.Sleep(17 * time.Millisecond) // not all at the same time
					}
					time.Sleep(time.Second)
					d.mu.Lock()
					d.longest, d.reads = 0, 0
					d.mu.Unlock()
					over = tr.happen(d)
				}, func(d *deployed) {
					if d.longest > tr.read || d.reads < 100 {
						t.Errorf("%d reads, the longest %s, want %s", d.reads, d.longest, tr.read)
					}
				})
				fmt.Fprintln(&table, troubleRow(h.topology, "simulated", tr.name, d.reads, len(d.errs), d.longest, d.verdict.InDoubt,
					d.c.Stats().Statements.TransactionLost, over, d.verdict.OK()))
			})
		}
	}
	t.Log("\n" + troubleHead + table.String())
}

const troubleHead = "| topology | server | trouble | reads | read errors | longest read | in doubt | transactions lost | over | ledger |\n|---|---|---|---|---|---|---|---|---|---|\n"

func troubleRow(topology, server, what string, reads, readErrors int, longest time.Duration, inDoubt int, lost uint64, over string, kept bool) string {
	ledger := "kept"
	if !kept {
		ledger = "VIOLATED"
	}
	return fmt.Sprintf("| %s | %s | %s | %d | %d | %s | %d | %d | %s | %s |", topology, server, what, reads, readErrors,
		longest.Round(time.Millisecond), inDoubt, lost, over, ledger)
}
