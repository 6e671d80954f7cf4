// Package minidb is a small SQL database in memory: the upstream of a simulated
// cluster where no server is installed, and in synctest bubbles.
//
// It is a Handler of fakemysql, which speaks the protocol. Its SQL is what the ledger,
// the drill and most tests need: tables with a primary key and AUTO_INCREMENT, INSERT,
// SELECT (of one table, with aggregates, GROUP BY, ORDER BY, LIMIT and locking), UPDATE,
// DELETE, transactions with savepoints, system variables, SHOW and KILL. Whatever else
// is an error as MySQL numbers it, 1064 as a rule, and never silently OK.
//
// Its transactions are honest, which is what it is for. A writer locks its rows until
// it commits or rolls back; plain reads see what is committed, and their own changes
// (the level is READ COMMITTED, whatever is set); a cycle of waiting makes a victim of
// who closes it (1213); a lock that does not come within innodb_lock_wait_timeout is
// given up (1205); DDL commits, and waits for the transactions that use the table; a
// statement that fails leaves nothing behind; a session that ends rolls back; and a
// number of AUTO_INCREMENT is never given twice.
//
// Where it differs from a server, beside what it lacks: texts are compared in lower
// case, not by a collation; a client that hangs up while its statement waits ends the
// wait; a database that a client names at connect is made if it is not there; a session
// without one has tables nevertheless; everybody may do everything; session changes are
// not tracked.
//
// All sessions share one mutex, which nobody holds while waiting for a row or asleep.
// The parser is in the files lexer.go, parser.go and operator.go and beside each
// statement's execution; rows and locks are in table.go, lock.go and transaction.go.
package minidb
