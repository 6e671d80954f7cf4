// Package conformance runs the test suites of others against this library: that of the
// wrapped driver, and those of helpers and ORMs that Go programs put on top of it. Each
// suite runs twice on each server, with the plain driver and with ours, and a test that
// passes with the plain one and does not with ours is a failure.
//
//	go -C internal/conformance test -v            # all, with a table at the end
//	go -C internal/conformance test -v -run /sqlx # one suite
//
// # Where the suites come from
//
// Nothing of others is kept in this repository. go.mod pins the suites' versions (pins.go
// says how), go mod download fetches them through whatever proxy the environment names,
// and go.sum vouches for them and for all that their tests import. A suite is copied from
// the module cache into a temporary directory beside a go.mod made of ours, in which it
// is replaced by the copy and this library by the working tree.
//
// # How the driver is swapped
//
// Where the suite lets its user choose the driver's name, as programs do, patches put
// "failoverproxy" for "mysql" where it opens its databases. Libraries that derive their
// dialect from the name know only "mysql": for them ([Suite.AsMySQL]) the linker renames
// the wrapped driver, which it has a variable for, and ours is registered as "mysql".
//
// Patches are exact texts with an exact number of places ([Patch]). One that does not fit
// any more is an error, so that an update of a suite cannot silently test the plain
// driver twice. The DSN of a suite carries an fp key for the same end: the plain driver
// would send it to the server as a system variable and be refused.
//
// # What is accepted
//
// testdata/differences.txt lists differences that are meant to be, each with its reason.
// One that does not occur any more is a failure, too.
package conformance
