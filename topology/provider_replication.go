package topology

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// replication asks servers of MySQL's or MariaDB's own replication, which the DSN names,
// all of them. Who is the writer is decided in succession.go.
//
// While all is well the writer is polled, over the monitor's one connection. It does
// not know how far its replicas are behind, and not whether one was promoted
// behind its back, so at each poll half of them are asked, too, in turn, each over a
// connection that is closed after it: of two replicas one, so that there is at no time more
// than one connection beside the writer's. In a failover all are asked, all the time.
//
// Servers tell their lag in whole seconds, rounded down, and only that of what they have
// received. The lag of one that lost its source is not known to itself; see lineage.go.
type replication struct {
	seeds   []string
	explain func(error) Problem

	mu    sync.Mutex
	known map[string]Server // who answered last at each address
}

const (
	replicationName = "replication"
	// One question for both families: each runs the comments that are meant for it. The
	// names of variables that only one has would be an error in the other.
	// super_read_only implies read_only.
	replicationIdentity = "SELECT @@version, @@global.read_only, @@global.innodb_read_only, @@global.server_id, @@global.hostname, @@global.port " +
		"/*!50701 , @@global.server_uuid */ /*M! , '' */"
	// Transactions count only where all have GTIDs: MySQL keeps the set when they are turned
	// off. What a MariaDB replica applied is in its binary log only with log_slave_updates.
	replicationQuery = "SELECT @@version, @@global.read_only, @@global.innodb_read_only, @@global.server_id, @@global.hostname, @@global.port " +
		"/*!50701 , @@global.server_uuid, IF(@@global.gtid_mode LIKE 'ON%', @@global.gtid_executed, '') */ " +
		"/*M! , '', CONCAT_WS(',', @@global.gtid_binlog_state, @@global.gtid_slave_pos) */"
	replicaStatus  = "SHOW REPLICA STATUS"
	slaveStatus    = "SHOW SLAVE STATUS"      // of MySQL before 8.0.22
	allSlaveStatus = "SHOW ALL SLAVES STATUS" // of MariaDB, which has one for each source
)

func newReplication(cfg Config) *replication {
	return &replication{seeds: cfg.Seeds, explain: cfg.Explain, known: make(map[string]Server)}
}

func (*replication) Name() string { return replicationName }

// Members are the hosts of the DSN, each of which may be the writer.
func (r *replication) Members() []Member {
	members := make([]Member, len(r.seeds))
	for i, seed := range r.seeds {
		members[i] = Member{ID: seed, Addr: seed, Writer: true}
	}
	return members
}

// Probe asks the server for its name, its role, its transactions and its sources. Where
// the user may not ask for the sources, the role is that of read_only alone.
func (r *replication) Probe(ctx context.Context, conn Conn, addr string) (Report, error) {
	row, err := askOne(ctx, conn, replicationQuery, 8)
	if err != nil {
		return Report{}, err
	}
	r.mu.Lock()
	r.known[addr] = selfOf(row)
	r.mu.Unlock()
	report, err := r.survey(ctx, conn, row)
	report.ID = addr
	return report, err
}

// survey makes the report of a server, but for its id, from what it says of itself (the
// columns of replicationQuery) and from its sources, for which it asks.
func (r *replication) survey(ctx context.Context, conn Conn, row []cell) (Report, error) {
	report := Report{Role: takesWrites(row), Lineage: &Lineage{Self: selfOf(row), History: row[7].text}}
	report.ReadOnly = report.Role == Reader
	sources, err := askNamed(ctx, conn, sourceQuery(row))
	if err != nil && r.explain(err) == ProblemDenied {
		report.Partial = fmt.Errorf("failoverproxy: the user may not see the state of replication, so that lag is not known, and roles are taken from "+
			"read_only alone: GRANT %s ON *.*: %w", sourceGrant(row), err)
		return report, nil
	}
	if err != nil {
		return Report{}, err
	}
	report.replicate(sources)
	return report, nil
}

// Identify tells where the address leads to another server than the one that the monitor
// found there. That a server takes writes makes it no writer, so only a reader's
// role is certain.
func (r *replication) Identify(ctx context.Context, conn Conn, addr string) (string, Role, error) {
	row, err := askOne(ctx, conn, replicationIdentity, 7)
	if err != nil {
		return "", Unknown, err
	}
	role := takesWrites(row)
	if role == Writer {
		role = Unknown
	}
	r.mu.Lock()
	known, ok := r.known[addr]
	r.mu.Unlock()
	if self := selfOf(row); ok && !known.same(self) {
		return "server-" + self.Number, role, nil
	}
	return "", role, nil
}

// takesWrites is a server's role by its own variables.
func takesWrites(row []cell) Role {
	if row[1].on() || row[2].on() {
		return Reader
	}
	return roleOf(row[1])
}

func selfOf(row []cell) Server {
	return Server{UUID: strings.ToLower(row[6].text), Number: row[3].text, Addr: net.JoinHostPort(row[4].text, row[5].text)}
}

// sourceQuery is the statement by which a server lists its sources.
func sourceQuery(row []cell) string {
	switch {
	case row[6].text == "":
		return allSlaveStatus
	case older(row[0].text, 8, 0, 22):
		return slaveStatus
	}
	return replicaStatus
}

// sourceGrant is the privilege that it takes. MariaDB 10.5 made one of its own for it.
func sourceGrant(row []cell) string {
	if row[6].text == "" && !older(row[0].text, 10, 5, 0) {
		return "SLAVE MONITOR"
	}
	return "REPLICATION CLIENT"
}

// older reports whether a version comes before another one. One that cannot be read does not.
func older(version string, major, minor, patch int) bool {
	var a, b, c int
	_, err := fmt.Sscanf(version, "%d.%d.%d", &a, &b, &c)
	return err == nil && (a*100+b)*1000+c < (major*100+minor)*1000+patch
}

// modern gives the columns of SHOW REPLICA STATUS the names that MySQL has now.
var modern = strings.NewReplacer("Master", "Source", "Slave", "Replica")

// replicate takes the sources that the server is replicating from, and the largest lag
// behind one of them. One whose applier failed, and whose receiver gave up on a source that
// is dead, has no thread at work either, but was not promoted: it is a replica until that
// error is reset.
func (r *Report) replicate(channels []map[string]cell) {
	r.LagKnown = true
	for _, c := range channels {
		host, receives, applies := c["Source_Host"], c["Replica_IO_Running"].text, c["Replica_SQL_Running"].text
		failed := c["Last_SQL_Errno"].known() && c["Last_SQL_Errno"].text != "0"
		// MySQL's group replication has channels without a host.
		if host.text == "" || receives == "No" && applies == "No" && !failed {
			continue
		}
		r.Lineage.Sources = append(r.Lineage.Sources, Server{
			UUID: strings.ToLower(c["Source_UUID"].text), Number: c["Source_Server_Id"].text,
			Addr: net.JoinHostPort(host.text, c["Source_Port"].text),
		})
		lag, known := c["Seconds_Behind_Source"].duration(time.Second)
		r.Lag, r.LagKnown = max(r.Lag, lag), r.LagKnown && known && receives == "Yes" && applies == "Yes"
		if receives != "Yes" && receives != "No" && applies == "Yes" {
			r.Lineage.Adrift = true
		}
	}
	if !r.LagKnown || len(r.Lineage.Sources) == 0 {
		r.Lag, r.LagKnown = 0, false
	}
}
