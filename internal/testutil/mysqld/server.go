package mysqld

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	localhost = "127.0.0.1"

	// startTimeout bounds a start, the making of the template included. On an idle
	// machine that takes five seconds.
	startTimeout = 2 * time.Minute
	// stopTimeout bounds a clean shutdown.
	stopTimeout = 30 * time.Second
)

// Server is one instance, running or stopped. Its methods may be called from any
// goroutine; those that start or end the process take turns.
type Server struct {
	Flavor   Flavor
	Version  string // as VERSION() told when it first started
	Port     int    // the TCP port on 127.0.0.1, the same for all its life
	Socket   string // the Unix socket's path; "" when that is too long for an address
	User     string // who may do everything, over TCP and the socket
	Password string

	inst    installation
	options Options
	space   *workspace // nil while a template is made
	dir     string     // the instance's directory, on the machine

	turn    chan struct{} // holds a token while the process is being started or ended
	process atomic.Pointer[process]
}

// Start starts a server of the flavor with a fresh data directory; ctx bounds the start.
// The caller ends it with [Server.Close].
func Start(ctx context.Context, f Flavor, o Options) (*Server, error) {
	i, err := locate(f)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	space, err := i.newWorkspace()
	if err != nil {
		return nil, err
	}
	s := newServer(i, space.dir, o)
	s.space = space
	if err = i.populate(ctx, s.dir); err == nil {
		err = s.certify()
	}
	if err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newServer(i installation, dir string, o Options) *Server {
	s := &Server{
		Flavor: i.flavor, User: "root", Password: Password, Port: o.Port,
		Socket: filepath.Join(dir, socketName),
		inst:   i, options: o, dir: dir, turn: make(chan struct{}, 1),
	}
	if len(s.Socket) > maxSocketPath {
		s.Socket = ""
	}
	return s
}

// Addr returns the server's TCP address, host:port.
func (s *Server) Addr() string { return net.JoinHostPort(localhost, strconv.Itoa(s.Port)) }

// DSN returns the data source name of a database ("" for none) for root over TCP, in the
// form of go-sql-driver/mysql. Parameters can be appended, beginning with a question mark.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", s.User, s.Password, s.Addr(), database)
}

// Log returns the last lines of the server's log.
func (s *Server) Log() string { return tail(s.logPath(), logTail) }

func (s *Server) logPath() string { return filepath.Join(s.dir, logName) }

// Running reports whether the process is alive. It does not mean that it answers.
func (s *Server) Running() bool {
	p := s.process.Load()
	return p != nil && !p.ended()
}

// Stop shuts the server down with SIGTERM and waits for its end, which takes MySQL a
// second, and three more while clients are connected. A server that is not gone after
// 30 s is killed, and that is an error.
func (s *Server) Stop() error {
	s.turn <- struct{}{}
	defer s.endTurn()
	return s.stopInTurn()
}

func (s *Server) stopInTurn() error {
	if !s.Running() {
		return nil
	}
	if !s.process.Load().stop(stopTimeout) {
		return fmt.Errorf("mysqld: %s did not shut down within %v; its log ends with\n%s", s.Flavor, stopTimeout, s.Log())
	}
	return nil
}

// Kill ends the server with SIGKILL, as a crash would, and waits until it is gone. What
// was committed is still there after [Server.Restart].
func (s *Server) Kill() error {
	s.turn <- struct{}{}
	defer s.endTurn()
	if s.Running() {
		s.process.Load().kill()
	}
	return nil
}

// Restart starts the server again, after stopping it if it runs, with the same data, the
// same port and the same options. It returns when the server answers.
func (s *Server) Restart() error {
	s.turn <- struct{}{}
	defer s.endTurn()
	if err := s.stopInTurn(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return s.runInTurn(ctx)
}

// Close kills the server and removes its data. The server cannot be used afterwards.
func (s *Server) Close() error {
	err := s.Kill()
	if s.space == nil {
		return err
	}
	if s.options.Port == 0 {
		release(s.Port)
	}
	return errors.Join(err, s.space.remove())
}

func (s *Server) endTurn() { <-s.turn }
