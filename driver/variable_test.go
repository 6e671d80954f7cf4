package driver

import "testing"

// TestVariablesMove: what a session sets goes with it to another backend, stays away from
// other sessions, and binds it to nothing.
func TestVariablesMove(t *testing.T) {
	eachWorld(t, func(w *world) {
		for _, do := range []string{
			"SET time_zone = '+01:00'", "SET SESSION time_zone = '+01:00'", "SET LOCAL time_zone := '+01:00'", "set @@time_zone='+01:00'",
			"SET @@session.time_zone = '+01:00'", "SET @@local.time_zone = '+01:00'", "SET @@SESSION . time_zone = '+01:00'",
			"SET `time_zone` = '+01:00'", "SET @@session.`time_zone` = '+01:00'", "/* c */ SET -- c\n time_zone = '+01:00' # c",
			"SET time_zone = '+01:00', sort_buffer_size = 300000, SESSION lock_wait_timeout = 7, @@wait_timeout = 99, @x = 'a', @y := 3",
			"SET time_zone = '+01:00'; SET time_zone = '-03:00'", "SET time_zone = '+01:00'; SET time_zone = DEFAULT", "SET time_zone = DEFAULT",
			"SET time_zone = 'SYSTEM'", "SET time_zone = system", "SET TIME_ZONE = '+01:00'; SET Time_Zone = '+02:00'",
			"SET NAMES latin1", "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'", "SET NAMES utf8mb4 COLLATE utf8mb4_bin; SET collation_connection = latin1_bin", "SET NAMES latin1; SET NAMES DEFAULT", "SET NAMES utf8mb4, time_zone = '+01:00'",
			"SET CHARACTER SET latin1", "SET CHARSET 'latin1'", "SET CHARACTER SET DEFAULT", "SET character_set_client = latin1",
			"SET character_set_results = NULL", "SET collation_server = utf8mb4_bin; SET character_set_server = latin1", "SET collation_connection = latin1_bin", "SET character_set_connection = latin1",
			"SET sql_mode = ''", "SET sql_mode = 'ANSI'", "SET sql_mode = 'traditional'", "SET sql_mode = 'ansi_quotes,STRICT_TRANS_TABLES'",
			"SET sql_mode = ANSI_QUOTES", "SET sql_mode = 4", "SET sql_mode = DEFAULT", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET sql_mode = \"ANSI\"",
			"SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')", "SET SESSION sql_mode = (SELECT CONCAT(@@sql_mode, ',ANSI'))", "SET sql_mode = REPLACE(@@sql_mode, 'STRICT_TRANS_TABLES', '')",
			"SET sort_buffer_size = @@sort_buffer_size * 2", "SET sort_buffer_size = @@global.sort_buffer_size", "SET lock_wait_timeout = 3 + 4",
			"SET @x = '+03:00'; SET time_zone = @x", "SET foreign_key_checks = 0, unique_checks = OFF", "SET sql_safe_updates = TRUE; SET sql_notes = off",
			"SET sql_select_limit = 10", "SET sql_select_limit = 10; SET sql_select_limit = DEFAULT", "SET group_concat_max_len = 12345",
			"SET max_join_size = 1000000", "SET sql_big_selects = 0", "SET long_query_time = 0.5", "SET lc_time_names = 'de_DE'", "SET {limit} = 5000",
			"SET optimizer_switch = 'index_merge=off'; SET optimizer_switch = 'mrr=off'", "SET auto_increment_increment = 5, div_precision_increment = 7",
			"SET default_storage_engine = MyISAM", "SET storage_engine = MEMORY; SET default_storage_engine = InnoDB", "SET timestamp = 1234567890", "SET timestamp = 1234567890.5; SET timestamp = DEFAULT",
			"SET innodb_lock_wait_timeout = 9",
			"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET SESSION TRANSACTION READ ONLY", "SET LOCAL TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE",
			"SET {isolation} = 'READ-UNCOMMITTED'", "SET SESSION {isolation} = 'serializable'", "SET @@session.{isolation} = 'READ-COMMITTED'", "SET SESSION {read_only} = 1",
			"SET autocommit = 0", "SET autocommit = OFF; SET autocommit = 1", "SET @@autocommit := 0; SET @x = 1", "USE mysql", "USE `information_schema`; USE {db}",
			"USE mysql; SET CHARACTER SET latin1", "SET GLOBAL sort_buffer_size = @@global.sort_buffer_size", "SET @@global.sort_buffer_size = @@global.sort_buffer_size, @x = 1",
			"SET @x = 1", "SET @X = -5", "SET @x = +5, @`x` = 6", "SET @x = 1.50", "SET @x = 1e3", "SET @x = .5", "SET @x = 18446744073709551615", "SET @x = 0x4142",
			"SET @x = 'a'", "SET @x = 'it''s'", "SET @x = ''", "SET @x = 'ü€😀'", "SET @x = TRUE", "SET @x = NULL", "SET @x = 1; SET @x = NULL", "SET @'a b' = 'c'", "SET @`A B` = 1",
			"SET @x = \"it's\"", "SET NAMES latin1; SET @x = 'a'", "SET NAMES utf8mb4 COLLATE utf8mb4_bin; SET @x = 'ü'", "SET sql_mode = 'ANSI'; SET @x = 'a'",
			"SET sql_mode = 'NO_BACKSLASH_ESCAPES', @x = 'a'", "SET @x = 1, @y = 2, @z = 'c'; SET @y = NULL",
			"SET nosuch = 1", "SET time_zone = 'nowhere'", "SET SESSION max_connections = 5", "SET nosuch = 1, time_zone = '+01:00'",
			"SET time_zone = '+01:00', sql_mode = 'nonsense'", "SET time_zone = '+01:00', nosuch = 1", "USE nosuch", "SET time_zone = ",
		} {
			w.check(pinCase{name: do, do: do}, "", "")
		}
	})
}
