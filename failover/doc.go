// Package failover holds what failoverproxy knows about faults: what an error
// means, what became of the statement that met it, and where statements wait
// while a cluster has no usable instance.
//
// # Outcomes
//
// Every statement that meets a fault has one of three outcomes:
//
//   - [NotExecuted]: it surely had no effect. It never left the process, or the
//     server refused it. failoverproxy sends it again by itself where it can.
//   - [Executed]: it surely took effect.
//   - [Unknown]: it was sent and no answer came. Only the data can tell.
//
// # Errors
//
// What reaches the application is an [*Error]. Test for what happened with
// errors.Is and the sentinels ([ErrOutcomeUnknown], [ErrTransactionLost], ...),
// and read the details with errors.As:
//
//	var fe *failover.Error
//	if errors.As(err, &fe) && fe.Outcome == failover.NotExecuted {
//		// safe to do again
//	}
//
// # Classes
//
// [Situation.Classify] is the one place that turns an error into a [Class] and
// an [Outcome], from the error's type, its MySQL number and what is known of the
// statement: how far it had come ([Phase]) and what it has to do with a
// transaction. [Classify] is its short form for applications. Nothing looks at an
// error's text: texts differ between servers and versions, numbers do not.
//
// # The gate
//
// While there is no writer, statements wait at the [Gate], in the order in
// which they came, bounded in number and in time.
package failover
