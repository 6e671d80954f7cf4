package aurorasim

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// dns is what the resolver of the cluster's names knows. It learns of role
// changes late, as the real one does.
type dns struct {
	mu       sync.Mutex
	writer   string
	readers  []string
	rotation int
	custom   map[string][]string // by SetDNS, before everything else
	missing  map[string]int      // NXDOMAIN faults by name
}

// Endpoint is the cluster endpoint, which follows the writer, with port; of a
// MultiAZInstance its one name, SIM.DOMAIN.
func (c *Cluster) Endpoint() string { return c.withPort(c.writerHost()) }

func (c *Cluster) writerHost() string {
	if c.cfg.Deployment == MultiAZInstance {
		return c.cfg.Name + "." + c.cfg.Domain
	}
	return c.clusterHost("cluster-")
}

// ReaderEndpoint is the endpoint that rotates over the readers, with port. With no
// reader up it leads to the writer.
func (c *Cluster) ReaderEndpoint() string { return c.withPort(c.clusterHost("cluster-ro-")) }

// InstanceHost is the pattern of the instances' endpoints, with ? for the
// identifier, with port.
func (c *Cluster) InstanceHost() string { return c.withPort("?." + c.cfg.Domain) }

func (c *Cluster) clusterHost(kind string) string {
	return c.cfg.Name + "." + kind + c.cfg.Domain
}

func (c *Cluster) withPort(host string) string {
	return net.JoinHostPort(host, strconv.Itoa(c.cfg.Port))
}

// SetDNS lets a name lead to these instances, in rotation: a custom endpoint, or a
// record that is wrong. Without ids the name gets its own meaning back, if any.
func (c *Cluster) SetDNS(host string, ids ...string) {
	c.dns.mu.Lock()
	defer c.dns.mu.Unlock()
	if len(ids) == 0 {
		delete(c.dns.custom, canonical(host))
		return
	}
	c.dns.custom[canonical(host)] = ids
}

// NXDomain lets a name not exist until the fault is cleared.
func (c *Cluster) NXDomain(host string) *Fault {
	host = canonical(host)
	add := func(n int) {
		c.dns.mu.Lock()
		defer c.dns.mu.Unlock()
		c.dns.missing[host] += n
	}
	add(1)
	return newFault("NXDOMAIN "+host, nil, func() { add(-1) })
}

func canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// flipDNS brings the endpoints up to date with the roles, as an event.
func (c *Cluster) flipDNS() {
	to, ro := c.point()
	c.journal.event(EventDNS, to, "the cluster endpoint; readers %v", ro)
}

// point brings the endpoints up to date with the roles.
func (c *Cluster) point() (writerID string, readerIDs []string) {
	writer := c.Writer()
	var readers []string
	for _, i := range c.all() {
		if i != writer && i.healthy() {
			readers = append(readers, i.ID)
		}
	}
	if len(readers) == 0 && writer != nil {
		readers = []string{writer.ID}
	}
	c.dns.mu.Lock()
	defer c.dns.mu.Unlock()
	if writer != nil {
		c.dns.writer = writer.ID
	}
	if len(readers) > 0 {
		c.dns.readers = readers
	}
	return c.dns.writer, c.dns.readers
}

// lookup gives the instances that a name leads to, the one to use first.
func (c *Cluster) lookup(host string) ([]*Instance, error) {
	host = canonical(host)
	c.dns.mu.Lock()
	ids, ok := c.dns.custom[host]
	switch {
	case c.dns.missing[host] > 0:
		ids = nil
	case ok:
	case host == canonical(c.writerHost()):
		ids = []string{c.dns.writer}
	case host == canonical(c.clusterHost("cluster-ro-")):
		ids = c.dns.readers
	default:
		if id, found := strings.CutSuffix(host, "."+canonical(c.cfg.Domain)); found {
			ids = []string{id}
		}
	}
	turn := 0
	if len(ids) > 1 {
		turn = c.dns.rotation % len(ids)
		c.dns.rotation++
	}
	c.dns.mu.Unlock()
	all := c.all()
	var found []*Instance
	for n := range ids {
		id := ids[(turn+n)%len(ids)]
		at := slices.IndexFunc(all, func(i *Instance) bool { return strings.EqualFold(i.ID, id) })
		if at >= 0 {
			found = append(found, all[at])
		}
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "aurorasim", IsNotFound: true}
	}
	return found, nil
}

// Resolve looks a name of the cluster up, as net.Resolver.LookupHost does. With
// Loopback the addresses are those of the listeners. With the other networks, where
// instances have no address of their own, they are made up, one for each instance,
// and DialContext knows them.
func (c *Cluster) Resolve(ctx context.Context, host string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if net.ParseIP(host) != nil {
		return []string{host}, nil
	}
	found, err := c.lookup(host)
	if err != nil {
		return nil, err
	}
	addrs := make([]string, len(found))
	for n, i := range found {
		addrs[n] = i.ip.String()
	}
	return addrs, nil
}

// DialContext connects to an instance by any of its names and addresses. It is
// what a driver's dial function needs. The cluster's names and made-up addresses
// have one port, Config.Port; others refuse. Names of other domains do not exist;
// other addresses are dialed as net.Dialer does.
func (c *Cluster) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	for _, i := range c.all() {
		if addr == i.Addr() || host == i.ip.String() && port == strconv.Itoa(c.cfg.Port) {
			return i.dial(ctx)
		}
	}
	if net.ParseIP(host) != nil || host == "localhost" {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	found, err := c.lookup(host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if port != strconv.Itoa(c.cfg.Port) {
		return nil, refused(found[0].tcpAddr())
	}
	return found[0].dial(ctx)
}
