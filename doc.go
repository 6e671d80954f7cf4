// Package failoverproxy registers the database/sql driver "failoverproxy": a
// driver for MySQL-family clusters, Aurora MySQL first, that does in the
// application's own process what a database proxy does a network hop away.
//
//	import (
//		"database/sql"
//
//		_ "github.com/failoverproxy/failoverproxy"
//	)
//
//	db, err := sql.Open("failoverproxy", "user:password@tcp(mycluster.cluster-abc.eu-west-1.rds.amazonaws.com)/shop")
//
// That is all that a program changes. From then on
//
//   - the writer is found by asking the cluster itself, not by waiting for DNS;
//   - sessions (what database/sql calls connections) share few physical ones,
//     transaction by transaction;
//   - when the writer dies, reads are executed again on the new one, statements that
//     surely did not run wait for it, and no write is ever run twice;
//   - an error that reaches the program says what became of its statement: see
//     package failover.
//
// Configuration, options and the connector are in package driver, errors in
// package failover, the cluster's snapshot in package topology.
package failoverproxy

import (
	_ "github.com/failoverproxy/failoverproxy/driver" // registers the driver
)
