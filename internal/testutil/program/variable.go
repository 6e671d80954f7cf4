package program

// variable is a system variable of a session with values for it, as they are written
// after SET.
type variable struct {
	name   string
	values []string
}

// telling is how many of the first variables show in answers by more than their values,
// or are set by many programs. They are set more often.
const telling = 14

// common are the variables that both servers have. No value ends a session or lets one
// wait; none of a variable's values leaves it for another session to see.
var common = []variable{
	{"sql_mode", []string{
		"''", "'ANSI_QUOTES'", "'NO_BACKSLASH_ESCAPES'", "'STRICT_TRANS_TABLES'", "'ansi'", "'PIPES_AS_CONCAT,IGNORE_SPACE'", "TRADITIONAL",
		"'strict_all_tables,STRICT_ALL_TABLES'", "4", "'ONLY_FULL_GROUP_BY,REAL_AS_FLOAT'", "'NO_UNSIGNED_SUBTRACTION'", "'HIGH_NOT_PRECEDENCE'",
		"'ERROR_FOR_DIVISION_BY_ZERO,STRICT_TRANS_TABLES'", "'PAD_CHAR_TO_FULL_LENGTH'", "''", "'NO_ZERO_DATE,NO_ZERO_IN_DATE'", "ANSI_QUOTES",
		"'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'", "'STRICT_TRANS_TABLES,ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "0x4",
	}},
	{"time_zone", []string{"'+00:00'", "'+05:30'", "'-08:00'", "SYSTEM", "'SYSTEM'", "'+5:30'"}},
	{"timestamp", []string{"1000000", "86400", "1000000.25", "999999999"}},
	{"div_precision_increment", []string{"2", "8", "0", "31", "-1"}},
	{"group_concat_max_len", []string{"4", "10", "1024", "0", "20000"}},
	{"sql_select_limit", []string{"1", "2", "1000", "18446744073709551615"}},
	{"lc_time_names", []string{"'de_DE'", "en_GB", "'fr_FR'", "'en_US'", "4"}},
	{"default_week_format", []string{"1", "3", "6", "99"}},
	{"auto_increment_increment", []string{"2", "5", "1", "0"}},
	{"auto_increment_offset", []string{"2", "1"}},
	{"sql_safe_updates", []string{"1", "ON", "0", "'off'"}},
	{"foreign_key_checks", []string{"0", "OFF", "1", "FALSE"}},
	{"unique_checks", []string{"0", "off", "true"}},
	{"sql_notes", []string{"0", "1", "OFF"}},
	{"sql_warnings", []string{"1", "0"}},
	{"sql_auto_is_null", []string{"1", "0"}},
	{"sql_quote_show_create", []string{"0", "1"}},
	{"sql_big_selects", []string{"0", "ON"}},
	{"sql_buffer_result", []string{"1", "0"}},
	{"max_error_count", []string{"0", "1", "64", "100000"}},
	{"sort_buffer_size", []string{"262144", "1", "65536", "0x10000"}},
	{"join_buffer_size", []string{"131072", "1000", "200"}},
	{"max_sort_length", []string{"8", "64", "1024", "1"}},
	{"max_length_for_sort_data", []string{"64", "1024"}},
	{"tmp_table_size", []string{"1048576", "2097152", "1024"}},
	{"max_heap_table_size", []string{"1048576", "16384", "17000"}},
	{"net_write_timeout", []string{"61", "600"}},
	{"net_read_timeout", []string{"33", "600"}},
	{"wait_timeout", []string{"20000", "28000"}},
	{"interactive_timeout", []string{"20000", "28000"}},
	{"lock_wait_timeout", []string{"100", "3600"}},
	{"innodb_lock_wait_timeout", []string{"30", "40"}},
	{"innodb_table_locks", []string{"0", "1"}},
	{"optimizer_switch", []string{"'index_merge=off'", "'materialization=off'", "'semijoin=off'", "'index_merge=on'", "'firstmatch=off,loosescan=off'", "'default'", "'semijoin=default'"}},
	{"optimizer_search_depth", []string{"3", "62", "0"}},
	{"optimizer_prune_level", []string{"0", "1"}},
	{"eq_range_index_dive_limit", []string{"5", "100"}},
	{"range_alloc_block_size", []string{"8192", "4096"}},
	{"query_alloc_block_size", []string{"16384", "1025"}},
	{"transaction_prealloc_size", []string{"8192", "1024"}},
	{"transaction_alloc_block_size", []string{"16384"}},
	{"preload_buffer_size", []string{"65536", "32768"}},
	{"bulk_insert_buffer_size", []string{"65536", "0"}},
	{"max_seeks_for_key", []string{"100", "1"}},
	{"low_priority_updates", []string{"1", "0"}},
	{"updatable_views_with_limit", []string{"NO", "YES", "0"}},
	{"old_alter_table", []string{"1", "0"}},
	// No other engine: MySQL's warnings about those that are mixed outlive the transaction.
	{"default_storage_engine", []string{"InnoDB", "'InnoDB'"}},
	{"default_tmp_storage_engine", []string{"InnoDB", "'innodb'"}},
	{"character_set_client", []string{"latin1", "utf8mb4", "'ascii'"}},
	{"character_set_connection", []string{"latin1", "utf8mb4", "'binary'"}},
	{"character_set_results", []string{"latin1", "utf8mb4", "NULL", "binary"}},
	{"character_set_server", []string{"latin1", "utf8mb4"}},
	{"character_set_filesystem", []string{"latin1", "binary"}},
	{"collation_connection", []string{"utf8mb4_bin", "latin1_german2_ci", "'utf8mb4_unicode_ci'"}},
	{"collation_server", []string{"utf8mb4_bin", "latin1_bin"}},
	{"explicit_defaults_for_timestamp", []string{"0", "1"}},
	{"long_query_time", []string{"100", "7.5"}},
	{"min_examined_row_limit", []string{"5", "0"}},
	{"profiling_history_size", []string{"15", "3"}},
	{"read_buffer_size", []string{"131072", "8200"}},
	{"read_rnd_buffer_size", []string{"131072", "1"}},
	{"max_sp_recursion_depth", []string{"3", "0"}},
}

// ofMySQL and ofMariaDB have the variables that only one of the servers has.
var (
	ofMySQL = []variable{
		{"max_execution_time", []string{"60000", "0"}},
		{"cte_max_recursion_depth", []string{"10", "1000"}},
		{"default_collation_for_utf8mb4", []string{"utf8mb4_general_ci", "utf8mb4_0900_ai_ci"}},
		{"information_schema_stats_expiry", []string{"0", "100"}},
		{"internal_tmp_mem_storage_engine", []string{"MEMORY", "TempTable"}},
		{"range_optimizer_max_mem_size", []string{"100000"}},
		{"sql_require_primary_key", []string{"0", "1"}},
		{"sql_generate_invisible_primary_key", []string{"1", "0"}},
		{"transaction_isolation", []string{"'READ-COMMITTED'", "'REPEATABLE-READ'", "1", "'read-uncommitted'"}},
		{"transaction_read_only", []string{"1", "0"}},
		{"windowing_use_high_precision", []string{"0", "ON"}},
		{"select_into_buffer_size", []string{"65536"}},
		{"print_identified_with_as_hex", []string{"1"}},
		{"set_operations_buffer_size", []string{"65536"}},
	}
	ofMariaDB = []variable{
		{"max_statement_time", []string{"60", "0", "30.5"}},
		{"max_recursive_iterations", []string{"10", "4294967295"}},
		{"tx_isolation", []string{"'READ-COMMITTED'", "'REPEATABLE-READ'", "1", "'read-uncommitted'"}},
		{"tx_read_only", []string{"1", "0"}},
		{"old_mode", []string{"''", "'NO_DUP_KEY_WARNINGS_WITH_IGNORE'", "'UTF8_IS_UTF8MB3'", "'ZERO_DATE_TIME_CAST'"}},
		{"sql_mode", []string{"'EMPTY_STRING_IS_NULL'", "'MSSQL'", "'ORACLE'", "'SIMULTANEOUS_ASSIGNMENT'", "'TIME_ROUND_FRACTIONAL'"}},
		{"standard_compliant_cte", []string{"0", "1"}},
		{"check_constraint_checks", []string{"0", "1"}},
		{"column_compression_threshold", []string{"10"}},
		{"idle_transaction_timeout", []string{"1000", "0"}},
		{"join_cache_level", []string{"0", "4"}},
		{"optimizer_use_condition_selectivity", []string{"1", "4"}},
		{"optimizer_selectivity_sampling_limit", []string{"50"}},
		{"use_stat_tables", []string{"NEVER", "'complementary'"}},
		{"sql_if_exists", []string{"1", "0"}},
		{"storage_engine", []string{"MyISAM", "InnoDB"}},
		{"default_regex_flags", []string{"'DOTALL'", "'MULTILINE,EXTENDED'", "''"}},
		{"expensive_subquery_limit", []string{"50"}},
		{"in_predicate_conversion_threshold", []string{"10"}},
		{"system_versioning_alter_history", []string{"KEEP", "ERROR"}},
		{"max_rowid_filter_size", []string{"2048"}},
		{"analyze_sample_percentage", []string{"10", "0"}},
		{"progress_report_time", []string{"7"}},
		{"character_set_collations", []string{"''"}},
	}
)

// variables are those that the flavor has.
func (g *generator) variables() []variable {
	if g.mariadb {
		return mariadbVariables
	}
	return mysqlVariables
}

var (
	mariadbVariables = append(append([]variable{}, common...), ofMariaDB...)
	mysqlVariables   = append(append([]variable{}, common...), ofMySQL...)
)

// probed are read, but not set as variables.
var probed = []string{
	"autocommit", "character_set_database", "collation_database", "sql_log_bin", "version_comment", "completion_type", "default_storage_engine",
}

// effects are queries in whose answers settings show.
var effects = []string{
	`SELECT 1/3, 7/9`,
	`SELECT "shade"`,
	`SELECT 'a\\b', LENGTH('\n')`,
	`SELECT 'a' || 'b'`,
	`SELECT COUNT (*) FROM (SELECT 1) AS x`,
	`SELECT NOT 1 BETWEEN -5 AND 5`,
	`SELECT CAST(0 AS UNSIGNED) - 1`,
	`SELECT GROUP_CONCAT(n) FROM (SELECT 1000 AS n UNION SELECT 2000 UNION SELECT 3000) AS x`,
	`SELECT 1 UNION SELECT 2 UNION SELECT 3 ORDER BY 1`,
	`SELECT DATE_FORMAT('2024-03-04', '%W %M'), WEEK('2024-01-01'), DAYNAME('2024-03-05')`,
	`SELECT @@timestamp < 1000000000, IF(@@timestamp < 1000000000, UNIX_TIMESTAMP(), 0), IF(@@timestamp < 1000000000, NOW(), 0)`,
	`SELECT FROM_UNIXTIME(0), UNIX_TIMESTAMP('2000-01-01 12:00:00')`,
	`SELECT HEX('é'), CHARSET('x'), COLLATION('x'), LENGTH('ß')`,
	`SELECT 'é', _utf8mb4'ü', _latin1'x'`,
	`SELECT DATABASE(), SCHEMA()`,
	`SELECT CAST('x' AS CHAR(3)), CONCAT(CAST('y' AS CHAR(4)), '|')`,
	`SELECT 1/0, CAST('12x' AS SIGNED)`,
	`SELECT 'A' = 'a', 'ss' = 'ß'`,
	`SELECT CAST('2024-02-31' AS DATE), STR_TO_DATE('00/00/0000', '%m/%d/%Y')`,
	`SELECT * FROM shade`,
	`SHOW TABLES`,
	`SHOW CREATE TABLE shade`,
	`SELECT '' IS NULL, NULL || 'x'`,
	`SELECT 1.0 / 7 * 7, AVG(x) FROM (SELECT 1 AS x UNION SELECT 2) AS y`,
	`SELECT HEX(CONVERT('x' USING latin1)), CHARSET(CONVERT(1, CHAR))`,
	`SELECT CURRENT_ROLE()`,
	`SELECT MAX(x) FROM (SELECT 1 AS x, 2 AS y) AS t GROUP BY y HAVING x > 0`,
}
