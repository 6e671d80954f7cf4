// Package mysqld runs real MariaDB and MySQL servers for tests and for programs
// that want one for a moment: each in a directory of its own, on a free port of
// 127.0.0.1, with nothing left behind.
//
// In a test:
//
//	func TestSomething(t *testing.T) {
//		mysqld.Each(t, func(t *testing.T, s *mysqld.Server) { // subtests "mariadb" and "mysql"
//			db, err := sql.Open("mysql", s.DSN(""))
//			...
//			s.Kill()    // SIGKILL: a crash
//			s.Restart() // same data, same port
//		})
//	}
//
// A server of one's own takes a fraction of a second to start. Tests that neither stop
// the server nor change its global settings share one per test binary instead, each
// test with a fresh database in it: [Shared] and [EachShared]. Programs use [Start]
// and [Server.Close].
//
// A source with replicas, and what an operator does to them in a failover: [Replicate].
// A group replication, which does that by itself: [StartGroup].
//
// # Where the servers come from
//
// MariaDB is the one installed on the machine: $FAILOVERPROXY_MARIADBD, or mariadbd on
// the PATH or in /usr/sbin. MySQL is looked for in a directory that holds a whole
// Debian system and is run with chroot, because few distributions have a current MySQL
// beside MariaDB: $FAILOVERPROXY_MYSQL_ROOT, or else failoverproxy/mysql-9.7 in the
// user's cache directory. scripts/install-servers installs both. chroot needs root; an
// ordinary user with a mysqld on the machine sets FAILOVERPROXY_MYSQL_ROOT=/ .
//
// A test whose server is missing is skipped with one line that says how to get it. With
// CI=true in the environment it fails instead, so that a test that never runs is seen.
//
// # Fast, and safe against SIGKILL only
//
// Data directories are copied from a template that is made once per version of the
// server and kept in a cache. Nothing is ever synced to disk: what was committed
// survives the death of the server, but not of the machine.
//
// # Nothing left behind
//
// A server dies with the process that started it, even when that is killed (on Linux).
// A directory that could not be removed then is removed by the next process that uses
// this package.
package mysqld
