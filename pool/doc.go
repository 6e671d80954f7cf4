// Package pool multiplexes many sessions over few backends.
//
// A [Pool] has one [Instance] for each database server that the cluster's
// snapshot shows in a usable role, with at most Config.Size backends each. A
// [Session] is what database/sql calls a connection: it holds no backend while it
// is idle. For a statement or a transaction it borrows one, the lease, and gives
// it back:
//
//   - [Session.Borrow] takes a backend, waiting in line if all are out.
//   - [Session.Keep] ends a statement. The lease stays with its session, so that a
//     question such as LAST_INSERT_ID() finds its answer, until the session's next
//     statement or [Session.Release]; a session in need takes kept leases from
//     others, the one kept longest first.
//   - [Session.Release] gives it back. [Session.Discard] closes it instead.
//   - [Session.Pin] binds session and backend until the session is closed, because
//     the backend holds state that cannot be moved.
//
// When an instance leaves its role, it is retired ([Pool.Apply]): nobody gets a
// backend of it any more, idle ones are closed, and if the server is dead those in
// use are cut, so that the statements waiting on them fail and can move on. A
// lease's instance is checked after it was acquired, too.
package pool
