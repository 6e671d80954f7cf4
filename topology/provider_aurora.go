package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// aurora asks Aurora MySQL's own status table, which every instance has and the
// storage shares: no DNS is waited for.
type aurora struct {
	pattern string // host with one "?" for the instance's id
	port    string
	explain func(error) Problem
	beats   heartbeats
}

// The columns of information_schema.replica_host_status are those of the Aurora MySQL
// reference, "Aurora MySQL-specific information_schema tables". The instance's own
// name and role come with each row, so that one query answers everything.
const (
	auroraName = "aurora"
	// A reader's copy of the table is old when the reader is behind; AWS says to ask the
	// writer, and so does the monitor when there is one.
	auroraView  = "information_schema.replica_host_status"
	auroraQuery = "SELECT SERVER_ID, SESSION_ID, LAST_UPDATE_TIMESTAMP, REPLICA_LAG_IN_MILLISECONDS, CPU, " +
		"@@aurora_server_id, @@innodb_read_only FROM " + auroraView
	auroraIdentity = "SELECT @@aurora_server_id, @@innodb_read_only"
	// masterSession is the SESSION_ID of the writer's row.
	masterSession = "MASTER_SESSION_ID"
	// rowLifetime: rows of instances that are gone stay for a while and get old. One that
	// is written still is not old, whatever the time in it: clocks differ, and jump.
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
	switch {
	case pattern == "":
		return nil, fmt.Errorf("failoverproxy: the host names of the cluster's instances cannot be derived from %s: "+
			"set fpInstanceHost, for example to ?.abc123.us-east-1.rds.amazonaws.com", strings.Join(cfg.Seeds, ", "))
	case strings.Count(pattern, "?") != 1:
		return nil, fmt.Errorf("failoverproxy: fpInstanceHost %q: want exactly one ? in the place of the instance's id, "+
			"as in ?.abc123.us-east-1.rds.amazonaws.com", cfg.InstanceHost)
	case port == "":
		port = "3306"
	}
	return &aurora{pattern: pattern, port: port, explain: cfg.Explain}, nil
}

func (*aurora) Name() string      { return auroraName }
func (*aurora) Members() []Member { return nil }

func (a *aurora) Probe(ctx context.Context, conn Conn, addr string) (Report, error) {
	t, err := ask(ctx, conn, auroraQuery, 7)
	if err != nil {
		return Report{}, a.explained(err)
	}
	if len(t) == 0 {
		// Right after a start the table may be empty.
		return a.alone(ctx, conn, addr)
	}
	r := Report{ID: t[0][5].text, Role: roleOf(t[0][6]), ReadOnly: t[0][6].on()}
	if !validID(r.ID) {
		return Report{}, impossibleID(r.ID)
	}
	r.Addr = a.addr(r.ID)
	a.view(&r, t)
	return r, nil
}

// alone is the report of an instance that sees nobody.
func (a *aurora) alone(ctx context.Context, conn Conn, addr string) (Report, error) {
	id, role, err := a.Identify(ctx, conn, addr)
	if err != nil {
		return Report{}, err
	}
	return Report{ID: id, Addr: a.addr(id), Role: role, ReadOnly: role == Reader}, nil
}

// view makes the report's members of the table's rows.
func (a *aurora) view(r *Report, t table) {
	var now, newest time.Time // of the answering instance's row; of the newest writer's
	for _, row := range t {
		at := row[2].timestamp()
		if row[0].text == r.ID {
			now = later(now, at)
		}
		if row[1].text == masterSession {
			newest = later(newest, at)
		}
	}
	if now.IsZero() {
		for _, row := range t {
			now = later(now, row[2].timestamp())
		}
	}
	for _, row := range t {
		m := Member{ID: row[0].text, Updated: row[2].timestamp()}
		if !validID(m.ID) {
			r.Ignored++
			continue
		}
		// After a failover the old writer's row says the same for a while: the newest is
		// right. Ages are taken by the table's own time, as no other is known to agree.
		wrote := row[1].text == masterSession
		m.Writer = wrote && m.Updated.Equal(newest) && !r.namesWriter()
		if m.ID == r.ID && wrote {
			r.Proof = m.Updated
		}
		beats := a.beats.goOn(m.ID, m.Updated)
		old := now.Sub(m.Updated) > rowLifetime && !beats
		if m.ID != r.ID && !m.Writer && old || r.has(m.ID) {
			continue
		}
		m.Lag, m.LagKnown = row[3].duration(time.Millisecond)
		m.CPU, _ = row[4].number()
		m.Addr = a.addr(m.ID)
		r.Members = append(r.Members, m)
	}
}

func (r *Report) has(id string) bool {
	return slices.ContainsFunc(r.Members, func(m Member) bool { return m.ID == id })
}

func (r *Report) namesWriter() bool {
	return slices.ContainsFunc(r.Members, func(m Member) bool { return m.Writer })
}

func (a *aurora) Identify(ctx context.Context, conn Conn, _ string) (string, Role, error) {
	row, err := askOne(ctx, conn, auroraIdentity, 2)
	if err != nil {
		return "", Unknown, err
	}
	if !validID(row[0].text) {
		return "", Unknown, impossibleID(row[0].text)
	}
	return row[0].text, roleOf(row[1]), nil
}

func impossibleID(id string) error {
	return errors.New("failoverproxy: the server gives itself " + shownID(id))
}

func roleOf(readOnly cell) Role {
	switch {
	case !readOnly.known():
		return Unknown
	case readOnly.on():
		return Reader
	default:
		return Writer
	}
}

func (a *aurora) addr(id string) string {
	return net.JoinHostPort(strings.Replace(a.pattern, "?", id, 1), a.port)
}

// explained says which grant or view is missing.
func (a *aurora) explained(err error) error {
	switch a.explain(err) {
	case ProblemDenied:
		return fmt.Errorf("failoverproxy: the user may not read %s: %s, or set fpTopology=static: %w", auroraView, auroraGrant, err)
	case ProblemNoView:
		return fmt.Errorf("failoverproxy: there is no %s, so this is not Aurora MySQL: set fpTopology=static, or auto: %w", auroraView, err)
	default:
		return err
	}
}

// auroraGrant is what reading the view may take beyond being able to log in. Which of
// them a version of Aurora wants is in its own error, which follows.
const auroraGrant = "it lacks GRANT SELECT on what the server's error names, or GRANT PROCESS, REPLICATION CLIENT ON *.*"
