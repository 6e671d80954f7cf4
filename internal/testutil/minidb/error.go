package minidb

import (
	"errors"
	"fmt"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// states are the SQLSTATEs of the errors that have one of their own, from
// https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html.
var states = map[uint16]string{
	1046: "3D000", 1048: "23000", 1049: "42000", 1050: "42S01", 1051: "42S02", 1054: "42S22", 1060: "42S21",
	1062: "23000", 1064: "42000", 1068: "42000", 1072: "42000", 1075: "42000", 1109: "42S02", 1110: "42000",
	1111: "HY000", 1136: "21S01", 1146: "42S02", 1213: "40001", 1264: "22003", 1305: "42000", 1317: "70100",
	1406: "22001", 1568: "25001", 1582: "42000", 1690: "22003", 1792: "25006",
}

// fail makes the server's error of that number.
func fail(number uint16, format string, args ...any) *fakemysql.Error {
	return &fakemysql.Error{Number: number, State: states[number], Message: fmt.Sprintf(format, args...)}
}

// asError is err as the client gets it.
func asError(err error) *fakemysql.Error {
	if e, ok := errors.AsType[*fakemysql.Error](err); ok {
		return e
	}
	return fail(1105, "%s", err)
}

func syntaxError(near string) *fakemysql.Error {
	const most = 80 // as MySQL cuts it
	if len(near) > most {
		near = near[:most]
	}
	return fail(1064, "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version "+
		"for the right syntax to use near '%s' at line 1", near)
}

func unknownColumn(name, where string) *fakemysql.Error {
	return fail(1054, "Unknown column '%s' in '%s'", name, where)
}

func unknownDatabase(name string) *fakemysql.Error { return fail(1049, "Unknown database '%s'", name) }
