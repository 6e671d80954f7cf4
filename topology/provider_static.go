package topology

import (
	"context"
	"errors"
	"sync"
)

// static takes the DSN's word: the first host is the writer, the others readers.
type static struct {
	seeds []string

	mu      sync.Mutex
	written map[string]bool // hosts that were seen to take writes
}

const readOnlyQuery = "SELECT @@global.read_only"

func newStatic(cfg Config) *static {
	return &static{seeds: cfg.Seeds, written: make(map[string]bool)}
}

func (*static) Name() string { return "static" }

func (s *static) Members() []Member {
	members := make([]Member, len(s.seeds))
	for i, seed := range s.seeds {
		members[i] = Member{ID: seed, Addr: seed}
	}
	return members
}

// Probe asks the host whether it takes writes. A first host that was read-only from
// the start is meant to be so, and the server's own errors say it to whoever writes;
// one that took writes and does no longer is no writer until it does again.
func (s *static) Probe(ctx context.Context, conn Conn, addr string) (Report, error) {
	t, err := ask(ctx, conn, readOnlyQuery)
	if err != nil {
		return Report{}, err
	}
	if len(t) != 1 || len(t[0]) != 1 {
		return Report{}, errors.New("failoverproxy: no answer to whether the server is read-only")
	}
	r := Report{ID: addr, Role: Reader}
	if addr != s.seeds[0] {
		return r, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t[0][0].on() {
		s.written[addr] = true
	} else if s.written[addr] {
		return r, nil
	}
	r.Role = Writer
	return r, nil
}

// Identify cannot tell: an address is all that a static instance is known by.
func (*static) Identify(context.Context, Conn, string) (string, Role, error) {
	return "", Unknown, nil
}
