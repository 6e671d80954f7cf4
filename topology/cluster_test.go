package topology

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// cluster is an Aurora cluster as far as probes see it, in memory and in fake time.
type cluster struct {
	t  *testing.T
	mu sync.Mutex

	writer  string
	aurora  bool
	denied  bool
	down    map[string]bool   // refuses and resets
	frozen  map[string]bool   // accepts nothing, answers nothing
	seeds   map[string]string // cluster endpoint → instance
	open    map[string]int    // connections
	most    map[string]int    // the most at a time
	dials   map[string]int
	queries map[string]int // by text
	members []string
	changes chan struct{}
}

func newCluster(t *testing.T) *cluster {
	return &cluster{
		t: t, writer: "i-1", aurora: true, members: []string{"i-1", "i-2", "i-3"}, down: map[string]bool{}, frozen: map[string]bool{},
		seeds: map[string]string{}, open: map[string]int{}, most: map[string]int{}, dials: map[string]int{}, queries: map[string]int{},
		changes: make(chan struct{}),
	}
}

const domain = ".abc.us-east-1.rds.amazonaws.com:3306"

var endpoint = "c.cluster-" + strings.TrimPrefix(domain, ".")

func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changes)
	c.changes = make(chan struct{})
}

func (c *cluster) monitor(hooks Hooks) *Monitor {
	c.t.Helper()
	m, err := NewMonitor(Config{
		Provider: "auto", Seeds: []string{endpoint}, Dial: c.dial, Hooks: hooks, Logger: slog.New(slog.DiscardHandler),
		Explain: func(err error) Problem {
			if errors.Is(err, errDenied) {
				return ProblemDenied
			}
			return ProblemOther
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

var (
	errRefused = errors.New("connection refused")
	errDenied  = errors.New("denied")
)

func (c *cluster) dial(ctx context.Context, addr string) (Conn, error) {
	c.mu.Lock()
	id := strings.TrimSuffix(addr, domain)
	if addr == endpoint {
		id = c.writer
		if to := c.seeds[addr]; to != "" {
			id = to
		}
	}
	c.dials[id]++
	switch {
	case c.frozen[id]:
		c.mu.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	case c.down[id]:
		c.mu.Unlock()
		return nil, errRefused
	}
	c.open[id]++
	c.most[id] = max(c.most[id], c.open[id])
	c.mu.Unlock()
	return &fakeConn{cluster: c, id: id}, nil
}

// count reads one of the counters.
func (c *cluster) count(counters map[string]int, key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return counters[key]
}

func (c *cluster) connections() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, open := range c.open {
		n += open
	}
	return n
}

type fakeConn struct {
	cluster *cluster
	id      string
	dead    bool
}

func (f *fakeConn) Close() error {
	f.cluster.mu.Lock()
	defer f.cluster.mu.Unlock()
	f.cluster.open[f.id]--
	return nil
}

func (f *fakeConn) QueryContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	c := f.cluster
	c.mu.Lock()
	for c.frozen[f.id] {
		changed := c.changes
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if c.down[f.id] {
		f.dead = true
	}
	if f.dead {
		return nil, io.ErrUnexpectedEOF
	}
	c.queries[query]++
	return c.answer(f.id, query)
}

func (c *cluster) answer(id, query string) (driver.Rows, error) {
	readOnly := "1"
	if id == c.writer {
		readOnly = "0"
	}
	switch query {
	case autoQuery:
		if !c.aurora {
			return &fakeRows{columns: 2, rows: [][]string{{"read_only", "OFF"}, {"version", "9.7.0"}}}, nil
		}
		return &fakeRows{columns: 2, rows: [][]string{{"aurora_version", "3.08"}, {"innodb_read_only", "OFF"}}}, nil
	case auroraIdentity:
		return &fakeRows{columns: 2, rows: [][]string{{id, readOnly}}}, nil
	case readOnlyQuery:
		return &fakeRows{columns: 1, rows: [][]string{{readOnly}}}, nil
	case auroraQuery:
		if c.denied {
			return nil, errDenied
		}
		r := &fakeRows{columns: 7}
		for _, m := range c.members {
			session, stamp := "x", time.Now().UTC()
			if m == c.writer {
				session = masterSession
			}
			r.rows = append(r.rows, []string{m, session, stamp.Format(timeLayout), "12.5", "3.5", id, readOnly})
		}
		return r, nil
	}
	return nil, fmt.Errorf("unexpected query %q", query)
}

type fakeRows struct {
	columns int
	rows    [][]string
}

func (r *fakeRows) Columns() []string { return make([]string, r.columns) }
func (r *fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	for i, v := range r.rows[0] {
		dest[i] = []byte(v)
	}
	r.rows = r.rows[1:]
	return nil
}
