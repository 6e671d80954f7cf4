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

func TestLocal(t *testing.T) {
	for text, want := range map[string]bool{
		"XA RECOVER":                           true,
		"SHOW FULL PROCESSLIST":                true,
		"SHOW MASTER STATUS":                   true,
		"SHOW BINARY LOG STATUS":               true,
		"SHOW BINLOG EVENTS LIMIT 5":           true,
		"SHOW ALL SLAVES STATUS":               true,
		"show replica status":                  true,
		"SHOW ENGINE INNODB STATUS":            true,
		"EXPLAIN FOR CONNECTION 5":             true,
		"EXPLAIN FORMAT=JSON FOR CONNECTION 5": true,
		"SELECT ID FROM information_schema.PROCESSLIST WHERE TIME > 60": true,
		"SELECT * FROM `information_schema`.`innodb_trx`":               true,
		"SELECT COUNT(*) FROM performance_schema.threads":               true,
		"SHOW TABLES":                       false,
		"SHOW ENGINES":                      false,
		"SHOW VARIABLES LIKE 'processlist'": false,
		"SHOW CREATE TABLE t":               false,
		"EXPLAIN SELECT 1":                  false,
		"DESCRIBE t":                        false,
		"SELECT @@hostname":                 false,
		"SELECT a FROM information_schema.COLUMNS WHERE b = 'PROCESSLIST'": false,
	} {
		f := Scan(text, 0)
		if f.Local() != want || !f.Read() {
			t.Errorf("%s: %t, %+v", text, f.Local(), f)
		}
	}
}
