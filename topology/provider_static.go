package topology

import (
	"context"
	"sync"
)

// static takes the DSN's word: the first host is the writer, the others readers.
type static struct {
	seeds []string

	mu      sync.Mutex
	written bool // the first host was seen to take writes
}

// innodb_read_only is what an Aurora reader has set; MySQL and MariaDB know both.
const readOnlyQuery = "SELECT @@global.read_only, @@global.innodb_read_only"

func newStatic(cfg Config) *static { return &static{seeds: cfg.Seeds} }

func (*static) Name() string { return "static" }

func (s *static) Members() []Member {
	members := make([]Member, len(s.seeds))
	for i, seed := range s.seeds {
		members[i] = Member{ID: seed, Addr: seed, Writer: i == 0}
	}
	return members
}

// Probe asks the host whether it takes writes.
func (s *static) Probe(ctx context.Context, conn Conn, addr string) (Report, error) {
	row, err := askOne(ctx, conn, readOnlyQuery, 2)
	if err != nil {
		return Report{}, err
	}
	return s.report(addr, row[0].on() || row[1].on()), nil
}

// report gives the host at addr the role that the DSN gives it. A first host that was
// read-only from the start is meant to be so: who writes there gets the server's own
// error. One that took writes and does no longer was demoted: it is no writer
// until it takes them again.
func (s *static) report(addr string, readOnly bool) Report {
	r := Report{ID: addr, Role: Reader, ReadOnly: readOnly}
	if addr != s.seeds[0] {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = s.written || !readOnly
	if s.written == !readOnly {
		r.Role = Writer
	}
	return r
}

// Identify cannot tell: an address is all that a static instance is known by.
func (*static) Identify(context.Context, Conn, string) (string, Role, error) {
	return "", Unknown, nil
}
