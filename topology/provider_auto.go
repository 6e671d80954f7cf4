package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// autoQuery is the one question by which the kinds of clusters are told apart. Of a name that a server
// does not know there is no row.
const autoQuery = "SHOW GLOBAL VARIABLES WHERE Variable_name IN " +
	"('aurora_version', 'aurora_server_id', 'innodb_read_only', 'read_only', 'version', 'version_comment', " +
	"'datadir', 'report_host', 'group_replication_group_name', 'gtid_mode', 'log_bin', 'wsrep_on')"

// providers are the values of fpTopology.
var providers = []string{"auto", "aurora", multiAZName, replicationName, groupName, dnsName, "static"}

// providerOf returns the provider that cfg names, nil for auto.
func providerOf(cfg Config) (Provider, error) {
	switch cfg.Provider {
	case "aurora":
		return newAurora(cfg)
	case replicationName:
		return newReplication(cfg), nil
	case multiAZName:
		return newMultiAZCluster(cfg), nil
	case groupName:
		return newGroup(cfg), nil
	case dnsName:
		return newDNS(cfg)
	case "static":
		return newStatic(cfg), nil
	default:
		return nil, nil //nolint:nilnil // there is none, and nothing is wrong
	}
}

// choose returns the provider that cfg names or, for auto, the one that fits what
// the server at the other end of conn says of itself; with that server's first report.
func choose(ctx context.Context, cfg Config, conn Conn, addr string) (choice, error) {
	p, err := providerOf(cfg)
	switch {
	case err != nil:
		return choice{}, err
	case p == nil:
		return decide(ctx, cfg, conn, addr)
	}
	c := choice{provider: p, why: "fpTopology says so"}
	c.report, err = p.Probe(ctx, conn, addr)
	return c, err
}

// choice is a provider and what led to it.
type choice struct {
	provider Provider
	why      string
	missing  error // why it is not the provider that would fit
	report   Report
}

// decide is choose for auto.
func decide(ctx context.Context, cfg Config, conn Conn, addr string) (choice, error) {
	if c, ok := presume(ctx, cfg, conn, addr); ok {
		return c, nil
	}
	t, err := ask(ctx, conn, autoQuery, 2)
	if err != nil {
		return choice{}, err
	}
	s := sight{cfg: cfg, variables: make(map[string]cell)}
	for _, row := range t {
		s.variables[row[0].text] = row[1]
	}
	c, err := s.fit()
	if err != nil {
		return choice{}, err
	}
	if one, ok := c.provider.(*static); ok {
		c.report = one.report(addr, s.readOnly())
		return c, nil
	}
	if c.report, err = c.provider.Probe(ctx, conn, addr); err == nil {
		return c, nil
	}
	if p := cfg.Explain(err); p != ProblemDenied && p != ProblemNoView && !errors.Is(err, errUnfit) {
		return choice{}, err
	}
	if errors.Is(err, errUnfit) && c.provider.Name() == groupName && len(cfg.Seeds) > 1 {
		return choice{}, err // a member that has not come back to its group takes writes: ask another host
	}
	return s.fallback(ctx, conn, addr, c.why, err)
}

// presume takes a host name that Aurora's clusters have for one, which spares a question if it is:
// programs wait for this at their start. RDS's Multi-AZ DB clusters have such names, too.
func presume(ctx context.Context, cfg Config, conn Conn, addr string) (choice, bool) {
	if e := EndpointOf(addr); e != EndpointCluster && e != EndpointReaders && e != EndpointCustom {
		return choice{}, false
	}
	a, err := newAurora(cfg)
	if err != nil {
		return choice{}, false
	}
	c := choice{provider: a, why: "its endpoint has the form of Aurora's, and it lists its instances as Aurora does"}
	c.report, err = a.Probe(ctx, conn, addr)
	return c, err == nil
}

// fallback is what does without a list of instances. On RDS a name follows the writer.
func (s sight) fallback(ctx context.Context, conn Conn, addr, why string, missing error) (choice, error) {
	one := newStatic(s.cfg)
	c := choice{provider: one, why: why + ", but its instances cannot be listed", missing: missing, report: one.report(addr, s.readOnly())}
	if !s.rds() || !s.oneName() || s.readOnly() {
		return c, nil
	}
	d, err := newDNS(s.cfg)
	if err == nil {
		c.provider = d
		c.report, err = d.Probe(ctx, conn, addr)
	}
	return c, err
}

// sight is what a server says of itself.
type sight struct {
	cfg       Config
	variables map[string]cell
}

func (s sight) readOnly() bool {
	return s.variables["read_only"].on() || s.variables["innodb_read_only"].on()
}

// fit is the provider that fits.
func (s sight) fit() (choice, error) {
	v, server := s.variables, "server is "+shownVersion(s.variables)
	switch {
	case v["aurora_version"].known() || v["aurora_server_id"].known():
		a, err := newAurora(s.cfg)
		return choice{provider: a, why: "server is Aurora " + clean(v["aurora_version"].text, 40)}, err
	case v["group_replication_group_name"].known():
		return choice{provider: newGroup(s.cfg), why: server + " in the replication group " + clean(v["group_replication_group_name"].text, 40)}, nil
	case s.rds() && v["report_host"].known():
		return choice{provider: newMultiAZCluster(s.cfg), why: server + " on RDS and has a report_host, as those of Multi-AZ DB clusters have"}, nil
	case s.rds() && s.oneName() && !s.readOnly():
		d, err := newDNS(s.cfg)
		return choice{provider: d, why: server + " on RDS by itself, so that its name leads to the writer"}, err
	}
	if why := s.replicates(); why != "" {
		return choice{provider: newReplication(s.cfg), why: server + ", one of " + fmt.Sprint(len(s.cfg.Seeds)) + " hosts, and " + why}, nil
	}
	why := server + ", which has no aurora_version"
	if s.variables["wsrep_on"].on() {
		why += ", and is one of a Galera cluster, all of which take writes"
	}
	return choice{provider: newStatic(s.cfg), why: why}, nil
}

// rds reports whether the server is one of RDS, which keeps all data there.
func (s sight) rds() bool { return strings.HasPrefix(s.variables["datadir"].text, "/rdsdbdata/") }

// oneName reports whether there is one host, and that is a name.
func (s sight) oneName() bool {
	host, _, err := net.SplitHostPort(s.cfg.Seeds[0])
	return err == nil && len(s.cfg.Seeds) == 1 && net.ParseIP(host) == nil
}

// replicates is what tells a replication's servers from others that are merely named together: no
// variable names a source, or a replica. "" if nothing does.
func (s sight) replicates() string {
	v := s.variables
	switch {
	case len(s.cfg.Seeds) < 2 || v["wsrep_on"].on():
		return ""
	case v["read_only"].on():
		return "read-only"
	case v["gtid_mode"].on():
		return "has GTIDs on" // they are off by default
	case strings.Contains(v["version"].text, "MariaDB") && v["log_bin"].on():
		return "writes a binary log" // MySQL does by default
	}
	return ""
}

func shownVersion(variables map[string]cell) string {
	v := clean(variables["version"].text, 80)
	if c := variables["version_comment"]; c.known() {
		v += " (" + strings.Trim(clean(c.text, 80), "()") + ")" // which distributions have in brackets
	}
	return v
}

// announce is the first thing that hooks and log are told.
func (c choice) announce() []Event {
	events := []Event{{Kind: ProviderChosen, Detail: c.provider.Name() + ": " + c.why}}
	if c.missing != nil {
		detail := "a failover cannot be followed to hosts that the DSN does not name"
		if c.provider.Name() == dnsName {
			detail = "a failover is followed no sooner than the name leads to the new writer, and there are no readers"
		}
		events = append(events, Event{Kind: Warning, Cause: c.missing, Detail: detail})
	}
	return events
}
