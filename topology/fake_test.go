package topology

import (
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// mode is how a fake server behaves.
type mode int

const (
	healthy   mode = iota
	refusing       // connections are refused, established ones are reset
	silent         // a black hole: nothing is answered, neither dials nor queries
	stuck          // as silent, for connections that are established; new ones work
	barred         // new connections are refused, established ones work
	busy           // "too many connections" for new ones
	forbidden      // the view may not be read
	viewless       // there is no view
)

var (
	errRefused   = errors.New("connection refused")
	errReset     = errors.New("connection reset")
	errBusy      = errors.New("too many connections")
	errForbidden = errors.New("SELECT command denied")
	errViewless  = errors.New("unknown table")
	errLogin     = errors.New("access denied")
	errResolver  = errors.New("lookup: server misbehaving")
)

func explain(err error) Problem {
	for target, p := range map[error]Problem{
		errBusy: ProblemBusy, errForbidden: ProblemDenied, errViewless: ProblemNoView, errLogin: ProblemCredentials, errResolver: ProblemLocal,
	} {
		if errors.Is(err, target) {
			return p
		}
	}
	return ProblemOther
}

// server is one instance of a fake cluster.
type server struct {
	id, addr string
	mode     mode
	writer   bool
	readOnly bool      // of a server that is not Aurora
	master   bool      // its row says that it is the writer
	believes bool      // says that it is the writer, and so does its view
	beat     time.Time // of its row, if it is not healthy
	delay    time.Duration
	gone     bool    // has no row
	nowhere  bool    // connections to it do not say where they lead
	named    bool    // it has an id of Aurora's
	address  address // where they lead, if it has more than one
	replica  replica
	group    []string // its rows of a group's tables

	open, most, dials int
	looks             int // for a blue/green deployment
	queries           []string
	at                []time.Time // of the queries
}

// cluster is a fake Aurora cluster, or a few plain servers.
type cluster struct {
	mu      sync.Mutex
	servers map[string]*server // by address
	names   map[string]string  // endpoint to address
	plain   bool
	deaf    bool                 // no name resolves
	extra   [][]driver.Value     // rows of the view that come from nowhere
	noise   func() time.Duration // of the rows' times
	stall   func() time.Duration // of every answer
	changed chan struct{}        // closed when a mode changes: wakes what hangs
	dialled []string
}

const domain = ".abc123.us-east-1.rds.amazonaws.com:3306"

func newCluster(ids ...string) *cluster {
	c := &cluster{servers: make(map[string]*server), names: make(map[string]string), changed: make(chan struct{})}
	for i, id := range ids {
		s := &server{id: id, addr: id + domain, writer: i == 0, master: i == 0}
		c.servers[s.addr] = s
	}
	c.names[endpoint] = ids[0] + domain
	return c
}

const endpoint = "prod.cluster-abc123.us-east-1.rds.amazonaws.com:3306"

func (c *cluster) server(id string) *server {
	for _, s := range c.servers {
		if s.id == id {
			return s
		}
	}
	panic("no server " + id)
}

// look returns a copy of a server.
func (c *cluster) look(id string) server {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := *c.server(id)
	s.queries, s.at = slices.Clone(s.queries), slices.Clone(s.at)
	return s
}

// dials returns the addresses that were dialled so far.
func (c *cluster) dials() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.dialled)
}

// do changes something about a server.
func (c *cluster) do(id string, change func(*server)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.server(id)
	if s.mode == healthy {
		s.beat = time.Now()
	}
	change(s)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) set(id string, m mode) { c.do(id, func(s *server) { s.mode = m }) }

// promote makes a server the writer. The old one's row stays, as Aurora's does.
func (c *cluster) promote(id string) {
	c.mu.Lock()
	for _, s := range c.servers {
		if s.writer && s.mode == healthy {
			s.master = false
		}
		s.writer = false
	}
	c.mu.Unlock()
	c.do(id, func(s *server) { s.writer, s.master = true, true })
}

// rejoin brings a server back as a reader.
func (c *cluster) rejoin(id string) {
	c.do(id, func(s *server) { s.mode, s.writer, s.master, s.believes = healthy, false, false, false })
}

func (c *cluster) dial(ctx context.Context, addr string) (Conn, error) {
	c.mu.Lock()
	c.dialled = append(c.dialled, addr)
	s := c.servers[cmp.Or(c.names[addr], addr)]
	if s != nil {
		s.dials++
	}
	deaf := c.deaf
	c.mu.Unlock()
	if deaf {
		return nil, errResolver
	}
	if s == nil {
		return nil, fmt.Errorf("lookup %s: no such host", addr)
	}
	if err := c.wait(ctx, s, func() bool { return s.mode == silent }); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s.mode {
	case refusing, barred:
		return nil, errRefused
	case busy:
		return nil, errBusy
	}
	s.open++
	s.most = max(s.most, s.open)
	return &fakeConn{cluster: c, server: s, since: s.mode, address: s.address}, nil
}

// wait takes the server's delay and then hangs as long as held says.
func (c *cluster) wait(ctx context.Context, s *server, held func() bool) error {
	c.mu.Lock()
	delay := s.delay
	if c.stall != nil {
		delay += c.stall()
	}
	c.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		c.mu.Lock()
		h, changed := held(), c.changed
		c.mu.Unlock()
		if !h {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type fakeConn struct {
	cluster *cluster
	server  *server
	since   mode // the server's when it was made
	address address
	broken  bool
	cut     bool
	closed  bool
}

func (f *fakeConn) Cut() {
	f.cluster.mu.Lock()
	defer f.cluster.mu.Unlock()
	f.cut = true
}

func (f *fakeConn) Close() error {
	f.cluster.mu.Lock()
	defer f.cluster.mu.Unlock()
	if f.closed {
		panic("a connection was closed twice")
	}
	f.closed = true
	f.server.open--
	return nil
}

func (f *fakeConn) QueryContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	c, s := f.cluster, f.server
	c.mu.Lock()
	if query == blueGreenQuery {
		s.looks++
	} else {
		s.queries = append(s.queries, query)
		s.at = append(s.at, time.Now())
	}
	c.mu.Unlock()
	if _, bounded := ctx.Deadline(); !bounded && ctx.Done() == nil {
		return nil, errors.New("a query without a limit")
	}
	err := c.wait(ctx, s, func() bool { return s.mode == silent || s.mode == stuck && f.since != stuck })
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case f.closed:
		panic("a query on a closed connection")
	case err != nil:
		f.broken = true // as the wrapped driver's
		return nil, err
	case f.broken || s.mode == refusing:
		f.broken = true
		return nil, errReset
	}
	return c.answer(s, query)
}

// answer is the server's part.
func (c *cluster) answer(s *server, query string) (driver.Rows, error) {
	readOnly := int64(1)
	if s.writer || s.believes {
		readOnly = 0
	}
	switch query {
	case blueGreenQuery:
		return nil, errViewless
	case auroraQuery:
		switch {
		case s.mode == forbidden:
			return nil, errForbidden
		case s.mode == viewless || c.plain:
			return nil, errViewless
		}
		return c.view(s, readOnly), nil
	case auroraIdentity:
		return newRows([]driver.Value{[]byte(s.id), readOnly}), nil
	case readOnlyQuery:
		return newRows([]driver.Value{s.readOnly, []byte("0")}), nil
	case groupQuery:
		if s.mode == forbidden {
			return nil, errForbidden
		}
		return groupRows(s.id, map[bool]string{true: "1", false: "0"}[s.readOnly], begunAt, s.group...), nil
	case dnsQuery:
		onOff := map[bool]string{true: "ON", false: "OFF"}
		rows := newRows([]driver.Value{"hostname", "ip-" + s.id}, []driver.Value{"port", "3306"}, []driver.Value{"read_only", onOff[s.readOnly]})
		if s.named {
			rows.rows = append(rows.rows, []driver.Value{"aurora_server_id", "instance-" + s.id})
		}
		return rows, nil
	case autoQuery:
		rows := &fakeRows{width: 2}
		add := func(name, value string) { rows.rows = append(rows.rows, []driver.Value{[]byte(name), []byte(value)}) }
		if c.plain {
			add("read_only", map[bool]string{true: "ON", false: "OFF"}[s.readOnly])
			add("version", "10.11.6-MariaDB")
			return rows, nil
		}
		add("aurora_server_id", s.id)
		add("aurora_version", "3.08.2")
		add("innodb_read_only", map[int64]string{1: "ON", 0: "OFF"}[readOnly])
		add("version", "8.0.39")
		return rows, nil
	}
	return c.replicaAnswer(s, query)
}

// view is what the server sees: its own row and those of all that are there.
func (c *cluster) view(self *server, readOnly int64) driver.Rows {
	rows := &fakeRows{width: 7}
	for _, addr := range slices.Sorted(maps.Keys(c.servers)) {
		s := c.servers[addr]
		if s.gone {
			continue
		}
		at, session := time.Now(), "c0ffee-"+s.id
		if s.mode == refusing || s.mode == silent {
			at = s.beat
		}
		if c.noise != nil {
			at = at.Add(c.noise())
		}
		if s.master && !self.believes || self.believes && s == self {
			session = masterSession
		}
		rows.rows = append(rows.rows, []driver.Value{
			[]byte(s.id), []byte(session), []byte(at.UTC().Format(timeLayout)), []byte("12.5"), float64(3.25), []byte(self.id), readOnly,
		})
	}
	for _, row := range c.extra {
		rows.rows = append(rows.rows, append(slices.Clone(row), []byte(self.id), readOnly))
	}
	return rows
}

// watched is a monitor under test, with what its hooks and its log were told.
type watched struct {
	*Monitor
	cluster *cluster
	mu      sync.Mutex
	changes []change
	text    bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *watched) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// told returns the events so far, and forgets them.
func (w *watched) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var texts []string
	for _, c := range w.changes {
		for _, e := range c.events {
			texts = append(texts, e.String())
		}
	}
	w.changes = nil
	return texts
}

// bubble runs f in a synctest bubble with a monitor of the cluster that is closed in
// the end, and checks what must be true of every run.
func bubble(t *testing.T, c *cluster, cfg Config, f func(t *testing.T, w *watched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{cluster: c}
		c.changed = make(chan struct{})
		var last *Snapshot
		cfg.Dial, cfg.Explain = c.dial, explain
		cfg.Hooks.SnapshotChanged = func(old, new *Snapshot, events []Event) {
			if w.Snapshot() == nil {
				t.Error("told of a snapshot that is not in force")
			}
			if last != nil && old.Version != last.Version || new.Version != cmpVersion(old, new) {
				t.Errorf("told of version %d after %d, before that %v", new.Version, old.Version, last)
			}
			last = new
			w.mu.Lock()
			w.changes = append(w.changes, change{old: old, new: new, events: events})
			w.mu.Unlock()
		}
		cfg.Logger = slog.New(slog.NewTextHandler(w, nil))
		if cfg.Seeds == nil {
			cfg.Seeds = []string{endpoint}
		}
		var err error
		if w.Monitor, err = NewMonitor(cfg); err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		f(t, w)
		w.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.servers {
			if s.open != 0 {
				t.Errorf("%d connections to %s are open after Close", s.open, s.id)
			}
			if s.most > 1 {
				t.Errorf("%d connections to %s at a time", s.most, s.id)
			}
		}
		if n := w.Connections(); n != 0 {
			t.Errorf("Connections() = %d after Close", n)
		}
	})
}

// cmpVersion is the version that new must have.
func cmpVersion(old, new *Snapshot) uint64 {
	switch {
	case old == nil:
		return 1
	case old == new:
		return old.Version
	default:
		return old.Version + 1
	}
}

func (w *watched) discover(t *testing.T) *Snapshot {
	t.Helper()
	s, err := w.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return s
}

// expect compares the snapshot.
func (w *watched) expect(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got := w.Snapshot().String(); got != want {
		t.Fatalf("snapshot %q, want %q", got, want)
	}
}

// pass lets time pass and everything settle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// steady checks that there is one connection and that it leads to the instance.
func (w *watched) steady(t *testing.T, id string) {
	t.Helper()
	synctest.Wait()
	if n := w.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	if w.cluster.server(id).open != 1 {
		t.Errorf("the steady connection does not lead to %s", id)
	}
}
