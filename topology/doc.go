// Package topology knows a cluster: which instances it has, which of them is the
// writer, and when that changes.
//
// A [Snapshot] is an immutable view of the whole cluster. Its Epoch grows with
// every change of writer or membership, its Version with every change of anything.
//
// A [Monitor] keeps the snapshot true. In quiet times it polls over one connection.
// When somebody suspects an instance ([Monitor.Suspect]), it asks all of them, each
// in parallel and over one connection each, until a writer is confirmed. What it
// hears goes through one pure function, step in fsm.go, which says how a snapshot
// and an observation make the next snapshot. Its rules:
//
//   - A writer is believed only when it itself says so, in answer to a probe that
//     began after the last doubt about it. What others say of it is a hint.
//   - A claim that is older than what is known already loses, by the time that the
//     cluster's own status table notes for the writer.
//   - A failed probe takes an instance down; a suspicion makes it unusable until it
//     has answered.
//   - Observations older than an instance's last change say nothing about it.
//
// How a kind of cluster is asked is a [Provider]'s business.
package topology
