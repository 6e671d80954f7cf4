package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// checkIdle compares how long connections lie idle here with how long servers let them.
func checkIdle(f *facts) []finding {
	return f.each("idle", "", func(in *instance) []finding {
		ends := in.seconds("wait_timeout")
		if ends == 0 {
			return []finding{{Level: skip, Text: "wait_timeout is not known"}}
		}
		most, key := f.idle()
		one := finding{Level: ok, Text: fmt.Sprintf("wait_timeout %s, %s %s", ends, key, most)}
		if i := in.seconds("interactive_timeout"); i > 0 && i <= most {
			one.Text += fmt.Sprintf("; interactive_timeout (%s) does not count, as no program's connection is interactive", i)
		}
		switch {
		case ends <= f.cfg.ProbeInterval:
			one.Level, one.Text = fail, fmt.Sprintf("wait_timeout %s, fpProbeInterval %s: the server ends the monitor's connection between polls", ends, f.cfg.ProbeInterval)
		case ends <= most:
			one.Level, one.Text = fail, fmt.Sprintf("wait_timeout %s, %s %s: the server ends idle connections before the pool does, and each is found out by the statement that needs it", ends, key, most)
		default:
			return []finding{one}
		}
		one.Advice = fmt.Sprintf("fpPoolIdleTimeout=%s; or %s", max(ends/2, time.Second), in.set("wait_timeout", fmt.Sprint(int(2*most/time.Second))))
		return []finding{one}
	})
}

// idle is how long a connection of the pool may lie idle, and by which key.
func (f *facts) idle() (time.Duration, string) {
	idle, life := f.cfg.PoolIdleTimeout, f.cfg.PoolMaxLifetime+f.cfg.PoolMaxLifetime/10
	if idle > 0 && (life == 0 || idle <= life) {
		return idle, "fpPoolIdleTimeout"
	}
	return cmp.Or(life, 365*24*time.Hour), "fpPoolMaxLifetime with its 10%"
}

// errorsEnough is a max_connect_errors that a failover's broken connections do not reach.
const errorsEnough = 1000

// checkParameters looks at what hurts on any server.
func checkParameters(f *facts) []finding {
	return f.each("parameters", "nothing that hurts", func(in *instance) []finding {
		var all []finding
		say := func(l level, text, advice string) { all = append(all, finding{Level: l, Text: text, Advice: advice}) }
		if in.off("skip_name_resolve") {
			say(warn, "skip_name_resolve is off: the server looks up the name of each client's address, and a slow resolver delays every new connection",
				in.configured("skip_name_resolve", "ON")+", with users made for addresses or '%'")
			if n := in.number("max_connect_errors"); n > 0 && n < errorsEnough {
				say(warn, fmt.Sprintf("max_connect_errors is %d: after so many broken connections of a host in a row, as failovers make them, the server blocks it (1129)", n),
					in.set("max_connect_errors", "1000000"))
			}
		}
		if !in.has("session_track_state_change") && len(in.variables) > 0 {
			say(warn, "there is no session_track_state_change: what stored routines do to a session is not seen", "use a server that has it: MySQL since 5.7, MariaDB since 10.2")
		}
		if in.off("autocommit") {
			say(warn, "autocommit is off: each first statement opens a transaction, which holds its connection until COMMIT, and readers get no reads",
				in.set("autocommit", "ON")+"; or autocommit=1 in the DSN")
		}
		if c := in.variables["init_connect"]; c != "" {
			say(warn, "init_connect runs on each new connection: "+oneLine(c)+": its changes are unknown to sessions, and if it fails the connection is closed",
				"put it into fpInitQuery, or what it sets into the DSN, and "+in.set("init_connect", "''"))
		}
		if in.on("innodb_read_only") && !in.aurora() {
			say(warn, "innodb_read_only is on: it can never be promoted", "start it without")
		}
		return all
	})
}

// configured is how a variable is set that cannot be set while the server runs.
func (in *instance) configured(variable, value string) string {
	if strings.HasSuffix(in.set(variable, value), "parameter group") {
		return in.set(variable, value)
	}
	return fmt.Sprintf("%s=%s in the server's configuration file, and a restart", variable, value)
}

// checkReplicating looks at what a server needs that may have to be the source tomorrow.
func checkReplicating(f *facts) []finding {
	if f.provider != "replication" {
		return nil
	}
	return f.each("replication", "has a binary log and GTIDs, and logs what it applies", func(in *instance) []finding {
		var all []finding
		say := func(text, advice string) { all = append(all, finding{Level: warn, Text: text, Advice: advice}) }
		if in.off("log_bin") {
			say("has no binary log: nobody can replicate from it once it is the writer", in.configured("log_bin", "binlog"))
		}
		if in.has("gtid_mode") && in.variables["gtid_mode"] != "ON" {
			say("gtid_mode is "+in.variables["gtid_mode"]+": of two that claim to be the writer nobody can tell who has all transactions", "SET PERSIST gtid_mode in its steps, up to ON")
		}
		if !in.off("log_bin") && (in.off("log_replica_updates") || !in.has("log_replica_updates") && in.off("log_slave_updates")) {
			name := "log_replica_updates"
			if !in.has(name) {
				name = "log_slave_updates"
			}
			say(name+" is off: after its promotion others cannot get from it what it had from its source", in.configured(name, "ON"))
		}
		return all
	})
}
