package failover

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestRealAnswers provokes what testdata/classes.txt says of real servers: which number, and
// what is left of the connection and its transaction.
func TestRealAnswers(t *testing.T) {
	const (
		open   = "the transaction is open"
		closed = "the connection is closed"
	)
	mysqld.Each(t, func(t *testing.T, s *mysqld.Server) {
		maria := s.Flavor == mysqld.FlavorMariaDB
		if err := s.Exec(t.Context(), "CREATE DATABASE fp", "CREATE TABLE fp.t (id INT PRIMARY KEY)", "INSERT INTO fp.t VALUES (1), (2)",
			"SET GLOBAL max_allowed_packet = 1048576", "SET GLOBAL max_prepared_stmt_count = 0",
			"CREATE USER one@'%' IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 1", "GRANT ALL ON fp.* TO one@'%'",
			"CREATE USER few@'%' IDENTIFIED BY 'x' WITH MAX_QUERIES_PER_HOUR 3", "GRANT ALL ON fp.* TO few@'%'"); err != nil {
			t.Fatal(err)
		}
		holder := session(t, s, s.User, s.Password)
		run(t, holder, "BEGIN")
		run(t, holder, "DELETE FROM t WHERE id = 1")

		for name, test := range map[string]struct {
			before    []string
			statement string
			prepare   bool
			mysql     uint16
			mariadb   uint16
			left      string
		}{
			"too slow":              {[]string{"SET max_statement_time = 0.05"}, "SELECT COUNT(*) FROM t a, t b WHERE SLEEP(1) = 0", false, 3024, 1969, open},
			"locked":                {[]string{"SET innodb_lock_wait_timeout = 1"}, "DELETE FROM t WHERE id = 1", false, 1205, 1205, open},
			"locked, not to wait":   {nil, "SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT", false, 3572, 1205, open},
			"read only, as asked":   {[]string{"ROLLBACK", "START TRANSACTION READ ONLY"}, "DELETE FROM t WHERE id = 2", false, 1792, 1792, open},
			"no room to prepare":    {nil, "SELECT 1", true, 1461, 1461, open},
			"an option prevents it": {nil, "SELECT 1 INTO OUTFILE '/nowhere/at/all'", false, 1290, 1290, open},
		} {
			t.Run(name, func(t *testing.T) {
				conn := session(t, s, s.User, s.Password)
				run(t, conn, "BEGIN")
				for _, statement := range test.before {
					if !maria {
						statement = strings.Replace(statement, "max_statement_time = 0.05", "max_execution_time = 50", 1)
					}
					run(t, conn, statement)
				}
				if test.left == open && test.before == nil {
					run(t, conn, "INSERT INTO t VALUES (3)")
				}
				err := try(t.Context(), conn, test.statement, test.prepare)
				want := test.mysql
				if maria {
					want = test.mariadb
				}
				answers(t, err, want, PhaseAnswering, ClassStatement)
				var rest string
				switch inTx, err := inTransaction(t.Context(), conn); {
				case err != nil:
					rest = closed
				case inTx:
					rest = open
				}
				if rest != test.left {
					t.Errorf("left: %q, want %q", rest, test.left)
				}
			})
		}
		run(t, holder, "ROLLBACK")

		one := session(t, s, "one", "x")
		run(t, one, "DO 1")
		_, err := connect(t.Context(), s, "one", "x")
		answers(t, err, 1226, PhaseConnect, ClassBusy)
		few := session(t, s, "few", "x")
		for err = nil; err == nil; {
			_, err = few.ExecContext(t.Context(), "DO 1")
		}
		answers(t, err, 1226, PhaseAnswering, ClassStatement)

		run(t, holder, "SET GLOBAL max_user_connections = 1")
		_, err = connect(t.Context(), s, "few", "x")
		answers(t, err, 1203, PhaseConnect, ClassBusy)
		run(t, holder, "SET GLOBAL max_user_connections = 100")

		run(t, holder, "SET GLOBAL read_only = ON")
		_, err = one.ExecContext(t.Context(), "INSERT INTO t VALUES (4)")
		answers(t, err, 1290, PhaseAnswering, ClassRefused)
		run(t, holder, "SET GLOBAL read_only = OFF")

		if maria {
			return
		}
		run(t, holder, "SET GLOBAL offline_mode = ON")
		if err := one.PingContext(t.Context()); err == nil {
			t.Error("offline mode leaves a session alone that may not administrate")
		}
		_, err = connect(t.Context(), s, "one", "x")
		answers(t, err, 3032, PhaseConnect, ClassRefused)
		run(t, holder, "INSERT INTO t VALUES (5)") // root may stay
	}, mysqld.WithArgs("--max-user-connections=100"))
}

// answers checks an error's number and class.
func answers(t *testing.T, err error, want uint16, phase Phase, class Class) {
	t.Helper()
	if number, _ := Number(err); number != want {
		t.Errorf("got %v, want %d", err, want)
		return
	}
	s := Situation{Phase: phase, Confirmed: true, AsksReadOnly: true}
	if class == ClassRefused {
		s = Situation{Phase: phase}
	}
	if v := s.Classify(t.Context(), err); v != (Verdict{class, NotExecuted, true}) {
		t.Errorf("%v is %s", err, spelled(v))
	}
}

func connect(ctx context.Context, s *mysqld.Server, user, password string) (*sql.Conn, error) {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/fp?maxAllowedPacket=16777216", user, password, s.Addr()))
	if err != nil {
		return nil, err
	}
	defer db.Close() // the connection outlives it
	return db.Conn(ctx)
}

func session(t *testing.T, s *mysqld.Server, user, password string) *sql.Conn {
	t.Helper()
	conn, err := connect(t.Context(), s, user, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func run(t *testing.T, conn *sql.Conn, statement string) {
	t.Helper()
	if _, err := conn.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// try executes a statement to the end of its rows, or only prepares it.
func try(ctx context.Context, conn *sql.Conn, statement string, prepare bool) error {
	if prepare {
		_, err := conn.PrepareContext(ctx, statement)
		return err
	}
	rows, err := conn.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// inTransaction asks for what only a transaction can: a savepoint that is still there.
func inTransaction(ctx context.Context, conn *sql.Conn) (bool, error) {
	if _, err := conn.ExecContext(ctx, "SAVEPOINT x"); err != nil {
		return false, err
	}
	_, err := conn.ExecContext(ctx, "RELEASE SAVEPOINT x")
	if _, ok := Number(err); ok {
		return false, nil
	}
	return err == nil, err
}
