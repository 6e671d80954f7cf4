package topology

import (
	"database/sql/driver"
	"strings"
	"testing"
	"time"
)

const begunAt, later1 = "17325432100000000:7", "17325432100000000:8"

// member is a row of the group's tables as a member has them: id state role waiting.
func groupRows(self, readOnly, view string, members ...string) *fakeRows {
	rows := &fakeRows{width: 9}
	for _, m := range members {
		f := strings.Fields(m)
		var waiting any
		if f[3] != "-" {
			waiting = []byte(f[3])
		}
		host, port := "db-"+f[0], int64(3306)
		if f[1] == "OFFLINE" && f[2] == "-" { // as a server has it whose group was never started
			host, port = "", 0
		}
		rows.rows = append(rows.rows, []driver.Value{
			[]byte("uuid-" + f[0]), []byte(host), port, []byte(f[1]), []byte(f[2]), []byte(view), waiting, []byte("uuid-" + self), []byte(readOnly),
		})
	}
	return rows
}

func TestGroupProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		rows    *fakeRows
		role    Role
		spare   bool
		members string // id, * the primary, / the lag is known
		problem string
	}{
		"primary":               {rows: groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0", "b ONLINE SECONDARY 0", "c ONLINE SECONDARY 17"), role: Writer, members: "a*/ b/ c"},
		"secondary":             {rows: groupRows("b", "1", begunAt, "a ONLINE PRIMARY 0", "b ONLINE SECONDARY 0", "c RECOVERING SECONDARY 0"), role: Reader, members: "a*/ b/ c"},
		"elected, not ready":    {rows: groupRows("a", "1", begunAt, "a ONLINE PRIMARY 5", "b ONLINE SECONDARY 0"), role: Reader, members: "a* b/"},
		"one of two":            {rows: groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0", "b UNREACHABLE SECONDARY -"), problem: "db-a:3306 cannot reach 1 of the 2 members of its group, so it has no quorum"},
		"two of three":          {rows: groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0", "b UNREACHABLE SECONDARY -", "c ONLINE SECONDARY 0"), role: Writer, members: "a*/ b c/"},
		"one of three":          {rows: groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0", "b UNREACHABLE SECONDARY -", "c UNREACHABLE SECONDARY -"), problem: "no quorum"},
		"a reader of three":     {rows: groupRows("b", "1", begunAt, "a UNREACHABLE PRIMARY -", "b ONLINE SECONDARY 0", "c UNREACHABLE SECONDARY -"), problem: "no quorum"},
		"expelled":              {rows: groupRows("a", "1", "", "a ERROR - -"), problem: "db-a:3306 is ERROR in its group"},
		"left":                  {rows: groupRows("a", "1", "", "a OFFLINE SECONDARY -"), problem: "is OFFLINE in its group"},
		"recovering":            {rows: groupRows("c", "1", begunAt, "a ONLINE PRIMARY 0", "b ONLINE SECONDARY 0", "c RECOVERING SECONDARY 9"), problem: "is RECOVERING"},
		"never started":         {rows: groupRows("a", "0", "", "a OFFLINE - -"), problem: "in no replication group"},
		"no plugin":             {rows: &fakeRows{width: 9}, problem: "in no replication group"},
		"several":               {rows: groupRows("b", "0", begunAt, "a ONLINE PRIMARY 0", "b ONLINE PRIMARY 0"), role: Writer, spare: true, members: "a/ b/"},
		"several, it read-only": {rows: groupRows("b", "1", begunAt, "a ONLINE PRIMARY 0", "b ONLINE PRIMARY 0"), role: Reader, members: "a/ b/"},
	} {
		r, err := newGroup(Config{Explain: explain}).Probe(t.Context(), canned{rows: tc.rows}, "seed:3306")
		if tc.problem != "" {
			if err == nil || !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			continue
		}
		var members []string
		for _, m := range r.Members {
			text := strings.TrimSuffix(strings.TrimPrefix(m.ID, "db-"), ":3306")
			if m.Writer {
				text += "*"
			}
			if m.LagKnown {
				text += "/"
			}
			if m.Addr != m.ID || m.Lag != 0 || !m.Updated.Equal(viewTime(begunAt)) {
				t.Errorf("%s: %+v", name, m)
			}
			members = append(members, text)
		}
		if err != nil || r.Role != tc.role || r.Spare != tc.spare || strings.Join(members, " ") != tc.members || r.Addr != r.ID || r.Proof.IsZero() != (r.Role == Reader) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestViewTime(t *testing.T) {
	if a, b := viewTime(begunAt), viewTime(later1); !b.After(a) || a.Year() != 2024 {
		t.Errorf("%s, then %s", a, b)
	}
	if again := viewTime("17325500000000000:1"); !again.After(viewTime("17325432100000000:999")) {
		t.Error("a group that was begun anew is older than it was before")
	}
	for _, odd := range []string{"", "x", "1", ":", "-1:1", "99999999999999999999:1", "1:99999999999999999999"} {
		if got := viewTime(odd); !got.IsZero() {
			t.Errorf("%q is %s", odd, got)
		}
	}
}

func TestGroupIdentify(t *testing.T) {
	several := []string{"a ONLINE PRIMARY 0", "b ONLINE PRIMARY 0"}
	for name, tc := range map[string]struct {
		rows *fakeRows
		addr string
		id   string
		role Role
	}{
		"primary":                     {groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0", "b ONLINE SECONDARY 0"), "db-a:3306", "db-a:3306", Writer},
		"secondary":                   {groupRows("b", "1", begunAt, "a ONLINE PRIMARY 0", "b ONLINE SECONDARY 0"), "db-a:3306", "db-b:3306", Reader},
		"expelled":                    {groupRows("a", "1", "", "a ERROR - -"), "db-a:3306", "db-a:3306", Unknown},
		"any of several":              {groupRows("a", "0", begunAt, several...), "db-a:3306", "", Unknown},
		"another of several":          {groupRows("b", "0", begunAt, several...), "db-a:3306", "db-b:3306", Writer},
		"of several, but read-only":   {groupRows("a", "1", begunAt, several...), "db-a:3306", "db-a:3306", Reader},
		"one of two that it believes": {groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0", "b UNREACHABLE PRIMARY -"), "db-a:3306", "db-a:3306", Unknown},
	} {
		id, role, err := newGroup(Config{Explain: explain}).Identify(t.Context(), canned{rows: tc.rows}, tc.addr)
		if id != tc.id || role != tc.role || err != nil {
			t.Errorf("%s: %q as %s, %v", name, id, role, err)
		}
	}
	for err, want := range map[error]string{errForbidden: "GRANT SELECT ON performance_schema", errViewless: "no group replication"} {
		if _, _, got := newGroup(Config{Explain: explain}).Identify(t.Context(), canned{err: err}, "a"); got == nil || !strings.Contains(got.Error(), want) {
			t.Error(got)
		}
	}
}

// TestGroupMonitor: in a group of several primaries the readers' backends pass Verify, and a member
// that loses its quorum is down though it answers.
func TestGroupMonitor(t *testing.T) {
	c := newCluster("a", "b")
	for id, s := range map[string]*server{"a": c.server("a"), "b": c.server("b")} {
		delete(c.servers, s.addr)
		s.addr = "db-" + id + ":3306"
		c.servers[s.addr] = s
		s.group = []string{"a ONLINE PRIMARY 0", "b ONLINE PRIMARY 0"}
	}
	bubble(t, c, Config{Provider: groupName, Seeds: []string{"db-b:3306", "db-a:3306"}}, func(t *testing.T, w *watched) {
		w.discover(t)
		w.expect(t, "epoch 1: db-a:3306 reader up, db-b:3306 writer up")
		w.steady(t, "b")
		for id, role := range map[string]Role{"a": Reader, "b": Writer} {
			s := c.look(id)
			if _, err := w.Verify(t.Context(), &fakeConn{cluster: c, server: &s}, s.addr, role); err != nil {
				t.Error(err)
			}
		}
		c.do("b", func(s *server) { s.group = []string{"a UNREACHABLE PRIMARY -", "b ONLINE PRIMARY 0"} })
		pass(6 * time.Second)
		w.expect(t, "epoch 3: db-a:3306 writer up, db-b:3306 reader down")
		contains(t, w.log(), "has no quorum")
		c.do("b", func(s *server) { s.group = c.server("a").group })
		pass(6 * time.Second)
		w.expect(t, "epoch 3: db-a:3306 writer up, db-b:3306 reader up")
	})
}

// TestGroupLagStaysKnown: nothing changes in a quiet group, its view's number least of all, and its
// members are asked all the same. A lag that nobody tells any more gets old as everywhere.
func TestGroupLagStaysKnown(t *testing.T) {
	c := newCluster("a", "b")
	for _, s := range []*server{c.server("a"), c.server("b")} {
		delete(c.servers, s.addr)
		s.addr = "db-" + s.id + ":3306"
		c.servers[s.addr] = s
		s.group = []string{"a ONLINE PRIMARY 0", "b ONLINE SECONDARY 0"}
	}
	c.server("b").readOnly = true
	bubble(t, c, Config{Provider: groupName, Seeds: []string{"db-a:3306"}}, func(t *testing.T, w *watched) {
		w.discover(t)
		for range 12 {
			pass(5 * time.Second)
			if in := w.Snapshot().Lookup("db-b:3306"); !in.LagKnown {
				t.Fatalf("nobody reads there any more: %+v", in)
			}
		}
		c.set("a", forbidden)
		w.forgets(t, "db-b:3306")
	})
}
