package aurorasim

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// evaluate runs a query over a view of three rows and shows its result in one line.
func evaluate(sql string, args ...any) (string, error) {
	now := time.Date(2025, 3, 1, 12, 0, 0, 500e6, time.UTC)
	view := []viewRow{
		{id: "i-1", session: masterSession, updated: now, cpu: 7.5},
		{id: "i-2", session: "uuid-2", updated: now.Add(-10 * time.Second), lag: 20 * time.Millisecond, cpu: 1},
		{id: "i-3", session: "uuid-3", updated: now.Add(-10 * time.Minute), lag: 1500 * time.Microsecond, cpu: 2},
	}
	q, err := parseQuery(newText(sql, true, false), scope{
		vars:    variables{serverID: "i-2", version: "3.1", readOnly: true},
		session: map[string]any{"CONNECTION_ID": int64(9)},
		now:     now,
	})
	if err != nil {
		return "", err
	}
	var values [][]any
	for _, r := range view {
		values = append(values, r.values())
	}
	columns, rows := q.run(values, args)
	var b strings.Builder
	for n, c := range columns {
		fmt.Fprintf(&b, "%s%s", []string{"", ","}[min(n, 1)], c.Name)
	}
	for _, row := range rows {
		b.WriteString(" |")
		for n, v := range row {
			text := str(v)
			if v == nil {
				text = "NULL"
			}
			fmt.Fprintf(&b, "%s%s", []string{" ", ","}[min(n, 1)], text)
		}
	}
	return b.String(), nil
}

const view = " FROM information_schema.replica_host_status"

func TestQuery(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT @@aurora_server_id, @@innodb_read_only":                                                       "@@aurora_server_id,@@innodb_read_only | i-2,1",
		"SELECT aurora_version() v, CONNECTION_ID()":                                                          "v,CONNECTION_ID() | 3.1,9",
		"SELECT SERVER_ID, CPU" + view:                                                                        "SERVER_ID,CPU | i-1,7.5 | i-2,1 | i-3,2",
		"select server_id id" + view + " where session_id<>'x' limit 1;":                                      "id | i-1",
		"SELECT r.SERVER_ID, @@aurora_server_id me" + view + " AS r LIMIT 1":                                  "SERVER_ID,me | i-1,i-2",
		"SELECT SERVER_ID" + view + " WHERE SESSION_ID = 'master_session_id'":                                 "SERVER_ID | i-1",
		"SELECT SERVER_ID" + view + " ORDER BY LAST_UPDATE_TIMESTAMP":                                         "SERVER_ID | i-3 | i-2 | i-1",
		"SELECT SERVER_ID x" + view + " ORDER BY x DESC LIMIT 1 OFFSET 1":                                     "x | i-2",
		"SELECT SERVER_ID" + view + " ORDER BY 1 DESC LIMIT 1, 2":                                             "SERVER_ID | i-2 | i-1",
		"SELECT SERVER_ID, REPLICA_LAG_IN_MILLISECONDS lag" + view + " WHERE REPLICA_LAG_IN_MILLISECONDS > 1": "SERVER_ID,lag | i-2,20 | i-3,1.5",
		"SELECT SERVER_ID" + view + " WHERE TIMESTAMPDIFF(SECOND, LAST_UPDATE_TIMESTAMP, NOW()) < 180":        "SERVER_ID | i-1 | i-2",
		"SELECT TIMESTAMPDIFF(MICROSECOND, LAST_UPDATE_TIMESTAMP, NOW(6)) age" + view + " LIMIT 2":            "age | 0 | 10000000",
		"SELECT UNIX_TIMESTAMP(LAST_UPDATE_TIMESTAMP) u" + view + " LIMIT 1":                                  "u | 1.7408304005e+09",
		"SELECT SERVER_ID" + view + " WHERE LAST_UPDATE_TIMESTAMP > NOW() - INTERVAL 3 MINUTE":                "SERVER_ID | i-1 | i-2",
		"SELECT SERVER_ID" + view + " WHERE LAST_UPDATE_TIMESTAMP >= DATE_SUB(NOW(6), INTERVAL 10 SECOND)":    "SERVER_ID | i-1 | i-2",
		// What the drivers of AWS ask.
		"SELECT server_id, CASE WHEN SESSION_ID = 'MASTER_SESSION_ID' THEN TRUE ELSE FALSE END as is_writer, cpu, REPLICA_LAG_IN_MILLISECONDS as 'lag'" + view +
			" WHERE time_to_sec(timediff(now(), LAST_UPDATE_TIMESTAMP)) <= 300 OR SESSION_ID = 'MASTER_SESSION_ID' ": "server_id,is_writer,cpu,lag | i-1,1,7.5,0 | i-2,0,1,20",
		"SELECT COUNT(*), MAX(CPU), MIN(SERVER_ID)" + view:                                                         "COUNT(*),MAX(CPU),MIN(SERVER_ID) | 3,7.5,i-1",
		"SELECT COUNT(*) n" + view + " WHERE 1 = 0":                                                                "n | 0",
		"SELECT SERVER_ID" + view + " WHERE SERVER_ID IN (?, 'i-9')":                                               "SERVER_ID | i-3",
		"SELECT IF(SESSION_ID LIKE 'MASTER%', 'w', 'r')" + view + " LIMIT 2":                                       "IF(SESSION_ID LIKE 'MASTER%', 'w', 'r') | w | r",
		"SELECT CPU * 2 + 1, CPU / 0, -CPU" + view + " LIMIT 1":                                                    "CPU * 2 + 1,CPU / 0,-CPU | 16,NULL,-7.5",
		"SELECT SERVER_ID" + view + " WHERE NOT CPU BETWEEN 1 AND 2":                                               "SERVER_ID | i-1",
		"SELECT SERVER_ID" + view + " WHERE SERVER_ID NOT IN ('i-1') AND CPU IS NOT NULL":                          "SERVER_ID | i-2 | i-3",
		"SELECT CASE SERVER_ID WHEN 'i-1' THEN 'one' END x" + view + " LIMIT 2":                                    "x | one | NULL",
		"SELECT CONCAT(UPPER(SERVER_ID), '!'), COALESCE(NULL, 3), GREATEST(1, 2), LEAST(1, 2)" + view + " LIMIT 1": "CONCAT(UPPER(SERVER_ID), '!'),COALESCE(NULL, 3),GREATEST(1, 2),LEAST(1, 2) | I-1!,3,2,1",
		"SELECT 'it''s', \"a\\\"b\"":                                                                               "'it''s',\"a\\\"b\" | it's,a\"b",
		"SELECT 1 = 1 IS TRUE, (2 + 3) * 4":                                                                        "1 = 1 IS TRUE,(2 + 3) * 4 | 1,20",
	} {
		got, err := evaluate(sql, "i-3")
		if err != nil || got != want {
			t.Errorf("%s\n  gives %s (%v)\n  want  %s", sql, got, err, want)
		}
	}
}

func TestQueryRefused(t *testing.T) {
	for _, sql := range []string{
		"SELECT @@max_connections", "SELECT 1 FROM t", "SELECT *", "SELECT SLEEP(1)", "INSERT INTO t VALUES (1)",
		"SELECT SERVER_ID" + view + " JOIN x", "SELECT SERVER_ID" + view + " GROUP BY 1", "SELECT",
		"SELECT (1", "SELECT 1 +", "SELECT CASE WHEN 1 THEN 2", "SELECT IF(1, 2)", "SELECT 1 LIMIT x",
	} {
		if got, err := evaluate(sql); !errors.Is(err, errUnsupported) {
			t.Errorf("%s: %q, error %v, want errUnsupported", sql, got, err)
		}
	}
	_, err := evaluate("SELECT NOPE" + view)
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Number != 1054 {
		t.Errorf("an unknown column: error %v, want 1054", err)
	}
}

func TestShowFilter(t *testing.T) {
	for sql, want := range map[string]string{
		"SHOW VARIABLES":                                                                "aurora_server_id aurora_version innodb_read_only",
		"SHOW VARIABLES LIKE 'aurora\\_%'":                                              "aurora_server_id aurora_version",
		"show global variables like 'INNODB_READ_ONLY';":                                "innodb_read_only",
		"SHOW VARIABLES WHERE Variable_name IN ('aurora_version', 'version')":           "aurora_version",
		"SHOW VARIABLES WHERE variable_name = 'innodb_read_only' AND `Value` = 'ON'":    "innodb_read_only",
		"SHOW VARIABLES WHERE Variable_name LIKE 'x%' OR Variable_name LIKE '%version'": "aurora_version",
		"SHOW VARIABLES LIKE 'wait%'":                                                   "",
	} {
		s := showVariables(newText(sql, true, false), variables{serverID: "i-1", version: "3.1", readOnly: true}, false, false)
		var got []string
		for _, row := range s.coming {
			got = append(got, row[0])
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s shows %q, want %q", sql, g, want)
		}
	}
}
