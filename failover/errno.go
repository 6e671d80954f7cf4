package failover

import (
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/topology"
)

// Error numbers that a client meets in failovers, overload, kill and shutdown.
// Sources: MySQL 9.7 "Server Error Message Reference", MariaDB Knowledge Base
// "MariaDB Error Codes". Numbers, never texts: 1290's text differs by server.
const (
	erConCount           = 1040 // ER_CON_COUNT_ERROR, as greeting: Too many connections
	erDBAccessDenied     = 1044 // ER_DBACCESS_DENIED_ERROR
	erAccessDenied       = 1045 // ER_ACCESS_DENIED_ERROR
	erBadDB              = 1049 // ER_BAD_DB_ERROR
	erServerShutdown     = 1053 // ER_SERVER_SHUTDOWN
	erNormalShutdown     = 1077 // ER_NORMAL_SHUTDOWN
	erShutdownComplete   = 1079 // ER_SHUTDOWN_COMPLETE
	erUnknownTable       = 1109 // ER_UNKNOWN_TABLE: an information_schema view that is not there
	erHostBlocked        = 1129 // ER_HOST_IS_BLOCKED
	erCantCreateThread   = 1135 // ER_CANT_CREATE_THREAD
	erTableAccessDenied  = 1142 // ER_TABLEACCESS_DENIED_ERROR
	erColumnAccessDenied = 1143 // ER_COLUMNACCESS_DENIED_ERROR
	erNoSuchTable        = 1146 // ER_NO_SUCH_TABLE
	erUserConnections    = 1203 // ER_TOO_MANY_USER_CONNECTIONS
	erUserLimit          = 1226 // ER_USER_LIMIT_REACHED
	erSpecificAccess     = 1227 // ER_SPECIFIC_ACCESS_DENIED_ERROR
	erOptionPrevents     = 1290 // ER_OPTION_PREVENTS_STATEMENT: --read-only, --super-read-only, --innodb-read-only
	erReadOnlyTx         = 1792 // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
	erReadOnlyMode       = 1836 // ER_READ_ONLY_MODE
	erConnectionKilled   = 1927 // MariaDB ER_CONNECTION_KILLED
	erSessionKilled      = 3169 // ER_SESSION_WAS_KILLED
	erIdleDisconnect     = 4031 // ER_CLIENT_INTERACTION_TIMEOUT: the server closed an idle connection
)

func classifyNumber(number uint16, phase Phase) Verdict {
	switch number {
	case erConCount, erUserConnections, erCantCreateThread:
		return Verdict{ClassBusy, NotExecuted}
	case erUserLimit:
		// 1226 speaks of connections when it comes in place of a greeting's OK, and of
		// queries or updates per hour when it answers a statement.
		if phase == PhaseConnect {
			return Verdict{ClassBusy, NotExecuted}
		}
		return Verdict{ClassStatement, NotExecuted}
	case erOptionPrevents, erReadOnlyMode, erReadOnlyTx:
		return Verdict{ClassRefused, NotExecuted}
	case erIdleDisconnect:
		return Verdict{ClassHungUp, NotExecuted}
	case erServerShutdown, erNormalShutdown, erShutdownComplete, erConnectionKilled, erSessionKilled:
		// The ERR packet may overtake a commit that another thread of the server has made
		// durable already, so what was sent stays in doubt.
		return Verdict{ClassGoodbye, outcomeOf(phase)}
	}
	// An ERR packet is an answer: the statement failed and left nothing behind.
	return Verdict{ClassStatement, NotExecuted}
}

// Number returns the MySQL error number in err's chain, if there is one.
func Number(err error) (uint16, bool) {
	me, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return 0, false
	}
	return me.Number, true
}

// ReadOnlyTransaction reports whether err is the refusal of a write in a READ ONLY
// transaction (1792). Unless the session asked for such a transaction, it comes
// from a server that has become read-only.
func ReadOnlyTransaction(err error) bool {
	number, ok := Number(err)
	return ok && number == erReadOnlyTx
}

// Explain tells topology's providers what a probe's error means: they must not
// know error numbers.
func Explain(err error) topology.Problem {
	switch number, _ := Number(err); number {
	case erUnknownTable, erNoSuchTable:
		return topology.ProblemNoView
	case erTableAccessDenied, erColumnAccessDenied, erSpecificAccess:
		return topology.ProblemDenied
	case erAccessDenied, erDBAccessDenied, erBadDB, erHostBlocked:
		return topology.ProblemCredentials
	case erConCount, erUserConnections, erUserLimit, erCantCreateThread:
		return topology.ProblemBusy
	}
	return topology.ProblemOther
}
