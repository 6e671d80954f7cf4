package pool

import (
	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// connection is a backend with what the pool knows of the session on its server. It
// belongs to whoever has its lease.
type connection struct {
	*backend.Backend
	expires int64 // when its lifetime is over, Unix ns
	closing bool  // see Instance.destroy; guarded by the instance's mu

	state *State // what sessions set on it; nil = as connected
	// saved names the variables whose value as of the connect the connection keeps in
	// user variables of its own, so that it can be restored.
	saved map[string]bool
	// once: SET TRANSACTION was sent and may still be waiting for its transaction.
	once bool
	// idOwner is the session whose LAST_INSERT_ID() the connection would answer; nil
	// when nobody knows. idUsed: some session has left one behind.
	user      *Session // the last one
	idOwner   *Session
	idVersion uint64
	idUsed    bool
}

func (c *connection) outlived(now int64) bool { return now > c.expires }
