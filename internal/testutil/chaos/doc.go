// Package chaos does everything to a simulated cluster that can happen to a real one,
// while programs of all kinds work with it, and judges what they saw.
//
// A [Plan] is what one run does: the cluster's shape, the driver's parameters, the load
// and the faults with their times. [Generate] makes one from a seed, [Rig.Run] carries it
// out and returns a [Report], [Rig.Shrink] makes a plan that fails smaller.
//
// # What is judged
//
//   - the data: the ledger; marks, which are rows that belong to one transaction each and
//     must be there all or not at all; what reads return, to the last row,
//   - the relay's log: nothing that writes reached the server twice, nothing of a
//     transaction ran outside of one, nothing went to an instance that the driver knew not
//     to be the writer,
//   - every error: whether the statement may get it, given its kind, its context and the
//     plan; that its outcome is true, which the data says,
//   - time: a context that ends is obeyed at once; when all faults are over, every session
//     soon works as if nothing had been,
//   - the driver's own counters, by [Subject.Check], and whether connections are left.
//
// It knows no driver: [Rig.Explain] says what an error means. Where time is synctest's the
// moments of a plan are exact, but goroutines that are ready at one moment run in any
// order: a seed that failed once may pass the next time, so a failure is tried again
// before it is believed to be gone.
package chaos
