// Package ledger judges whether a driver told the truth about writes.
//
// A load takes numbers from a [Ledger], writes them into a database and reports what
// it was told of each: acknowledged, not executed, or unknown. [Ledger.Write] and
// [Ledger.Transfer] do all three for anything that database/sql can write with;
// [Ledger.Take], [Ledger.TakeTransfer] and [Ledger.Report] are for loads that write in
// ways of their own. Afterwards [Ledger.Judge] reads the database back and compares:
//
//   - every acknowledged write is there exactly once,
//   - every one that was not executed is absent,
//   - unknown ones are there once or not at all,
//   - nothing is there that nobody wrote, and nothing else than what was written,
//   - every account's balance is what its transfers make it, and the sum of all is
//     what it was: a transaction applied by half, or whose rest ran outside of it,
//     shows here.
//
// An error before COMMIT makes a transfer one that was not executed, whatever the error
// says: nobody asked for it to stay.
//
// It knows no driver: the same ledger judges the plain one, ours, and the deliberately
// wrong ones in its own tests. An error's meaning comes from [WithClassifier]. A driver
// that leaves everything in doubt is never convicted: look at the verdict's counters,
// too.
package ledger
