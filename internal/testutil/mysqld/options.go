package mysqld

import (
	"fmt"
	"os"
	"path/filepath"
)

// Options are the choices for one instance. The zero value is a small, fast server
// that writes no binary log.
type Options struct {
	// Port is the TCP port on 127.0.0.1. 0 takes a free one, below the range that the
	// kernel takes ports of outgoing connections from, so that it is still free when
	// the server is restarted.
	Port int

	// BinaryLog turns the binary log on, as replication needs it. Off by default.
	BinaryLog bool

	// PerformanceSchema turns the performance schema on. It is off by default: it costs
	// memory and start-up time.
	PerformanceSchema bool

	// BufferPoolMiB is the size of InnoDB's buffer pool. 0 means 32.
	BufferPoolMiB int

	// MaxConnections is the server's max_connections. 0 means 500.
	MaxConnections int

	// ServerID is the server's id in replication. 0 means the port's number.
	ServerID int

	// Certificate and Key, both PEM, are what the server shows to clients that want TLS.
	// MySQL makes its own where they are empty, which no client can verify; MariaDB has no
	// TLS then.
	Certificate, Key []byte

	// Args are appended to the server's command line, where the last one wins.
	Args []string
}

// Option changes one of the [Options] of a server for a test.
type Option func(*Options)

// WithPort chooses the TCP port instead of a free one.
func WithPort(port int) Option { return func(o *Options) { o.Port = port } }

// WithBinaryLog turns the binary log on.
func WithBinaryLog() Option { return func(o *Options) { o.BinaryLog = true } }

// WithPerformanceSchema turns the performance schema on.
func WithPerformanceSchema() Option { return func(o *Options) { o.PerformanceSchema = true } }

// WithMaxConnections sets the server's max_connections.
func WithMaxConnections(n int) Option { return func(o *Options) { o.MaxConnections = n } }

// WithTLS sets the server's certificate and its key, both PEM.
func WithTLS(certificate, key []byte) Option {
	return func(o *Options) { o.Certificate, o.Key = certificate, key }
}

// WithArgs appends to the server's command line, where the last one wins.
func WithArgs(args ...string) Option {
	return func(o *Options) { o.Args = append(o.Args, args...) }
}

func apply(opts []Option) Options {
	var o Options
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Names of files in an instance's directory.
const (
	dataName   = "data"
	socketName = "s.sock"
	logName    = "server.log"
	certName   = "certificate.pem"
	keyName    = "key.pem"
)

// maxSocketPath is less than what sockaddr_un holds (108 bytes on Linux, 104 elsewhere).
const maxSocketPath = 100

// command is the server's command line.
func (s *Server) command() []string {
	o, inside := s.options, s.inst.inside(s.dir)
	socket := filepath.Join(inside, socketName)
	if len(socket) > maxSocketPath {
		socket = socketName // relative to the data directory
	}
	args := append(s.inst.basics(filepath.Join(inside, dataName)),
		fmt.Sprintf("--port=%d", s.Port),
		"--bind-address=127.0.0.1",
		"--socket="+socket,
		"--pid-file="+filepath.Join(inside, "pid"),
		"--tmpdir="+inside,
		"--skip-name-resolve",
		fmt.Sprintf("--innodb-buffer-pool-size=%dM", def(o.BufferPoolMiB, 32)),
		fmt.Sprintf("--max-connections=%d", def(o.MaxConnections, 500)),
		fmt.Sprintf("--server-id=%d", def(o.ServerID, s.Port)),
		"--table-open-cache=2000", "--table-definition-cache=2000",
		// The log is written at every commit, so that what was acknowledged survives a
		// SIGKILL, but it is never synced.
		"--innodb-flush-log-at-trx-commit=2",
		"--innodb-buffer-pool-dump-at-shutdown=OFF",
		"--innodb-buffer-pool-load-at-startup=OFF",
	)
	if o.PerformanceSchema {
		args = append(args, "--performance-schema=ON")
	} else {
		args = append(args, "--performance-schema=OFF")
	}
	if o.BinaryLog {
		args = append(args, "--log-bin=binlog")
	} else {
		args = append(args, "--skip-log-bin")
	}
	if s.Flavor == FlavorMySQL {
		args = append(args, "--mysqlx=OFF", "--secure-file-priv=NULL")
	}
	if len(o.Certificate) > 0 {
		args = append(args, "--ssl-cert="+filepath.Join(inside, certName), "--ssl-key="+filepath.Join(inside, keyName))
	}
	return append(args, o.Args...)
}

// certify writes what the server's certificate is read from.
func (s *Server) certify() error {
	for name, text := range map[string][]byte{certName: s.options.Certificate, keyName: s.options.Key} {
		if len(text) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o600); err != nil {
			return fmt.Errorf("mysqld: %w", err)
		}
	}
	return nil
}

// basics are the arguments that filling a data directory and running a server on it
// have in common; --no-defaults must be the first.
func (i installation) basics(data string) []string {
	args := []string{
		"--no-defaults", "--datadir=" + data,
		"--innodb-flush-method=nosync",
		// The kernel's aio-max-nr is soon used up on a machine with many servers.
		"--innodb-use-native-aio=OFF",
	}
	if os.Geteuid() == 0 {
		// Not another user: changing credentials would undo the parent-death signal.
		args = append(args, "--user=root")
	}
	if i.flavor == FlavorMariaDB {
		args = append(args, "--innodb-log-file-size=8M")
	} else {
		args = append(args, "--innodb-redo-log-capacity=16M")
	}
	return args
}

func def(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}
