// Package program asks whether a driver that lets many sessions share few connections
// can be told from one that gives each its own.
//
// [Generate] makes a random program: steps of a dozen sessions (settings, temporary
// tables, prepared statements, transactions, procedures, locks, cancellations, errors)
// in one order. [Run] executes it step by step, so that its results depend on nothing
// but the program, and writes them into a [Transcript]. [Rig.Compare] runs it twice,
// over a driver that is believed and over one that is tried, each time with databases
// of its own, and finds the first difference; [Rig.Shrink] makes the program small
// while it goes on to differ:
//
//	p := program.Generate(seed, 2000, s.Flavor)
//	difference, err := rig.Compare(ctx, p)
//	if difference != nil {
//		small, d := rig.Shrink(ctx, p, time.Minute)
//		t.Errorf("seed %d: %s\n%s", seed, d, small)
//	}
//
// # What may differ
//
// One error: a question for what the session's previous statement left behind (its
// insert id, its warnings) may be answered with the error that [Target.Gone] knows, if
// another session had a step in between. Everything else is compared: columns and their
// types, rows, rows affected, insert ids, errors with number, state and message.
//
// # Holds
//
// A program that is run in one thread would wait forever for a connection that another
// of its sessions holds. So every step says what it may make its session hold on to (a
// transaction, a temporary table, a lock, or something that ends with the session only),
// and what it ends. The generator lets two sessions hold something at a time, and the
// shrinker keeps to that: three connections are enough for any program.
//
// No session waits for another one's locks either: what they write is private, and a
// session's place is taken by a new one only when the server is done with the old one.
package program
