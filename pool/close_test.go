package pool

import (
	"context"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// TestSessionsOutliveThePool: Close with force does not wait for a session that somebody still has,
// and that one ends as it likes, at the moment at which Close ends, say. The race detector sees to it.
func TestSessionsOutliveThePool(t *testing.T) {
	for range 400 {
		bubble(t, Config{Size: 2}, func(r *rig) {
			s := r.borrow()
			s.Pin(sqlscan.EffectTableLock, "t", false, "LOCK TABLES t READ")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			closed := make(chan error)
			go func() { closed <- r.Close(ctx, true) }()
			r.must(<-closed)
			s.Close()
		})
	}
}
