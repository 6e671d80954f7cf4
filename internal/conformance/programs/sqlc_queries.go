package programs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// This file has the shape of what sqlc generates with emit_prepared_queries: an interface
// over *sql.DB, *sql.Tx and *sql.Conn, a struct with one prepared statement for each
// query, and one method for each.

// dbtx is what the queries run on.
type dbtx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

var (
	_ dbtx = (*sql.DB)(nil)
	_ dbtx = (*sql.Tx)(nil)
	_ dbtx = (*sql.Conn)(nil)
)

// queries are the prepared statements, and what they run on.
type queries struct {
	db    dbtx
	tx    *sql.Tx
	stmts map[string]*sql.Stmt
}

func newQueries(db dbtx) *queries { return &queries{db: db} }

// prepareQueries prepares every query.
func prepareQueries(ctx context.Context, db dbtx) (*queries, error) {
	q := &queries{db: db, stmts: map[string]*sql.Stmt{}}
	for _, text := range []string{
		createAccount, createPayment, getAccount, getAccountForUpdate, listAccounts, addToBalance, countPayments, sumPayments, upsertAccount,
		deleteAccount, nextPayment, setNote,
	} {
		stmt, err := db.PrepareContext(ctx, text)
		if err != nil {
			return nil, errors.Join(err, q.close())
		}
		q.stmts[text] = stmt
	}
	return q, nil
}

func (q *queries) close() (err error) {
	for _, stmt := range q.stmts {
		err = errors.Join(err, stmt.Close())
	}
	return err
}

// withTx returns the same queries in a transaction.
func (q *queries) withTx(tx *sql.Tx) *queries { return &queries{db: tx, tx: tx, stmts: q.stmts} }

func (q *queries) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	stmt := q.stmts[text]
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	case stmt != nil:
		return stmt.ExecContext(ctx, args...)
	default:
		return q.db.ExecContext(ctx, text, args...)
	}
}

func (q *queries) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	stmt := q.stmts[text]
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
	case stmt != nil:
		return stmt.QueryContext(ctx, args...)
	default:
		return q.db.QueryContext(ctx, text, args...)
	}
}

func (q *queries) queryRow(ctx context.Context, text string, args ...any) *sql.Row {
	stmt := q.stmts[text]
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).QueryRowContext(ctx, args...)
	case stmt != nil:
		return stmt.QueryRowContext(ctx, args...)
	default:
		return q.db.QueryRowContext(ctx, text, args...)
	}
}

// account is a row of the table.
type account struct {
	ID      int64
	Owner   string
	Balance string
	Limit   sql.NullString
	Note    sql.NullString
	Data    json.RawMessage
	Key     []byte
	Opened  time.Time
	Closed  sql.NullTime
	Kind    string
	Active  bool
	Rank    sql.NullInt32
	Ratio   sql.NullFloat64
	Bits    []byte
	Serial  uint64
}

const accountColumns = "id, owner, balance, `limit`, note, data, `key`, opened, closed, kind, active, `rank`, ratio, bits, serial"

func (a *account) scan(row interface{ Scan(...any) error }) error {
	return row.Scan(&a.ID, &a.Owner, &a.Balance, &a.Limit, &a.Note, (*[]byte)(&a.Data), &a.Key, &a.Opened, &a.Closed, &a.Kind, &a.Active, &a.Rank, &a.Ratio, &a.Bits, &a.Serial)
}

const sqlcSchema = "CREATE TABLE accounts (id BIGINT AUTO_INCREMENT PRIMARY KEY, owner VARCHAR(64) NOT NULL UNIQUE, balance DECIMAL(30,4) NOT NULL," +
	" `limit` DECIMAL(10,2), note TEXT, data JSON, `key` VARBINARY(255), opened DATETIME(6) NOT NULL, closed TIMESTAMP NULL," +
	" kind ENUM('cash','bank') NOT NULL DEFAULT 'cash', active BOOL NOT NULL DEFAULT TRUE, `rank` INT, ratio DOUBLE, bits BIT(12)," +
	" serial BIGINT UNSIGNED NOT NULL DEFAULT 0, CONSTRAINT positive CHECK (balance >= 0)) DEFAULT CHARSET utf8mb4"

const sqlcPayments = "CREATE TABLE payments (id BIGINT AUTO_INCREMENT PRIMARY KEY, account_id BIGINT NOT NULL, amount DECIMAL(30,4) NOT NULL, done BOOL NOT NULL DEFAULT FALSE," +
	" INDEX (done), CONSTRAINT payer FOREIGN KEY (account_id) REFERENCES accounts (id))"

const createAccount = `-- name: CreateAccount :execlastid
INSERT INTO accounts (owner, balance, ` + "`limit`, note, data, `key`, opened, closed, kind, active, `rank`, ratio, bits, serial" + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func (q *queries) createAccount(ctx context.Context, a account) (int64, error) {
	result, err := q.exec(ctx, createAccount, a.Owner, a.Balance, a.Limit, a.Note, a.Data, a.Key, a.Opened, a.Closed, a.Kind, a.Active, a.Rank, a.Ratio, a.Bits, a.Serial)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

const createPayment = `-- name: CreatePayment :execresult
INSERT INTO payments (account_id, amount) VALUES (?, ?)`

func (q *queries) createPayment(ctx context.Context, accountID int64, amount string) (sql.Result, error) {
	return q.exec(ctx, createPayment, accountID, amount)
}

const getAccount = `-- name: GetAccount :one
SELECT ` + accountColumns + ` FROM accounts WHERE owner = ? LIMIT 1`

func (q *queries) getAccount(ctx context.Context, owner string) (account, error) {
	var a account
	err := a.scan(q.queryRow(ctx, getAccount, owner))
	return a, err
}

const getAccountForUpdate = getAccount + ` FOR UPDATE`

func (q *queries) getAccountForUpdate(ctx context.Context, owner string) (account, error) {
	var a account
	err := a.scan(q.queryRow(ctx, getAccountForUpdate, owner))
	return a, err
}

const listAccounts = `-- name: ListAccounts :many
SELECT ` + accountColumns + ` FROM accounts WHERE balance >= ? AND opened <= ? ORDER BY owner LIMIT ? OFFSET ?`

func (q *queries) listAccounts(ctx context.Context, least string, opened time.Time, limit, offset int32) ([]account, error) {
	rows, err := q.query(ctx, listAccounts, least, opened, limit, offset)
	if err != nil {
		return nil, err
	}
	return accounts(rows)
}

func accounts(rows *sql.Rows) ([]account, error) {
	defer rows.Close()
	var items []account
	for rows.Next() {
		var a account
		if err := a.scan(rows); err != nil {
			return nil, err
		}
		items = append(items, a)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	return items, rows.Err()
}

const accountsByOwners = `-- name: AccountsByOwners :many
SELECT ` + accountColumns + ` FROM accounts WHERE owner IN (/*SLICE:owners*/?) ORDER BY owner`

// accountsByOwners has as many parameters as there are owners, so it is never prepared
// before.
func (q *queries) accountsByOwners(ctx context.Context, owners []string) ([]account, error) {
	args := make([]any, 0, len(owners))
	for _, o := range owners {
		args = append(args, o)
	}
	marks := "NULL"
	if len(owners) > 0 {
		marks = strings.TrimPrefix(strings.Repeat(",?", len(owners)), ",")
	}
	rows, err := q.query(ctx, strings.Replace(accountsByOwners, "/*SLICE:owners*/?", marks, 1), args...)
	if err != nil {
		return nil, err
	}
	return accounts(rows)
}

const addToBalance = `-- name: AddToBalance :execrows
UPDATE accounts SET balance = balance + ? WHERE owner = ?`

func (q *queries) addToBalance(ctx context.Context, amount, owner string) (int64, error) {
	result, err := q.exec(ctx, addToBalance, amount, owner)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const countPayments = `-- name: CountPayments :one
SELECT COUNT(*) FROM payments WHERE account_id = ?`

func (q *queries) countPayments(ctx context.Context, accountID int64) (count int64, err error) {
	err = q.queryRow(ctx, countPayments, accountID).Scan(&count)
	return count, err
}

const sumPayments = `-- name: SumPayments :one
SELECT CAST(SUM(amount) AS CHAR) FROM payments WHERE account_id = ?`

func (q *queries) sumPayments(ctx context.Context, accountID int64) (sum sql.NullString, err error) {
	err = q.queryRow(ctx, sumPayments, accountID).Scan(&sum)
	return sum, err
}

const upsertAccount = `-- name: UpsertAccount :execresult
INSERT INTO accounts (owner, balance, opened) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id), balance = balance + VALUES(balance)`

func (q *queries) upsertAccount(ctx context.Context, owner, balance string, opened time.Time) (sql.Result, error) {
	return q.exec(ctx, upsertAccount, owner, balance, opened)
}

const deleteAccount = `-- name: DeleteAccount :exec
DELETE FROM accounts WHERE owner = ?`

func (q *queries) deleteAccount(ctx context.Context, owner string) error {
	_, err := q.exec(ctx, deleteAccount, owner)
	return err
}

const nextPayment = `-- name: NextPayment :one
SELECT id FROM payments WHERE NOT done ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`

func (q *queries) nextPayment(ctx context.Context) (id int64, err error) {
	err = q.queryRow(ctx, nextPayment).Scan(&id)
	return id, err
}

const setNote = `-- name: SetNote :exec
UPDATE accounts SET note = ?, closed = ? WHERE owner = ?`

func (q *queries) setNote(ctx context.Context, note sql.NullString, closed sql.NullTime, owner string) error {
	_, err := q.exec(ctx, setNote, note, closed, owner)
	return err
}
