package topology

import "context"

// autoQuery is the one question by which the kinds of clusters are told apart.
const autoQuery = "SHOW GLOBAL VARIABLES WHERE Variable_name IN " +
	"('aurora_version', 'aurora_server_id', 'innodb_read_only', 'read_only', 'version', 'version_comment')"

// choose returns the provider that cfg names or, for auto, the one that fits what
// the server at the other end of conn says of itself; with that server's first report.
func choose(ctx context.Context, cfg Config, conn Conn, addr string) (choice, error) {
	var c choice
	var err error
	switch cfg.Provider {
	case "aurora":
		c.provider, err = newAurora(cfg)
	case replicationName:
		c.provider = newReplication(cfg)
	case multiAZName:
		c.provider = newMultiAZCluster(cfg)
	case groupName:
		c.provider = newGroup(cfg)
	case dnsName:
		c.provider, err = newDNS(cfg)
	case "static":
		c.provider = newStatic(cfg)
	default:
		return decide(ctx, cfg, conn, addr)
	}
	if err != nil {
		return choice{}, err
	}
	c.why = "fpTopology says so"
	c.report, err = c.provider.Probe(ctx, conn, addr)
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
	t, err := ask(ctx, conn, autoQuery, 2)
	if err != nil {
		return choice{}, err
	}
	variables := make(map[string]cell)
	for _, row := range t {
		variables[row[0].text] = row[1]
	}
	version := shownVersion(variables)
	s := newStatic(cfg)
	readOnly := variables["read_only"].on() || variables["innodb_read_only"].on()
	fallback := choice{provider: s, report: s.report(addr, readOnly)}
	if !variables["aurora_version"].known() && !variables["aurora_server_id"].known() {
		fallback.why = "server is " + version + ", which has no aurora_version"
		return fallback, nil
	}
	a, err := newAurora(cfg)
	if err != nil {
		return choice{}, err
	}
	c := choice{provider: a, why: "server is Aurora " + clean(variables["aurora_version"].text, 40)}
	c.report, err = a.Probe(ctx, conn, addr)
	if err == nil {
		return c, nil
	}
	if p := cfg.Explain(err); p == ProblemDenied || p == ProblemNoView {
		fallback.why = c.why + ", but its instances cannot be listed"
		fallback.missing = err
		return fallback, nil
	}
	return choice{}, err
}

func shownVersion(variables map[string]cell) string {
	v := clean(variables["version"].text, 80)
	if c := variables["version_comment"]; c.known() {
		v += " (" + clean(c.text, 80) + ")"
	}
	return v
}

// announce is the first thing that hooks and log are told.
func (c choice) announce() []Event {
	events := []Event{{Kind: ProviderChosen, Detail: c.provider.Name() + ": " + c.why}}
	if c.missing != nil {
		events = append(events, Event{Kind: Warning, Cause: c.missing, Detail: "a failover cannot be followed to hosts that the DSN does not name"})
	}
	return events
}
