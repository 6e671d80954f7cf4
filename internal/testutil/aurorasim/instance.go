package aurorasim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Instance is one simulated database server.
type Instance struct {
	// ID is its identifier: @@aurora_server_id, SERVER_ID in the topology.
	ID string

	cluster *Cluster
	ip      net.IP
	tls     atomic.Pointer[tls.Config] // nil = no TLS offered
	reach   endpoint
	turn    chan struct{} // holds one token; whoever has it may call reach.set
	counts  counters

	mu       sync.Mutex
	up       bool
	writer   bool          // writes pass
	readOnly bool          // but they do not, and it says so
	name     string        // in its cluster; its ID unless it was renamed by a switchover
	believes bool          // says that it is the writer, but writes do not pass
	frozen   int           // reasons to be silent
	scripted bool          // one of them is a failover's
	refusing int           // faults
	hole     int           // faults
	silent   int           // faults
	tooMany  int           // faults
	sending  int           // commands on their way into the upstream's sockets
	settling int           // who waits for sending to be 0
	changed  chan struct{} // closed and replaced when one of the above changes
	conns    map[*conn]struct{}
	leaving  []uint32 // threads that may still roll back what their connections left open
	faults   []*Fault // for statements; replaced, never changed in place
	beat     time.Time
	session  string
	lag      time.Duration
	cpu      float64
	skew     time.Duration
	holds    int       // reasons to have a stale view of the cluster
	held     []viewRow // the stale view
	gone     bool      // no row in anybody's view
}

type counters struct {
	accepted, open, sent, refused, local, held atomic.Int64
}

// Stats counts what an instance did since the cluster started.
type Stats struct {
	Accepted int64 // connections
	Open     int64 // connections whose client is still there
	Sent     int64 // commands relayed to the upstream
	Refused  int64 // writes refused by a reader
	Local    int64 // all answers of its own, refusals included
	Held     int64 // commands held back now: it is frozen, or wrongly believes that it is the writer
}

// defaultLag and defaultCPU are what a healthy reader reports.
const (
	defaultLag = 20 * time.Millisecond
	defaultCPU = 7.5
)

// newInstance makes an instance that nobody can reach yet. No two of a cluster have the same
// n.
func newInstance(c *Cluster, id string, n int) *Instance {
	i := &Instance{
		ID:      id,
		cluster: c,
		ip:      net.IPv4(192, 0, 2, byte(11+n)), // TEST-NET-1, RFC 5737
		turn:    make(chan struct{}, 1),
		up:      true,
		name:    id,
		changed: make(chan struct{}),
		conns:   make(map[*conn]struct{}),
		session: sessionID(),
		lag:     defaultLag,
		cpu:     defaultCPU + float64(n),
	}
	if c.cfg.Network == Loopback {
		i.ip = net.IPv4(127, 0, 0, byte(11+n))
	}
	i.turn <- struct{}{}
	return i
}

// listen makes the instance reachable for the first time.
func (i *Instance) listen() error {
	var err error
	switch i.cluster.cfg.Network {
	case Memory:
		i.reach = newMemEndpoint(i.tcpAddr(), i.accept)
	case Loopback:
		i.reach, err = newTCPEndpoint(i.ip.String(), i.cluster.cfg.Port, i.accept)
	default:
		i.reach, err = newTCPEndpoint("127.0.0.1", 0, i.accept)
	}
	return err
}

// Addr is where the instance listens, host:port; with Memory an address that only
// DialContext knows.
func (i *Instance) Addr() string { return i.reach.addr() }

// Endpoint is the instance's name in the DNS, with port.
func (i *Instance) Endpoint() string { return i.cluster.withPort(i.host()) }

func (i *Instance) host() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.name + "." + i.cluster.cfg.Domain
}

func (i *Instance) tcpAddr() net.Addr { return &net.TCPAddr{IP: i.ip, Port: i.cluster.cfg.Port} }

func (i *Instance) dial(ctx context.Context) (net.Conn, error) { return i.reach.dial(ctx) }

// Up tells whether the instance runs; a frozen one does, as far as anybody can see.
func (i *Instance) Up() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.up
}

// Writer tells whether writes through the instance reach the volume.
func (i *Instance) Writer() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.up && i.writer
}

// Stats returns the instance's counters.
func (i *Instance) Stats() Stats {
	return Stats{
		Accepted: i.counts.accepted.Load(),
		Open:     i.counts.open.Load(),
		Sent:     i.counts.sent.Load(),
		Refused:  i.counts.refused.Load(),
		Local:    i.counts.local.Load(),
		Held:     i.counts.held.Load(),
	}
}

// Lag sets the replica lag that the topology reports for the instance while it is
// a reader, 20 ms at first; a negative one is NULL. Its data is never behind.
func (i *Instance) Lag(d time.Duration) {
	i.update(func() { i.lag = d })
}

// Skew lets the instance's clock be ahead, or behind if d is negative: the timestamps of its
// row in the topology are.
func (i *Instance) Skew(d time.Duration) {
	i.update(func() { i.skew = d })
}

// CPU sets the percentage that the topology reports.
func (i *Instance) CPU(percent float64) {
	i.update(func() { i.cpu = percent })
}

// update changes fields under the lock and wakes those who wait for a change.
func (i *Instance) update(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
	i.wakeLocked()
}

func (i *Instance) wakeLocked() {
	close(i.changed)
	i.changed = make(chan struct{})
}

// accept takes a client's connection over.
func (i *Instance) accept(client net.Conn) {
	i.counts.accepted.Add(1)
	c := newConn(i, client)
	if !i.cluster.begin() {
		abort(client)
		return
	}
	i.mu.Lock()
	up := i.up
	if up {
		i.conns[c] = struct{}{}
		i.counts.open.Add(1)
	}
	i.mu.Unlock()
	if !up { // crashed since the kernel accepted it
		abort(client)
		i.cluster.wg.Done()
		return
	}
	go func() {
		defer i.cluster.wg.Done()
		c.serve()
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.conns, c)
		if c.inTransaction() || c.statusBroken {
			i.leaving = append(i.leaving[max(0, len(i.leaving)-maxLeaving+1):], c.id)
		}
	}()
}

// maxLeaving bounds how many threads a fence asks about whose connections have ended.
const maxLeaving = 256

func (i *Instance) connections() []*conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := make([]*conn, 0, len(i.conns))
	for c := range i.conns {
		all = append(all, c)
	}
	return all
}

// syncReach brings the endpoint to what state and faults ask for.
func (i *Instance) syncReach() error {
	<-i.turn
	defer func() { i.turn <- struct{}{} }()
	i.mu.Lock()
	to := reachable
	switch {
	case !i.up || i.refusing > 0:
		to = refusing
	case i.hole > 0:
		to = swallowing
	}
	i.mu.Unlock()
	return i.reach.set(to)
}

// settled waits until no command is half written to the upstream. It is called
// when no new one can begin.
func (i *Instance) settled() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.settling++
	for i.sending > 0 {
		changed := i.changed
		i.mu.Unlock()
		<-changed
		i.mu.Lock()
	}
	i.settling--
}

// stop ends the process of the instance: writes are over, connections end, new ones
// are refused, its upstream threads are gone when it returns.
func (i *Instance) stop(ctx context.Context, how ending) error {
	i.update(func() {
		if i.up && i.frozen == 0 {
			i.beat = time.Now()
		}
		i.up, i.writer, i.believes = false, false, false
	})
	err := i.syncReach()
	conns := i.connections() // before they end and are forgotten
	for _, c := range conns {
		c.end(how)
	}
	return errors.Join(err, i.fence(ctx, conns))
}

// fence ends the upstream threads of connections and waits until they are gone, and
// those of connections that ended before. It lets nothing new begin, KILLs, and closes
// the sockets only then: a server whose client hangs up first would run a statement to
// its end.
func (i *Instance) fence(ctx context.Context, conns []*conn) error {
	i.mu.Lock()
	ids := i.leaving
	i.leaving = nil
	i.mu.Unlock()
	for _, c := range conns {
		if id := c.sever(); id != 0 {
			ids = append(ids, id)
		}
	}
	var err error
	if len(ids) > 0 {
		if err = i.cluster.cfg.Upstream.Kill(ctx, ids); err != nil {
			err = fmt.Errorf("aurorasim: the upstream threads of %s: %w", i.ID, err)
		}
	}
	for _, c := range conns {
		c.cutUpstream()
	}
	i.settled()
	return err
}

// Crash ends the instance's process: established connections are reset, new ones
// refused, and when it returns its upstream threads are gone, rolled back. A crashed
// writer has no successor until Failover or Promote makes one.
func (i *Instance) Crash(ctx context.Context) error {
	err := i.stop(ctx, endReset)
	i.cluster.journal.event(EventCrash, i.ID, "")
	return err
}

// Return brings an instance that crashed, or was frozen by a failover, back as a
// reader. Connections from before are reset. An instance that runs is left alone.
func (i *Instance) Return() error {
	i.mu.Lock()
	away := !i.up || i.scripted
	i.mu.Unlock()
	if !away {
		return nil
	}
	for _, c := range i.connections() {
		c.end(endReset)
		c.cutUpstream()
	}
	i.update(func() {
		i.up, i.writer, i.gone = true, false, false
		i.thawScriptLocked()
		i.session = sessionID()
	})
	err := i.syncReach()
	i.cluster.journal.event(EventReturn, i.ID, "")
	return err
}

// abort resets a connection that is not a conn yet.
func abort(client net.Conn) {
	setReset(client)
	_ = client.Close()
}

// setReset lets Close send a RST.
func setReset(c net.Conn) {
	switch c := c.(type) {
	case *net.TCPConn:
		_ = c.SetLinger(0)
	case *memConn:
		c.reset()
	}
}
