package driver

import (
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
)

// Variables that cannot be set again elsewhere: some are used up, some number the
// connection, one is how the server tells us what changes.
var unmovable = []string{
	"rand_seed1", "rand_seed2", "insert_id", "gtid_next", "gtid_seq_no", "pseudo_thread_id", "pseudo_slave_mode",
	"pseudo_replica_mode", "session_track_state_change", "debug", "debug_dbug",
}

// autoIsNull: see settings.
const autoIsNull = "sql_auto_is_null"

// forgotten is a variable that is not tracked: a bug, for a test that must find it.
var forgotten string

// Variables whose new value depends on the old one.
var incremental = []string{"optimizer_switch", "optimizer_trace", "optimizer_trace_features"}

// settings returns the variables that a SET changes: some change others.
func (c *conn) settings(change sqlscan.Change) []pool.Setting {
	name, source := change.Name, change.Value
	if change.Effect != sqlscan.EffectVariable || name == "" || slices.Contains(unmovable, name) {
		return nil
	}
	group := func(names ...string) []pool.Setting {
		if c.ownDefaults() {
			source = "" // the same text means something else in other sessions
		}
		set := make([]pool.Setting, len(names))
		for i, n := range names {
			set[i] = pool.Setting{Name: n}
			if source != "" {
				set[i].Source = name + "=" + source
			}
		}
		return set
	}
	switch name {
	case "names":
		return group("character_set_client", "character_set_results", "character_set_connection", "collation_connection")
	case "charset": // the connection's becomes that of the default schema
		source = ""
		return group("character_set_client", "character_set_results", "character_set_connection", "collation_connection")
	case "character_set_connection", "collation_connection":
		return group("character_set_connection", "collation_connection")
	case "storage_engine": // MariaDB's other name of it
		name = "default_storage_engine"
	case "character_set_server", "collation_server":
		return group("character_set_server", "collation_server")
	case "character_set_database", "collation_database":
		return group("character_set_database", "collation_database")
	case "max_join_size", "sql_big_selects":
		return group("max_join_size", "sql_big_selects")
	case "transaction_isolation", "tx_isolation":
		name = c.alias("transaction_isolation", "tx_isolation")
	case "transaction_read_only", "tx_read_only":
		name = c.alias("transaction_read_only", "tx_read_only")
	}
	if name == autoIsNull && source != "0" && !strings.EqualFold(source, "OFF") {
		return nil // then WHERE id IS NULL asks for LAST_INSERT_ID()
	}
	if slices.Contains(incremental, name) {
		return []pool.Setting{{Name: name}}
	}
	return []pool.Setting{{Name: name, Value: source, Source: source}}
}

// ownDefaults reports whether the session has its own mind about what a character set's
// default collation is.
func (c *conn) ownDefaults() bool {
	return slices.ContainsFunc(c.session.State().Settings(), func(v pool.Setting) bool {
		return v.Name == "default_collation_for_utf8mb4" || v.Name == "character_set_collations"
	})
}

// alias returns a variable's name on this server: MySQL 8 knows only the first.
func (c *conn) alias(mysql, mariaDB string) string {
	if b := c.session.Backend(); b != nil && b.MariaDB() {
		return mariaDB
	}
	return mysql
}
