package failover

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Pause spaces the attempts of one statement whose trouble no snapshot will
// announce the end of, such as a server without room for a connection (1040).
// The zero value is ready; it is not for concurrent use.
type Pause struct {
	next *backoff.ExponentialBackOff
}

// Wait waits for the next interval: 10 ms at first, growing to 500 ms, each
// ±50 %, until limit at most. It returns [ErrGateTimeout] if limit has come and
// ctx's error if ctx ended.
func (p *Pause) Wait(ctx context.Context, limit time.Time) error {
	if p.next == nil {
		p.next = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(10*time.Millisecond),
			backoff.WithMaxInterval(500*time.Millisecond),
			backoff.WithMaxElapsedTime(0), // the limit ends it, not the backoff's own 15 minutes
		)
	}
	left := time.Until(limit)
	if left <= 0 {
		return ErrGateTimeout
	}
	timer := time.NewTimer(min(left, p.next.NextBackOff()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
