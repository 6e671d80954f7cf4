package driver

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// executePrepared executes the statement as a prepared one, once more if the server does
// not know it any longer.
func executePrepared[T any](ctx context.Context, x *exchange, b *backend.Backend,
	execute func(*backend.Statement, context.Context, []driver.NamedValue) (T, error),
) (result T, err error) {
	for first := true; ; first = false {
		st, err := x.prepareOn(ctx, b)
		if err != nil {
			return result, err
		}
		r, err := execute(st, ctx, x.args)
		if err == nil || !first || !failover.NeedsPrepare(err) {
			return r, err
		}
		_ = b.Forget(st)
	}
}

// prepareOn gets the statement prepared on b. Whatever goes wrong, the statement
// itself was not sent.
func (x *exchange) prepareOn(ctx context.Context, b *backend.Backend) (*backend.Statement, error) {
	st, err := x.preparedOn(ctx, b)
	if failover.PreparedLimit(err) && b.ForgetAll() == nil {
		st, err = x.preparedOn(ctx, b)
	}
	b.Unsent()
	if err != nil {
		return nil, err
	}
	if err := x.flush(ctx, b); err != nil {
		return nil, err
	}
	if err := b.Ended(); err != nil {
		return nil, err
	}
	if want := st.NumInput(); x.prepared && want != len(x.args) {
		return nil, fmt.Errorf("sql: expected %d arguments, got %d", want, len(x.args))
	}
	return st, nil
}

// preparedOn gets it as it was prepared first: a default schema or a sql_mode that changed
// since does not change what it means.
func (x *exchange) preparedOn(ctx context.Context, b *backend.Backend) (st *backend.Statement, err error) {
	if st = b.Kept(x.text, x.state, x.args); st != nil {
		x.kept = true
		return st, nil
	}
	if x.stmt == nil {
		return b.Prepared(ctx, x.text, x.state, x.args)
	}
	err = x.stmt.conn.session.Under(ctx, x.stmt.state, func() error {
		st, err = b.Prepared(ctx, x.text, x.state, x.args)
		return err
	})
	x.silenced = err != nil && !x.stmt.conn.session.In(x.stmt.state)
	return st, err
}
