package topology

import (
	"context"
	"log/slog"
)

// autoQuery is the one question by which the kinds of clusters are told apart. The
// pattern lists what later providers will want to know, too.
const autoQuery = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('aurora_version', 'aurora_server_id', 'innodb_read_only', 'read_only', 'version')"

// choose returns the provider that cfg names or, for auto, the one that fits what the
// server at the other end of conn says of itself; and what that server, which was asked
// for at addr, sees of the cluster.
func choose(ctx context.Context, cfg Config, conn Conn, addr string) (Provider, Report, error) {
	switch cfg.Provider {
	case "aurora":
		a, err := newAurora(cfg)
		if err != nil {
			return nil, Report{}, err
		}
		return probed(ctx, a, conn, addr)
	case "static":
		return probed(ctx, newStatic(cfg), conn, addr)
	}
	t, err := ask(ctx, conn, autoQuery)
	if err != nil {
		return nil, Report{}, err
	}
	variables := make(map[string]string)
	for _, row := range t {
		if len(row) == 2 {
			variables[row[0].text] = row[1].text
		}
	}
	return decide(ctx, cfg, conn, addr, variables)
}

func probed(ctx context.Context, p Provider, conn Conn, addr string) (Provider, Report, error) {
	r, err := p.Probe(ctx, conn, addr)
	return p, r, err
}

// decide is choose for auto.
func decide(ctx context.Context, cfg Config, conn Conn, addr string, variables map[string]string) (Provider, Report, error) {
	say := func(p Provider, why string) {
		cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "failoverproxy: topology chosen",
			slog.String("topology", p.Name()), slog.String("because", why), slog.String("server", variables["version"]))
	}
	why := "the server has no aurora_version"
	if variables["aurora_version"] != "" || variables["aurora_server_id"] != "" {
		a, err := newAurora(cfg)
		if err != nil {
			return nil, Report{}, err
		}
		r, err := a.Probe(ctx, conn, addr)
		if err == nil {
			say(a, "aurora_version "+variables["aurora_version"])
			return a, r, nil
		}
		if p := cfg.Explain(err); p != ProblemDenied && p != ProblemNoView {
			return nil, Report{}, err
		}
		cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "failoverproxy: this is Aurora, but its instances cannot be listed: failovers will be followed by the DSN's hosts alone",
			slog.String("error", err.Error()))
		why = "the status table cannot be read"
	}
	s := newStatic(cfg)
	say(s, why)
	return probed(ctx, s, conn, addr)
}
