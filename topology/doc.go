// Package topology knows a cluster: which instances it has, which of them is the
// writer, and when that changes.
//
// A [Snapshot] is an immutable view of the whole cluster. Its Epoch grows with
// every change of writer or membership, its Version with every change that is
// worth telling.
//
// A [Monitor] keeps the snapshot true. In quiet times it polls over one connection.
// When somebody suspects an instance ([Monitor.Suspect]), that instance is unusable
// at once, and all of them are asked, each in parallel and over one connection each,
// until a writer is confirmed and every doubt is settled. What the monitor hears
// goes through one pure function, step in fsm.go, which makes the next snapshot from
// the last one and an observation. Its rules:
//
//   - A writer is believed only when it itself says so. What others say of it is a
//     hint whom to ask. How claims are weighed against each other is in claim.go.
//   - There is one writer or none.
//   - A suspicion makes an instance unusable. Only an answer to a probe that began
//     after the suspicion, and that came from the instance's own address, ends it.
//   - A failed probe takes an instance down. It is up again when it answers itself.
//   - What was begun before an instance's last answer, or met in an epoch before its
//     last change, says nothing about it.
//   - The list of instances is the writer's to give; see view.go.
//
// A suspected writer that answers as the writer is back in the same epoch: a
// connection was lost, that is all. The loss of a reader is no failover.
//
// Servers of asynchronous replication have no table of their own that would name the
// writer. How their claims are weighed is in succession.go.
//
// How a kind of cluster is asked is a [Provider]'s business: aurora, multiAZCluster,
// replication, groupReplication, dns, static, or auto, which chooses among them. No
// other file has SQL, none has error numbers.
package topology
