package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// txCase is what a session does; the server says whether a transaction is open then.
type txCase struct {
	name    string
	do      string
	pins    string
	mariadb string // pins there, if others: it does not say what failed statements changed
	open    bool   // known to the author; the server is asked, too
}

var txSetup = []string{
	"CREATE TABLE tx (id INT PRIMARY KEY, n INT) ENGINE = InnoDB", "INSERT INTO tx VALUES (1, 0), (2, 0), (3, 0)",
	"CREATE PROCEDURE begins() BEGIN START TRANSACTION; INSERT INTO tx VALUES (100, 0); END",
	"CREATE PROCEDURE begins_and_fails() BEGIN START TRANSACTION; INSERT INTO tx VALUES (101, 0); SIGNAL SQLSTATE '45000'; END",
	"CREATE PROCEDURE commits() BEGIN COMMIT; END",
	"CREATE PROCEDURE commits_and_fails() BEGIN COMMIT; SIGNAL SQLSTATE '45000'; END",
	"CREATE PROCEDURE whole() BEGIN START TRANSACTION; UPDATE tx SET n = n + 1; COMMIT; END",
	"CREATE PROCEDURE whole_and_variable() BEGIN START TRANSACTION; UPDATE tx SET n = n + 1; COMMIT; SET SESSION sort_buffer_size = 300000; END",
	"CREATE PROCEDURE variable_and_whole() BEGIN SET @x = 1; START TRANSACTION; UPDATE tx SET n = n + 1; COMMIT; END",
	"CREATE PROCEDURE whole_and_table() BEGIN START TRANSACTION; CREATE TEMPORARY TABLE tt (n INT); COMMIT; END",
	"CREATE PROCEDURE selects_then_begins() BEGIN SELECT 1; START TRANSACTION; INSERT INTO tx VALUES (102, 0); END",
	"CREATE PROCEDURE autocommits() BEGIN SET autocommit = 0; INSERT INTO tx VALUES (103, 0); SIGNAL SQLSTATE '45000'; END",
}

// TestTransactionIsNotAssumedForGood: without autocommit a statement that fails is taken to
// have begun a transaction, until the session comes to rest.
func TestTransactionIsNotAssumedForGood(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must("CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO u VALUES (1)")
		for do, open := range map[string]int{"SELECT * FROM nosuch": 0, "INSERT INTO u VALUES (1)": 1} {
			s := w.pinStage("")
			c := s.session()
			c.must("SET autocommit = 0", "COMMIT")
			c.run(do)
			c.rest()
			if in := s.c.Stats().Pool.Instances[0]; in.InTx != open {
				w.Errorf("after %s at rest: %+v", do, in)
			}
			c.must("ROLLBACK")
		}
	})
}

// TestTransactionEnd: a session is bound to its backend if, and only if, the server has a
// transaction open for it.
func TestTransactionEnd(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must(txSetup...)
		for _, test := range []txCase{
			{name: "COMMIT", do: "BEGIN; INSERT INTO tx VALUES (9, 9); COMMIT"},
			{name: "BEGIN", do: "BEGIN", open: true},
			{name: "BEGIN WORK and a read", do: "begin work; SELECT * FROM tx", open: true},
			{name: "START TRANSACTION READ ONLY", do: "START TRANSACTION READ ONLY; SELECT * FROM tx", open: true},
			{name: "write in a READ ONLY transaction", do: "START TRANSACTION READ ONLY; INSERT INTO tx VALUES (9, 9)", open: true},
			{name: "WITH CONSISTENT SNAPSHOT", do: "START TRANSACTION WITH CONSISTENT SNAPSHOT", open: true},
			{name: "ROLLBACK", do: "BEGIN; INSERT INTO tx VALUES (9, 9); ROLLBACK WORK"},
			{name: "ROLLBACK to a savepoint", do: "BEGIN; SAVEPOINT a; INSERT INTO tx VALUES (9, 9); ROLLBACK TO a", open: true},
			{name: "RELEASE SAVEPOINT", do: "BEGIN; SAVEPOINT a; INSERT INTO tx VALUES (9, 9); RELEASE SAVEPOINT a", open: true},
			{name: "SAVEPOINT outside of a transaction", do: "SAVEPOINT a"},
			{name: "COMMIT AND CHAIN", do: "BEGIN; INSERT INTO tx VALUES (9, 9); COMMIT AND CHAIN", open: true},
			{name: "ROLLBACK AND CHAIN", do: "BEGIN; ROLLBACK AND CHAIN; INSERT INTO tx VALUES (9, 9)", open: true},
			{name: "COMMIT AND NO CHAIN", do: "BEGIN; INSERT INTO tx VALUES (9, 9); COMMIT AND NO CHAIN NO RELEASE"},
			{name: "completion_type", do: "SET completion_type = 1; BEGIN; COMMIT", open: true, pins: "unknown effects: 1"},
			{name: "BEGIN in a transaction", do: "BEGIN; INSERT INTO tx VALUES (9, 9); BEGIN", open: true},
			{name: "DDL commits", do: "BEGIN; INSERT INTO tx VALUES (9, 9); CREATE TABLE d (n INT)"},
			{name: "DDL that fails commits", do: "BEGIN; INSERT INTO tx VALUES (9, 9); CREATE TABLE tx (n INT)"},
			{name: "DDL that cannot be parsed does not commit", do: "BEGIN; INSERT INTO tx VALUES (9, 9); CREATE TABLE tx (", open: true},
			{name: "TRUNCATE commits", do: "BEGIN; INSERT INTO tx VALUES (9, 9); TRUNCATE d2"},
			{name: "temporary table commits nothing", do: "BEGIN; INSERT INTO tx VALUES (9, 9); CREATE TEMPORARY TABLE tt (n INT)", open: true, pins: "temporary table: 1"},
			{name: "LOCK TABLES commits", do: "BEGIN; INSERT INTO tx VALUES (9, 9); LOCK TABLES tx WRITE", pins: "table lock: 1"},
			{name: "error in a transaction", do: "BEGIN; INSERT INTO tx VALUES (9, 9); INSERT INTO tx VALUES (9, 9)", open: true},
			{name: "syntax error in a transaction", do: "BEGIN; NONSENSE", open: true},
			{name: "error outside of a transaction", do: "INSERT INTO tx VALUES (1, 9)"},
			{name: "autocommit=0 alone", do: "SET autocommit = 0"},
			{name: "autocommit=0 and a read", do: "SET autocommit = 0; SELECT * FROM tx", open: true},
			{name: "autocommit=0 and a write", do: "SET autocommit = 0; INSERT INTO tx VALUES (9, 9)", open: true},
			{name: "autocommit=0 and a failing write", do: "SET autocommit = 0; INSERT INTO tx VALUES (1, 9)", open: true},
			{name: "autocommit=0, COMMIT and an error", do: "SET autocommit = 0; INSERT INTO tx VALUES (9, 9); COMMIT; NONSENSE"},
			{name: "autocommit=0, COMMIT", do: "SET autocommit = 0; INSERT INTO tx VALUES (9, 9); COMMIT"},
			{name: "autocommit=0, then 1", do: "SET autocommit = 0; INSERT INTO tx VALUES (9, 9); SET autocommit = 1"},
			{name: "autocommit=0, ROLLBACK, again", do: "SET autocommit = 0; INSERT INTO tx VALUES (9, 9); ROLLBACK; UPDATE tx SET n = 5 WHERE id = 1", open: true},
			{name: "CALL that begins", do: "CALL begins()", open: true},
			{name: "CALL that begins and fails", do: "CALL begins_and_fails()", open: true, mariadb: "stored routine: 1"},
			{name: "CALL that begins and fails, then an error", do: "CALL begins_and_fails(); SELECT * FROM nosuch", open: true, mariadb: "stored routine: 1"},
			{name: "CALL that selects and begins", do: "CALL selects_then_begins()", open: true, pins: "stored routine: 1"},
			{name: "CALL that commits", do: "BEGIN; INSERT INTO tx VALUES (9, 9); CALL commits()"},
			{name: "CALL of a whole transaction", do: "CALL whole()"},
			{name: "CALL of a whole transaction and a variable", do: "CALL whole_and_variable()", pins: "stored routine: 1"},
			{name: "CALL of a variable and a whole transaction", do: "CALL variable_and_whole()", pins: "stored routine: 1"},
			{name: "CALL of a transaction and a temporary table", do: "CALL whole_and_table()", pins: "stored routine: 1"},
			{name: "CALL that commits and fails", do: "BEGIN; INSERT INTO tx VALUES (9, 9); CALL commits_and_fails()", mariadb: "stored routine: 1"},
			{name: "CALL that turns autocommit off and fails", do: "CALL autocommits()", open: true, pins: "stored routine: 1"},
			{name: "EXECUTE of a BEGIN", do: "PREPARE p FROM 'SELECT * FROM tx FOR UPDATE'; BEGIN; EXECUTE p; DEALLOCATE PREPARE p", open: true},
			{name: "XA", do: "XA START 'x'; INSERT INTO tx VALUES (9, 9)", open: true, pins: "XA transaction: 1"},
			{name: "XA at its end", do: "XA START 'x'; INSERT INTO tx VALUES (9, 9); XA END 'x'; XA ROLLBACK 'x'"},
			{name: "several statements that begin", do: "multi: SELECT 1; BEGIN; INSERT INTO tx VALUES (9, 9)", open: true},
			{name: "several statements that commit", do: "multi: BEGIN; INSERT INTO tx VALUES (9, 9); COMMIT"},
			{name: "several statements that begin and fail", do: "multi: BEGIN; INSERT INTO tx VALUES (9, 9); SELECT * FROM nosuch", open: true},
			{name: "several statements in a transaction that commit and fail", do: "BEGIN; multi: COMMIT; SELECT * FROM nosuch"},
		} {
			if w.server.Flavor == mysqld.FlavorMariaDB && test.mariadb != "" {
				test.pins = test.mariadb
			}
			w.Run(test.name, func(t *testing.T) {
				w := *w
				w.T = t
				admin := w.raw("")
				admin.run("SET lock_wait_timeout = 3")
				for _, statement := range []string{"DELETE FROM tx WHERE id > 3", "DROP TABLE IF EXISTS d, d2", "CREATE TABLE d2 (n INT)"} {
					admin.must(statement)
				}
				s := w.pinStage("multiStatements=true")
				c := s.session()
				w.bound(s, c, test.do, test.open, test.pins)
			})
		}
	})
}

// bound executes statements and compares what the pool thinks with what the server has.
func (w *world) bound(s *pinStage, c *client, do string, open bool, pins string) {
	w.Helper()
	statements := split(do)
	if before, after, ok := strings.Cut(do, "multi: "); ok {
		statements = append(split(strings.TrimSuffix(before, "; ")), after)
	}
	for _, statement := range statements {
		c.run(statement)
	}
	in := s.c.Stats().Pool.Instances[0]
	if got := in.InTx == 1; got != open {
		w.Errorf("bound by a transaction: %v, want %v", got, open)
	}
	w.same("pins", s.pins(), pins)
	// One that has written nothing does not show.
	shows := strings.Contains(do, "INSERT INTO tx VALUES (9, 9)") && !strings.Contains(do, "READ ONLY") && !strings.HasSuffix(do, "ROLLBACK TO a") && !strings.HasSuffix(do, "BEGIN") && !strings.HasSuffix(do, "CHAIN")
	if n := w.innerTransactions(); n > 0 && !open || n == 0 && open && shows {
		w.Errorf("%d transactions on the server, want open %v", n, open)
	}
	s.pressure()
	s.foreign()
	if got := s.c.Stats().Pool.Instances[0].InTx == 1; got != open {
		w.Errorf("bound by a transaction after the others: %v, want %v", got, open)
	}
	c.close()
	s.pressure()
	within(w.T, 2*time.Second, "the transaction of a closed session ends", func() bool { return w.innerTransactions() == 0 })
}

// foreign checks that no other session meets an open transaction.
func (s *pinStage) foreign() {
	s.Helper()
	if s.server.Flavor != mysqld.FlavorMariaDB {
		return
	}
	for _, c := range append(s.plain[:2:2], s.others...) {
		s.same("@@in_transaction of another session", c.value("SELECT @@in_transaction"), "0")
	}
}

// innerTransactions counts the transactions that the server's InnoDB has open. Its table
// innodb_trx is up to 0.1 s old.
func (w *world) innerTransactions() int {
	raw := w.raw("")
	defer raw.close()
	_, list, _ := strings.Cut(raw.run("SHOW ENGINE INNODB STATUS"), "LIST OF TRANSACTIONS") // behind the report of the last deadlock
	return strings.Count(list, ", ACTIVE ")
}

// TestTransactionLocks: what the server does to a transaction that loses a lock.
func TestTransactionLocks(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must(txSetup...)
		w.Run("lock wait timeout", func(t *testing.T) { lockWait(w, true) })
		w.Run("deadlock", func(t *testing.T) {
			s := w.pinStage("")
			c, other := s.session(), w.raw("")
			c.must("BEGIN", "UPDATE tx SET n = 1 WHERE id = 1")
			other.must("BEGIN", "UPDATE tx SET n = n + 1 WHERE id IN (2, 3)")
			done := make(chan string)
			// Whichever of the two comes first, the other one closes the circle.
			go func() { done <- other.run("UPDATE tx SET n = n + 1 WHERE id = 1") }()
			got, theirs := c.run("UPDATE tx SET n = 1 WHERE id = 2"), <-done
			if in := s.c.Stats().Pool.Instances[0]; got == "error 1213" && in.InTx != 0 || got != "error 1213" && in.InTx != 1 {
				t.Errorf("%s, theirs %s: %d in transactions", got, theirs, in.InTx)
			}
			other.must("ROLLBACK")
			s.pressure()
			s.foreign()
			c.run("ROLLBACK")
			s.same("rows", c.value("SELECT IFNULL(SUM(n), 0) FROM tx"), "0")
		})
	})
}

func lockWait(w *world, open bool) {
	s := w.pinStage("innodb_lock_wait_timeout=1")
	c, holder := s.session(), w.raw("")
	defer holder.close()
	holder.must("BEGIN", "UPDATE tx SET n = 1 WHERE id = 1")
	c.must("BEGIN", "UPDATE tx SET n = 7 WHERE id = 2")
	w.same("waits in vain", c.run("UPDATE tx SET n = 1 WHERE id = 1"), "error 1205")
	if got := s.c.Stats().Pool.Instances[0].InTx == 1; got != open {
		w.Errorf("bound: %v, want %v", got, open)
	}
	holder.must("ROLLBACK")
	for _, other := range s.others[:1] {
		other.must("BEGIN", "ROLLBACK")
	}
	c.must("COMMIT")
	want := map[bool]string{true: "7", false: "0"}[open]
	w.same("the row", c.value("SELECT n FROM tx WHERE id = 2"), want)
	s.raw("").must("UPDATE tx SET n = 0")
	if in := s.c.Stats().Pool.Instances[0]; in.InTx != 0 {
		w.Errorf("%+v", in)
	}
}

// TestRollbackOnTimeout needs a server that rolls all back where others roll one
// statement back.
func TestRollbackOnTimeout(t *testing.T) {
	mysqld.Each(t, func(t *testing.T, s *mysqld.Server) {
		if err := s.Exec(t.Context(), "CREATE DATABASE rolls"); err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, s, "rolls")
		w.raw("").must(txSetup...)
		lockWait(w, false)
	}, mysqld.WithArgs("--innodb-rollback-on-timeout=ON"))
}

// TestOneShotTransaction: SET TRANSACTION is for the session's next transaction, wherever
// that is, and for nobody else's.
func TestOneShotTransaction(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must("CREATE TABLE tx (id INT PRIMARY KEY, n INT) ENGINE = InnoDB")
		const write = "INSERT INTO tx VALUES (5, 5)"
		for _, set := range []string{"SET TRANSACTION READ ONLY", "SET @@{read_only} = 1", "set transaction isolation level serializable, read only", "SET @x = 2, @@{read_only} = 1", "SET TRANSACTION READ ONLY; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION READ ONLY; SET TRANSACTION READ WRITE"} {
			for _, then := range []string{"BEGIN", "SELECT 1; BEGIN", "SET @y = 1; USE {db}; BEGIN", "SELECT * FROM tx; BEGIN", "COMMIT; BEGIN", "SET autocommit = 0", "SAVEPOINT a; BEGIN", "SELECT * FROM nosuch; BEGIN"} {
				w.Run(set+"; "+then, func(t *testing.T) {
					w := *w
					w.T = t
					act := func(c *client, pressure func()) (got []string) {
						c.must(split(set)...)
						pressure()
						for _, statement := range split(then) {
							got = append(got, c.run(statement))
						}
						got = append(got, c.run(write), c.run("ROLLBACK"), c.run("BEGIN"), c.run(write), c.run("ROLLBACK"))
						pressure()
						return append(got, c.run("BEGIN"), c.run(write), c.run("ROLLBACK"))
					}
					raw := w.raw("")
					want := fmt.Sprint(act(raw, func() {}))
					raw.close()
					s := w.pinStage("")
					c := s.session()
					s.same("alone", fmt.Sprint(act(c, func() {})), want)
					c.close()
					c = s.session()
					s.same("among others", fmt.Sprint(act(c, func() {
						for _, other := range append(s.plain[:2:2], s.others...) {
							s.same("another's write", other.run("INSERT INTO {db}.tx VALUES (6, 6)"), "")
							other.must("DELETE FROM {db}.tx")
						}
						s.pressure()
					})), want)
					s.same("pins", s.pins(), "")
				})
			}
		}
	})
}

// TestWhatUsesOneShotUp: which statement is the transaction that a SET TRANSACTION was meant for
// differs from server to server. Ours is the same one, whatever others do on the connections.
func TestWhatUsesOneShotUp(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must("CREATE TABLE tx (id INT PRIMARY KEY) ENGINE = InnoDB", "CREATE PROCEDURE nothing() SET @x = 1", "CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1")
		s := w.pinStage("")
		for _, then := range []string{
			"DO 1", "DO (SELECT COUNT(*) FROM tx)", "SELECT 1", "SELECT IS_FREE_LOCK('nobody')", "SELECT 1 FROM DUAL", "SELECT SLEEP(0) FROM DUAL", "SELECT * FROM (SELECT 1 AS a) AS x",
			"WITH x AS (SELECT 1 AS a) SELECT * FROM x", "WITH x AS (SELECT * FROM tx) SELECT * FROM x", "TABLE tx", "VALUES (1)", "VALUES ROW(1)", "SELECT * FROM tx FOR UPDATE",
			"SELECT * FROM information_schema.tables LIMIT 1", "DELETE FROM tx", "INSERT INTO nosuch VALUES (1)", "INSERT INTO tx VALUES (1)", "INSERT INTO tx VALUES (1); SELECT IS_FREE_LOCK('nobody')",
			"SHOW WARNINGS", "SHOW TABLES", "SHOW DATABASES", "SHOW COLUMNS FROM tx", "SHOW INDEX FROM tx", "SHOW CREATE TABLE tx", "SHOW TABLE STATUS", "SHOW VARIABLES LIKE 'x'", "SHOW TRIGGERS",
			"DESCRIBE tx", "EXPLAIN SELECT * FROM tx", "EXPLAIN SELECT 1", "CALL nothing()", "SELECT one()", "PREPARE p FROM 'SELECT * FROM tx'", "ANALYZE TABLE tx", "FLUSH STATUS",
		} {
			w.sub(then, func(w *world) {
				act := func(c *client, between func()) (got []string) {
					defer c.close()
					c.must("SET TRANSACTION READ ONLY")
					for _, statement := range split(then) {
						got = append(got, c.run(statement))
					}
					between()
					return append(got[len(got)-1:], c.run("INSERT INTO tx VALUES (5)"), c.run("DELETE FROM tx"))
				}
				want, got := act(w.raw(""), func() {}), act(s.session(), s.pressure)
				if want, got := fmt.Sprint(want[1:]), fmt.Sprint(got[1:]); got != want {
					w.Errorf("the next writes: %s, want %s", got, want)
				}
			})
		}
	})
}

// TestTextTransactionOfThePool: BEGIN as text through *sql.DB stays with its session, the
// server hangs up after RELEASE, and a driver.Tx lasts until its end.
func TestTextTransactionOfThePool(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must(txSetup...)
		s := w.pinStage("")
		c := s.session()
		c.conn.Close()
		ctx := context.Background()
		exec := func(q queryer, statements ...string) {
			t.Helper()
			for _, statement := range statements {
				if _, err := q.ExecContext(ctx, statement); err != nil {
					t.Errorf("%s: %v", statement, err)
				}
			}
		}
		exec(c.db, "BEGIN", "UPDATE tx SET n = 1")
		s.pressure()
		if in := s.c.Stats().Pool.Instances[0]; in.InTx != 1 {
			t.Errorf("%+v", in)
		}
		exec(c.db, "ROLLBACK")
		exec(c.db, "BEGIN", "UPDATE tx SET n = 1", "COMMIT AND NO CHAIN RELEASE", "SELECT 1")
		s.pressure()
		tx, err := c.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		if err != nil {
			t.Fatal(err)
		}
		exec(tx, "UPDATE tx SET n = 2", "CREATE TABLE d (n INT)", "UPDATE tx SET n = 3 WHERE id = 1")
		s.pressure()
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		s.pressure()
		if in := s.c.Stats().Pool.Instances[0]; in.InTx != 0 {
			t.Errorf("%+v", in)
		}
		c.rest()
		s.same("rows", c.value("SELECT GROUP_CONCAT(n ORDER BY id) FROM tx"), "3,2,2")
	})
}

// TestDeadlockEndsTransaction: after an error that rolled the transaction back, what the
// program goes on to do in it is not done, and it is not committed.
func TestDeadlockEndsTransaction(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		st := newStage(t, s, database, "fpPoolSize=4")
		st.asRoot("REPLACE INTO w VALUES (1, 0), (2, 0)")
		begin := func() *sql.Tx {
			tx, err := st.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return tx
		}
		update := func(tx *sql.Tx, id int) error {
			_, err := tx.ExecContext(t.Context(), "UPDATE w SET v = v + 1 WHERE id = ?", id)
			return err
		}
		one, two := begin(), begin()
		for id, tx := range []*sql.Tx{one, two} {
			if err := update(tx, id+1); err != nil {
				t.Fatal(err)
			}
		}
		first := make(chan error, 1)
		go func() { first <- update(one, 2) }()
		eventually(t, "one waits for two", func() bool { return st.runs("UPDATE w") > 0 })
		err := update(two, 1)
		victim, other := two, one
		if firstErr := <-first; firstErr != nil {
			victim, other, err = one, two, firstErr
		}
		if number, _ := failover.Number(err); number != 1213 {
			t.Fatalf("no deadlock: %v", err)
		}
		if err := update(victim, 1); !errors.Is(err, failover.ErrTransactionLost) {
			t.Errorf("the next statement of the victim: %v", err)
		} else if number, _ := failover.Number(err); number != 1213 {
			t.Errorf("the error does not say why: %v", err)
		}
		if err := victim.Commit(); !errors.Is(err, failover.ErrTransactionLost) {
			t.Errorf("the victim's COMMIT: %v", err)
		}
		if err := other.Commit(); err != nil {
			t.Error(err)
		}
		if n := st.number(st.root, "SELECT SUM(v) FROM w"); n != 2 {
			t.Errorf("%d updates, want those of the other", n)
		}
		tx := begin() // the session is well
		if err := errors.Join(update(tx, 1), tx.Rollback()); err != nil {
			t.Error(err)
		}
		if p := st.pool(); p.InTx != 0 || p.InUse != 0 {
			t.Errorf("left: %+v", p)
		}
	})
}
