package ecosystem

import (
	"context"
	"database/sql"
)

// This file is written by hand in the shape of what sqlc generates for two queries.

// DBTX is what queries run on: *sql.DB, *sql.Tx or *sql.Conn.
type DBTX interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// New returns the queries on db.
func New(db DBTX) *Queries {
	return &Queries{db: db}
}

// Queries are the queries.
type Queries struct {
	db DBTX
}

// WithTx returns the queries in a transaction.
func (q *Queries) WithTx(tx *sql.Tx) *Queries {
	return &Queries{db: tx}
}

const countOrders = `-- name: CountOrders :one
SELECT COUNT(*) FROM orders`

// CountOrders counts the orders.
func (q *Queries) CountOrders(ctx context.Context) (int64, error) {
	row := q.db.QueryRowContext(ctx, countOrders)
	var count int64
	err := row.Scan(&count)
	return count, err
}

const createOrder = `-- name: CreateOrder :execresult
INSERT INTO orders (item, quantity) VALUES (?, ?)`

// CreateOrderParams are the arguments of CreateOrder.
type CreateOrderParams struct {
	Item     string
	Quantity int32
}

// CreateOrder makes an order.
func (q *Queries) CreateOrder(ctx context.Context, arg CreateOrderParams) (sql.Result, error) {
	return q.db.ExecContext(ctx, createOrder, arg.Item, arg.Quantity)
}
