package main

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/topology"
)

// facts are what was learned of a cluster, once. Checks read them and ask nobody.
type facts struct {
	cfg       *driver.Config // the program's own
	processes int
	now       time.Time

	err       error       // why the cluster could not be found
	provider  string      // "" if it could not
	decided   string      // by what it was taken for what it is
	warnings  []string    // what the driver warned of meanwhile
	instances []*instance // those of the snapshot, or else the hosts of the DSN
}

// instance is what one of them said. What it was not asked for, or did not know, is empty.
type instance struct {
	id, addr string
	role     topology.Role
	state    topology.State
	lag      time.Duration
	lagKnown bool

	err       error // why it could not be connected to
	variables map[string]string
	user      string   // as the server knows it: 'app'@'%'
	grants    []string // nil if they are not known
	sources   []source // whom it replicates from
	connects  []time.Duration
	pings     []time.Duration
	clock     clock
	killErr   error                // of KILL QUERY of a connection of one's own
	killed    bool                 // it was tried
	wanted    bool                 // TLS is what the DSN asks for
	tls       *tls.ConnectionState // nil: there was none
}

// clock is how far a server's clock is ahead of this machine's, within ± doubt.
type clock struct {
	known        bool
	ahead, doubt time.Duration
}

// source is one line of a server's replication.
type source struct {
	from                    string
	receives, applies, last string // the threads' states and their last error
}

func (s source) running() bool { return s.receives == "Yes" && s.applies == "Yes" }

// reached reports whether any instance could be connected to.
func (f *facts) reached() bool {
	for _, in := range f.instances {
		if in.err == nil {
			return true
		}
	}
	return false
}

// up are the instances that could be asked.
func (f *facts) up() []*instance {
	var up []*instance
	for _, in := range f.instances {
		if in.err == nil {
			up = append(up, in)
		}
	}
	return up
}

func (in *instance) has(variable string) bool { _, ok := in.variables[variable]; return ok }

// on reports whether a variable is known and on.
func (in *instance) on(variable string) bool {
	v := in.variables[variable]
	return v == "ON" || v == "1"
}

// off reports whether a variable is known and off.
func (in *instance) off(variable string) bool {
	v := in.variables[variable]
	return v == "OFF" || v == "0"
}

// number is a variable's value; 0 if it is not known.
func (in *instance) number(variable string) int {
	n, _ := strconv.Atoi(in.variables[variable])
	return n
}

// seconds is a variable's value; 0 if it is not known.
func (in *instance) seconds(variable string) time.Duration {
	return time.Duration(in.number(variable)) * time.Second
}

func (in *instance) mariaDB() bool { return strings.Contains(in.variables["version"], "MariaDB") }
func (in *instance) aurora() bool  { return in.has("aurora_version") }

// host is the instance's name or address without the port.
func (in *instance) host() string {
	if host, _, err := net.SplitHostPort(in.addr); err == nil {
		return host
	}
	return in.addr
}

// local reports whether what goes to the instance stays on this machine.
func (in *instance) local() bool {
	ip := net.ParseIP(in.host())
	return ip != nil && ip.IsLoopback() || in.host() == "localhost" || strings.HasPrefix(in.addr, "/")
}

// level is what a finding means.
type level string

// The levels.
const (
	ok   level = "ok"
	warn level = "warn"
	fail level = "fail"
	skip level = "skip" // not checked
)

// finding is one thing that a check has to say.
type finding struct {
	Level    level  `json:"level"`
	Check    string `json:"check"`
	Instance string `json:"instance,omitempty"` // "" = the cluster
	Text     string `json:"text"`
	Advice   string `json:"advice,omitempty"` // what to do; "" = nothing
}

// check looks for one kind of trouble. It has at least one finding.
type check func(*facts) []finding

// checks are all of them, in the order of their report.
var checks = []check{
	checkTopology, checkReach, checkRoles, checkLag, checkPrivileges, checkGrants, checkKill, checkTLS, checkClock,
	checkCapacity, checkIdle, checkParameters, checkReplicating, checkVersion, checkLatency, checkUnseen,
}

// each makes the findings of a check that looks at one instance at a time: ok, with that text, where
// there are none.
func (f *facts) each(name, fine string, look func(*instance) []finding) []finding {
	var all []finding
	for _, in := range f.up() {
		found := look(in)
		if len(found) == 0 && fine != "" {
			found = []finding{{Level: ok, Text: fine}}
		}
		for _, one := range found {
			one.Check, one.Instance = name, in.id
			all = append(all, one)
		}
	}
	return all
}
