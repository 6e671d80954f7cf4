package ledger_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// wrong is a driver that hides a failover, in one of the ways that one may not.
type wrong struct {
	driver.Connector
	vice vice
}

type vice int

const (
	retryWrites  vice = iota + 1 // a write without an answer is sent again
	goOn                         // a statement in a lost transaction is sent again, and the rest after it, outside of any
	repeatCommit                 // a COMMIT without an answer is sent again
	replay                       // a transaction whose COMMIT had no answer is done again
	claim                        // writes are acknowledged, and some are never sent
)

func (w wrong) Connect(ctx context.Context) (driver.Conn, error) {
	c := &wrongConn{wrong: w}
	return c, c.reconnect(ctx)
}

type wrongConn struct {
	driver.Conn
	wrong
	inTx    bool
	said    []statement // in the transaction
	claimed int
}

type statement struct {
	query string
	args  []driver.NamedValue
}

var (
	_ driver.ExecerContext  = (*wrongConn)(nil)
	_ driver.QueryerContext = (*wrongConn)(nil)
	_ driver.ConnBeginTx    = (*wrongConn)(nil)
	_ driver.Tx             = wrongTx{}
)

func (c *wrongConn) reconnect(ctx context.Context) error {
	if c.Conn != nil {
		c.Close()
	}
	var err error
	c.Conn, err = c.wrong.Connector.Connect(ctx)
	return err
}

// send executes a statement as the plain driver does.
func (c *wrongConn) send(ctx context.Context, st statement) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, st.query, st.args)
}

// again executes a statement on a new connection.
func (c *wrongConn) again(ctx context.Context, st statement) (driver.Result, error) {
	if err := c.reconnect(ctx); err != nil {
		return nil, err
	}
	return c.send(ctx, st)
}

func (c *wrongConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	st := statement{query, args}
	if c.inTx {
		c.said = append(c.said, st)
	}
	if c.vice == claim && !c.inTx {
		if c.claimed++; c.claimed%2 == 0 {
			return driver.RowsAffected(1), nil
		}
	}
	result, err := c.send(ctx, st)
	if lost(err) && (c.vice == retryWrites && !c.inTx || c.vice == goOn && c.inTx) {
		return c.again(ctx, st)
	}
	return result, err
}

func (c *wrongConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *wrongConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	_, err := c.send(ctx, begin)
	c.inTx, c.said = err == nil, nil
	return wrongTx{c}, err
}

var begin, commit, rollback = statement{query: "START TRANSACTION"}, statement{query: "COMMIT"}, statement{query: "ROLLBACK"}

type wrongTx struct{ c *wrongConn }

func (tx wrongTx) Commit() error {
	ctx, c := context.Background(), tx.c
	c.inTx = false
	_, err := c.send(ctx, commit)
	switch {
	case !lost(err):
	case c.vice == repeatCommit:
		_, err = c.again(ctx, commit)
	case c.vice == replay:
		_, err = c.again(ctx, begin)
		for _, st := range append(c.said, commit) {
			if err == nil {
				_, err = c.send(ctx, st)
			}
		}
	}
	return err
}

func (tx wrongTx) Rollback() error {
	tx.c.inTx = false
	_, err := tx.c.send(context.Background(), rollback)
	return err
}

// lost reports whether an error means that the server or the connection went away.
func lost(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) || ok && e.Number == 1053
}

func TestWrongDriversAreConvicted(t *testing.T) {
	for name, test := range map[string]struct {
		vice  vice
		fault func(*aurorasim.Instance) *aurorasim.Fault
		write func(context.Context, *ledger.Ledger, *sql.DB) error
		words string
	}{
		"write again": {
			retryWrites, func(i *aurorasim.Instance) *aurorasim.Fault { return i.SwallowAnswer(inserts) }, write,
			"executed more than once: 1 (write 2)",
		},
		"acknowledge what was not sent": {
			claim, nil, write,
			"acknowledged but missing: 2 (write 2, write 4)",
		},
		"go on in autocommit": {
			goOn, func(i *aurorasim.Instance) *aurorasim.Fault {
				return i.SwallowAnswer(aurorasim.Contains("INTO fp_transfers"))
			}, transfer,
			": transfer 2 is there without its debit",
		},
		"go on in autocommit after the first half": {
			goOn, func(i *aurorasim.Instance) *aurorasim.Fault {
				first := true // of two updates in the first transaction that the fault sees
				return i.SwallowAnswer(func(s aurorasim.Statement) bool {
					if !strings.HasPrefix(s.SQL, "UPDATE fp_accounts") {
						return false
					}
					first = !first
					return first
				})
			}, transfer,
			"the sum of all is",
		},
		"commit again": {
			repeatCommit, func(i *aurorasim.Instance) *aurorasim.Fault {
				return i.ErrorThenClose(1053, "shutdown", aurorasim.Commits)
			}, transfer,
			"acknowledged but missing: 1 (transfer 2)",
		},
		"do the transaction again": {
			replay, (*aurorasim.Instance).SwallowCommitAnswer, transfer,
			"executed more than once: 1 (transfer 2)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, c *court) {
				connector, err := mysql.NewConnector(c.cfg)
				if err != nil {
					t.Fatal(err)
				}
				db := sql.OpenDB(wrong{connector, test.vice})
				defer db.Close()
				db.SetMaxOpenConns(1)
				for n := range 4 {
					var fault *aurorasim.Fault
					if n == 1 && test.fault != nil {
						fault = test.fault(c.sim.Writer())
					}
					if err := test.write(t.Context(), c.Ledger, db); err != nil {
						t.Fatalf("the driver did not hide it: %v", err)
					}
					if fault != nil && fault.Hits() != 1 {
						t.Fatal("nothing happened that it could have been wrong about")
					}
				}
				v := c.judge(t)
				if v.OK() || v.Acknowledged != 4 || !strings.Contains(v.String(), test.words) {
					t.Errorf("want %q in the report: %s", test.words, v)
				}
			})
		})
	}
}

func write(ctx context.Context, l *ledger.Ledger, db *sql.DB) error    { return l.Write(ctx, db) }
func transfer(ctx context.Context, l *ledger.Ledger, db *sql.DB) error { return l.Transfer(ctx, db) }

// A driver may be right and its errors wrong: here every error is said to mean that
// nothing was executed.
func TestWrongClassifierIsConvicted(t *testing.T) {
	c := convene(t)
	c.Ledger = ledger.New(ledger.WithClassifier(func(err error) ledger.Fate {
		if err == nil {
			return ledger.Acknowledged
		}
		return ledger.NotExecuted
	}))
	c.sim.Writer().SwallowAnswer(inserts)
	if err := c.Write(t.Context(), c.db); err == nil {
		t.Fatal("the answer was not lost")
	}
	c.sim.Writer().SwallowCommitAnswer()
	if err := c.Transfer(t.Context(), c.db); err == nil {
		t.Fatal("the answer was not lost")
	}
	if v := c.judge(t); v.OK() || !strings.Contains(v.String(), "there though it should not be: 2 (write 1, transfer 2)") {
		t.Error(v)
	}
}
