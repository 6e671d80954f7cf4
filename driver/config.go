package driver

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// Config is everything that a DSN can say, as fields: what is the wrapped
// driver's in MySQL, what is failoverproxy's beside it, one field for each
// parameter that begins with "fp" (PoolSize is fpPoolSize).
//
// Start from [NewConfig] or [ParseDSN]: they set the defaults. A field that is
// zero means what its comment says, which is not always the default. A
// connector works on a copy, so a Config may be changed and used again after
// it; it is not safe for concurrent changes.
//
// Fields marked "not supported yet" must keep their default in this version:
// any other value is an error, so that nobody relies on what does not happen.
//
// Printing a Config, with any verb or with log/slog, shows the DSN without the
// password. [Config.FormatDSN] shows the password.
type Config struct {
	// MySQL holds the parameters of every connection: user, password, network,
	// database, TLS and all other settings of the wrapped driver. Its Addr is
	// used only where Hosts is empty. TLS without a ServerName verifies each
	// instance's own name. RejectReadOnly must stay off: failoverproxy classifies
	// read-only answers itself. nil means mysql.NewConfig().
	MySQL *mysql.Config

	// Hosts are the addresses of the DSN in its order: host:port for tcp, a
	// socket's path for unix, anything for a network registered with
	// mysql.RegisterDialContext. Empty means MySQL.Addr, or the wrapped driver's
	// default if that is empty too: 127.0.0.1:3306, /tmp/mysql.sock for unix. A
	// tcp host without a port gets 3306.
	Hosts []string

	// Topology names the way in which the cluster's instances and their roles are
	// found: "auto" (default; "" means the same) asks the server once, "aurora",
	// "multiAZCluster", an RDS Multi-AZ DB cluster, "replication", for which Hosts are
	// a source and its replicas in any order, "groupReplication", for which Hosts are
	// some of the members of a MySQL group, "dns", for which Hosts is one name that
	// leads to the writer, as that of an RDS Multi-AZ instance does, or "static", for
	// which the first of Hosts is the writer and the others are readers.
	Topology string

	// InstanceHost is the host name of a discovered instance with one "?" in place
	// of its id, such as "?.abc123.us-east-1.rds.amazonaws.com", with a port if it
	// is not 3306. "" (default) derives it from an Aurora endpoint in Hosts.
	InstanceHost string

	// Target says where statements go that neither a comment nor the context directs (see
	// [WithTarget]): to the "writer" (default), to a "reader", which refuses
	// what may write, or "auto": autocommit reads that surely have no effect, and READ ONLY
	// transactions, to a reader, all else to the writer, also what is about the server itself
	// (SHOW PROCESSLIST, XA RECOVER). Sessions with autocommit off, or with a
	// SET TRANSACTION that waits for its transaction, stay with the writer. "auto" needs PoolMode
	// "transaction". "", and a DSN without the key, mean "reader" if all Hosts are Aurora's reader
	// endpoints (NAME.cluster-ro-…), else "writer".
	Target string

	// ReaderStrategy picks among readers: "leastLoaded" (default; "" means the same)
	// gives to the one with fewer leases out for its weight of two drawn by lot, faster ones more often,
	// "weighted" by lot with chances by weight, "random" with even chances, "roundRobin"
	// in turn. All of them pass over a reader that has no backend to spare while another one
	// has, give one that is new or back less for its first 30s, a tenth at the beginning, and shun
	// one that has failed three times in a row, for 1s at first and up to 1m if it goes on, unless
	// no other is left.
	ReaderStrategy string

	// ReaderWeights gives readers shares by instance id, from 0 to 1000000, with "leastLoaded"
	// and "weighted". "*" is every other one, those found later included; without it they
	// have 1. A reader with weight 0 is used only if no other is left. nil (default) weighs all
	// alike. An instance that there is not is warned of, once.
	ReaderWeights map[string]int

	// WriterIsReader says when the writer takes what is meant for readers: "onlyIfNoReader"
	// (default; "" means the same), when no reader is up and within MaxReplicaLag; "always", when
	// it takes the same share as each reader; "never", when that waits for a reader, for
	// FailoverTimeout at most. In Target "auto", a read within ReadYourWrites of a write goes to
	// the writer in any case.
	WriterIsReader string

	// MaxReplicaLag is how far a reader may be behind, as reported last, and still get
	// reads. Default 1s; 0 accepts only readers that report no lag at all. One whose lag
	// is not known, or was not reported for three times ProbeInterval (3s at least), gets none.
	MaxReplicaLag time.Duration

	// ReadYourWrites is how long after a session's write its reads stay away from
	// readers, a reader's own lag on top; the writer takes them, if there is one. Default 250ms; 0 = off: a read may miss what
	// its session has just written. See also [WithReadYourWrites].
	ReadYourWrites time.Duration

	// ReadFallback lets a reader within MaxReplicaLag answer autocommit reads without
	// any effect while there is no writer. Default true. It has no effect with PoolMode
	// "session", nor on sessions with autocommit off.
	ReadFallback bool

	// PoolSize is the largest number of backends per instance, idle ones
	// included. Default 25, at least 1. A percentage is one of the server's
	// max_connections, which the first backend of each instance asks for.
	PoolSize Size

	// PoolMinIdle is how many idle backends per instance are kept ready: a number,
	// or a percentage of PoolSize. 0 (default) is none. They are connected from the
	// moment at which the instance is known, and again when they are used up.
	PoolMinIdle Size

	// PoolMaxIdle is how many idle backends per instance are kept at most.
	// Default Percent(100): PoolSize. 0 keeps none, so that every lease dials.
	// PoolMaxIdle.Of(pool size) gives the number.
	PoolMaxIdle Size

	// PoolIdleTimeout closes a backend that lay idle for so long. Default 5m;
	// 0 = never.
	PoolIdleTimeout time.Duration

	// PoolMaxLifetime closes a backend that is so old, ±10%, as soon as it is
	// idle. Default 30m; 0 = never.
	PoolMaxLifetime time.Duration

	// PoolMode says for how long a session keeps its backend: "transaction"
	// (default; "" means the same) until others need it outside of a transaction, or
	// "session" from its first statement until it is closed.
	PoolMode string

	// PinFilter names what does not pin a session though it might: "" (default) is
	// nothing, "excludeVariableSets" is every SET of a variable that cannot be tracked.
	// Then another session may come to see its value.
	PinFilter string

	// SessionReset gives every use out of database/sql's pool a clean session.
	// Default false: a session keeps its state, as with the wrapped driver.
	SessionReset bool

	// BorrowTimeout bounds the wait for a backend while all PoolSize are in use.
	// Default 30s; 0 = no bound but the context's deadline.
	BorrowTimeout time.Duration

	// ConnectConcurrency is how many backends per instance are dialled at once.
	// Default 10, at least 1.
	ConnectConcurrency int

	// InitQuery is run on each new backend, before any session uses it. If it fails, so
	// does the statement that needed the backend. "" (default) is none.
	InitQuery string

	// FailoverTimeout bounds one statement's whole wait for a usable instance, and a
	// program's first one for the cluster to be reached at all.
	// Default 30s; 0 = no bound but the context's deadline.
	FailoverTimeout time.Duration

	// GateSize is how many statements may wait for a usable instance at once.
	// Default 10000; 0 = none: they fail at once with failover.ErrGateFull.
	GateSize int

	// ProbeInterval is the pause of the monitor's steady poll over its one
	// connection. Default 5s, at least 1ms. 0 = off: while all is well the monitor asks nothing
	// and has no connection, and a failover is noticed by the statements that meet it; for
	// programs that run in many copies or stand still, such as Lambda functions. Then Target
	// must be "writer", as nobody knows how far readers are behind.
	ProbeInterval time.Duration

	// ProbeIntervalFast is the pause between polls of all instances while one is
	// suspect. Default 100ms, at least 1ms, at most ProbeInterval and FailoverTimeout.
	ProbeIntervalFast time.Duration

	// ProbeTimeout bounds one probe, its dialling included. Default 1s, at least
	// 1ms, at most FailoverTimeout and StallTimeout. The first connection to the
	// cluster gets ten times as long.
	ProbeTimeout time.Duration

	// StallTimeout is for how long an instance that owes an answer may send nothing at
	// all to any connection before a probe on a fresh one decides whether it lives. The
	// probe begins at this time at the latest, and by a twentieth (5ms at least, 1s at
	// most) before it at the earliest. So a silent death is found within
	// StallTimeout + ProbeTimeout. Default 2s, at least ProbeTimeout; 0 = off.
	StallTimeout time.Duration

	// RetryReads re-executes an autocommit read that met a fault before its first
	// row. Default true.
	RetryReads bool

	// Resume says what happens to a read that met a fault after its first row:
	// "off" (default; "" means the same) is an error. Not supported yet: "verify".
	Resume string

	// TxReplay says what happens to a transaction that met a fault: "off"
	// (default; "" means the same) is failover.ErrTransactionLost. Not supported
	// yet: "verify".
	TxReplay string

	// TxReplayMaxBytes is how much of one transaction, in bytes, is kept for its
	// replay. Default 1 MiB; 0 keeps nothing. Another value than the default is
	// not supported yet.
	TxReplayMaxBytes int64

	// CommitOutcome is the table in which commits are noted, so that a COMMIT in
	// doubt can be resolved. "" (default) is none. Not supported yet.
	CommitOutcome string

	// CancelQuery stops a statement whose context has ended with KILL QUERY, over a
	// connection of its own, and keeps the statement's connection. Default true; false
	// closes the connection, and the server may go on executing. It is false in effect
	// for networks registered with mysql.RegisterDialContext.
	CancelQuery bool

	// PreparedCache is how many prepared statements each backend keeps. Default
	// 256; 0 = prepare on every use.
	PreparedCache int

	// ReaderLatencyWindow lets reads go only to readers whose smoothed round trip
	// is within this of the nearest one's, unless none of these has a backend to spare
	// while another one has. 0 (default) is off. Otherwise each instance is pinged every
	// ProbeInterval, on an idle backend or a new one; one that was not reached yet is used only if
	// no other was.
	ReaderLatencyWindow time.Duration

	// TLSCA is a PEM file with the certificates of those who may sign the servers'
	// certificates, such as the global bundle of RDS. Every connection has TLS then, and
	// verifies the chain against this file, whatever MySQL.TLS has for authorities, and
	// the instance's host name. NewConnector reads the file, and each new connection reads
	// it again when it has changed. While it is broken what it had before stays in force,
	// which is logged once. It does not go with settings that verify less: tls=false,
	// skip-verify and preferred, allowFallbackToPlaintext; nor with sockets, which have no
	// host name. "" (default) leaves TLS to MySQL.TLS and MySQL.TLSConfig.
	TLSCA string

	// FleetMax is the share of each server's max_connections (or of its user's
	// max_user_connections, if there is such a limit) that all processes together may have
	// which log in as the same user, as a percentage from 1% to 100%. Each process finds its part of that by
	// itself, per instance: PoolSize becomes the upper bound of a limit that begins at 1,
	// grows while sessions wait and shrinks, down to 1, while there are too many. What is in
	// use is never closed for that. 0 (default) is off. See docs/fleet.md.
	FleetMax Size

	// FleetSize is the number of processes that share FleetMax evenly: each gets its part of
	// it at once, less one for its monitor. 0 (default; "auto" in a DSN) does without it: each process
	// asks the servers in use how many connections there are, every few seconds over a backend
	// of the pool. It has no use without FleetMax.
	FleetSize int
}

// NewConfig returns a Config with all defaults set, for a server on
// 127.0.0.1:3306.
func NewConfig() *Config {
	c := &Config{MySQL: mysql.NewConfig()}
	for i := range keys {
		keys[i].reset(c)
	}
	return c
}

// Clone returns a deep copy: changes of one are not seen in the other. nil for nil.
func (c *Config) Clone() *Config {
	if c == nil {
		return nil
	}
	d := *c
	d.Hosts = slices.Clone(c.Hosts)
	d.ReaderWeights = maps.Clone(c.ReaderWeights)
	if c.MySQL != nil {
		d.MySQL = c.MySQL.Clone()
		// The wrapped driver's Clone shares a map that is empty.
		d.MySQL.Params = maps.Clone(c.MySQL.Params)
	}
	return &d
}

// multibyte reports whether connections use one of sqlscan.MultibyteCharsets. The wrapped
// driver shows its character sets in its DSN only.
func (c *Config) multibyte() bool {
	_, params, _ := strings.Cut(c.MySQL.FormatDSN(), "?")
	for param := range strings.SplitSeq(params, "&") {
		name, value, _ := strings.Cut(param, "=")
		if name != "charset" && name != "collation" {
			continue
		}
		for _, charset := range sqlscan.MultibyteCharsets {
			if strings.Contains(strings.ToUpper(value), charset) {
				return true
			}
		}
	}
	return false
}

// String returns the DSN with "xxxxx" in place of the password.
func (c Config) String() string {
	if c.MySQL == nil || c.MySQL.Passwd == "" {
		return c.format("")
	}
	return c.format("xxxxx")
}

// GoString is String within the name of the type.
func (c Config) GoString() string { return "driver.Config(" + strconv.Quote(c.String()) + ")" }

// Format prints String with every verb: the fields hold the password.
func (c Config) Format(f fmt.State, verb rune) {
	s := c.String()
	switch {
	case verb == 'v' && f.Flag('#'):
		s = c.GoString()
	case verb == 'q':
		s = strconv.Quote(s)
	}
	_, _ = io.WriteString(f, s) // fmt.State keeps its own errors
}

// LogValue makes log/slog write String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

var (
	_ fmt.Formatter  = (*Config)(nil)
	_ fmt.GoStringer = (*Config)(nil)
	_ fmt.Stringer   = (*Config)(nil)
	_ slog.LogValuer = (*Config)(nil)
)

// Size is a number, or a percentage of a whole that the field's comment names.
// An untyped constant is a number (cfg.PoolSize = 50), [Percent] makes a
// percentage (cfg.PoolSize = driver.Percent(60)).
type Size int

// percentage marks a Size as a percentage. It is above every valid number and
// not negative, so that neither -1 nor a large number can be taken for one.
const percentage Size = 1 << 30

// Percent returns p percent. p outside of 0 to 100 makes a Size that is refused
// where it is used.
func Percent(p int) Size {
	if p < 0 || p > 100 {
		return -1
	}
	return percentage + Size(p)
}

// IsPercent reports whether s is a percentage.
func (s Size) IsPercent() bool { return s >= percentage }

// Of returns the number that s stands for where whole is the whole: s itself, or
// its percentage of whole, rounded up so that only 0% of something is nothing.
func (s Size) Of(whole int) int {
	if !s.IsPercent() {
		return int(s)
	}
	return int((int64(whole)*int64(s-percentage) + 99) / 100)
}

// String returns the form of a DSN: "25" or "60%".
func (s Size) String() string {
	if s.IsPercent() {
		return strconv.Itoa(int(s-percentage)) + "%"
	}
	return strconv.Itoa(int(s))
}
