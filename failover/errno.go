package failover

import (
	"errors"
	"slices"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/topology"
)

// Error numbers that a client meets in failovers, overload, kill and shutdown.
// Sources: MySQL 9.7 "Server Error Message Reference", MariaDB's errmsg-utf8.txt, and, number
// by number, testdata/classes.txt. Numbers, never texts: 1290's text differs by server.
const (
	erCheckRead          = 1020 // ER_CHECKREAD
	erConCount           = 1040 // ER_CON_COUNT_ERROR, as greeting: Too many connections
	erOutOfResources     = 1041 // ER_OUT_OF_RESOURCES
	erBadHost            = 1042 // ER_BAD_HOST_ERROR: the server cannot resolve our address
	erHandshake          = 1043 // ER_HANDSHAKE_ERROR
	erDBAccessDenied     = 1044 // ER_DBACCESS_DENIED_ERROR
	erAccessDenied       = 1045 // ER_ACCESS_DENIED_ERROR
	erNoDB               = 1046 // ER_NO_DB_ERROR
	erUnknownCommand     = 1047 // ER_UNKNOWN_COM_ERROR: Galera's "has not yet prepared node for application use"
	erBadDB              = 1049 // ER_BAD_DB_ERROR
	erTableExists        = 1050 // ER_TABLE_EXISTS_ERROR
	erServerShutdown     = 1053 // ER_SERVER_SHUTDOWN
	erBadField           = 1054 // ER_BAD_FIELD_ERROR
	erParse              = 1064 // ER_PARSE_ERROR
	erNormalShutdown     = 1077 // ER_NORMAL_SHUTDOWN
	erShutdownComplete   = 1079 // ER_SHUTDOWN_COMPLETE
	erForcingClose       = 1080 // ER_FORCING_CLOSE
	erNoSuchThread       = 1094 // ER_NO_SUCH_THREAD
	erUnknown            = 1105 // ER_UNKNOWN_ERROR: Aurora's, after a restart that kept the connection
	erUnknownTable       = 1109 // ER_UNKNOWN_TABLE: an information_schema view that is not there
	erHostBlocked        = 1129 // ER_HOST_IS_BLOCKED
	erHostNotPrivileged  = 1130 // ER_HOST_NOT_PRIVILEGED
	erCantCreateThread   = 1135 // ER_CANT_CREATE_THREAD
	erWrongValueCount    = 1136 // ER_WRONG_VALUE_COUNT_ON_ROW
	erTableAccessDenied  = 1142 // ER_TABLEACCESS_DENIED_ERROR
	erColumnAccessDenied = 1143 // ER_COLUMNACCESS_DENIED_ERROR
	erNoSuchTable        = 1146 // ER_NO_SUCH_TABLE
	erAborting           = 1152 // ER_ABORTING_CONNECTION
	erNetReadFromPipe    = 1154 // ER_NET_READ_ERROR_FROM_PIPE
	erNetFcntl           = 1155 // ER_NET_FCNTL_ERROR
	erNetOutOfOrder      = 1156 // ER_NET_PACKETS_OUT_OF_ORDER
	erNetUncompress      = 1157 // ER_NET_UNCOMPRESS_ERROR
	erNetRead            = 1158 // ER_NET_READ_ERROR
	erNetReadInterrupted = 1159 // ER_NET_READ_INTERRUPTED
	erNetWrite           = 1160 // ER_NET_ERROR_ON_WRITE
	erNetWriteInterrupt  = 1161 // ER_NET_WRITE_INTERRUPTED
	erDuringCommit       = 1180 // ER_ERROR_DURING_COMMIT
	erNewAborting        = 1184 // ER_NEW_ABORTING_CONNECTION
	erUserConnections    = 1203 // ER_TOO_MANY_USER_CONNECTIONS
	erLockWait           = 1205 // ER_LOCK_WAIT_TIMEOUT
	erLockTableFull      = 1206 // ER_LOCK_TABLE_FULL
	erDeadlock           = 1213 // ER_LOCK_DEADLOCK
	erUserLimit          = 1226 // ER_USER_LIMIT_REACHED
	erSpecificAccess     = 1227 // ER_SPECIFIC_ACCESS_DENIED_ERROR
	erUnknownPrepared    = 1243 // ER_UNKNOWN_STMT_HANDLER
	erNotSupportedAuth   = 1251 // ER_NOT_SUPPORTED_AUTH_MODE
	erOptionPrevents     = 1290 // ER_OPTION_PREVENTS_STATEMENT: --read-only, --super-read-only, --innodb-read-only
	erNoSuchRoutine      = 1305 // ER_SP_DOES_NOT_EXIST
	erXARollback         = 1402 // ER_XA_RBROLLBACK
	erPreparedLimit      = 1461 // ER_MAX_PREPARED_STMT_COUNT_REACHED
	erXATimeout          = 1613 // ER_XA_RBTIMEOUT
	erXADeadlock         = 1614 // ER_XA_RBDEADLOCK
	erNeedsPrepare       = 1615 // ER_NEED_REPREPARE
	erDeniedNoPassword   = 1698 // ER_ACCESS_DENIED_NO_PASSWORD_ERROR
	erReadOnlyTx         = 1792 // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
	erReadOnlyMode       = 1836 // ER_READ_ONLY_MODE
	erPasswordExpired    = 1862 // ER_MUST_CHANGE_PASSWORD_LOGIN
	erConnectionKilled   = 1927 // MariaDB ER_CONNECTION_KILLED
	crConnection         = 2002 // CR_CONNECTION_ERROR, and the next ones: a client's own numbers,
	crConnectHost        = 2003 // CR_CONN_HOST_ERROR which proxies answer with when they lose
	crServerGone         = 2006 // CR_SERVER_GONE_ERROR the server behind them
	crServerLost         = 2013 // CR_SERVER_LOST
	crServerLostExtended = 2055 // CR_SERVER_LOST_EXTENDED
	erOffline            = 3032 // ER_SERVER_OFFLINE_MODE
	erAccountLocked      = 3118 // ER_ACCOUNT_HAS_BEEN_LOCKED
	erRunHook            = 3100 // ER_RUN_HOOK_ERROR: a group's plugin, before a commit
	erRolledBackAtCommit = 3101 // ER_TRANSACTION_ROLLBACK_DURING_COMMIT
	erDisabledEngine     = 3161 // ER_DISABLED_STORAGE_ENGINE
	erSecureTransport    = 3159 // ER_SECURE_TRANSPORT_REQUIRED
	erNotAvailable       = 3168 // ER_SERVER_ISNT_AVAILABLE
	erSessionKilled      = 3169 // ER_SESSION_WAS_KILLED
	erLoginsFailed       = 3955 // ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK: FAILED_LOGIN_ATTEMPTS
	erIdleDisconnect     = 4031 // ER_CLIENT_INTERACTION_TIMEOUT: the server closed an idle connection
	erLoginsFailedMaria  = 4150 // MariaDB ER_USER_IS_BLOCKED: max_password_errors
	erAccountLockedMaria = 4151 // MariaDB ER_ACCOUNT_HAS_BEEN_LOCKED
)

// answered is judge for an ERR packet. It is an answer: the statement failed and left
// nothing behind, unless the number speaks of something else than the statement.
func (s Situation) answered(number uint16) (Class, Outcome) {
	switch number {
	case erConCount, erUserConnections, erCantCreateThread:
		return ClassBusy, NotExecuted
	case erUserLimit, erOutOfResources:
		// They speak of connections and threads when they come in place of a greeting's OK,
		// and of queries an hour or a statement's memory when they answer one.
		if s.Phase == PhaseConnect {
			return ClassBusy, NotExecuted
		}
	case erOptionPrevents, erReadOnlyMode, erReadOnlyTx, erUnknownCommand, erOffline, erDisabledEngine, erNotAvailable:
		// A READ ONLY transaction that the program asked for refuses its writes itself, and so
		// does a reader. And what the writer refuses is not about its role: 1290 speaks of
		// other options, too.
		if s.Confirmed || number == erReadOnlyTx && s.AsksReadOnly || s.Stays && readOnly(number) {
			return ClassStatement, NotExecuted
		}
		if s.Compound {
			return ClassRefused, s.sent() // the role may have changed in the middle of it
		}
		return ClassRefused, NotExecuted
	case erIdleDisconnect:
		return ClassHungUp, NotExecuted
	case erServerShutdown, erNormalShutdown, erShutdownComplete, erForcingClose, erConnectionKilled, erSessionKilled:
		// The ERR packet may overtake a commit that another thread of the server has made
		// durable already, so what was sent stays in doubt.
		return ClassGoodbye, s.sent()
	case erAborting, erNewAborting, erNetReadFromPipe, erNetFcntl, erNetOutOfOrder, erNetUncompress,
		erNetRead, erNetReadInterrupted, erNetWrite, erNetWriteInterrupt,
		crConnection, crConnectHost, crServerGone, crServerLost, crServerLostExtended:
		// The server, or a proxy before it, lost a connection: it may have been while the
		// statement ran, or while its answer was written.
		return ClassLost, s.sent()
	case erBadHost, erHandshake:
		// What the server heard of us, or of its name server, was cut off.
		if s.Phase == PhaseConnect {
			return ClassLost, NotExecuted
		}
	case erDuringCommit, erRunHook:
		// The commit failed in one place and may be done in another: the binary log and the
		// engine, this member of a group and the others.
		return ClassStatement, s.sent()
	}
	return ClassStatement, NotExecuted
}

// Number returns the MySQL error number in err's chain, if there is one.
func Number(err error) (uint16, bool) {
	me, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return 0, false
	}
	return me.Number, true
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

// NoSchema reports whether there is no database of that name (1049), or not for this user (1044).
func NoSchema(err error) bool { return isNumber(err, erDBAccessDenied, erBadDB) }

// NotCreated reports whether the table of CREATE … SELECT could not be made, so that its query
// did not run: it exists (1050), or the transaction is a READ ONLY one (1792).
func NotCreated(err error) bool { return isNumber(err, erTableExists, erReadOnlyTx) }

// NotOpen reports whether what was to be closed is not open: a handler (1109) or a prepared
// statement (1243).
func NotOpen(err error) bool { return isNumber(err, erUnknownTable, erUnknownPrepared) }

// EndsTransaction reports whether err may have rolled the whole transaction back: deadlock
// (1213), lock wait timeout with innodb_rollback_on_timeout (1205), a full lock table
// (1206), failed commits (1180, 3100, 3101), a changed record under MariaDB's snapshot
// isolation (1020), the ends of XA transactions (1402, 1613, 1614), and Aurora's restart with
// zero downtime, which keeps the connection and rolls back (1105).
func EndsTransaction(err error) bool {
	return isNumber(err, erCheckRead, erUnknown, erDuringCommit, erLockWait, erLockTableFull, erDeadlock,
		erXARollback, erXATimeout, erXADeadlock, erRunHook, erRolledBackAtCommit)
}

// ReadOnly reports whether the server refused a write because it, or the transaction, is
// read-only (1290, 1792, 1836).
func ReadOnly(err error) bool {
	number, ok := Number(err)
	return ok && readOnly(number)
}

func readOnly(number uint16) bool {
	return number == erOptionPrevents || number == erReadOnlyMode || number == erReadOnlyTx
}

// NoSuchThread reports whether KILL named a connection that is gone (1094).
func NoSuchThread(err error) bool { return isNumber(err, erNoSuchThread) }

// Denied reports whether the server does not let this user in with this password: wrong
// (1045, 1698), expired (1862), or the account is locked (3118, 4151), perhaps for a while, after
// too many wrong ones (3955, 4150). Others might do.
func Denied(err error) bool {
	return isNumber(err, erAccessDenied, erDeniedNoPassword, erPasswordExpired, erAccountLocked, erAccountLockedMaria,
		erLoginsFailed, erLoginsFailedMaria)
}

// NeedsPrepare reports whether the server does not know a prepared statement any more, or
// its tables changed while it was executed (1243, 1615): it did not run.
func NeedsPrepare(err error) bool { return isNumber(err, erUnknownPrepared, erNeedsPrepare) }

// PreparedLimit reports whether the server has no room for another prepared statement
// (1461, max_prepared_stmt_count).
func PreparedLimit(err error) bool { return isNumber(err, erPreparedLimit) }

// Explain tells topology's providers what a probe's error means: they must not
// know error numbers.
func Explain(err error) topology.Problem {
	if errors.Is(err, ErrCredentials) {
		return topology.ProblemNoCredentials
	}
	if Denied(err) || unspoken(err) {
		return topology.ProblemCredentials
	}
	switch number, _ := Number(err); number {
	case erUnknownTable, erNoSuchTable:
		return topology.ProblemNoView
	case erTableAccessDenied, erColumnAccessDenied, erSpecificAccess:
		return topology.ProblemDenied
	case erDBAccessDenied, erBadDB, erHostBlocked, erHostNotPrivileged, erNotSupportedAuth, erSecureTransport:
		return topology.ProblemCredentials
	case erConCount, erUserConnections, erUserLimit, erCantCreateThread:
		return topology.ProblemBusy
	}
	if Local(err) {
		return topology.ProblemLocal
	}
	return topology.ProblemOther
}

// unspoken reports whether the server has asked for the password in a way that the wrapped driver
// does not know, or that the configuration does not allow.
func unspoken(err error) bool {
	return errors.Is(err, mysql.ErrCleartextPassword) || errors.Is(err, mysql.ErrNativePassword) ||
		errors.Is(err, mysql.ErrOldPassword) || errors.Is(err, mysql.ErrUnknownPlugin)
}
