package sqlscan

import "testing"

func TestConcerns(t *testing.T) {
	for text, want := range map[string]bool{
		"SELECT a FROM t FOR UPDATE":                         true,
		"SELECT a FROM t FOR SHARE SKIP LOCKED":              true,
		"SELECT a FROM t LOCK IN SHARE MODE":                 true,
		"WITH c AS (SELECT 1) SELECT * FROM c, t FOR UPDATE": true,
		"SELECT GET_LOCK('a', 1)":                            true,
		"SET @x = GET_LOCK('a', 1)":                          true,
		"LOCK TABLES t READ":                                 true,
		"LOCK INSTANCE FOR BACKUP":                           true,
		"FLUSH TABLES WITH READ LOCK":                        true,
		"SET GLOBAL max_connections = 5":                     true,
		"SET SESSION sql_mode = '', @@global.read_only = 0":  true,
		"SET PERSIST max_connections = 5":                    true,
		"SET @@persist_only.max_connections = 5":             true,
		"SET GLOBAL TRANSACTION READ ONLY":                   true,
		"SELECT 1; SELECT a FROM t FOR UPDATE":               true,
		"SELECT a FROM t WHERE b = ' FOR UPDATE' -- LOCK":    false,
		"SELECT a FROM t FORCE INDEX FOR ORDER BY (i)":       false,
		"SET SESSION TRANSACTION READ ONLY, sql_mode = ''":   false,
		"SET @x = 1, sql_mode = '', NAMES utf8mb4":           false,
		"SELECT RELEASE_LOCK('a')":                           false,
		"UNLOCK TABLES":                                      false,
		"INSERT INTO t VALUES (1)":                           false,
		"SELECT f(1)":                                        false,
		"START TRANSACTION READ ONLY":                        false,
	} {
		if got := Scan(text, 0).Concerns(); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}
