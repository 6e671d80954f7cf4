package aurorasim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Network says how clients reach the instances.
type Network int

const (
	// Ports listens on 127.0.0.1, each instance on a free port of its own.
	// Works everywhere.
	Ports Network = iota
	// Loopback listens on 127.0.0.11, 127.0.0.12, …, all on Config.Port, so
	// that instances differ by address alone as in a cluster. Needs an
	// operating system where all of 127/8 is local (Linux).
	Loopback
	// Memory has no sockets: DialContext makes the connections. It is for
	// synctest bubbles. Such connections have no syscall.Conn, so that drivers
	// cannot see that an idle one was closed before they use it.
	Memory
)

// Config describes a cluster. Only Upstream is required.
type Config struct {
	// Upstream is the server that stands for the shared volume.
	Upstream Upstream
	// Deployment says what kind of cluster it is; 0 = Aurora.
	Deployment Deployment
	// Instances is the number of instances; 0 = 3. The first is the writer.
	Instances int
	// IDs names them; nil = instance-1, instance-2, … With Loopback, the names
	// 11, 12, … and the host pattern 127.0.0.? give programs that know nothing of
	// this package's DNS a way from the topology to the instances.
	IDs []string
	// Network says how clients reach them.
	Network Network
	// Port is the port of the cluster's endpoints and, with Loopback, of the
	// listeners; 0 = 3306.
	Port int
	// Name is the cluster's identifier, the first label of its endpoints; empty = sim.
	Name string
	// Domain is what follows an instance's identifier in its host name; empty =
	// abc123.us-east-1.rds.amazonaws.com. Its first label is the account's part,
	// as in sim.cluster-abc123.us-east-1.rds.amazonaws.com.
	Domain string
	// TLS offers TLS to clients, with a certificate for each instance by a
	// test authority (Cluster.Authority). The upstream's leg stays plain: where
	// caching_sha2_password lets a client under TLS send its password as it is, the
	// relay encrypts it with the upstream's RSA key.
	TLS bool
	// RequireTLS refuses clients without TLS (error 3159). It implies TLS.
	RequireTLS bool
	// Plain makes the instances servers that are not Aurora: statements are
	// relayed as they are and nothing is refused for a role.
	Plain bool
	// NoView lets replica_host_status not exist (error 1109).
	NoView bool
	// Denied are users who may not read replica_host_status (error 1142).
	// Cluster.DenyView adds to them.
	Denied []string
	// AuroraVersion is the value of @@aurora_version; empty = 3.08.2.
	AuroraVersion string
	// DiscardLog keeps counters only, for runs too long to remember every
	// statement: Seen, Relays and Count then find nothing.
	DiscardLog bool
	// OnEvent, if set, is called with each event, in order, by one goroutine at
	// a time, with no lock held.
	OnEvent func(Event)

	offset int // of addresses: those of another cluster come before
}

func (c Config) withDefaults() Config {
	if c.Instances == 0 {
		c.Instances = cmp.Or(len(c.IDs), 3)
	}
	for i := len(c.IDs); i < c.Instances; i++ {
		c.IDs = append(c.IDs[:i:i], "instance-"+strconv.Itoa(i+1))
	}
	if c.Port == 0 {
		c.Port = 3306
	}
	if c.Name == "" {
		c.Name = "sim"
	}
	if c.Domain == "" {
		c.Domain = "abc123.us-east-1.rds.amazonaws.com"
	}
	if c.AuroraVersion == "" {
		c.AuroraVersion = "3.08.2"
	}
	c.TLS = c.TLS || c.RequireTLS
	return c
}

func (c Config) validate() error {
	if c.Upstream.Dial == nil {
		return errors.New("aurorasim: Config.Upstream has no Dial")
	}
	if c.Upstream.Kill == nil {
		return errors.New("aurorasim: Config.Upstream has no Kill: a crash could not end its threads")
	}
	if c.Instances < 1 || c.Instances > maxInstances {
		return fmt.Errorf("aurorasim: %d instances, want 1 to %d", c.Instances, maxInstances)
	}
	if len(c.IDs) > c.Instances {
		return fmt.Errorf("aurorasim: %d names for %d instances", len(c.IDs), c.Instances)
	}
	seen := make(map[string]bool)
	for _, id := range c.IDs {
		if id == "" || strings.ContainsAny(id, ". '\"\\") || seen[id] {
			return fmt.Errorf("aurorasim: bad or doubled instance identifier %q", id)
		}
		seen[id] = true
	}
	if !strings.Contains(c.Domain, ".") {
		return fmt.Errorf("aurorasim: domain %q has one label", c.Domain)
	}
	if c.Port < 1 || c.Port > 65535 {
		return fmt.Errorf("aurorasim: port %d", c.Port)
	}
	return nil
}

// maxInstances keeps the addresses 127.0.0.11 and up in one byte. Aurora has at
// most 16.
const maxInstances = 64

// Upstream is the server that stands for the cluster's shared volume. Make it
// with Server, Fake or FakeServer, or by hand for anything else.
type Upstream struct {
	// Dial opens a connection. Its other end greets with the MySQL protocol,
	// without TLS.
	Dial func(ctx context.Context) (net.Conn, error)
	// Kill ends connections by the number in their greeting and returns when
	// the server has rolled back and forgotten all of them. Unknown numbers are
	// gone already.
	Kill func(ctx context.Context, ids []uint32) error
	// Literal says that the server understands little SQL: statements about the
	// cluster are answered by the relay as far as it can, and sessions of
	// readers are not made READ ONLY.
	Literal bool
	// Close, if set, is called by Cluster.Close, last.
	Close func() error
}

// setupTimeout bounds what the simulator itself waits for: an upstream's greeting,
// the end of killed threads when it closes.
const setupTimeout = 10 * time.Second
