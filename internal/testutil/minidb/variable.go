package minidb

import (
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// definition is a system variable as the server starts with it.
type definition struct {
	value  any  // int64 or string
	toggle bool // 0 and 1 are shown as OFF and ON
	scope  scope
	fixed  bool // cannot be set
}

type scope byte

const (
	everywhere scope = iota // of the server, and of each session
	global
	perSession
)

func (d definition) kind() byte { return kindOf(d.value) }

// catalog are the system variables, with MySQL 8.0's defaults but for the isolation,
// which is what it is.
// https://dev.mysql.com/doc/refman/8.0/en/server-system-variable-reference.html
var catalog = map[string]definition{
	"autocommit":                     {value: int64(1), toggle: true},
	"foreign_key_checks":             {value: int64(1), toggle: true},
	"unique_checks":                  {value: int64(1), toggle: true},
	"sql_safe_updates":               {value: int64(0), toggle: true},
	"sql_auto_is_null":               {value: int64(0), toggle: true},
	"transaction_read_only":          {value: int64(0), toggle: true},
	"innodb_lock_wait_timeout":       {value: int64(50)},
	"lock_wait_timeout":              {value: int64(31536000)},
	"wait_timeout":                   {value: int64(28800)},
	"interactive_timeout":            {value: int64(28800)},
	"net_read_timeout":               {value: int64(30)},
	"net_write_timeout":              {value: int64(60)},
	"max_execution_time":             {value: int64(0)},
	"group_concat_max_len":           {value: int64(1024)},
	"sql_select_limit":               {value: "18446744073709551615"},
	"auto_increment_increment":       {value: int64(1), fixed: true},
	"auto_increment_offset":          {value: int64(1), fixed: true},
	"transaction_isolation":          {value: "READ-COMMITTED"},
	"sql_mode":                       {value: "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"},
	"time_zone":                      {value: "SYSTEM"},
	"character_set_client":           {value: "utf8mb4"},
	"character_set_connection":       {value: "utf8mb4"},
	"character_set_results":          {value: "utf8mb4"},
	"character_set_server":           {value: "utf8mb4"},
	"collation_connection":           {value: "utf8mb4_0900_ai_ci"},
	"collation_server":               {value: "utf8mb4_0900_ai_ci"},
	"session_track_gtids":            {value: "OFF"},
	"session_track_schema":           {value: int64(1), toggle: true},
	"session_track_state_change":     {value: int64(0), toggle: true},
	"session_track_system_variables": {value: "time_zone,autocommit,character_set_client,character_set_results,character_set_connection"},
	"session_track_transaction_info": {value: "OFF"},
	"max_allowed_packet":             {value: int64(64 << 20), fixed: true},
	"read_only":                      {value: int64(0), toggle: true, scope: global},
	"super_read_only":                {value: int64(0), toggle: true, scope: global},
	"innodb_read_only":               {value: int64(0), toggle: true, scope: global, fixed: true},
	"hostname":                       {value: "minidb", scope: global, fixed: true},
	"port":                           {value: int64(3306), scope: global, fixed: true},
	"server_id":                      {value: int64(1), scope: global},
	"max_connections":                {value: int64(151), scope: global},
	"system_time_zone":               {value: "UTC", scope: global, fixed: true},
	"lower_case_table_names":         {value: int64(0), scope: global, fixed: true},
	"license":                        {value: "Apache-2.0", scope: global, fixed: true},
	"init_connect":                   {value: "", scope: global},
	"version":                        {value: "8.0.39-fake", scope: global, fixed: true},
	"version_comment":                {value: "minidb", scope: global, fixed: true},
	"pseudo_thread_id":               {value: int64(0), scope: perSession, fixed: true},
	"last_insert_id":                 {value: int64(0), scope: perSession},
	"identity":                       {value: int64(0), scope: perSession, fixed: true},
	"warning_count":                  {value: int64(0), scope: perSession, fixed: true},
	"error_count":                    {value: int64(0), scope: perSession, fixed: true},
}

// variable is @@name, @@session.name or @@global.name.
func (s *session) variable(scope, name string) (any, error) {
	d, ok := catalog[name]
	switch {
	case !ok || scope != "" && scope != "session" && scope != "global":
		if scope != "" && !ok {
			name = scope + "." + name
		}
		return nil, unknownVariable(name)
	case scope == "session" && d.scope == global:
		return nil, fail(1238, "Variable '%s' is a GLOBAL variable", name)
	case scope == "global" && d.scope == perSession:
		return nil, fail(1238, "Variable '%s' is a SESSION variable", name)
	}
	switch name {
	case "version":
		if s.info.Version != "" {
			return s.info.Version, nil
		}
	case "max_allowed_packet":
		if s.info.MaxPacket != 0 {
			return int64(s.info.MaxPacket), nil
		}
	case "pseudo_thread_id":
		return int64(s.info.ID), nil
	case "last_insert_id", "identity":
		return int64(s.lastID), nil
	case "warning_count", "error_count":
		return int64(len(s.notes)), nil
	}
	if scope == "global" || d.scope == global {
		if v, changed := s.db.globals[name]; changed {
			return v, nil
		}
		return d.value, nil
	}
	return s.values[name], nil
}

func unknownVariable(name string) error { return fail(1193, "Unknown system variable '%s'", name) }

// shown is a value as SHOW VARIABLES has it.
func (d definition) shown(v any) string {
	if !d.toggle {
		return characters(v)
	}
	if isTrue(v) {
		return "ON"
	}
	return "OFF"
}

// accept is a value of SET as the variable keeps it.
func (d definition) accept(name string, v any) (any, error) {
	word, isText := v.(string)
	switch {
	case d.toggle && isText && strings.EqualFold(word, "ON"), d.toggle && isText && strings.EqualFold(word, "TRUE"):
		return int64(1), nil
	case d.toggle && isText && strings.EqualFold(word, "OFF"), d.toggle && isText && strings.EqualFold(word, "FALSE"):
		return int64(0), nil
	case v == nil && kindOf(d.value) == wire.TypeVarString:
		return "", nil
	case kindOf(d.value) == wire.TypeVarString:
		return characters(v), nil
	}
	n, ok := exact(v)
	switch {
	case d.toggle && (!ok || n != 0 && n != 1):
		return nil, fail(1231, "Variable '%s' can't be set to the value of '%s'", name, characters(v))
	case !ok:
		return nil, fail(1232, "Incorrect argument type to variable '%s'", name)
	}
	return max(n, 0), nil
}
