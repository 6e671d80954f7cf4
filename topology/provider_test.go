package topology

import (
	"context"
	"database/sql/driver"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAuroraAddresses(t *testing.T) {
	for _, tc := range []struct {
		host  string
		seeds []string
		want  string // address of instance x, or part of the error
	}{
		{"", []string{endpoint}, "x.abc123.us-east-1.rds.amazonaws.com:3306"},
		{"", []string{"/tmp/mysql.sock", "prod.cluster-abc123.us-east-1.rds.amazonaws.com:3307"}, "x.abc123.us-east-1.rds.amazonaws.com:3307"},
		{"?.db.example.com", []string{"db.example.com:3308"}, "x.db.example.com:3308"},
		{"db-?.example.com:4000", []string{"db.example.com:3308"}, "db-x.example.com:4000"},
		{"?.example.com", []string{"/tmp/mysql.sock"}, "x.example.com:3306"},
		{"db.example.com", []string{"db.example.com:3306"}, `fpInstanceHost "db.example.com": want exactly one ?`},
		{"?.?.example.com", []string{"db.example.com:3306"}, "want exactly one ?"},
		{"", []string{"10.0.0.1:3306", "db.example.com:3306"}, "cannot be derived from 10.0.0.1:3306, db.example.com:3306: set fpInstanceHost"},
	} {
		a, err := newAurora(Config{InstanceHost: tc.host, Seeds: tc.seeds})
		if err != nil {
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q %q: %v", tc.host, tc.seeds, err)
			}
			continue
		}
		if got := a.addr("x"); got != tc.want {
			t.Errorf("%q %q: %q, want %q", tc.host, tc.seeds, got, tc.want)
		}
	}
}

func TestNewMonitorRefuses(t *testing.T) {
	dial := func(context.Context, string) (Conn, error) { return nil, errRefused }
	for want, cfg := range map[string]Config{
		`fpTopology "nonsense"`:  {Provider: "nonsense", Seeds: []string{"a"}, Dial: dial},
		"no host to begin with":  {Seeds: []string{""}, Dial: dial},
		"has no Dial":            {Seeds: []string{"a"}},
		"want exactly one ?":     {Seeds: []string{"a:1"}, Dial: dial, InstanceHost: "a.example.com"},
		"set fpInstanceHost":     {Seeds: []string{"a:1"}, Dial: dial, Provider: "aurora"},
		"neither a connection n": {Seeds: []string{"a:1"}, Dial: func(context.Context, string) (Conn, error) { return nil, nil }},
	} {
		m, err := NewMonitor(cfg)
		if err == nil {
			_, err = m.Discover(t.Context())
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// canned answers one query with one result.
type canned struct {
	rows *fakeRows
	err  error
}

func (c canned) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return c.rows, c.err
}
func (canned) Close() error { return nil }

func auroraReport(t *testing.T, rows ...[]driver.Value) (Report, error) {
	t.Helper()
	a, err := newAurora(Config{Seeds: []string{endpoint}, Explain: explain})
	if err != nil {
		t.Fatal(err)
	}
	return a.Probe(t.Context(), canned{rows: &fakeRows{width: 7, rows: rows}}, endpoint)
}

func TestAuroraView(t *testing.T) {
	at := func(s string) time.Time { return cell{text: s}.timestamp() }
	row := func(id, session, updated string, lag any) []driver.Value {
		return []driver.Value{[]byte(id), []byte(session), []byte(updated), lag, []byte("7.5"), []byte("b"), []byte("0")}
	}
	// b answers. a was the writer; its row still says so. c was deleted long ago.
	r, err := auroraReport(t,
		row("a", masterSession, "2026-01-01 10:00:00.000000", []byte("0")),
		row("b", masterSession, "2026-01-01 10:01:00.500000", []byte("0")),
		row("c", "s", "2026-01-01 09:57:59", []byte("10")),
		row("d", "s", "2026-01-01 09:58:01", nil),
		row("e", "s", "2027-01-01 00:00:00", float64(1500)), // a clock that jumped
		row("e", "s", "2027-01-01 00:00:00", []byte("-1")),  // twice
		row("f", "s", "nonsense", []byte("1e300")),
	)
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "b" || r.Role != Writer || r.ReadOnly || !r.Proof.Equal(at("2026-01-01 10:01:00.5")) || r.Addr != "b"+domain {
		t.Errorf("%+v", r)
	}
	want := []Member{
		{ID: "a", Updated: at("2026-01-01 10:00:00"), LagKnown: true},
		{ID: "b", Updated: at("2026-01-01 10:01:00.5"), Writer: true, LagKnown: true},
		{ID: "d", Updated: at("2026-01-01 09:58:01")},
		{ID: "e", Updated: at("2027-01-01 00:00:00"), Lag: 1500 * time.Millisecond, LagKnown: true},
	}
	for i := range want {
		want[i].Addr, want[i].CPU = want[i].ID+domain, 7.5
	}
	if !slices.Equal(r.Members, want) {
		t.Errorf("members\n%+v\nwant\n%+v", r.Members, want)
	}
}

func TestAuroraViewOfOddServers(t *testing.T) {
	good := []driver.Value{[]byte("a"), []byte(masterSession), time.Now(), int64(0), 1.5, "a", true}
	if r, err := auroraReport(t, good); err != nil || r.Role != Reader || !r.ReadOnly || len(r.Members) != 1 || r.Proof.IsZero() {
		t.Errorf("typed values: %+v, %v", r, err)
	}
	for name, server := range map[string][]driver.Value{
		"no id":           {[]byte("a"), []byte("s"), nil, nil, nil, nil, []byte("0")},
		"a hostile id":    {[]byte("a"), []byte("s"), nil, nil, nil, []byte("a.evil.example"), []byte("0")},
		"one with quotes": {[]byte("a"), []byte("s"), nil, nil, nil, []byte("a'"), []byte("0")},
	} {
		if r, err := auroraReport(t, server); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r, err := auroraReport(t, []driver.Value{nil, nil, nil, nil, nil, []byte("a"), nil}); err != nil || r.Role != Unknown || r.Ignored != 1 {
		t.Errorf("nothing but its id: %+v, %v", r, err)
	}
	rows := make([][]driver.Value, maxRows+1)
	for i := range rows {
		rows[i] = good
	}
	if _, err := auroraReport(t, rows...); err == nil {
		t.Error("read a view without end")
	}
	a, err := newAurora(Config{Seeds: []string{endpoint}, Explain: explain})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Probe(t.Context(), canned{rows: &fakeRows{width: 3}}, endpoint); err == nil {
		t.Error("took an answer of three columns")
	}
}

func TestAuroraEmptyView(t *testing.T) {
	c := newCluster("a", "b")
	c.server("a").gone, c.server("b").gone = true, true
	a, err := newAurora(Config{Seeds: []string{endpoint}, Explain: explain})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := c.dial(ctx, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := a.Probe(ctx, conn, endpoint)
	if err != nil || r.ID != "a" || r.Role != Writer || r.Members != nil || r.Addr != "a"+domain {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCells(t *testing.T) {
	for _, tc := range []struct {
		value driver.Value
		on    bool
		lag   time.Duration
		known bool
	}{
		{nil, false, 0, false},
		{[]byte("ON"), true, 0, false},
		{"OFF", false, 0, false},
		{int64(1), true, time.Millisecond, true},
		{int64(0), false, 0, true},
		{true, true, time.Millisecond, true},
		{false, false, 0, true},
		{[]byte("20.5"), true, 20500 * time.Microsecond, true},
		{float64(2), true, 2 * time.Millisecond, true},
		{[]byte("-1"), true, 0, false},
		{[]byte("NaN"), true, 0, false},
		{[]byte("Inf"), true, 0, false},
		{[]byte("1e40"), true, math.MaxInt64, true},
		{[]byte(""), false, 0, false},
		{"NO_LOCK", true, 0, false},
	} {
		c := toCell(tc.value)
		lag, known := c.duration(time.Millisecond)
		if c.on() != tc.on || lag != tc.lag || known != tc.known {
			t.Errorf("%v: %t %s %t, want %t %s %t", tc.value, c.on(), lag, known, tc.on, tc.lag, tc.known)
		}
	}
	now := time.Now()
	if got := toCell(now).timestamp(); !got.Equal(now) {
		t.Errorf("%s, want %s", got, now)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                     "plain",
		"a\nlevel=ERROR\r\x00\x1b[": "a level=ERROR   [",
		"bad \xff\xfe bytes":        "bad  bytes",
		"line\u2028end":             "line end",
		strings.Repeat("ä", 100):    strings.Repeat("ä", 40) + "…",
	} {
		if got := clean(in, 80); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	// Every value has a name, as logs and metrics are full of them.
	for r := ReasonConnectionLost; r <= ReasonSuperseded; r++ {
		if r.String() == "unknown" {
			t.Errorf("reason %d has no name", r)
		}
	}
	for k := InstanceAdded; k <= Warning; k++ {
		if k.String() == "unknown" {
			t.Errorf("event %d has no name", k)
		}
	}
	if got := (Event{Kind: Warning, Detail: "d", Cause: errors.New("c")}).String(); got != "topology warning: d (c)" {
		t.Error(got)
	}
	if Reason(99).String() != "unknown" || EventKind(99).String() != "unknown" || (*Snapshot)(nil).String() != "no snapshot" {
		t.Error("names of nothing")
	}
	if (*Snapshot)(nil).Writer() != nil || (*Snapshot)(nil).Lookup("a") != nil || (*Snapshot)(nil).LastWriter() != "" {
		t.Error("nil is a snapshot of nothing")
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}
