package topology

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A scenario in testdata/bluegreen/*.txt is a title, then what servers say of a deployment, each with what is
// known (=) and what is said (!) after it:
//
//	a AVAILABLE green     a server at a has rows with that status, and green's endpoint
//	a* none               the writer has no rows, and takes writes
//	a* none readonly      and does not
//	+5s                   time passes
//	arrived               green is the cluster
func TestDeployment(t *testing.T) {
	files, err := filepath.Glob("testdata/bluegreen/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	scenarios := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d deployment
		var out, shown, want []string
		clock, where := time.Unix(1e6, 0), ""
		check := func() {
			out = append(out, shown...)
			if !*update && !slices.Equal(shown, want) {
				t.Errorf("%s\ngot  %q\nwant %q", where, shown, want)
			}
			shown, want = nil, nil
		}
		for n, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			if strings.HasPrefix(line, "=") || strings.HasPrefix(line, "!") {
				want = append(want, line)
				continue
			}
			check()
			out = append(out, line)
			where = fmt.Sprintf("%s:%d: %s", filepath.Base(file), n+1, line)
			before := d
			switch words := strings.Fields(line); {
			case line == "":
				continue
			case words[0] == "#":
				d = deployment{}
				scenarios++
				continue
			case line == "arrived":
				d = d.arrived()
			case line[0] == '+':
				pause, err := time.ParseDuration(line[1:])
				if err != nil {
					t.Fatal(err)
				}
				clock = clock.Add(pause)
				d = d.wait(clock)
			default:
				s := sighting{at: clock, by: strings.TrimSuffix(words[0], "*"), leader: strings.HasSuffix(words[0], "*"), phase: phases[words[1]]}
				if s.phase == phaseNone {
					s.readOnly = len(words) > 2
				} else {
					s.green = words[2]
				}
				d = d.see(s)
			}
			state := d.phase.String()
			if d.holds() {
				state += " held"
			}
			if d.switched {
				state += " switched"
			}
			shown = []string{"= " + state}
			if news := d.news(before); news != "" {
				shown = append(shown, "! "+news)
			}
		}
		check()
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(out, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if scenarios < 8 {
		t.Fatalf("%d scenarios in testdata/bluegreen, want 8 at least", scenarios)
	}
}

func TestFinalName(t *testing.T) {
	for name, want := range map[string]string{
		"db-1-green-abc123.xyz.us-east-1.rds.amazonaws.com": "db-1.xyz.us-east-1.rds.amazonaws.com",
		"db-green-abc123.cluster-xyz":                       "db.cluster-xyz",
		"db-green-abc123":                                   "db",
		"db-green-1":                                        "db-green-1",
		"db-green-house-7.xyz":                              "db-green-house-7.xyz",
		"-green-abc123.xyz":                                 "-green-abc123.xyz",
		"db.xyz-green-abc123":                               "db.xyz-green-abc123",
	} {
		if got := finalName(name); got != want || isGreen(name) != (got != name) {
			t.Errorf("%s became %s", name, got)
		}
	}
}

// TestLookAt: rows of all sorts.
func TestLookAt(t *testing.T) {
	row := func(endpoint, role, status string, readOnly int64) []driver.Value {
		return []driver.Value{[]byte(endpoint), int64(3306), []byte(role), []byte(status), readOnly, int64(0)}
	}
	blue, green := "db.cluster-abc123.us-east-1.rds.amazonaws.com", "db-green-abc123.cluster-abc123.us-east-1.rds.amazonaws.com"
	for name, tc := range map[string]struct {
		rows  [][]driver.Value
		want  sighting
		vague bool
	}{
		"a deployment":   {rows: [][]driver.Value{row(green, roleGreen, "available", 0), row(blue, roleBlue, "AVAILABLE", 0)}, want: sighting{phase: phaseAvailable, green: green + ":3306"}},
		"instances, too": {rows: [][]driver.Value{row("i-green-abc123"+rds, roleGreen, "SWITCHOVER_INITIATED", 1), row(green, roleGreen, "SWITCHOVER_INITIATED", 1)}, want: sighting{phase: phaseInitiated, green: green + ":3306", readOnly: true}},
		"an instance":    {rows: [][]driver.Value{row("i-green-abc123"+rds, roleGreen, "SWITCHOVER_COMPLETED", 0)}, want: sighting{phase: phaseCompleted, green: "i-green-abc123" + rds + ":3306"}},
		"no roles":       {rows: [][]driver.Value{row("i-1"+rds, "", "", 0), row("i-2"+rds, "", "", 0)}, vague: true},
		"blue only":      {rows: [][]driver.Value{row(blue, roleBlue, "AVAILABLE", 0)}, vague: true},
		"another status": {rows: [][]driver.Value{row(green, roleGreen, "BROKEN", 0)}, vague: true},
		"an odd name":    {rows: [][]driver.Value{row("evil host-green-abc123.x", roleGreen, "AVAILABLE", 0)}, vague: true},
		"not green's":    {rows: [][]driver.Value{row("elsewhere.example.com", roleGreen, "AVAILABLE", 0)}, vague: true},
		"no rows":        {},
	} {
		m := &Monitor{cfg: Config{Explain: explain}}
		s, err := m.lookAt(t.Context(), script{blueGreenQuery: &fakeRows{width: 6, rows: tc.rows}})
		s.at = time.Time{}
		if s.readOnly = s.readOnly && !tc.vague; (err != nil) != tc.vague || !tc.vague && s != tc.want {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	m := &Monitor{cfg: Config{Explain: explain}}
	if s, err := m.lookAt(t.Context(), canned{err: errViewless}); err != nil || s.phase != phaseNone {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := m.lookAt(t.Context(), canned{err: errForbidden}); err == nil {
		t.Error("that the table may not be read says that there are no rows")
	}
	m.deployment.Store(&deployment{phase: phaseAvailable})
	gone := script{blueGreenQuery: &fakeRows{width: 6}, takesWritesQuery: newRows([]driver.Value{int64(1), int64(1), int64(0)})}
	if s, err := m.lookAt(t.Context(), gone); err != nil || !s.readOnly {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestRoute: who is dialled where, by which names it is known, and who is refused.
func TestRoute(t *testing.T) {
	final, green := "i-1"+rds+":3306", "i-1-green-abc123"+rds+":3306"
	m := &Monitor{}
	if r := m.Route(t.Context(), final); r.Addrs != nil || r.Names != nil || r.Check != nil {
		t.Errorf("%+v", r)
	}
	m.routes.Store(&routes{
		ways: map[string]way{
			final: {pin: "10.0.0.9:3306", green: green, final: true}, green: {pin: "10.0.0.9:3306", green: green},
			"i-2" + rds + ":3306": {green: "i-2-green-abc123" + rds + ":3306", final: true},
			"i-4" + rds + ":3306": {green: "i-4-green-abc123" + rds + ":3306", final: true, home: true},
		},
		banned: map[string]time.Time{"10.0.0.1:3306": {}, "10.0.0.2:3306": time.Now().Add(time.Minute), "10.0.0.3:3306": time.Now().Add(-time.Minute)},
	})
	for addr, want := range map[string][]string{
		final: {"10.0.0.9:3306"}, green: {green, "10.0.0.9:3306"}, "i-2" + rds + ":3306": {"i-2-green-abc123" + rds + ":3306", "i-2" + rds + ":3306"},
		"i-3:1": nil, "i-4" + rds + ":3306": nil,
	} {
		r := m.Route(t.Context(), addr)
		if !slices.Equal(r.Addrs, want) {
			t.Errorf("%s leads to %q", addr, r.Addrs)
		}
		host, _, _ := net.SplitHostPort(addr)
		if strings.HasSuffix(addr, rds+":3306") && (len(r.Names) != 2 || r.Names[0] != host) {
			t.Errorf("%s is known as %q", addr, r.Names)
		}
		for remote, refused := range map[string]bool{"10.0.0.1:3306": true, "10.0.0.2:3306": true, "10.0.0.3:3306": false, "10.0.0.9:3306": false} {
			if err := r.Check(address(remote)); (err != nil) != refused {
				t.Errorf("%s: %v", remote, err)
			}
		}
	}
	if r := m.Route(context.WithValue(t.Context(), direct{}, true), final); r.Addrs != nil || r.Check != nil {
		t.Errorf("%+v", r)
	}
}
