// Package driver is failoverproxy's public face: the database/sql driver named
// "failoverproxy", its configuration and its connector.
//
// The plain way is a DSN:
//
//	import (
//		"database/sql"
//
//		_ "github.com/failoverproxy/failoverproxy"
//	)
//
//	db, err := sql.Open("failoverproxy", "user:password@tcp(mycluster.cluster-abc.eu-west-1.rds.amazonaws.com)/shop")
//
// Whoever has more to say than fits into a DSN (a logger, a dialer, hooks) makes a
// [Connector]:
//
//	cfg, err := driver.ParseDSN(dsn)
//	db, err := driver.OpenDB(cfg, driver.WithLogger(logger))
//
// # How a statement runs
//
// What database/sql calls a connection is a session here; it holds no network
// connection while it is idle. For each statement or transaction it chooses an
// instance by the cluster's snapshot, borrows a backend of it, executes, and gives
// the backend back when the server's own status flags say that no transaction is
// open. The file exchange.go is that life of a statement, route.go which instance it
// goes to, lease.go how it gets its backend there, settle.go how it ends, state.go what
// it leaves behind in its session, fault.go what happens when it meets an error,
// beginning.go how a transaction begins again, cancel.go how a statement is stopped;
// the rest are their parts and the interfaces of database/sql/driver.
package driver
