package aurorasim

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"
)

// The parts of the names that RDS gives: NAME-green-abc123 before a switchover, NAME-old1 after it.
const (
	greenSuffix = "-green-abc123"
	oldSuffix   = "-old1"
)

// BlueGreen is a blue/green deployment: two clusters, of which Green replicates from Blue, and the
// names of both. There is one upstream, so that green is never behind; what keeps them apart is
// that green's writer refuses writes before a switchover, and blue's after it. Each logs what was
// relayed through it. It needs a literal upstream.
type BlueGreen struct {
	Blue, Green *Cluster

	mu       sync.Mutex
	status   string // "" = no rows
	finished bool   // blue has no rows any more
	flipped  bool   // blue's names lead to green
	nameless bool   // green's old names are gone
	writable time.Time
}

// StartBlueGreen starts a cluster and its green one. Blue is as cfg says.
func StartBlueGreen(ctx context.Context, cfg Config) (*BlueGreen, error) {
	if !cfg.Upstream.Literal || cfg.Deployment == MultiAZCluster {
		return nil, errors.New("aurorasim: a blue/green deployment needs a literal upstream, and is one of Aurora or of an instance")
	}
	blue, err := Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	b := &BlueGreen{Blue: blue, status: "AVAILABLE"}
	green := blue.cfg
	green.Upstream.Close, green.offset = nil, maxMade/2
	green.Name += greenSuffix
	green.IDs = make([]string, len(blue.cfg.IDs))
	for n, id := range blue.cfg.IDs {
		green.IDs[n] = id + greenSuffix
	}
	if b.Green, err = Start(ctx, green); err != nil {
		return nil, errors.Join(err, blue.Close())
	}
	for _, c := range []*Cluster{b.Blue, b.Green} {
		c.deployment.Store(b)
	}
	writer := b.Green.leader()
	writer.update(func() { writer.readOnly = true })
	if blue.cfg.TLS {
		b.Green.authority.Store(blue.authority.Load())
		for _, i := range b.Green.all() {
			if err := i.certify(); err != nil {
				return nil, errors.Join(err, b.Close())
			}
		}
	}
	return b, nil
}

// Close ends both.
func (b *BlueGreen) Close() error {
	err := b.Green.Close()
	return errors.Join(err, b.Blue.Close())
}

// Endpoint is the name of the cluster, blue's at first.
func (b *BlueGreen) Endpoint() string { return b.Blue.Endpoint() }

// WritableAt is when green began to take writes, zero if it has not.
func (b *BlueGreen) WritableAt() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writable
}

// SetStatus changes what mysql.rds_topology says; "" leaves no rows.
func (b *BlueGreen) SetStatus(status string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = status
}

// BlueGreenSwitchover is the script of a switchover. Durations may be 0: at once. Those of RDS, by
// the sample log of AWS's drivers: 3 s, 7 s, 18 s, 31 s, 126 s and 3 s more.
type BlueGreenSwitchover struct {
	// Initiated is the time from SWITCHOVER_INITIATED to SWITCHOVER_IN_PROGRESS.
	Initiated time.Duration
	// InProgress is the time from that to SWITCHOVER_IN_POST_PROCESSING. Blue refuses writes
	// from its first tenth on, for half of it nobody can connect to either.
	InProgress time.Duration
	// Rollback ends it there: AVAILABLE, and blue takes writes.
	Rollback bool
	// WritableAfter is the time from POST_PROCESSING until green takes writes.
	WritableAfter time.Duration
	// RenameAfter, DNSAfter and NamelessAfter are the times from POST_PROCESSING until the instances
	// have their new names, blue's names lead to green, green's lead nowhere.
	RenameAfter, DNSAfter, NamelessAfter time.Duration
	// CompletedAfter is the time from POST_PROCESSING to SWITCHOVER_COMPLETED, at which blue's rows end.
	CompletedAfter time.Duration
	// KeepConnections lets blue keep its connections, and those who connect: it only refuses writes.
	KeepConnections bool
}

// Usual is a switchover that takes as long as those of RDS.
var Usual = BlueGreenSwitchover{
	Initiated: 3 * time.Second, InProgress: 7 * time.Second, WritableAfter: 500 * time.Millisecond, RenameAfter: 18 * time.Second,
	DNSAfter: 31 * time.Second, NamelessAfter: 126 * time.Second, CompletedAfter: 129 * time.Second,
}

// Switchover carries a script out to its end.
func (b *BlueGreen) Switchover(ctx context.Context, s BlueGreenSwitchover) error {
	b.SetStatus("SWITCHOVER_INITIATED")
	if err := wait(ctx, s.Initiated); err != nil {
		return err
	}
	b.SetStatus("SWITCHOVER_IN_PROGRESS")
	if err := b.quiet(ctx, s); err != nil {
		return err
	}
	if s.Rollback {
		writer := b.Blue.leader()
		writer.update(func() { writer.readOnly = false })
		b.SetStatus("AVAILABLE")
		return nil
	}
	b.SetStatus("SWITCHOVER_IN_POST_PROCESSING")
	start := time.Now()
	var errs []error
	for _, later := range []struct {
		after time.Duration
		then  func()
	}{
		{s.WritableAfter, b.promote},
		{s.RenameAfter, func() { errs = append(errs, b.rename()) }},
		{s.DNSAfter, func() { b.change(func() { b.flipped = true }) }},
		{s.NamelessAfter, func() { b.change(func() { b.nameless = true }) }},
		{s.CompletedAfter, func() { b.change(func() { b.status, b.finished = "SWITCHOVER_COMPLETED", true }) }},
	} {
		if err := wait(ctx, later.after-time.Since(start)); err != nil {
			return err
		}
		later.then()
	}
	return errors.Join(errs...)
}

func (b *BlueGreen) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// leader is the writer of a cluster, whether it is up or not.
func (c *Cluster) leader() *Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.master
}

// quiet is what happens while a switchover is in progress.
func (b *BlueGreen) quiet(ctx context.Context, s BlueGreenSwitchover) error {
	if err := wait(ctx, s.InProgress/10); err != nil {
		return err
	}
	old := b.Blue.leader()
	old.update(func() { old.readOnly = true })
	if s.KeepConnections {
		err := old.demote(ctx) // what is open is rolled back
		old.update(func() { old.writer = true })
		if err != nil {
			return err
		}
		return wait(ctx, s.InProgress*9/10)
	}
	var away []*Instance
	for _, c := range []*Cluster{b.Blue, b.Green} {
		for _, i := range c.all() {
			if err := i.stop(ctx, endReset); err != nil {
				return err
			}
			away = append(away, i)
		}
	}
	if err := wait(ctx, s.InProgress/2); err != nil {
		return err
	}
	for _, i := range away {
		leads := i == i.cluster.leader()
		if err := i.Return(); err != nil {
			return err
		}
		if leads {
			i.update(func() { i.writer, i.session, i.readOnly = true, masterSession, true })
		}
	}
	return wait(ctx, s.InProgress*4/10)
}

// promote lets green take writes.
func (b *BlueGreen) promote() {
	b.change(func() { b.writable = time.Now() })
	next := b.Green.leader()
	next.update(func() { next.readOnly = false })
	b.Green.journal.event(EventPromote, next.ID, "in place of blue")
}

// rename gives the instances, and their certificates, the names that they have at the end.
func (b *BlueGreen) rename() error {
	var errs []error
	for _, i := range b.Blue.all() {
		i.update(func() { i.name += oldSuffix })
	}
	for _, i := range b.Green.all() {
		i.update(func() { i.name = strings.TrimSuffix(i.ID, greenSuffix) })
		if b.Green.cfg.TLS {
			errs = append(errs, i.Certify(i.host(), b.Blue.writerHost()))
		}
	}
	return errors.Join(errs...)
}

// rows are those of mysql.rds_topology.
func (b *BlueGreen) rows(of *Cluster) (rows [][]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.status == "" || b.finished && of == b.Blue {
		return nil
	}
	for _, c := range []*Cluster{b.Green, b.Blue} {
		role := "BLUE_GREEN_DEPLOYMENT_TARGET"
		if c == b.Blue {
			role = "BLUE_GREEN_DEPLOYMENT_SOURCE"
		}
		rows = append(rows, []any{c.leader().number(), c.writerHost(), int64(c.cfg.Port), role, b.status, "1.0"})
	}
	return rows
}

// DialContext connects by any name or address of both.
func (b *BlueGreen) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	for _, i := range b.Green.all() {
		if host == i.ip.String() {
			return b.Green.DialContext(ctx, network, addr)
		}
	}
	if net.ParseIP(host) != nil {
		return b.Blue.DialContext(ctx, network, addr)
	}
	b.mu.Lock()
	flipped, nameless := b.flipped, b.nameless
	b.mu.Unlock()
	label, rest, _ := strings.Cut(canonical(host), ".")
	switch old := strings.HasSuffix(label, oldSuffix); {
	case strings.HasSuffix(label, greenSuffix) && !nameless:
		return b.Green.DialContext(ctx, network, addr)
	case strings.HasSuffix(label, greenSuffix), old && !flipped:
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "aurorasim", IsNotFound: true}
	case flipped && !old:
		return b.Green.DialContext(ctx, network, net.JoinHostPort(label+greenSuffix+"."+rest, port))
	}
	return b.Blue.DialContext(ctx, network, net.JoinHostPort(strings.TrimSuffix(label, oldSuffix)+"."+rest, port))
}
