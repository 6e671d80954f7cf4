package failover

import (
	"errors"
	"slices"

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
	erNoDB               = 1046 // ER_NO_DB_ERROR
	erBadDB              = 1049 // ER_BAD_DB_ERROR
	erTableExists        = 1050 // ER_TABLE_EXISTS_ERROR
	erBadField           = 1054 // ER_BAD_FIELD_ERROR
	erWrongValueCount    = 1136 // ER_WRONG_VALUE_COUNT_ON_ROW
	erServerShutdown     = 1053 // ER_SERVER_SHUTDOWN
	erNormalShutdown     = 1077 // ER_NORMAL_SHUTDOWN
	erShutdownComplete   = 1079 // ER_SHUTDOWN_COMPLETE
	erParse              = 1064 // ER_PARSE_ERROR
	erNoSuchThread       = 1094 // ER_NO_SUCH_THREAD
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
	erCheckRead          = 1020 // ER_CHECKREAD
	erDuringCommit       = 1180 // ER_ERROR_DURING_COMMIT
	erLockWait           = 1205 // ER_LOCK_WAIT_TIMEOUT
	erLockTableFull      = 1206 // ER_LOCK_TABLE_FULL
	erDeadlock           = 1213 // ER_LOCK_DEADLOCK
	erXARollback         = 1402 // ER_XA_RBROLLBACK
	erXATimeout          = 1613 // ER_XA_RBTIMEOUT
	erXADeadlock         = 1614 // ER_XA_RBDEADLOCK
	erRolledBackAtCommit = 3101 // ER_TRANSACTION_ROLLBACK_DURING_COMMIT
	erNoSuchRoutine      = 1305 // ER_SP_DOES_NOT_EXIST
	erPreparedLimit      = 1461 // ER_MAX_PREPARED_STMT_COUNT_REACHED
	erUnknownPrepared    = 1243 // ER_UNKNOWN_STMT_HANDLER
	erNeedsPrepare       = 1615 // ER_NEED_REPREPARE
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

func isNumber(err error, numbers ...uint16) bool {
	number, ok := Number(err)
	return ok && slices.Contains(numbers, number)
}

// Unparsed reports whether the server could not make sense of the statement, so that it did
// nothing: a syntax error (1064), an unknown routine (1305) or prepared statement (1243).
func Unparsed(err error) bool { return isNumber(err, erParse, erNoSuchRoutine, erUnknownPrepared) }

// Unresolved reports whether a statement failed before it touched a row: its names or its
// form are wrong, or it is not allowed.
func Unresolved(err error) bool {
	return Unparsed(err) || isNumber(err, erDBAccessDenied, erNoDB, erBadDB, erBadField, erUnknownTable, erWrongValueCount,
		erTableAccessDenied, erColumnAccessDenied, erNoSuchTable, erOptionPrevents, erReadOnlyTx)
}

// NotCreated reports whether the table of CREATE … SELECT could not be made, so that its query
// did not run: it exists (1050), or the transaction is a READ ONLY one (1792).
func NotCreated(err error) bool { return isNumber(err, erTableExists, erReadOnlyTx) }

// NotOpen reports whether what was to be closed is not open: a handler (1109) or a prepared
// statement (1243).
func NotOpen(err error) bool { return isNumber(err, erUnknownTable, erUnknownPrepared) }

// EndsTransaction reports whether err may have rolled the whole transaction back: deadlock
// (1213), lock wait timeout with innodb_rollback_on_timeout (1205), a full lock table
// (1206), failed commits (1180, 3101), a changed record under MariaDB's snapshot
// isolation (1020), the ends of XA transactions (1402, 1613, 1614).
func EndsTransaction(err error) bool {
	return isNumber(err, erCheckRead, erDuringCommit, erLockWait, erLockTableFull, erDeadlock, erXARollback, erXATimeout, erXADeadlock, erRolledBackAtCommit)
}

// NoSuchThread reports whether KILL named a connection that is gone (1094).
func NoSuchThread(err error) bool { return isNumber(err, erNoSuchThread) }

// NeedsPrepare reports whether the server does not know a prepared statement any more, or
// its tables changed while it was executed (1243, 1615): it did not run.
func NeedsPrepare(err error) bool { return isNumber(err, erUnknownPrepared, erNeedsPrepare) }

// PreparedLimit reports whether the server has no room for another prepared statement
// (1461, max_prepared_stmt_count).
func PreparedLimit(err error) bool { return isNumber(err, erPreparedLimit) }

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
