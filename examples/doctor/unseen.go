package main

import (
	"net"
	"strings"
)

// checkUnseen says what cannot be known, or is not tried.
func checkUnseen(f *facts) []finding {
	var all []finding
	if f.cfg.InitQuery != "" {
		all = append(all, finding{Level: skip, Check: "init query", Text: "fpInitQuery is not run here, as it may change something", Advice: "run it by hand as this user: if it fails, so does every new connection"})
	}
	var named []string
	for _, host := range f.cfg.Hosts {
		name, _, err := net.SplitHostPort(host)
		if err == nil && net.ParseIP(name) == nil && name != "localhost" {
			named = append(named, name)
		}
	}
	if len(named) == 0 || f.cfg.MySQL.DialFunc != nil {
		return all
	}
	one := finding{Level: skip, Check: "dns", Text: "the time to live of " + strings.Join(named, ", ") + " is not checked: Go's resolver does not tell it"}
	if f.provider == "dns" || f.provider == "static" {
		one.Advice = "dig +noall +answer " + named[0] + " shows it: a failover by name takes as long, so it should be a few seconds"
	}
	return append(all, one)
}
