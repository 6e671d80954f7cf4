package driver

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

var grantText = regexp.MustCompile(`GRANT [A-Z, ]+ ON [\w.*]+`)

// needy is a topology and what it needs.
type needy struct {
	params  string
	prepare []string
	want    []string // what is to be granted, in this order
	last    string   // what is wrong in the end, as the server is no such cluster; "" = nothing
}

// TestGrants: a user with too few privileges is given what errors and warnings say, to the letter,
// until they say no more. The statements are those of docs/topologies.md, and they are enough.
func TestGrants(t *testing.T) {
	docs, err := os.ReadFile("../docs/topologies.md")
	if err != nil {
		t.Fatal(err)
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		topologies := map[string]needy{"replication": {want: []string{"GRANT SLAVE MONITOR ON *.*"}}, "static": {}}
		if s.Flavor == mysqld.FlavorMySQL {
			topologies = map[string]needy{
				"replication":      {want: []string{"GRANT REPLICATION CLIENT ON *.*"}},
				"groupReplication": {want: []string{"GRANT SELECT ON performance_schema.*"}, last: "the server is in no replication group"},
				"multiAZCluster": {
					params: fmt.Sprintf("&fpInstanceHost=127.0.0.?:%d", s.Port),
					prepare: []string{
						"CREATE TABLE mysql.rds_topology (id BIGINT, endpoint VARCHAR(255), port INT)",
						fmt.Sprintf("INSERT INTO mysql.rds_topology VALUES (@@server_id, '1.abc.eu-west-1.rds.amazonaws.com', %d)", s.Port),
					},
					want: []string{"GRANT SELECT ON mysql.rds_topology", "GRANT REPLICATION CLIENT ON *.*"},
				},
			}
			defer s.Exec(context.WithoutCancel(t.Context()), "DROP TABLE IF EXISTS mysql.rds_topology") //nolint:errcheck // the server ends with the tests
		}
		for topology, tc := range topologies {
			t.Run(topology, func(t *testing.T) {
				const user = "needy@'%'"
				err := s.Exec(t.Context(), append(tc.prepare, "CREATE USER "+user+" IDENTIFIED BY '"+canary+"'", "GRANT ALL ON "+database+".* TO "+user)...)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Exec(context.WithoutCancel(t.Context()), "DROP USER "+user) //nolint:errcheck // as above
				var granted []string
				for {
					complaint := complaints(t, "needy:"+canary+"@tcp("+s.Addr()+")/"+database+"?fpProbeInterval=100ms&fpTopology="+topology+tc.params)
					statement := grantText.FindString(complaint)
					if statement == "" || slices.Contains(granted, statement) {
						if (tc.last == "") != (complaint == "") || !strings.Contains(complaint, tc.last) {
							t.Errorf("in the end: %s", complaint)
						}
						break
					}
					if !bytes.Contains(docs, []byte(statement+" TO 'app'@'%'")) {
						t.Errorf("not in docs/topologies.md: %s", statement)
					}
					granted = append(granted, statement)
					if err := s.Exec(t.Context(), statement+" TO "+user); err != nil {
						t.Fatal(err)
					}
				}
				if !slices.Equal(granted, tc.want) {
					t.Errorf("granted %q, want %q", granted, tc.want)
				}
			})
		}
	})
}

// complaints is what a program gets to hear that connects and waits for a few polls: its error, or
// the warnings in its log.
func complaints(t *testing.T, dsn string) string {
	t.Helper()
	cfg, err := ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c, err := NewConnector(cfg, WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	if err := db.PingContext(t.Context()); err != nil {
		if strings.Contains(err.Error(), canary) {
			t.Errorf("the password is in %v", err)
		}
		return err.Error()
	}
	eventually(t, "a few polls", func() bool { w := c.Snapshot().Writer(); return w != nil && w.Verified > 5 })
	if err := db.Close(); err != nil { // the log is complete
		t.Fatal(err)
	}
	if strings.Contains(log.String(), canary) {
		t.Errorf("the password is in %s", log.String())
	}
	return log.String()
}
