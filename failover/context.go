package failover

import "context"

type contextKey uint8

const (
	idempotentKey contextKey = iota
	withoutRetryKey
)

// WithIdempotent says that the statements run with ctx may be executed twice
// without harm (an INSERT … ON DUPLICATE KEY UPDATE of fixed values, say).
// An autocommit write whose answer was lost is then executed again instead of
// failing with [ErrOutcomeUnknown]. Statements in transactions are not affected.
func WithIdempotent(ctx context.Context) context.Context {
	return context.WithValue(ctx, idempotentKey, true)
}

// WithoutRetry says that the statements run with ctx are tried once: they do
// not wait for a usable instance and are not executed again, whatever they are.
func WithoutRetry(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutRetryKey, true)
}

// IsIdempotent reports whether ctx comes from [WithIdempotent].
func IsIdempotent(ctx context.Context) bool {
	return ctx.Value(idempotentKey) != nil
}

// IsWithoutRetry reports whether ctx comes from [WithoutRetry].
func IsWithoutRetry(ctx context.Context) bool {
	return ctx.Value(withoutRetryKey) != nil
}
