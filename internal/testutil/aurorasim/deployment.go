package aurorasim

import (
	"fmt"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Deployment is what the simulated instances are to each other.
type Deployment int

const (
	// Aurora is an Aurora MySQL cluster.
	Aurora Deployment = iota
	// MultiAZInstance is an RDS DB instance with a standby: the cluster's endpoint is the
	// instance's one name, and nobody who knows no more than that name reaches the standby
	// before it was promoted and the name leads there (Failover.DNSAfter). Two instances are
	// enough.
	MultiAZInstance
	// MultiAZCluster is an RDS DB cluster of a writer and two readers that replicate from it:
	// mysql.rds_topology lists them, each with the name that it has here, and SHOW REPLICA STATUS
	// says whom a reader replicates from. Its readers are never behind in what they have, as
	// those of Aurora here; Lag is what they say, in whole seconds. Needs a literal upstream.
	MultiAZCluster
)

// relation is a table that instances answer themselves.
type relation struct {
	schema, name string
	columns      []string
}

var (
	hostStatus  = relation{viewSchema, viewName, viewColumns}
	rdsTopology = relation{"mysql", "rds_topology", []string{"id", "endpoint", "port"}}
	blueGreen   = relation{"mysql", "rds_topology", []string{"id", "endpoint", "port", "role", "status", "version"}}
)

func (d Deployment) relation() relation {
	if d == MultiAZCluster {
		return rdsTopology
	}
	return hostStatus
}

// relationIn is the one that a statement names, if any.
func (d Deployment) relationIn(tokens []token) relation {
	if d != MultiAZCluster && fromRelation(tokens, blueGreen) {
		return blueGreen
	}
	return d.relation()
}

// relationRows are the rows of the deployment's relation, as this instance has them now.
func (i *Instance) relationRows(of relation) [][]any {
	var rows [][]any
	if b := i.cluster.deployment.Load(); b != nil && len(of.columns) == len(blueGreen.columns) && of.name == blueGreen.name {
		return b.rows(i.cluster)
	}
	if i.cluster.cfg.Deployment == MultiAZCluster {
		for _, other := range i.cluster.all() {
			rows = append(rows, []any{other.number(), other.host(), int64(i.cluster.cfg.Port)})
		}
		return rows
	}
	for _, r := range i.view() {
		rows = append(rows, r.values())
	}
	return rows
}

// number is the instance's server_id.
func (i *Instance) number() int64 { return 1000000 + int64(i.ip[len(i.ip)-1]) }

func (i *Instance) uuid() string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", i.number()) }

var replicaColumns = []string{
	"Replica_IO_State", "Source_Host", "Source_User", "Source_Port", "Replica_IO_Running", "Replica_SQL_Running", "Last_SQL_Errno",
	"Seconds_Behind_Source", "Source_Server_Id", "Source_UUID",
}

// replicaStatus is the answer to SHOW REPLICA STATUS: a reader follows the newest writer, which
// it is connected to while that runs.
func (i *Instance) replicaStatus() (rows [][]any) {
	i.cluster.mu.Lock()
	source := i.cluster.master
	i.cluster.mu.Unlock()
	i.mu.Lock()
	lag, reads := any(int64(i.lag/time.Second)), !i.writer && !i.believes
	if i.lag < 0 {
		lag = nil
	}
	i.mu.Unlock()
	if !reads || source == i {
		return nil
	}
	receives := "Yes"
	if !source.healthy() || !source.Writer() {
		receives, lag = "Connecting", nil
	}
	return [][]any{{
		"", source.ip.String(), "rdsrepladmin", int64(i.cluster.cfg.Port), receives, "Yes", int64(0), lag, source.number(), source.uuid(),
	}}
}

// answerReplicaStatus answers SHOW REPLICA STATUS here, where instances replicate. False means
// that the statement is something else.
func (c *conn) answerReplicaStatus(j *job) bool {
	tokens := trimEnd(j.text.lex())
	if c.inst.cluster.cfg.Deployment != MultiAZCluster || len(tokens) != 3 ||
		!tokens[0].is("SHOW") || !tokens[1].is("REPLICA") || !tokens[2].is("STATUS") {
		return false
	}
	q := &query{limit: -1}
	for n, column := range replicaColumns {
		q.items = append(q.items, expr{eval: func(f *frame) any { return f.row[n] }, name: column})
	}
	rows := c.inst.replicaStatus()
	var err error
	if j.local, err = c.resultSet(q.columns(rows), rows, j.executed != nil); err != nil {
		j.failure = &wire.Error{Number: 1105, Message: err.Error()}
	}
	return true
}

// rdsVariables are the variables, in lower case, that servers of RDS have each for
// themselves, sorted as SHOW VARIABLES sorts.
func (v variables) rds() [][2]string {
	onOff := "OFF"
	if v.refuses {
		onOff = "ON"
	}
	rows := [][2]string{
		{"datadir", "/rdsdbdata/db/"}, {"hostname", v.hostname}, {"innodb_read_only", "OFF"}, {"read_only", onOff}, {"super_read_only", onOff},
	}
	if v.deployment == MultiAZCluster {
		rows = [][2]string{
			rows[0],
			{"gtid_executed", "00000000-0000-0000-0000-000001000000:1-9"},
			{"gtid_mode", "ON"},
			rows[1],
			rows[2],
			{"port", v.port},
			rows[3],
			{"report_host", v.address},
			{"server_id", v.number},
			{"server_uuid", v.uuid},
			rows[4],
			{"version", "8.0.39"},
			{"version_comment", "Source distribution"},
		}
	}
	return rows
}
