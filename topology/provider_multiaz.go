package topology

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
)

// multiAZCluster asks the three instances of an RDS Multi-AZ DB cluster: a writer, and two readers
// that replicate from it, semi-synchronously, by MySQL's own means. So who is the writer is
// decided as in any replication (succession.go), by what each says of itself, and its readers'
// lag is asked for in turn (provider_replication.go). What differs is that the cluster lists its
// members in a table, which names each by its server_id.
//
// AWS documents no more of that table than how its own drivers use it: the columns id (the
// server_id), endpoint (the instance's) and port; "for reader nodes" SHOW REPLICA STATUS has the
// writer's id in Source_Server_Id, "for a writer node, the query returns no data"; other
// users than the administrator need GRANT SELECT ON mysql.rds_topology
// (https://github.com/aws/aws-advanced-jdbc-wrapper: RdsMultiAzDbClusterMysqlDialect.java,
// docs/using-the-jdbc-driver/SupportForRDSMultiAzDBCluster.md). In failovers its issues report stale
// rows that name the wrong writer: another reason to take them for no more than addresses.
// The same table has the rows of blue/green deployments (bluegreen.go), which there are of single instances
// and of Aurora, not of these clusters: a row of green is nobody's member.
// That at least one reader has each transaction that was acknowledged is in
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/multi-az-db-clusters-concepts.html.
type multiAZCluster struct {
	*replication
	pattern string // fpInstanceHost's, "" = the endpoints as they are listed
	port    string
}

const (
	multiAZName  = "multiAZCluster"
	multiAZView  = "mysql.rds_topology"
	multiAZQuery = "SELECT id, endpoint, port, @@global.version, @@global.read_only, @@global.innodb_read_only, @@global.server_id, " +
		"@@global.hostname, @@global.port, @@global.server_uuid, IF(@@global.gtid_mode LIKE 'ON%', @@global.gtid_executed, '') FROM " + multiAZView
	multiAZIdentity = "SELECT endpoint, @@global.read_only, @@global.innodb_read_only FROM " + multiAZView + " WHERE id = @@global.server_id"
)

func newMultiAZCluster(cfg Config) *multiAZCluster {
	m := &multiAZCluster{replication: newReplication(cfg), pattern: cfg.InstanceHost}
	if host, port, err := net.SplitHostPort(m.pattern); err == nil {
		m.pattern, m.port = host, port
	}
	return m
}

func (*multiAZCluster) Name() string      { return multiAZName }
func (*multiAZCluster) Members() []Member { return nil }

func (m *multiAZCluster) Probe(ctx context.Context, conn Conn, _ string) (Report, error) {
	t, err := ask(ctx, conn, multiAZQuery, 11)
	if err != nil {
		return Report{}, m.explained(err)
	}
	if len(t) == 0 {
		return Report{}, fmt.Errorf("failoverproxy: %s is empty: set fpTopology=dns or static: %w", multiAZView, errUnfit)
	}
	r, err := m.survey(ctx, conn, t[0][3:])
	if err != nil {
		return Report{}, err
	}
	green := 0
	for _, row := range t {
		member, ok := m.member(row[1].text, row[2].text)
		switch {
		case isGreen(row[1].text):
			green++
			continue
		case !ok:
			r.Ignored++
		case !r.has(member.ID):
			r.Members = append(r.Members, member)
		}
		if ok && row[0].text == row[6].text {
			r.ID, r.Addr = member.ID, member.Addr
		}
	}
	if r.ID == "" {
		return Report{}, fmt.Errorf("failoverproxy: %s does not list the server that answers, server_id %s", multiAZView, shownAddr(t[0][6].text))
	}
	if green > 0 && len(r.Members) == 1 {
		return Report{}, fmt.Errorf("failoverproxy: %s has the rows of a blue/green deployment: set fpTopology=dns: %w", multiAZView, errUnfit)
	}
	return r, nil
}

// member is an instance by its endpoint. Endpoints of clusters, which are listed in blue/green
// deployments, are none.
func (m *multiAZCluster) member(endpoint, port string) (Member, bool) {
	host := strings.ToLower(strings.TrimSuffix(endpoint, "."))
	labels := strings.Split(host, ".")
	if len(host) > 253 || slices.ContainsFunc(labels, func(l string) bool { return !validID(l) }) ||
		len(labels) > 1 && strings.HasPrefix(labels[1], "cluster-") {
		return Member{}, false
	}
	if m.pattern != "" {
		host = strings.Replace(m.pattern, "?", labels[0], 1)
	}
	if m.port != "" {
		port = m.port
	}
	return Member{ID: labels[0], Addr: net.JoinHostPort(host, port), Writer: true}, true
}

// Identify tells the instance, and whether it takes writes. As in Probe, it may be listed twice.
func (m *multiAZCluster) Identify(ctx context.Context, conn Conn, _ string) (string, Role, error) {
	t, err := ask(ctx, conn, multiAZIdentity, 3)
	if err != nil {
		return "", Unknown, m.explained(err)
	}
	for _, row := range t {
		if member, ok := m.member(row[0].text, ""); ok {
			return member.ID, takesWrites(row), nil
		}
	}
	return "", Unknown, fmt.Errorf("failoverproxy: %s does not list the server that answers as an instance", multiAZView)
}

// explained says which grant or table is missing.
func (m *multiAZCluster) explained(err error) error {
	switch m.explain(err) {
	case ProblemDenied:
		return fmt.Errorf("failoverproxy: the user may not read %s: GRANT SELECT ON %s, or set fpTopology=dns: %w", multiAZView, multiAZView, err)
	case ProblemNoView:
		return fmt.Errorf("failoverproxy: there is no %s, so this is no Multi-AZ DB cluster: set fpTopology=dns or static: %w", multiAZView, err)
	default:
		return err
	}
}
