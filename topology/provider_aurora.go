package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// aurora asks Aurora MySQL's own status table, which every instance has and the
// storage shares: no DNS is waited for.
type aurora struct {
	pattern string // host with one "?" for the instance's id
	port    string
	explain func(error) Problem
}

// Columns of information_schema.replica_host_status are those of the Aurora MySQL
// manual ("Aurora MySQL-specific information_schema tables").
const (
	auroraView  = "information_schema.replica_host_status"
	auroraQuery = "SELECT SERVER_ID, SESSION_ID, LAST_UPDATE_TIMESTAMP, REPLICA_LAG_IN_MILLISECONDS, CPU, " +
		"@@aurora_server_id, @@innodb_read_only FROM " + auroraView
	auroraIdentity = "SELECT @@aurora_server_id, @@innodb_read_only"
	masterSession  = "MASTER_SESSION_ID"
	// Rows of instances that are gone stay for a while; older ones than this, by the
	// newest row's time, are ignored.
	rowLifetime = 3 * time.Minute
)

func newAurora(cfg Config) (*aurora, error) {
	pattern, port := cfg.InstanceHost, ""
	if host, p, err := net.SplitHostPort(pattern); err == nil {
		pattern, port = host, p
	}
	for _, seed := range cfg.Seeds {
		host, p, err := net.SplitHostPort(seed)
		if err != nil {
			continue
		}
		if port == "" {
			port = p
		}
		if pattern == "" {
			pattern = instanceHost(host)
		}
	}
	if pattern == "" {
		return nil, fmt.Errorf("failoverproxy: the names of the cluster's instances cannot be derived from %s: "+
			"set fpInstanceHost, such as ?.abc123.us-east-1.rds.amazonaws.com", strings.Join(cfg.Seeds, ", "))
	}
	if strings.Count(pattern, "?") != 1 {
		return nil, fmt.Errorf("failoverproxy: fpInstanceHost %q: want exactly one ? in the place of the instance's id", pattern)
	}
	return &aurora{pattern: pattern, port: port, explain: cfg.Explain}, nil
}

// instanceHost derives the pattern of instances' host names from an Aurora endpoint:
// NAME.cluster-ID.REGION.…, cluster-ro-, cluster-custom-, or an instance's own. ""
// if host has none of these forms.
func instanceHost(host string) string {
	lower := strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.HasSuffix(lower, ".rds.amazonaws.com") && !strings.HasSuffix(lower, ".rds.amazonaws.com.cn") {
		return ""
	}
	_, rest, ok := strings.Cut(lower, ".")
	if !ok {
		return ""
	}
	for _, prefix := range []string{"cluster-ro-", "cluster-custom-", "cluster-"} {
		if cut, found := strings.CutPrefix(rest, prefix); found {
			return "?." + cut
		}
	}
	return "?." + rest
}

func (*aurora) Name() string      { return "aurora" }
func (*aurora) Members() []Member { return nil }

func (a *aurora) Probe(ctx context.Context, conn Conn, _ string) (Report, error) {
	t, err := ask(ctx, conn, auroraQuery)
	if err != nil {
		return Report{}, a.wrap(err)
	}
	if len(t) == 0 {
		return Report{}, errors.New("failoverproxy: " + auroraView + " is empty")
	}
	r := Report{ID: t[0][5].text, Role: roleOf(t[0][6])}
	var newest, master time.Time
	for _, row := range t {
		at := row[2].timestamp()
		if at.After(newest) {
			newest = at
		}
		if row[1].text == masterSession && at.After(master) {
			master = at
		}
	}
	for _, row := range t {
		m := Member{ID: row[0].text, Updated: row[2].timestamp()}
		if !validID(m.ID) || newest.Sub(m.Updated) > rowLifetime {
			continue
		}
		// After a failover the old writer's row may still say so: the newest counts.
		m.Writer = row[1].text == masterSession && m.Updated.Equal(master)
		if lag, ok := row[3].number(); ok {
			m.Lag, m.LagKnown = time.Duration(lag*float64(time.Millisecond)), true
		}
		m.CPU, _ = row[4].number()
		m.Addr = a.addr(m.ID)
		r.Members = append(r.Members, m)
	}
	return r, nil
}

func (a *aurora) Identify(ctx context.Context, conn Conn, _ string) (string, Role, error) {
	t, err := ask(ctx, conn, auroraIdentity)
	if err != nil {
		return "", Unknown, err
	}
	if len(t) != 1 {
		return "", Unknown, errors.New("failoverproxy: no answer to who the instance is")
	}
	return t[0][0].text, roleOf(t[0][1]), nil
}

func roleOf(readOnly cell) Role {
	if readOnly.null || readOnly.text == "" {
		return Unknown
	}
	if readOnly.on() {
		return Reader
	}
	return Writer
}

func (a *aurora) addr(id string) string {
	return net.JoinHostPort(strings.Replace(a.pattern, "?", id, 1), a.port)
}

// wrap says which grant or view is missing.
func (a *aurora) wrap(err error) error {
	switch a.explain(err) {
	case ProblemDenied:
		return fmt.Errorf("failoverproxy: the user may not read %s: GRANT SELECT ON mysql.* or the rds_superuser_role, "+
			"or set fpTopology=static: %w", auroraView, err)
	case ProblemNoView:
		return fmt.Errorf("failoverproxy: there is no %s, so this is not Aurora MySQL: set fpTopology=static: %w", auroraView, err)
	default:
		return err
	}
}

// validID reports whether id can be an instance's identifier: letters, digits and
// hyphens, at most 63, which is also what a host name's label may be. Anything else
// is never dialled, nor written anywhere.
func validID(id string) bool {
	if id == "" || len(id) > 63 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
