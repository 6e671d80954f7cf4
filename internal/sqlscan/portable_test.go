package sqlscan

import "testing"

func TestPortable(t *testing.T) {
	for text, want := range map[string]bool{
		"SELECT a FROM t WHERE b = ?":                        true,
		"/* fp:reader */ (SELECT 1) UNION (SELECT 2)":        true,
		"WITH c AS (SELECT 1) SELECT * FROM c":               true,
		"TABLE t":                                            true,
		"VALUES ROW(1)":                                      true,
		"SELECT 'me@example.com', \"@x\", 'it''s @home'":     true,
		"SELECT user, version, `schema` FROM t":              true,
		"SELECT current_users, sys FROM t AS mysql":          true,
		"SELECT NOW(), RAND(), UUID()":                       true, // not the session's, though other each time
		"SELECT 1 -- @x":                                     true,
		"SELECT @x":                                          false,
		"SELECT @`x`":                                        false,
		"SELECT @@sql_mode":                                  false,
		"SELECT @@session.time_zone":                         false,
		"SELECT /*!50000 @x */ 1":                            false,
		"SELECT /*!99999 @x */ 1":                            false,
		"SELECT connection_id()":                             false,
		"SELECT USER ()":                                     false,
		"SELECT CURRENT_USER":                                false,
		"SELECT a FROM t WHERE owner = current_user()":       false,
		"SELECT DATABASE()":                                  false,
		"SELECT version()":                                   false,
		"SELECT * FROM information_schema.processlist":       false,
		"SELECT * FROM `mysql`.`user`":                       false,
		"SELECT * FROM performance_schema.threads":           false,
		"SHOW TABLES":                                        false,
		"EXPLAIN SELECT 1":                                   false,
		"DESCRIBE t":                                         false,
		"SELECT 'a":                                          false,
		"SELECT \"a\\\", @x, \"b\"":                          false, // with NO_BACKSLASH_ESCAPES
		"SELECT * FROM \"information_schema\".\"processlist": false,
		"":  false,
		"(": false,
	} {
		for _, mode := range []Mode{0, AnyMode, AnyQuotes, AnyQuotes | NoBackslashEscapes} {
			if got := Portable(text, mode); got != want {
				t.Errorf("%q in mode %d: %t", text, mode, got)
			}
		}
	}
}
