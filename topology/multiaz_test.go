package topology

import (
	"context"
	"database/sql/driver"
	"slices"
	"strings"
	"testing"
	"time"
)

const rds = ".abc123.us-east-1.rds.amazonaws.com"

// multiAZAnswers are the answers of server 2 to the provider's questions.
func multiAZAnswers(endpoints map[string]string, source string) script {
	rows := &fakeRows{width: 11}
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		if endpoint, ok := endpoints[id]; ok {
			rows.rows = append(rows.rows, []driver.Value{
				[]byte(id), []byte(endpoint), int64(3306), "8.0.39", "1", "0", int64(2), "ip-10-0-0-2", int64(3306), "UUID-2", "uuid-1:1-9",
			})
		}
	}
	status := &namedRows{names: strings.Fields("Source_Host Source_Port Source_UUID Source_Server_Id Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source")}
	status.width = len(status.names)
	if source != "" {
		status.rows = [][]driver.Value{{"10.0.0.1", int64(3306), "UUID-" + source, source, "Yes", "Yes", int64(3)}}
	}
	return script{multiAZQuery: rows, replicaStatus: status}
}

func TestMultiAZProbe(t *testing.T) {
	self := "reader-2" + rds
	writer := Member{ID: "writer-1", Addr: "writer-1" + rds + ":3306", Writer: true}
	reader := Member{ID: "reader-2", Addr: self + ":3306", Writer: true}
	for name, tc := range map[string]struct {
		endpoints map[string]string
		host      string
		want      []Member // nil = an error
		problem   string   // in it
		ignored   int
	}{
		"a cluster":          {endpoints: map[string]string{"1": "writer-1" + rds, "2": self}, want: []Member{writer, reader}},
		"a final dot, upper": {endpoints: map[string]string{"1": "Writer-1" + strings.ToUpper(rds) + ".", "2": self}, want: []Member{writer, reader}},
		"itself only":        {endpoints: map[string]string{"2": self}, want: []Member{reader}},
		"duplicates":         {endpoints: map[string]string{"1": "writer-1" + rds, "2": self, "3": "writer-1" + rds}, want: []Member{writer, reader}},
		"odd names": {
			endpoints: map[string]string{"1": "evil host" + rds, "2": self, "3": "", "4": "a'b" + rds, "5": strings.Repeat("a.", 200) + "b"},
			want:      []Member{reader}, ignored: 4,
		},
		"blue and green":                {endpoints: map[string]string{"1": "green.cluster-abc123.us-east-1.rds.amazonaws.com", "2": self}, want: []Member{reader}, ignored: 1},
		"an instance and its green one": {endpoints: map[string]string{"1": "reader-2-green-abc123" + rds, "2": self}, problem: "has the rows of a blue/green deployment"},
		"green among others":            {endpoints: map[string]string{"1": "writer-1" + rds, "2": self, "3": "writer-1-green-abc123" + rds}, want: []Member{writer, reader}},
		"names of one's own": {
			endpoints: map[string]string{"1": "writer-1" + rds, "2": self}, host: "?.db.example.com:3307",
			want: []Member{{ID: "writer-1", Addr: "writer-1.db.example.com:3307", Writer: true}, {ID: "reader-2", Addr: "reader-2.db.example.com:3307", Writer: true}},
		},
		"not itself": {endpoints: map[string]string{"1": "writer-1" + rds}, problem: "does not list the server that answers, server_id 2"},
		"nobody":     {endpoints: nil, problem: "is empty"},
	} {
		p := newMultiAZCluster(Config{InstanceHost: tc.host, Explain: explain})
		r, err := p.Probe(t.Context(), multiAZAnswers(tc.endpoints, "1"), endpoint)
		if tc.want == nil {
			if err == nil || !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || !slices.Equal(r.Members, tc.want) || r.Ignored != tc.ignored {
			t.Errorf("%s: %+v, %d ignored, %v", name, r.Members, r.Ignored, err)
			continue
		}
		own := tc.want[len(tc.want)-1]
		source := Server{UUID: "uuid-1", Number: "1", Addr: "10.0.0.1:3306"}
		if r.ID != own.ID || r.Addr != own.Addr || r.Role != Reader || !r.ReadOnly || r.Lag != 3*time.Second || !r.LagKnown ||
			r.Lineage.Self != (Server{UUID: "uuid-2", Number: "2", Addr: "ip-10-0-0-2:3306"}) || !slices.Equal(r.Lineage.Sources, []Server{source}) {
			t.Errorf("%s: %+v, %+v", name, r, r.Lineage)
		}
	}
}

// TestMultiAZGrants: which privilege is missing is said.
func TestMultiAZGrants(t *testing.T) {
	p := newMultiAZCluster(Config{Explain: explain})
	for err, want := range map[error]string{errForbidden: "GRANT SELECT ON mysql.rds_topology", errViewless: "there is no mysql.rds_topology"} {
		for name, ask := range map[string]func() error{
			"probe":    func() error { _, err := p.Probe(t.Context(), canned{err: err}, endpoint); return err },
			"identify": func() error { _, _, err := p.Identify(t.Context(), canned{err: err}, endpoint); return err },
		} {
			if got := ask(); got == nil || !strings.Contains(got.Error(), want) {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
	answers := multiAZAnswers(map[string]string{"2": "reader-2" + rds}, "1")
	r, err := p.Probe(t.Context(), mute{answers}, endpoint)
	if err != nil || r.Role != Reader || r.LagKnown || r.Partial == nil || !strings.Contains(r.Partial.Error(), "GRANT REPLICATION CLIENT") {
		t.Errorf("%+v, %v", r, err)
	}
}

// mute may not tell of its replication.
type mute struct{ script }

func (m mute) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if query == replicaStatus {
		return nil, errForbidden
	}
	return m.script.QueryContext(ctx, query, args)
}

func TestMultiAZIdentify(t *testing.T) {
	p := newMultiAZCluster(Config{Explain: explain})
	for readOnly, want := range map[string]Role{"1": Reader, "0": Writer} {
		rows := newRows([]driver.Value{[]byte("reader-2" + rds), []byte(readOnly), "0"})
		if id, role, err := p.Identify(t.Context(), canned{rows: rows}, endpoint); id != "reader-2" || role != want || err != nil {
			t.Errorf("%s as %s, %v", id, role, err)
		}
	}
	twice := &fakeRows{width: 3, rows: [][]driver.Value{{"prod.cluster-abc123.us-east-1.rds.amazonaws.com", "0", "0"}, {"reader-2" + rds, "1", "0"}, {"reader-2" + rds, "1", "0"}}}
	if id, role, err := p.Identify(t.Context(), canned{rows: twice}, endpoint); id != "reader-2" || role != Reader || err != nil {
		t.Errorf("listed more than once: %s as %s, %v", id, role, err)
	}
	if _, _, err := p.Identify(t.Context(), canned{rows: newRows([]driver.Value{"a b", "0", "0"})}, endpoint); err == nil {
		t.Error("took an endpoint with a blank")
	}
	if _, _, err := p.Identify(t.Context(), canned{rows: &fakeRows{width: 3}}, endpoint); err == nil {
		t.Error("took a server that is not listed for one that is")
	}
}
