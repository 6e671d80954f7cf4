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
//     question such as ROW_COUNT() finds its answer, until a session in need takes
//     it: those of sessions at rest in database/sql's pool first ([Session.Rest]),
//     the one kept longest before the others.
//   - [Session.Release] gives it back. [Session.Discard] closes it instead.
//   - [Session.Pin] binds session and backend because the backend holds state that
//     cannot be moved, [Session.Unpin] ends that.
//
// What a session has set is its [State]; a backend is brought to it when it is
// borrowed. Some of it only the server knows (SET x = CONCAT(@@x, …), what
// LAST_INSERT_ID() is): whoever takes a backend over asks for that on behalf of the
// session that had it.
//
// Where several instances could do the same, [Pool.Choose] takes one of them: [Balance] is the
// rule, [Candidate] what it looks at. [Instance.Answered] and [Instance.Failed] tell it how well an
// instance does.
//
// Several processes can share what a server has room for: with Config.Fleet the number of backends
// of each instance follows what the server says of all of them together; see [Fleet].
//
// When an instance leaves its role, it is retired ([Pool.Apply]): nobody gets a
// backend of it any more, idle ones are closed, and if the server is dead those in
// use are cut, so that the statements waiting on them fail and can move on. A
// lease's instance is checked after it was acquired, too.
package pool
