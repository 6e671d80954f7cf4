package programs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// sqlcProgram holds two transactions. Its statements are prepared once on the *sql.DB:
// database/sql prepares them again on every session that they meet, and moves them into
// transactions.
var sqlcProgram = Program{Name: "sqlc", Connections: 2, Lines: 120, Run: func(ctx context.Context, target Target, out *Transcript) {
	r := &sqlcRun{Context: ctx, Transcript: out, target: target, plain: newQueries(target.DB)}
	out.Step("prepare", r.prepare)
	if r.q == nil {
		return
	}
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"create", r.create},
		{"read", r.read},
		{"write", r.write},
		{"errors", r.errors},
		{"transactions", r.transactions},
		{"queue", r.queue},
		{"connection", r.connection},
		{"concurrency", r.concurrency},
		{"deadlock", r.deadlock},
		{"cancellation", r.cancellation},
		{"changed table", r.changedTable},
	} {
		out.Step(step.name, step.f)
	}
	out.Step("close", func() error {
		if err := r.q.close(); err != nil {
			return err
		}
		_, err := r.q.getAccount(ctx, "ann")
		out.Error("closed", err)
		return nil
	})
}}

type sqlcRun struct {
	context.Context
	*Transcript
	target Target
	q      *queries // prepared
	plain  *queries // not prepared
}

func (r *sqlcRun) prepare() error {
	_, err := prepareQueries(r, r.target.DB)
	r.Error("without tables", err)
	for _, text := range []string{sqlcSchema, sqlcPayments} {
		if _, err := r.target.DB.ExecContext(r, text); err != nil {
			return err
		}
	}
	r.q, err = prepareQueries(r, r.target.DB)
	return err
}

func (r *sqlcRun) create() error {
	for i, a := range []account{
		{
			Owner: "ann", Balance: "12345678901234567890123456.7891", Limit: sql.NullString{String: "10.50", Valid: true}, Note: sql.NullString{String: "a 'note'\n\\ 🙂", Valid: true},
			Data: json.RawMessage(`{"a": [1, 2.5, null], "ü": "ß"}`), Key: pattern(255), Opened: noon, Closed: sql.NullTime{Time: noon.Add(time.Hour), Valid: true}, Kind: "bank", Active: true,
			Rank: sql.NullInt32{Int32: -2147483648, Valid: true}, Ratio: sql.NullFloat64{Float64: 1.0 / 3, Valid: true}, Bits: []byte{0x0a, 0xbc}, Serial: 1<<64 - 1,
		},
		{Owner: "bob", Balance: "100", Opened: noon.Add(-time.Microsecond), Kind: "cash"},
		{Owner: "", Balance: "0.0001", Note: sql.NullString{Valid: true}, Data: json.RawMessage("null"), Key: []byte{}, Opened: time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC), Kind: "cash"},
		{Owner: "long", Balance: "1", Note: sql.NullString{String: strings.Repeat("x", 60000), Valid: true}, Opened: time.Date(9999, 12, 31, 22, 59, 59, 0, time.UTC), Kind: "cash"},
	} {
		q := r.q
		if i%2 == 1 {
			q = r.plain
		}
		id, err := q.createAccount(r, a)
		r.Printf("id %d %v", id, err)
	}
	for range 5 {
		result, err := r.q.createPayment(r, 1, "12.34")
		if err != nil {
			return err
		}
		id, err := result.LastInsertId()
		n, err2 := result.RowsAffected()
		r.Printf("payment %d %v rows %d %v", id, err, n, err2)
	}
	return nil
}

// show writes down an account.
func (r *sqlcRun) show(a account, err error) {
	if err != nil {
		r.Error("account", err)
		return
	}
	note := a.Note.String
	if len(note) > 100 {
		note = digest([]byte(note))
	}
	r.Printf("%d %q balance %s limit %v note %q %t data %s %t key %s %t opened %s closed %v kind %s active %t rank %v ratio %v bits %x serial %d",
		a.ID, a.Owner, a.Balance, a.Limit, note, a.Note.Valid, a.Data, a.Data == nil, digest(a.Key), a.Key == nil, a.Opened.Format(time.RFC3339Nano), a.Closed, a.Kind, a.Active, a.Rank, a.Ratio, a.Bits, a.Serial)
}

func (r *sqlcRun) read() error {
	for _, q := range []*queries{r.q, r.plain} {
		for _, owner := range []string{"ann", "bob", "", "long", "nobody"} {
			r.show(q.getAccount(r, owner))
		}
		list, err := q.listAccounts(r, "0.5", noon, 10, 0)
		r.Printf("list %d %v", len(list), err)
		list, err = q.listAccounts(r, "0", noon.AddDate(7000, 0, 0), 2, 1)
		r.Printf("page %d %v", len(list), err)
		for _, owners := range [][]string{{"ann"}, {"ann", "bob", "nobody"}, nil} {
			list, err := q.accountsByOwners(r, owners)
			r.Printf("by owners %v: %d %v", owners, len(list), err)
		}
		n, err := q.countPayments(r, 1)
		sum, err2 := q.sumPayments(r, 1)
		none, err3 := q.sumPayments(r, 2)
		r.Printf("payments %d %v, sum %v %v, none %v %v", n, err, sum, err2, none, err3)
	}
	return nil
}

func (r *sqlcRun) write() error {
	for i, q := range []*queries{r.q, r.plain} {
		n, err := q.addToBalance(r, "1.5", "bob")
		r.Printf("added %d %v", n, err)
		n, err = q.addToBalance(r, "0", "bob")
		r.Printf("no change %d %v", n, err)
		n, err = q.addToBalance(r, "1", "nobody")
		r.Printf("nobody %d %v", n, err)
		for range 2 {
			result, err := q.upsertAccount(r, fmt.Sprintf("new%d", i), "7", noon)
			if err != nil {
				return err
			}
			id, _ := result.LastInsertId()
			n, _ := result.RowsAffected()
			r.Printf("upsert id %d rows %d", id, n)
		}
		r.Error("note", q.setNote(r, sql.NullString{String: fmt.Sprint("note ", i), Valid: i == 0}, sql.NullTime{Time: noon, Valid: i == 0}, "bob"))
		r.show(q.getAccount(r, "bob"))
		r.Error("delete", q.deleteAccount(r, fmt.Sprintf("new%d", i)))
	}
	return nil
}

func (r *sqlcRun) errors() error {
	for _, q := range []*queries{r.q, r.plain} {
		_, err := q.createAccount(r, account{Owner: "ann", Balance: "1", Opened: noon, Kind: "cash"})
		r.Error("duplicate", err)
		_, err = q.createPayment(r, 4711, "1")
		r.Error("foreign key", err)
		r.Error("referenced", q.deleteAccount(r, "ann"))
		_, err = q.addToBalance(r, "-1000", "bob")
		r.Error("check", err)
		_, err = q.addToBalance(r, "much", "bob")
		r.Error("not a number", err)
		_, err = q.addToBalance(r, "1e40", "bob")
		r.Error("out of range", err)
		_, err = q.createAccount(r, account{Owner: strings.Repeat("x", 65), Balance: "1", Opened: noon, Kind: "cash"})
		r.Error("too long", err)
		_, err = q.createAccount(r, account{Owner: "kind", Balance: "1", Opened: noon, Kind: "other"})
		r.Error("no such kind", err)
		_, err = q.query(r, getAccount)
		r.Error("too few arguments", err)
		_, err = q.query(r, getAccount, "a", "b")
		r.Error("too many arguments", err)
		_, err = q.exec(r, addToBalance, make(chan int), "bob")
		r.Error("bad argument", err)
	}
	_, err := r.plain.exec(r, "UPDATE nowhere SET x = ?", 1)
	r.Error("no table", err)
	return nil
}

func (r *sqlcRun) transactions() error {
	for _, commit := range []bool{true, false} {
		for _, q := range []*queries{r.q, r.plain} {
			tx, err := r.target.DB.BeginTx(r, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
			if err != nil {
				return err
			}
			in := q.withTx(tx)
			a, err := in.getAccountForUpdate(r, "bob")
			r.Printf("locked %s %v", a.Balance, err)
			n, err := in.addToBalance(r, "10", "bob")
			r.Printf("added %d %v", n, err)
			_, err = in.createPayment(r, 4711, "1")
			r.Error("an error inside", err)
			a, err = q.getAccount(r, "bob")
			r.Printf("outside %s %v", a.Balance, err)
			a, err = in.getAccount(r, "bob")
			r.Printf("inside %s %v", a.Balance, err)
			if commit {
				r.Error("commit", tx.Commit())
			} else {
				r.Error("rollback", tx.Rollback())
			}
			_, err = in.getAccount(r, "bob")
			r.Error("afterwards", err)
		}
	}
	r.show(r.q.getAccount(r, "bob"))
	return nil
}

// queue lets two transactions take payments from a queue.
func (r *sqlcRun) queue() error {
	first, err := r.target.DB.BeginTx(r, nil)
	if err != nil {
		return err
	}
	defer func() { _ = first.Rollback() }()
	second, err := r.target.DB.BeginTx(r, nil)
	if err != nil {
		return err
	}
	defer func() { _ = second.Rollback() }()
	for range 2 {
		for i, tx := range []*sql.Tx{first, second} {
			id, err := r.q.withTx(tx).nextPayment(r)
			r.Printf("transaction %d takes %d %v", i, id, err)
			if _, err := tx.ExecContext(r, "UPDATE payments SET done = TRUE WHERE id = ?", id); err != nil {
				return err
			}
		}
	}
	r.Error("first", first.Commit())
	r.Error("second", second.Rollback())
	id, err := r.q.nextPayment(r)
	r.Printf("left %d %v", id, err)
	return nil
}

// connection runs the queries on one session, prepared there.
func (r *sqlcRun) connection() error {
	conn, err := r.target.DB.Conn(r)
	if err != nil {
		return err
	}
	defer conn.Close()
	q, err := prepareQueries(r, conn)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(r, "CREATE TEMPORARY TABLE payments LIKE payments"); err == nil {
		return errors.New("a table that is like itself")
	}
	// The temporary table hides the other one, but the statements are prepared already:
	// the server prepares them again by itself.
	if _, err := conn.ExecContext(r, "CREATE TEMPORARY TABLE payments (id BIGINT AUTO_INCREMENT PRIMARY KEY, account_id BIGINT NOT NULL, amount DECIMAL(30,4) NOT NULL, done BOOL NOT NULL DEFAULT FALSE)"); err != nil {
		return err
	}
	for range 3 {
		_, err := q.createPayment(r, 1, "0.5")
		r.Error("payment", err)
	}
	n, err := q.countPayments(r, 1)
	sum, err2 := q.sumPayments(r, 1)
	r.Printf("temporary: %d %v sum %v %v", n, err, sum, err2)
	if _, err := conn.ExecContext(r, "DROP TEMPORARY TABLE payments"); err != nil {
		return err
	}
	n, err = q.countPayments(r, 1)
	r.Printf("real: %d %v", n, err)
	r.Error("close", q.close())
	return nil
}

// concurrency moves money to and fro; none may be lost.
func (r *sqlcRun) concurrency() error {
	r.target.DB.SetMaxOpenConns(10)
	defer r.target.DB.SetMaxOpenConns(0)
	move := func(from, to, amount string) error {
		tx, err := r.target.DB.BeginTx(r, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		q := r.q.withTx(tx)
		// Always in the same order, so that there are no deadlocks.
		for _, owner := range []string{min(from, to), max(from, to)} {
			if _, err := q.getAccountForUpdate(r, owner); err != nil {
				return err
			}
		}
		if _, err := q.addToBalance(r, "-"+amount, from); err != nil {
			return err
		}
		if _, err := q.addToBalance(r, amount, to); err != nil {
			return err
		}
		return tx.Commit()
	}
	failed := make([]error, 10)
	var wg sync.WaitGroup
	for w := range failed {
		wg.Go(func() {
			for i := range 10 {
				failed[w] = errors.Join(failed[w], move("ann", "bob", fmt.Sprintf("0.%d", i)), move("bob", "ann", "0.1"))
			}
		})
	}
	wg.Wait()
	for _, owner := range []string{"ann", "bob"} {
		a, err := r.q.getAccount(r, owner)
		r.Printf("%s has %s %v", owner, a.Balance, err)
	}
	return errors.Join(failed...)
}

// deadlock has two transactions wait for each other; the server ends one of them.
func (r *sqlcRun) deadlock() error {
	var txs [2]*sql.Tx
	owners := [2]string{"ann", "bob"}
	for i := range txs {
		tx, err := r.target.DB.BeginTx(r, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		txs[i] = tx
		if _, err := r.q.withTx(tx).getAccountForUpdate(r, owners[i]); err != nil {
			return err
		}
	}
	var results [2]error
	var wg sync.WaitGroup
	for i, tx := range txs {
		wg.Go(func() {
			_, results[i] = r.q.withTx(tx).getAccountForUpdate(r, owners[1-i])
			if results[i] == nil {
				results[i] = tx.Commit()
			} else {
				results[i] = errors.Join(results[i], tx.Rollback())
			}
		})
	}
	wg.Wait()
	if results[0] == nil {
		results[0], results[1] = results[1], results[0] // whom the server ends is its affair
	}
	r.Error("one", results[0])
	r.Error("the other", results[1])
	return nil
}

func (r *sqlcRun) cancellation() error {
	ctx, cancel := context.WithTimeout(r, 100*time.Millisecond)
	defer cancel()
	stmt, err := r.target.DB.PrepareContext(r, "SELECT SLEEP(?)")
	if err != nil {
		return err
	}
	defer stmt.Close()
	var n int
	r.Error("deadline", stmt.QueryRowContext(ctx, 1).Scan(&n))
	r.Error("again", stmt.QueryRowContext(r, 0).Scan(&n))
	ctx, cancel = context.WithCancel(r)
	rows, err := r.target.DB.QueryContext(ctx, "SELECT a.id FROM payments a, payments b, payments c, payments d, payments e, payments f")
	if err != nil {
		cancel()
		return err
	}
	defer rows.Close()
	r.Printf("a row %t", rows.Next())
	cancel()
	// database/sql closes the rows in the background.
	if err := idle(r, r.target.DB); err != nil {
		return err
	}
	r.Printf("another %t", rows.Next())
	r.Error("cancelled while reading", rows.Err())
	r.show(r.q.getAccount(r, "bob"))
	return nil
}

// changedTable alters a table under statements that are prepared.
func (r *sqlcRun) changedTable() error {
	for _, text := range []string{"ALTER TABLE accounts ADD COLUMN extra INT FIRST", "ALTER TABLE accounts MODIFY note LONGTEXT, DROP COLUMN extra", "ALTER TABLE accounts DROP COLUMN ratio"} {
		if _, err := r.target.DB.ExecContext(r, text); err != nil {
			return err
		}
		r.show(r.q.getAccount(r, "bob"))
	}
	return nil
}
