// Package ecosystem shows how the libraries that people use on top of database/sql are opened
// and used with failoverproxy: one file for each, which docs/guides.md quotes. The tests run
// each of them on real servers behind a simulated Aurora cluster, and kill the writer in the middle.
//
//	go test -C examples/ecosystem .
//
// The module is nested so that failoverproxy does not depend on any of these libraries.
package ecosystem

import (
	"errors"

	"github.com/failoverproxy/failoverproxy/failover"
)

// attempts is how often a transaction is begun before its program hears that it was lost. A second
// one waits until there is a writer; it would take another failover to lose that, too.
const attempts = 3

// again runs a transaction until it was not lost. Nothing of a lost transaction was
// committed, so it is safe to begin again; what f changed in the program's memory is not
// taken back. Every other error is returned: after failover.ErrOutcomeUnknown, of a COMMIT
// without an answer, a second run could do everything twice.
func again(f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if !errors.Is(err, failover.ErrTransactionLost) || attempt == attempts {
			return err
		}
	}
}
