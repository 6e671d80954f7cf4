// Package fakemysql is a MySQL server without a database: it speaks the whole
// client protocol (greeting, authentication, TLS, text and binary results,
// prepared statements, multi-results, session tracking) and asks a [Handler] for
// every answer. Real clients cannot tell it from a server, and tests decide
// what it says, when, and whether it says it at all.
//
// # Running one
//
// [New] makes a [Server]. [Server.Listen] serves TCP; [Server.Dial] gives a
// [Pipe] instead, which lets a real driver and the server live in a
// testing/synctest bubble, where 90 seconds of delay pass at once:
//
//	server := fakemysql.New(fakemysql.Config{Handler: script})
//	defer server.Close()
//	cfg := mysql.NewConfig()
//	cfg.DialFunc = server.Dial
//
// The server starts no goroutine before its first connection, and
// [Server.Close] ends and waits for all of them.
//
// # Answers
//
// A Handler opens one [Session] per connection; a session turns statements into
// a [Reply]. [Script] is a Handler with fixed answers by statement text and
// functions for the rest; [HandlerFunc] is a single function. Both answer what
// drivers ask when they connect, and BEGIN, COMMIT, ROLLBACK, SET, USE and KILL.
// The in-memory database of package minidb is a Handler, too.
//
// The server itself keeps the IN_TRANS flag right: it asks the session after
// each statement ([Session].InTransaction).
//
// # Faults
//
// [Hooks] see every packet in both directions, before and after, and may delay,
// replace or drop it, or cut the connection. [Server.Refuse] answers connects
// with an error in place of the greeting (1040), [Server.Kill] is KILL, and
// [Server.Goodbye] ends connections with a last word, as a server does that
// shuts down. A client that hangs up, or is killed, ends the context of its
// running statement; the cause says which ([ErrClientGone], [ErrKilledQuery],
// [ErrKilledConnection], [ErrServerClosed]).
package fakemysql
