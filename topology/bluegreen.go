package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Blue/green deployments of RDS
//
// A blue/green deployment is a second cluster, green, that replicates from the one in use, blue,
// until a switchover: blue takes no more writes, the connections to both are dropped, green
// catches up, takes over blue's names and, last, writes. Names follow in DNS much later than
// that, so that who waits for them waits for nothing, or works on with blue.
//
// What there is to know is in mysql.rds_topology, a row for blue's endpoint and one for green's
// while a deployment exists. AWS documents the steps and the names
// (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/blue-green-deployments-switching.html:
// NAME-green-abc123 becomes NAME, NAME becomes NAME-old1) and of the table what its own
// drivers do with it: columns, roles, statuses, the grant, that the rows of blue end "after BGD is
// completed", and that they may be behind each other
// (https://github.com/aws/aws-advanced-jdbc-wrapper: UsingTheBlueGreenPlugin.md,
// BlueGreenStatusMonitor.java, BlueGreenStatusProvider.java, whose sample log has 7 s from
// IN_PROGRESS to POST, 18 s more to green's new names, 31 s to blue's in DNS, 126 s to the end of
// green's old ones).
//
// This file is what is made of the rows, and it is pure: what is known, and a sighting, make
// what is known next. What is done about it is in switchover.go, where one finds what in route.go.
//
//   - A phase counts as soon as anybody sees it. Back to AVAILABLE, which is a rollback, it goes only
//     by the word of who said the phase before, or when that is some time ago: rows may be behind.
//   - From IN_PROGRESS on nothing new is sent to blue, until green takes over, or the switchover is
//     rolled back, or blue's writer says that there is no deployment and that it takes writes, or
//     it takes longer than holdLimit.
//   - No rows, where there were some, and blue's writer takes no writes: it was switched while we
//     did not look, as by a process that was stopped.

// phase is how far a deployment is.
type phase uint8

const (
	phaseNone       phase = iota
	phaseAvailable        // green replicates from blue
	phaseInitiated        // a switchover begins; blue takes writes yet
	phaseInProgress       // blue does not, or not for long, and green not yet
	phasePost             // green is the cluster, or is about to
	phaseCompleted
)

var phases = map[string]phase{
	"AVAILABLE": phaseAvailable, "SWITCHOVER_INITIATED": phaseInitiated, "SWITCHOVER_IN_PROGRESS": phaseInProgress,
	"SWITCHOVER_IN_POST_PROCESSING": phasePost, "SWITCHOVER_COMPLETED": phaseCompleted,
}

// String is the status that AWS has for it, "none" without one.
func (p phase) String() string {
	for status, of := range phases {
		if of == p {
			return status
		}
	}
	return "none"
}

const (
	blueGreenView  = "mysql.rds_topology"
	blueGreenQuery = "SELECT endpoint, port, role, status, @@global.read_only, @@global.innodb_read_only FROM " + blueGreenView
	// takesWritesQuery is asked where a deployment was, and there are no rows now.
	takesWritesQuery = "SELECT 1, @@global.read_only, @@global.innodb_read_only"
	roleBlue         = "BLUE_GREEN_DEPLOYMENT_SOURCE"
	roleGreen        = "BLUE_GREEN_DEPLOYMENT_TARGET"
	// hindsight is for how long rows may be behind others.
	hindsight = 5 * time.Second
	// holdLimit is how long nothing is sent to blue: a switchover takes five minutes at most
	// if nobody allows it more.
	holdLimit = 5 * time.Minute
)

// sighting is what a server says of a deployment.
type sighting struct {
	at       time.Time
	by       string // where it is
	leader   bool   // it is the writer, so that it counts if it has no rows
	phase    phase  // phaseNone: it has no rows
	green    string // the endpoint of green, with port
	readOnly bool   // it takes no writes
}

// deployment is what is known of a deployment. It is not changed.
type deployment struct {
	phase    phase
	since    time.Time // when the phase was seen first
	by       string    // who said so
	held     time.Time // when blue was left alone; zero = it is not
	green    string
	switched bool // green is the cluster now
	tired    bool // it was held for too long
}

// holds reports whether nothing is to be sent to the cluster.
func (d deployment) holds() bool { return !d.held.IsZero() && !d.switched && !d.tired }

// see is what is known after a sighting.
func (d deployment) see(s sighting) deployment {
	switch {
	case d.switched && (s.phase == phaseNone || s.green == d.green):
		if s.phase > d.phase {
			d.phase, d.since = s.phase, s.at
		}
		return d
	case d.switched:
		d = deployment{} // a new one, of which what was green is the blue
	case s.phase == phaseNone:
		return d.vanished(s)
	}
	switch {
	case s.phase > d.phase, s.phase == d.phase && s.green != d.green && s.phase < phaseInProgress:
		return d.enter(s)
	case s.phase == phaseAvailable && s.phase < d.phase && d.superseded(s):
		d.held, d.tired = time.Time{}, false
		return d.enter(s)
	}
	return d
}

// superseded reports whether a sighting that contradicts what is known is the newer one.
func (d deployment) superseded(s sighting) bool {
	return s.by == d.by || s.at.Sub(d.since) >= hindsight
}

func (d deployment) enter(s sighting) deployment {
	d.phase, d.since, d.by = s.phase, s.at, s.by
	if s.green != "" {
		d.green = s.green
	}
	if d.phase >= phaseInProgress && (d.held.IsZero() || d.tired) {
		d.held, d.tired = s.at, false // it goes on after all
	}
	return d
}

// vanished is what is known after somebody had no rows.
func (d deployment) vanished(s sighting) deployment {
	switch {
	case d.phase == phaseNone, !s.leader, !d.superseded(s):
		return d
	case !s.readOnly:
		return deployment{}
	case d.phase < phasePost:
		s.phase = phaseCompleted
		return d.enter(s)
	}
	return d
}

// wait is what is known after time has passed without news.
func (d deployment) wait(now time.Time) deployment {
	if d.holds() && now.Sub(d.held) >= holdLimit {
		d.tired = true
	}
	return d
}

// arrived is what is known when green is the cluster.
func (d deployment) arrived() deployment {
	d.switched = true
	return d
}

// news says what is new since before; "" is nothing.
func (d deployment) news(before deployment) string {
	switch {
	case d.tired && !before.tired:
		return fmt.Sprintf("%s for %s: going on with whoever takes writes", d.phase, holdLimit)
	case d.switched && !before.switched:
		return "switched to green"
	case d.switched == before.switched && d.phase == before.phase && d.green == before.green:
		return ""
	case d.phase == phaseNone:
		return "there is none any more"
	case d.phase == phaseAvailable && before.phase > phaseAvailable && !before.switched:
		return "AVAILABLE: the switchover was rolled back, going on with blue"
	case d.switched:
		return d.phase.String()
	}
	does := map[phase]string{
		phaseAvailable: "known", phaseInitiated: "prepared", phaseInProgress: "blue gets nothing new", phasePost: "waiting for green to take writes",
		phaseCompleted: "waiting for green to take writes",
	}
	return fmt.Sprintf("%s, green is %s: %s", d.phase, clean(d.green, 80), does[d.phase])
}

// greenLabel is what green's names have behind blue's: -green- and six letters or digits.
const greenLabel = "-green-"

// finalName is the name, or the id, that one of green has when all is over; the same for all others.
func finalName(host string) string {
	label, rest, dot := strings.Cut(host, ".")
	if i := strings.LastIndex(label, greenLabel); i > 0 && len(label) == i+len(greenLabel)+6 {
		label = label[:i]
	}
	if dot {
		return label + "." + rest
	}
	return label
}

// isGreen reports whether a name is one of those that green has before a switchover.
func isGreen(host string) bool { return finalName(host) != host }

// lookAt asks a server for a deployment. Whether there was one is known: if so it matters whether
// a server without rows takes writes. An error says nothing of the server.
func (m *Monitor) lookAt(ctx context.Context, conn Conn) (sighting, error) {
	s, known := sighting{at: time.Now()}, m.known().phase != phaseNone
	t, err := ask(ctx, conn, blueGreenQuery, 6)
	if err != nil && m.cfg.Explain(err) != ProblemNoView {
		return s, err
	}
	for _, row := range t {
		s.readOnly = row[4].on() || row[5].on()
		host := strings.ToLower(strings.TrimSuffix(row[0].text, "."))
		if role := row[2].text; role != roleGreen || !isGreen(host) || !validHost(host) {
			continue
		}
		// An Aurora cluster may list its instances, too.
		if kind := EndpointOf(host); s.green == "" || kind == EndpointCluster {
			s.green, s.phase = net.JoinHostPort(host, row[1].text), phases[strings.ToUpper(row[3].text)]
		}
	}
	if len(t) > 0 && s.phase == phaseNone {
		return s, errVague
	}
	if len(t) == 0 && known {
		row, err := askOne(ctx, conn, takesWritesQuery, 3)
		if err != nil {
			return s, err
		}
		s.readOnly = row[1].on() || row[2].on()
	}
	return s, nil
}

// glance is lookAt for those who need no more than the answer: nil if there is nothing of use in
// it. An error says that there is none.
func (m *Monitor) glance(ctx context.Context, conn Conn) (*sighting, error) {
	s, err := m.lookAt(ctx, conn)
	switch {
	case err == nil:
		s.by = remoteOf(conn)
		return &s, nil
	case errors.Is(err, errVague), m.cfg.Explain(err).answer():
		return nil, nil //nolint:nilnil // as documented
	default:
		return nil, err
	}
}

// errVague: there are rows, but none of a deployment that is known here. Those of a Multi-AZ DB
// cluster have no roles.
var errVague = errors.New("rows without a known role or status")

// validHost reports whether a name may be dialled.
func validHost(host string) bool {
	for label := range strings.SplitSeq(host, ".") {
		if !validID(label) {
			return false
		}
	}
	return len(host) <= 253
}
