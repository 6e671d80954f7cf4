package topology

import (
	"context"
	"database/sql/driver"
	"maps"
	"strings"
	"testing"
)

// answering answers queries, each any number of times.
type answering map[string]func() (driver.Rows, error)

func (a answering) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if f := a[query]; f != nil {
		return f()
	}
	return nil, errViewless
}
func (answering) Close() error { return nil }

// TestAutoFits: what auto decides by the variables of a server, and what it says of that.
func TestAutoFits(t *testing.T) {
	const one, rdsData = "db.example.com:3306", " datadir=/rdsdbdata/db/"
	const several = "db-1:3306 db-2:3306 db-3:3306"
	rows := func(r driver.Rows) func() (driver.Rows, error) {
		return func() (driver.Rows, error) { return r, nil }
	}
	refuse := func() (driver.Rows, error) { return nil, errForbidden }
	for name, tc := range map[string]struct {
		seeds, variables string
		answers          answering
		want             string // the event
		missing          string // in the warning
		err              string
	}{
		"MySQL":                {seeds: one, variables: "version=9.7.0 read_only=OFF log_bin=ON", want: "static: server is 9.7.0, which has no aurora_version"},
		"MySQL, several":       {seeds: several, variables: "version=9.7.0 log_bin=ON gtid_mode=OFF", want: "static: server is 9.7.0, which has no aurora_version"},
		"MySQL of Debian":      {seeds: one, variables: "version=9.7.4-2 version_comment=(Debian)", want: "static: server is 9.7.4-2 (Debian), which has no aurora_version"},
		"MySQL, GTIDs":         {seeds: several, variables: "version=9.7.0 gtid_mode=ON", want: "replication: server is 9.7.0, one of 3 hosts, and has GTIDs on"},
		"MySQL, one with GTID": {seeds: one, variables: "version=9.7.0 gtid_mode=ON", want: "static: server is 9.7.0, which has no aurora_version"},
		"MySQL, a replica":     {seeds: several, variables: "version=9.7.0 read_only=ON", want: "replication: server is 9.7.0, one of 3 hosts, and read-only"},
		"MariaDB, a source":    {seeds: several, variables: "version=10.11.6-MariaDB log_bin=ON", want: "replication: server is 10.11.6-MariaDB, one of 3 hosts, and writes a binary log"},
		"MariaDB, several":     {seeds: several, variables: "version=10.11.6-MariaDB log_bin=OFF", want: "static: server is 10.11.6-MariaDB, which has no aurora_version"},
		"Galera": {
			seeds: several, variables: "version=10.11.6-MariaDB log_bin=ON wsrep_on=ON",
			want: "static: server is 10.11.6-MariaDB, which has no aurora_version, and is one of a Galera cluster, all of which take writes",
		},
		"RDS":             {seeds: one, variables: "version=8.0.39 report_host= read_only=OFF" + rdsData, want: "dns: server is 8.0.39 on RDS by itself, so that its name leads to the writer"},
		"RDS, a replica":  {seeds: one, variables: "version=8.0.39 read_only=ON" + rdsData, want: "static: server is 8.0.39, which has no aurora_version"},
		"RDS, an address": {seeds: "10.0.0.1:3306", variables: "version=8.0.39" + rdsData, want: "static: server is 8.0.39, which has no aurora_version"},
		"RDS, several":    {seeds: several, variables: "version=8.0.39 gtid_mode=ON" + rdsData, want: "replication: server is 8.0.39, one of 3 hosts, and has GTIDs on"},
		"Multi-AZ DB cluster": {
			seeds: one, variables: "version=8.0.39 report_host=10.0.0.2 read_only=ON" + rdsData,
			want: "multiAZCluster: server is 8.0.39 on RDS and has a report_host, as those of Multi-AZ DB clusters have",
		},
		"Multi-AZ DB cluster, no grant": {
			seeds: one, variables: "version=8.0.39 report_host=10.0.0.2 read_only=OFF" + rdsData, answers: answering{multiAZQuery: refuse},
			want:    "dns: server is 8.0.39 on RDS and has a report_host, as those of Multi-AZ DB clusters have, but its instances cannot be listed",
			missing: "no sooner than the name leads to the new writer, and there are no readers (failoverproxy: the user may not read mysql.rds_topology: GRANT SELECT",
		},
		"Multi-AZ DB cluster, read-only, no grant": {
			seeds: one, variables: "version=8.0.39 report_host=10.0.0.2 read_only=ON" + rdsData, answers: answering{multiAZQuery: refuse},
			want:    "static: server is 8.0.39 on RDS and has a report_host, as those of Multi-AZ DB clusters have, but its instances cannot be listed",
			missing: "cannot be followed to hosts that the DSN does not name",
		},
		"report_host elsewhere": {seeds: one, variables: "version=8.0.39 report_host=db", want: "static: server is 8.0.39, which has no aurora_version"},
		"a group":               {seeds: several, variables: "version=9.7.0 gtid_mode=ON group_replication_group_name=aaaa", want: "groupReplication: server is 9.7.0 in the replication group aaaa"},
		"a group that was not begun": {
			seeds: one, variables: "version=9.7.0 group_replication_group_name=aaaa", answers: answering{groupQuery: rows(&fakeRows{width: 9})},
			want: "static: server is 9.7.0 in the replication group aaaa, but its instances cannot be listed", missing: "in no replication group",
		},
		"a group that this member has not joined": { // writes there would be lost to the group: another host is to be asked
			seeds: several, variables: "version=9.7.0 gtid_mode=ON group_replication_group_name=aaaa", answers: answering{groupQuery: rows(groupRows("a", "0", "", "a OFFLINE - -"))},
			err: "in no replication group: start it there, or set fpTopology=replication or static",
		},
		"expelled from a group": {
			seeds: one, variables: "version=9.7.0 group_replication_group_name=aaaa", answers: answering{groupQuery: rows(groupRows("a", "1", "", "a ERROR - -"))},
			err: "db-a:3306 is ERROR in its group",
		},
		"a group without the plugin": {seeds: one, variables: "version=9.7.0 group_replication_group_name=", want: "static: server is 9.7.0, which has no aurora_version"},
	} {
		cfg := Config{Seeds: strings.Fields(tc.seeds), Explain: explain}
		variables := &fakeRows{width: 2}
		for v := range strings.FieldsSeq(tc.variables) {
			key, value, _ := strings.Cut(v, "=")
			variables.rows = append(variables.rows, []driver.Value{[]byte(key), []byte(value)})
		}
		cluster := multiAZAnswers(map[string]string{"1": "writer-1" + rds, "2": "reader-2" + rds}, "1")
		conn := answering{
			autoQuery:    rows(variables),
			dnsQuery:     rows(newRows([]driver.Value{"hostname", "ip-10-0-0-1"}, []driver.Value{"port", "3306"}, []driver.Value{"read_only", "OFF"})),
			multiAZQuery: rows(cluster[multiAZQuery]), replicaStatus: rows(cluster[replicaStatus]),
			groupQuery:       rows(groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0", "b ONLINE SECONDARY 0")),
			replicationQuery: rows(newRows([]driver.Value{"9.7.0", "0", "0", "1", "host", "3306", "uuid-1", ""})),
		}
		if strings.Contains(tc.variables, "MariaDB") {
			conn[replicationQuery] = rows(newRows([]driver.Value{"10.11.6-MariaDB", "0", "0", "1", "host", "3306", "", ""}))
			conn[allSlaveStatus] = rows(&fakeRows{})
		}
		maps.Copy(conn, tc.answers)
		c, err := decide(t.Context(), cfg, conn, cfg.Seeds[0])
		if tc.err != "" || err != nil {
			if err == nil || tc.err == "" || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		events := c.announce()
		if got := events[0].Detail; events[0].Kind != ProviderChosen || got != tc.want || c.report.ID == "" {
			t.Errorf("%s: %s, want %s; %+v", name, got, tc.want, c.report)
		}
		switch {
		case tc.missing == "" && len(events) != 1, tc.missing != "" && len(events) != 2:
			t.Errorf("%s: %v", name, events)
		case tc.missing != "" && !strings.Contains(events[1].String(), tc.missing):
			t.Errorf("%s: %s, want %s", name, events[1], tc.missing)
		}
	}
}
