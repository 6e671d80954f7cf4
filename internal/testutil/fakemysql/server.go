package fakemysql

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Server is a MySQL server. All methods are safe for concurrent use.
type Server struct {
	cfg     Config
	hooks   atomic.Pointer[Hooks] // nil = none
	refusal atomic.Pointer[Error] // nil = none
	users   atomic.Pointer[map[string]string]

	// wg counts goroutines and connections; it grows only under mu and not
	// after closed.
	wg sync.WaitGroup

	mu        sync.Mutex // guards what follows
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[uint32]*conn
	lastID    uint32
	admitted  int             // connections that count for MaxConnections
	known     map[string]bool // users in caching_sha2_password's cache
	stats     Stats
}

// Stats counts connections since the server was made.
type Stats struct {
	Accepted uint64 // connections that reached the server, refused ones included
	Refused  uint64 // turned away before the greeting
	Denied   uint64 // that did not get through the handshake (1045, 1049, cut...)
	Commands uint64 // packets acted upon after the handshake
}

// New makes a server. It starts nothing yet.
func New(cfg Config) *Server {
	s := &Server{
		cfg:       cfg.normalized(),
		listeners: map[net.Listener]struct{}{},
		conns:     map[uint32]*conn{},
		known:     map[string]bool{},
	}
	s.SetHooks(cfg.Hooks)
	s.SetUsers(cfg.Users)
	return s
}

// SetHooks replaces the hooks, for packets from now on. The zero value removes
// them.
func (s *Server) SetHooks(h Hooks) {
	if h.Before == nil && h.After == nil {
		s.hooks.Store(nil)
		return
	}
	s.hooks.Store(&h)
}

// SetUsers replaces Config.Users, for logins from now on.
func (s *Server) SetUsers(users map[string]string) { s.users.Store(&users) }

// Refuse answers new clients with err in place of the greeting, without SQLSTATE
// as servers do there (1040: too many connections). nil lets them in again.
func (s *Server) Refuse(err *Error) { s.refusal.Store(err) }

// ForgetPasswords empties caching_sha2_password's cache, as FLUSH PRIVILEGES
// does: the next login of every user takes the full way.
func (s *Server) ForgetPasswords() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// Listen serves connections on a new listener (network "tcp" or "unix"), in a
// goroutine of its own, until Close. It returns the address, which tells the
// port if addr had none (127.0.0.1:0).
func (s *Server) Listen(ctx context.Context, network, addr string) (net.Addr, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if !s.start(func() { _ = s.Serve(l) }) {
		_ = l.Close()
		return nil, ErrServerClosed
	}
	return l.Addr(), nil
}

// Serve serves connections from l until l fails, or until Close, which closes l
// and makes it return ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.untrack(l)
	for {
		c, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return ErrServerClosed
			}
			return err
		}
		if !s.start(func() { s.ServeConn(c) }) {
			_ = c.Close()
			return ErrServerClosed
		}
	}
}

// ServeConn serves one connection and returns when it is over.
func (s *Server) ServeConn(raw net.Conn) {
	s.serveConn(raw, raw.LocalAddr().Network() == "unix")
}

// Dial connects over a Pipe. It fits mysql.Config.DialFunc. The network's
// name matters only to caching_sha2_password, which trusts "unix". After Close it
// fails as a dial to a port where nobody listens.
func (s *Server) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	client, server := Pipe()
	if !s.start(func() { s.serveConn(server, network == "unix") }) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return client, nil
}

// start runs f in a goroutine that Close waits for; false after Close.
func (s *Server) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[l] = struct{}{}
	}
	return !s.closed
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	_ = l.Close()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// serveConn serves one connection. secure says that the transport itself is,
// so that passwords may be sent as they are.
func (s *Server) serveConn(raw net.Conn, secure bool) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	c, refusal := s.register(raw, cancel)
	if c == nil {
		_ = raw.Close()
		return
	}
	defer s.unregister(c)
	if refusal != nil {
		c.refuse(ctx, refusal)
		return
	}
	c.serve(ctx, secure)
}

// register admits a connection. It gives nil after Close, and the error to
// refuse it with if it cannot stay.
func (s *Server) register(raw net.Conn, cancel context.CancelCauseFunc) (*conn, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	s.wg.Add(1)
	s.lastID++
	s.stats.Accepted++
	refusal := s.refusal.Load()
	if refusal == nil && s.cfg.MaxConnections > 0 && s.admitted >= s.cfg.MaxConnections {
		refusal = &Error{Number: 1040, Message: "Too many connections"}
	}
	c := newConn(s, s.lastID, raw, cancel)
	s.conns[c.id] = c
	if refusal != nil {
		s.stats.Refused++
	} else {
		c.admitted = true
		s.admitted++
	}
	return c, refusal
}

func (s *Server) unregister(c *conn) {
	_ = c.raw.Close()
	s.mu.Lock()
	delete(s.conns, c.id)
	if c.admitted {
		s.admitted--
	}
	s.mu.Unlock()
	s.wg.Done()
}

// Close ends all connections without a word, stops listening, and waits until
// every goroutine of the server has ended; a Handler that ignores its context
// holds it up. It may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		_ = l.Close()
	}
	for _, c := range s.conns {
		c.end(ErrServerClosed)
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Kill is KILL id, or KILL QUERY id. The first closes the connection; the second
// ends the context of its running statement, and does nothing to an idle one. It
// returns false if there is no such connection. Once it has returned it can no
// longer hit a later statement.
func (s *Server) Kill(id uint32, queryOnly bool) bool {
	c := s.conn(id)
	switch {
	case c == nil:
		return false
	case queryOnly:
		c.interrupt(ErrKilledQuery)
	default:
		c.end(ErrKilledConnection)
	}
	return true
}

// Goodbye ends a connection with a last word: it is the answer to the statement
// that runs, whose context ends with ErrKilledConnection, or is sent unasked to an
// idle client. So servers announce a shutdown (1053), a KILL (MariaDB's 1927) or
// an idle timeout (4031). It returns false if there is no such connection.
func (s *Server) Goodbye(id uint32, word *Error) bool {
	c := s.conn(id)
	if c == nil {
		return false
	}
	c.goodbye(word)
	return true
}

func (s *Server) conn(id uint32) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[id]
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Server) count(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// ConnState is one line of the process list.
type ConnState struct {
	ID             uint32
	User, Database string // empty during the handshake
	Remote         string
	TLS            bool
	Command        wire.Command // wire.ComSleep while idle, wire.ComConnect during the handshake
	SQL            string       // the statement that runs
	Since          time.Time    // of Command
}

// Conns lists the live connections by id.
func (s *Server) Conns() []ConnState {
	s.mu.Lock()
	list := make([]ConnState, 0, len(s.conns))
	for _, c := range s.conns {
		list = append(list, c.snapshot())
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b ConnState) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// errCut ends a connection because a hook said so.
var errCut = errors.New("fakemysql: cut by a hook")
