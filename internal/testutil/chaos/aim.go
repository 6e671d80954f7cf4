package chaos

import (
	"strings"
	"sync/atomic"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Aim says which statements a fault is for.
type Aim string

// The aims. Those of the load know its tables by the prefix of their names.
const (
	AtLogin     Aim = "login"
	AtPrepare   Aim = "prepare"
	AtExecute   Aim = "execute"
	AtRead      Aim = "read"
	AtScan      Aim = "read of many rows"
	AtWrite     Aim = "write"
	AtBegin     Aim = "BEGIN"
	AtCommit    Aim = "COMMIT"
	AtRollback  Aim = "ROLLBACK"
	AtSavepoint Aim = "SAVEPOINT"
	AtKill      Aim = "KILL"
	AtMonitor   Aim = "the monitor"
	AtSet       Aim = "SET"
	AtPing      Aim = "ping"
	AtTemporary Aim = "temporary table"
	AtInsertID  Aim = "LAST_INSERT_ID()"
	AtAny       Aim = "anything"
)

var aims = []Aim{
	AtLogin, AtPrepare, AtExecute, AtRead, AtScan, AtWrite, AtWrite, AtBegin, AtCommit, AtCommit, AtRollback, AtSavepoint,
	AtKill, AtMonitor, AtSet, AtPing, AtTemporary, AtInsertID, AtAny,
}

// prefix begins the names of the load's tables.
const prefix = "fp_"

// match chooses the statements, all but the first few.
func (a Aim) match(skip int) aurorasim.Match {
	var seen atomic.Int64
	return func(s aurorasim.Statement) bool {
		return a.takes(s) && seen.Add(1) > int64(skip)
	}
}

func (a Aim) takes(s aurorasim.Statement) bool {
	first, _, _ := strings.Cut(s.SQL, " ")
	own := strings.Contains(s.SQL, prefix)
	writes := first == "INSERT" || first == "UPDATE" || first == "DELETE"
	switch a {
	case AtLogin:
		return aurorasim.Logins(s)
	case AtPrepare:
		return s.Command == wire.ComStmtPrepare
	case AtExecute:
		return s.Command == wire.ComStmtExecute
	case AtPing:
		return s.Command == wire.ComPing
	case AtAny:
		return s.Executes() && own
	}
	if !s.Executes() {
		return false
	}
	switch a {
	case AtRead:
		return own && first == "SELECT"
	case AtScan:
		return first == "SELECT" && strings.Contains(s.SQL, numbersTable)
	case AtWrite:
		return own && writes
	case AtBegin:
		return first == "START" || first == "BEGIN"
	case AtCommit, AtRollback, AtSavepoint, AtKill, AtSet:
		return first == string(a)
	case AtMonitor:
		return strings.Contains(s.SQL, "replica_host_status") || strings.Contains(s.SQL, "@@aurora")
	case AtTemporary:
		return strings.Contains(s.SQL, temporaryTable)
	case AtInsertID:
		return strings.Contains(s.SQL, "LAST_INSERT_ID()")
	}
	return false
}
