package minidb_test

import (
	"context"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// FuzzParse gives any text to a session: it is answered, and whatever is no statement
// is an error.
func FuzzParse(f *testing.F) {
	for _, q := range []string{
		"SELECT DISTINCT x.a y, COUNT(*), SUM(a) FROM t x WHERE id IN (1, 2) AND NOT b LIKE '%_' GROUP BY a ORDER BY y DESC LIMIT 1 OFFSET 2 FOR UPDATE",
		"INSERT INTO t (a, b) VALUES (-1, 'it''s\\n'), (?, DEFAULT)", "UPDATE t SET a = (a + 1) * 2 WHERE a BETWEEN 1 AND 2 IS TRUE ORDER BY id LIMIT 3",
		"CREATE TABLE IF NOT EXISTS u (a INT PRIMARY KEY, b VARCHAR(9) DEFAULT 'x', c DATETIME, PRIMARY KEY (a, b)) ENGINE=InnoDB",
		"DELETE FROM t WHERE id = @a /*! OR 1 */ -- x", "SET GLOBAL a = 1, @b := @@session.autocommit, NAMES utf8", "SET TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE",
		"SHOW GLOBAL VARIABLES WHERE Variable_name IN ('x')", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "SAVEPOINT a; ROLLBACK TO a; COMMIT AND CHAIN",
		"KILL QUERY 1", "DROP TEMPORARY TABLE IF EXISTS `a``b`.c, d", "SELECT _utf8'x', 1e5, .5, 0x, CURRENT_TIMESTAMP", "SELECT @@", "/*!", "TRUNCATE t",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		info := fakemysql.ConnInfo{Capabilities: wire.ClientMultiStatements}
		session := minidb.New().Open(info)
		defer session.Close()
		session.Execute(t.Context(), "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, a BIGINT, b TEXT)", nil)
		session.Execute(t.Context(), "INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL)", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond) // it may SLEEP
		defer cancel()
		params, _, _ := session.Describe(q)
		for _, args := range [][]any{nil, make([]any, params)} {
			if len(session.Execute(ctx, q, args).Results) == 0 {
				t.Errorf("no answer to %q", q)
			}
		}
	})
}
