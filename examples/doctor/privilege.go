package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// grant is what the driver says is missing.
var grant = regexp.MustCompile(`GRANT [A-Z, ]+ ON [\w*]+\.[\w*]+`)

// checkPrivileges has what the driver complained of. Nobody knows better what its monitor needs.
func checkPrivileges(f *facts) []finding {
	complaints := slices.Clone(f.warnings)
	if f.err != nil && grant.MatchString(f.err.Error()) {
		complaints = append(complaints, f.err.Error())
	}
	var all []finding
	for _, text := range complaints {
		one := finding{Level: warn, Check: "privileges", Text: oneLine(text)}
		if missing := grant.FindString(text); missing != "" {
			one.Level, one.Advice = fail, missing+" TO "+f.user()+";"
		}
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	if len(all) == 0 && f.err == nil {
		all = append(all, finding{Level: ok, Check: "privileges", Text: "the monitor may ask all that fpTopology=" + f.provider + " asks"})
	}
	return all
}

// user is the DSN's, as a server knows it.
func (f *facts) user() string {
	for _, in := range f.up() {
		return in.user
	}
	return "'" + f.cfg.MySQL.User + "'@'%'"
}

// powers are the privileges whose owner may write to a server that is read_only.
var powers = regexp.MustCompile(`\b(?:ALL PRIVILEGES ON \*\.\*|(?:SUPER|CONNECTION_ADMIN|READ[ _]ONLY ADMIN)\b)`)

// checkGrants looks for a user whom read_only does not stop: an old writer that was made read-only
// would take its writes.
func checkGrants(f *facts) []finding {
	if !f.fails() || len(f.instances) < 2 {
		return nil
	}
	return f.each("user", "is stopped by read_only", func(in *instance) []finding {
		if in.aurora() {
			return []finding{{Level: ok, Text: "no user can write to a reader of Aurora"}}
		}
		if in.grants == nil {
			return []finding{{Level: skip, Text: "the user's grants cannot be seen"}}
		}
		for _, line := range in.grants {
			found := powers.FindString(line)
			if found == "" || in.on("super_read_only") || in.mariaDB() && found == "SUPER" && in.separate() {
				continue
			}
			return []finding{{
				Level: warn, Text: "has " + strings.TrimSuffix(found, " ON *.*") + ": read_only does not stop it, so that an old writer would go on taking its writes",
				Advice: "use another user, with privileges on its own schema, for the program",
			}}
		}
		return nil
	})
}

// separate reports whether a MariaDB stops SUPER by read_only, as it does since 10.11.
func (in *instance) separate() bool { return !older(in.variables["version"], 10, 11) }

// checkKill tells whether statements whose context ends can be stopped on the server.
func checkKill(f *facts) []finding {
	if !f.cfg.CancelQuery {
		return nil
	}
	return f.each("kill", "KILL QUERY of its own statements is permitted", func(in *instance) []finding {
		switch {
		case in.killErr == nil:
			return nil
		case errors.Is(in.killErr, errElsewhere):
			return []finding{{
				Level: warn, Text: errElsewhere.Error() + ", so that KILL QUERY was not tried, and the driver will not always have it: a cancelled statement may cost its connection",
				Advice: "name the servers themselves in the DSN, not what spreads connections over them",
			}}
		}
		one := finding{
			Level: warn, Text: "KILL QUERY of a connection of its own fails: " + oneLine(in.killErr.Error()),
			Advice: "set fpCancelQuery=off: a cancelled statement then costs its connection, and goes on running on the server",
		}
		if said, is := errors.AsType[*mysql.MySQLError](in.killErr); is && said.Number == 1094 {
			one.Text += " (there is a proxy between, which gives connections numbers of its own)"
		}
		return []finding{one}
	})
}
