package topology

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// group asks the members of a MySQL group replication, each of which sees the group in its
// performance schema and knows who is its primary.
//
// A member is believed only while it sees most of the group: one that is cut off from the others
// sees them UNREACHABLE, goes on saying that it is the primary and that it is ONLINE, and its
// writes hang. One that was expelled, or that has left, sees itself only, in the state ERROR or
// OFFLINE. Both answer, and what they say, as what they have, is of the past: they count as down until
// they are back in the group.
//
// The group numbers its views, by consensus, and each member has the number of the one that it
// is in: that is the table's own time, by which the claim of an old primary is known to be old.
// (https://dev.mysql.com/doc/refman/9.5/en/group-replication-server-states.html,
// group-replication-network-partitioning.html)
//
// A group with several primaries has no writer of its own. Any of them can be it: the first one
// that answers is, and stays it until it is down or says itself that it cannot be any more. The others
// are readers.
//
// The group tells how many transactions wait to be applied, renewed once a second, and not how long they
// have waited. So a member's lag is 0, or it is not known.
type group struct {
	explain func(error) Problem
}

const (
	groupName  = "groupReplication"
	groupView  = "performance_schema.replication_group_members"
	groupQuery = "SELECT m.MEMBER_ID, m.MEMBER_HOST, m.MEMBER_PORT, m.MEMBER_STATE, m.MEMBER_ROLE, s.VIEW_ID, " +
		"s.COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE, @@global.server_uuid, @@global.read_only FROM " + groupView +
		" m LEFT JOIN performance_schema.replication_group_member_stats s ON s.MEMBER_ID = m.MEMBER_ID"
	memberOnline      = "ONLINE"
	memberUnreachable = "UNREACHABLE"
	memberPrimary     = "PRIMARY"
)

func newGroup(cfg Config) *group { return &group{explain: cfg.Explain} }

func (*group) Name() string      { return groupName }
func (*group) Members() []Member { return nil }

// Probe takes the word of a member that is in the group. Any other one is down, so that what
// waits for it there, perhaps for ever, is cut loose.
func (g *group) Probe(ctx context.Context, conn Conn, _ string) (Report, error) {
	r, apart, err := g.look(ctx, conn)
	if err == nil && apart != "" {
		err = fmt.Errorf("failoverproxy: %s %s", shownAddr(r.ID), apart)
	}
	return r, err
}

// look is what a member says; apart is why it may not be believed, "" if it may.
func (g *group) look(ctx context.Context, conn Conn) (r Report, apart string, err error) {
	t, err := ask(ctx, conn, groupQuery, 9)
	if err != nil {
		return Report{}, "", g.explained(err)
	}
	self, primaries, unreachable := -1, 0, 0
	for i, row := range t {
		if row[0].text == row[7].text {
			self = i
		}
		if row[4].text == memberPrimary {
			primaries++
		}
		if row[3].text == memberUnreachable {
			unreachable++
		}
	}
	if self < 0 || t[self][1].text == "" {
		return Report{}, "", fmt.Errorf("failoverproxy: the server is in no replication group: start it there, or set fpTopology=replication or static: %w", errUnfit)
	}
	own := t[self]
	r = Report{ID: memberAddr(own), Addr: memberAddr(own), Role: Reader, ReadOnly: own[8].on()}
	switch {
	case own[3].text != memberOnline:
		return r, "is " + clean(own[3].text, 40) + " in its group", nil
	case 2*unreachable >= len(t):
		return r, fmt.Sprintf("cannot reach %d of the %d members of its group, so it has no quorum", unreachable, len(t)), nil
	}
	view := viewTime(own[5].text)
	if own[4].text == memberPrimary && !r.ReadOnly {
		r.Role, r.Proof, r.Spare = Writer, view, primaries > 1
	}
	for _, row := range t {
		m := Member{ID: memberAddr(row), Addr: memberAddr(row), Updated: view, Live: true, Writer: primaries == 1 && row[4].text == memberPrimary}
		waiting, known := row[6].number()
		m.LagKnown = known && waiting == 0 && row[3].text == memberOnline
		if r.has(m.ID) {
			r.Partial = fmt.Errorf("failoverproxy: two members of the group say that they are %s, so that one of them is not used: "+
				"give each a report_host and report_port of its own", shownAddr(m.ID))
			continue
		}
		r.Members = append(r.Members, m)
	}
	return r, "", nil
}

// memberAddr is a member's address and name.
func memberAddr(row []cell) string { return net.JoinHostPort(row[1].text, row[2].text) }

// viewTime makes a time of a view's identifier, P:N, to be compared with other such times only. P is
// the time at which the group was begun, in units of 100 ns, and N grows with each change.
func viewTime(id string) time.Time {
	begun, number, _ := strings.Cut(id, ":")
	p, err1 := strconv.ParseInt(begun, 10, 64)
	n, err2 := strconv.ParseInt(number, 10, 64)
	if err1 != nil || err2 != nil || p <= 0 {
		return time.Time{}
	}
	return time.UnixMicro(p / 10).Add(time.Duration(n))
}

// Identify tells the member and its role. In a group of several primaries one that takes writes
// may have either role, and is only known by its address.
func (g *group) Identify(ctx context.Context, conn Conn, addr string) (string, Role, error) {
	r, apart, err := g.look(ctx, conn)
	switch {
	case apart != "":
		r.Role = Unknown
	case r.Spare && r.ID == addr:
		return "", Unknown, err
	}
	return r.ID, r.Role, err
}

// explained says which grant or table is missing.
func (g *group) explained(err error) error {
	switch g.explain(err) {
	case ProblemDenied:
		return fmt.Errorf("failoverproxy: the user may not read the group's tables: GRANT SELECT ON performance_schema.*: %w", err)
	case ProblemNoView:
		return fmt.Errorf("failoverproxy: there is no %s, so this is no group replication: set fpTopology=replication or static: %w", groupView, err)
	default:
		return err
	}
}
