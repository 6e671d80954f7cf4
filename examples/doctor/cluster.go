package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/topology"
)

// writer is the writer, nil if there is none to use.
func (f *facts) writer() *instance {
	for _, in := range f.instances {
		if in.role == topology.Writer && in.state == topology.StateUp {
			return in
		}
	}
	return nil
}

// fails reports whether the cluster is one that has failovers which the driver follows by itself.
func (f *facts) fails() bool {
	return f.provider != "" && f.provider != "static" && f.provider != "dns"
}

func checkTopology(f *facts) []finding {
	one := finding{Level: ok, Check: "topology", Text: f.decided}
	switch {
	case f.err != nil:
		one.Level, one.Text = fail, oneLine(f.err.Error())
		one.Advice = "what each host of the DSN says follows"
	case f.provider == "static" && len(f.instances) > 1:
		one.Level = warn
		one.Advice = "no failover is followed: the first host is taken for the writer, always. Name the topology if it is another one: fpTopology=replication, say"
	}
	return []finding{one}
}

func checkReach(f *facts) []finding {
	var all []finding
	for _, in := range f.instances {
		if in.err != nil {
			text := oneLine(in.err.Error())
			if !strings.Contains(text, in.addr) {
				text = in.addr + ": " + text
			}
			all = append(all, finding{fail, "connect", in.id, text, remedy(in)})
		}
	}
	if len(all) == 0 && len(f.instances) > 0 {
		all = append(all, finding{Level: ok, Check: "connect", Text: "each instance can be connected to: " + counted(len(f.instances), "instance")})
	}
	return all
}

// remedy is what helps against an error of a connect. What has to do with TLS is in tls.go.
func remedy(in *instance) string {
	if advice := tlsRemedy(in); advice != "" {
		return advice
	}
	if said, is := errors.AsType[*mysql.MySQLError](in.err); is {
		switch said.Number {
		case 1045, 1698:
			return "user or password are wrong for this host, or the user must have TLS (REQUIRE SSL): then add tls=true or fpTLSCA"
		case 1044, 1049:
			return "the database of the DSN does not exist there, or the user may not use it"
		case 1040, 1203, 1226:
			return "there is no room for another connection: raise max_connections, or see that programs hold fewer"
		case 1129:
			return "the server has blocked this host after too many broken connections: FLUSH HOSTS; and raise max_connect_errors"
		case 1130:
			return "no user of the server may come from this host: CREATE USER with a host that fits, '%' say"
		case 3159:
			return "the server wants TLS: add tls=true or fpTLSCA to the DSN"
		}
		return "the server refused for the reason given"
	}
	if dns, is := errors.AsType[*net.DNSError](in.err); is && dns.IsNotFound {
		return "the name does not exist, as seen from here: if it is made by fpInstanceHost, set that right; else look at the network's resolver"
	}
	if wait, is := errors.AsType[net.Error](in.err); errors.Is(in.err, context.DeadlineExceeded) || is && wait.Timeout() {
		return "no answer: let security groups and firewalls admit this host to the port of every instance, not of the endpoint only"
	}
	if errors.Is(in.err, syscall.ECONNREFUSED) {
		return "nobody listens there: is the server up, and the port right?"
	}
	return ""
}

func checkRoles(f *facts) []finding {
	if f.err != nil {
		return nil
	}
	var all []finding
	w := f.writer()
	if w == nil {
		all = append(all, finding{fail, "writer", "", "there is no writer: " + f.states(), "writes wait for fpFailoverTimeout and fail; see what the instances say of themselves"})
	} else {
		all = append(all, finding{Level: ok, Check: "writer", Instance: w.id, Text: "is the writer, at " + w.addr})
	}
	readers := 0
	for _, in := range f.instances {
		if in.role == topology.Writer { // or it was, and is down
			continue
		}
		readers++
		if in.err == nil {
			all = append(all, f.readOnly(in))
		}
		if in.state == topology.StateDown && in.err == nil {
			all = append(all, finding{warn, "readers", in.id, "the monitor could not use it, though it can be connected to", "run the doctor again; if it stays, see the topology's warnings"})
		}
	}
	if readers == 0 && f.fails() {
		all = append(all, finding{warn, "readers", "", "the writer is the only instance: a failover has nobody to go to, reads nowhere else", "add a reader"})
	}
	return all
}

func (f *facts) states() string {
	var each []string
	for _, in := range f.instances {
		each = append(each, fmt.Sprintf("%s %s %s", in.id, in.role, in.state))
	}
	return strings.Join(each, ", ")
}

// readOnly looks at an instance that is not the writer.
func (f *facts) readOnly(in *instance) finding {
	one := finding{Level: ok, Check: "readers", Instance: in.id, Text: "refuses writes"}
	switch {
	case !in.off("read_only") || in.on("innodb_read_only"):
	case f.provider == "groupReplication" && in.off("group_replication_single_primary_mode"), in.on("wsrep_on"):
		one.Text = "takes writes, as all of its kind do"
	default:
		one.Level, one.Text = warn, "takes writes, though it is not the writer: what goes there by mistake is lost or breaks replication"
		if f.fails() {
			one.Level = fail
			one.Text += "; in a failover it claims to be the writer"
		}
		one.Advice = in.set("super_read_only", "ON")
		if in.mariaDB() {
			one.Advice = in.set("read_only", "ON")
		}
	}
	return one
}

// set is how a variable is set for good on that server.
func (in *instance) set(variable, value string) string {
	switch {
	case in.aurora() || strings.HasPrefix(in.variables["datadir"], "/rdsdbdata/"):
		return fmt.Sprintf("%s=%s in the parameter group", variable, value)
	case in.mariaDB():
		return fmt.Sprintf("SET GLOBAL %s = %s; and %s=%s in the server's configuration file", variable, value, variable, value)
	}
	return fmt.Sprintf("SET PERSIST %s = %s;", variable, value)
}

// A reader that is behind by more than this is in trouble, whatever fpMaxReplicaLag says.
const hopeless = 30 * time.Second

func checkLag(f *facts) []finding {
	most := f.cfg.MaxReplicaLag
	return f.each("lag", "", func(in *instance) []finding {
		if in.role != topology.Reader || f.err != nil {
			return nil
		}
		for _, s := range in.sources {
			if !s.running() {
				return []finding{{
					Level:  fail,
					Text:   strings.TrimSuffix(fmt.Sprintf("replication from %s does not run: receiver %s, applier %s: %s", s.from, s.receives, s.applies, oneLine(s.last)), ": "),
					Advice: "repair it on that server (" + in.restart() + "): it gets no reads, and must not be promoted",
				}}
			}
		}
		switch {
		case !in.lagKnown && !f.fails():
			return []finding{{Level: skip, Text: "fpTopology=" + f.provider + " knows no lag, so that it gets no reads"}}
		case !in.lagKnown:
			return []finding{{Level: fail, Text: "its lag is not known, so that it gets no reads", Advice: "see privileges; else whether its replication runs"}}
		case in.lag > max(hopeless, most):
			return []finding{{Level: fail, Text: fmt.Sprintf("is %s behind", in.lag.Round(time.Millisecond)), Advice: "find out why; it gets no reads, and what it lacks would delay a failover"}}
		case in.lag > most:
			return []finding{{
				Level: warn, Text: fmt.Sprintf("is %s behind, more than fpMaxReplicaLag (%s): it gets no reads now", in.lag.Round(time.Millisecond), most),
				Advice: "if that is often so and reads may be as old, raise fpMaxReplicaLag",
			}}
		}
		return []finding{{Level: ok, Text: fmt.Sprintf("is %s behind, at most fpMaxReplicaLag (%s)", in.lag.Round(time.Millisecond), most)}}
	})
}

// restart is what starts a replica's threads.
func (in *instance) restart() string {
	if in.mariaDB() {
		return "START ALL SLAVES, after its cause is gone"
	}
	return "START REPLICA, after its cause is gone"
}
