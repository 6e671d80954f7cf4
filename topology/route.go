package topology

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// Route is how an address is reached while names lead elsewhere than they should. The zero value
// is the address itself.
type Route struct {
	// Addrs are where to dial, the next where one does not answer; nil is the address itself.
	Addrs []string
	// Names are the host names one of which the server's certificate must have; nil is the
	// address's own.
	Names []string
	// Check refuses a connection by where it leads; nil takes all.
	Check func(remote net.Addr) error
}

// routes are what a switchover leaves behind, until names lead where they should. A nil pointer
// has none. It is not changed, but replaced.
type routes struct {
	ways   map[string]way       // by address
	banned map[string]time.Time // where old servers are, and until when that is not used
}

// way is how a server of green is reached by one of its names.
type way struct {
	pin   string // where it is; "" = not known yet, or its name leads there
	green string // the address by the name that it had
	final bool   // for the name that it gets
	home  bool   // that name leads there
}

// banFor is how long a server that was left is not used after all names lead elsewhere, which is
// longer than any resolver is behind. Later its IP address may be another's.
const banFor = 10 * time.Minute

// errLeft: a name leads to a server of blue, which says nothing about whom it should lead to.
var errLeft = fmt.Errorf("failoverproxy: %w: a server that a blue/green switchover has left", errAstray)

// direct is a context in which no route is taken, to find out where a name leads.
type direct struct{}

// Route returns how an address is to be dialled now. It is for Config.Dial and for whoever
// connects to instances, who must heed it; it may be called concurrently.
func (m *Monitor) Route(ctx context.Context, addr string) Route {
	r := m.routes.Load()
	if r == nil || ctx.Value(direct{}) != nil {
		return Route{}
	}
	route := Route{Check: r.check}
	w, ok := r.ways[addr]
	if !ok {
		return route
	}
	final := net.JoinHostPort(splitAddr(w.green, finalName))
	switch {
	case w.pin != "" && w.final:
		route.Addrs = []string{w.pin}
	case w.pin != "": // the name may be gone already
		route.Addrs = []string{w.green, w.pin}
	case w.final && !w.home && w.green != "": // the name may lead to blue, the other cannot
		route.Addrs = []string{w.green, addr}
	}
	for _, at := range []string{addr, final, w.green} {
		if host, _, err := net.SplitHostPort(at); err == nil && !slices.Contains(route.Names, host) {
			route.Names = append(route.Names, host)
		}
	}
	return route
}

// splitAddr takes an address apart and changes its host.
func splitAddr(addr string, change func(string) string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	return change(host), port
}

// check refuses to use what was left.
func (r *routes) check(remote net.Addr) error {
	if remote == nil {
		return nil
	}
	if until, ok := r.banned[remote.String()]; ok && (until.IsZero() || time.Now().Before(until)) {
		return errLeft
	}
	return nil
}

// clone is a copy to be changed. Nil is none yet.
func (r *routes) clone() *routes {
	if r == nil {
		return &routes{ways: make(map[string]way), banned: make(map[string]time.Time)}
	}
	return &routes{ways: maps.Clone(r.ways), banned: maps.Clone(r.banned)}
}

// pinned are the addresses whose names do not lead, as far as we know, where they should.
func (r *routes) pinned() []string {
	var addrs []string
	if r != nil {
		for addr, w := range r.ways {
			if w.final && w.pin != "" {
				addrs = append(addrs, addr)
			}
		}
	}
	slices.Sort(addrs)
	return addrs
}
