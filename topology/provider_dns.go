package topology

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// dns asks whoever the one name of the DSN leads to: an RDS Multi-AZ instance, whose
// standby nobody can reach before the name is its own.
//
// An instance is known by the address to which the name led, so that a name that leads
// elsewhere is a failover for everybody else: another instance, a new epoch, and backends to
// the old address are used no more. As a connection that lasts says nothing about the name, the
// monitor keeps none here: each of its questions goes over a new one, and the name is resolved
// for it. So an old server that goes on as if nothing had happened is left within fpProbeInterval,
// or when the pool connects the next time, whichever comes first.
//
// A name may have several addresses, one of each family, say, of which a dialer takes now this one and
// now that one. A server that has the same host name as the one before it is the same, by whichever
// address. That the two machines of an RDS instance have different ones is not in AWS's documentation;
// if they had not, a failover would look like a restart: no new epoch, and an old server that lives on
// would be left only as its connections end or refuse writes.
//
// Resolvers may be behind for a while, and not all of them by as much: a name may lead back
// to the old address for a moment. If that server still takes writes they are lost. So
// an address from which the name has led away is believed again only when the name has not led
// to its successor for homesick. What cannot be known: to a process that starts at such a
// moment the old address may be the newer one.
type dns struct {
	seed string

	mu   sync.Mutex
	host string          // who is there where the name leads, by its own name
	home string          // the address that led there first, which is its id
	seen time.Time       // when it led there last
	left map[string]bool // to whom it led before, by their own names
}

const (
	dnsName = "dns"
	// What the server calls itself stands for the address where a dialer does not tell that. SHOW
	// says nothing of variables that a server does not have.
	dnsQuery = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('aurora_server_id', 'hostname', 'port', 'read_only', 'innodb_read_only')"
	// dnsPause is the least time between two look-ups while an instance is suspected:
	// names take seconds to change, and resolvers limit who asks too often.
	dnsPause = 500 * time.Millisecond
	// homesick is longer than a resolver is behind, and shorter than RDS takes from one
	// failover to the next. The record's time to live is 5 s.
	homesick = 30 * time.Second
)

func newDNS(cfg Config) (*dns, error) {
	if len(cfg.Seeds) != 1 {
		return nil, errors.New("failoverproxy: fpTopology=dns: want one host, whose name leads to the writer")
	}
	return &dns{seed: cfg.Seeds[0], left: make(map[string]bool)}, nil
}

func (*dns) Name() string      { return dnsName }
func (*dns) Members() []Member { return nil }

// Probe takes who answers for the whole cluster.
func (d *dns) Probe(ctx context.Context, conn Conn, addr string) (Report, error) {
	id, host, role, err := d.look(ctx, conn)
	if err != nil {
		return Report{}, err
	}
	if !d.arrive(id, host) {
		return Report{}, fmt.Errorf("failoverproxy: %w: %s", errAstray, shownAddr(id))
	}
	return Report{
		ID: id, Addr: addr, Role: role, ReadOnly: role == Reader,
		Members: []Member{{ID: id, Addr: addr, Writer: role == Writer}},
	}, nil
}

// errAstray: that says nothing about the server to which the name should have led.
var errAstray = errors.New("the name leads to an address that it has left")

// arrive notes where the name led. False means that it is behind.
func (d *dns) arrive(id, host string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if host != d.host {
		if d.left[host] && now.Sub(d.seen) < homesick {
			return false
		}
		if d.host != "" {
			d.left[d.host] = true
		}
		delete(d.left, host)
		d.home, d.host = id, host
	}
	d.seen = now
	return true
}

func (d *dns) Identify(ctx context.Context, conn Conn, _ string) (string, Role, error) {
	id, _, role, err := d.look(ctx, conn)
	return id, role, err
}

// look asks the server for its own name and its role. Its id is the address that led to it first, or that
// name where a dialer does not tell addresses.
func (d *dns) look(ctx context.Context, conn Conn) (id, host string, role Role, err error) {
	rows, err := ask(ctx, conn, dnsQuery, 2)
	if err != nil {
		return "", "", Unknown, err
	}
	v := make(map[string]cell)
	for _, row := range rows {
		v[strings.ToLower(row[0].text)] = row[1]
	}
	switch {
	case v["aurora_server_id"].known():
		host = v["aurora_server_id"].text
	case v["hostname"].known():
		host = net.JoinHostPort(v["hostname"].text, v["port"].text)
	}
	id = cmp.Or(remoteOf(conn), host)
	host = cmp.Or(host, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	if host == d.host {
		id = d.home
	}
	return id, host, takesWrites([]cell{{}, v["read_only"], v["innodb_read_only"]}), nil
}
