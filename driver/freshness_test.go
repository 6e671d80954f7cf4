package driver

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// TestOldLag: a reader of which nobody knows for three polls how far it is behind gets no
// reads, until it is known again.
func TestOldLag(t *testing.T) {
	for name, test := range map[string]struct {
		wait time.Duration
		read error
	}{
		"known":     {12 * time.Second, nil},
		"known not": {20 * time.Second, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, "fpMaxReplicaLag=100ms", func(r *rig) {
				denied := r.sim.DenyView("u")
				time.Sleep(test.wait)
				if w := r.c.Snapshot().Writer(); w == nil || r.c.Stats().Gate.Entered != 0 {
					r.Fatalf("%s is about something else", r.c.Snapshot())
				}
				r.must(r.sim.Writer().Crash(r.Context()))
				ctx, cancel := context.WithTimeout(r.Context(), time.Second)
				defer cancel()
				if _, err := r.rows(ctx, r.db, selectOne); !errors.Is(err, test.read) {
					r.Errorf("got %v, want %v", err, test.read)
				}
				if n := r.sim.Count(aurorasim.SQL(selectOne)); (n == 1) != (test.read == nil) {
					r.Errorf("executed %d times", n)
				}
				done := make(chan error)
				go func() { done <- r.read(r.db)() }()
				time.Sleep(time.Second)
				denied.Clear()
				start := time.Now()
				r.must(<-done)
				if took := time.Since(start); took > 6*time.Second {
					r.Errorf("took %s since the readers' lag can be known", took)
				}
			})
		})
	}
}
