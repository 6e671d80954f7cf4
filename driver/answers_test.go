package driver

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// TestAnswers: questions about the session's last statement are answered as by a
// connection of its own, whatever other sessions do between two of its statements; with
// pressure the answer may be gone, but nobody else's.
func TestAnswers(t *testing.T) {
	eachWorld(t, func(w *world) {
		admin := w.raw("")
		admin.must("CREATE TABLE ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT UNIQUE) AUTO_INCREMENT = 1000",
			"CREATE PROCEDURE inserts() INSERT INTO ids (n) VALUES (77)", "CREATE PROCEDURE selects() SELECT 1 UNION SELECT 2",
			"CREATE FUNCTION inserting() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO ids (n) VALUES (78); RETURN LAST_INSERT_ID(); END")
		const id, all = "SELECT LAST_INSERT_ID()", "SELECT LAST_INSERT_ID(), @@identity, @@last_insert_id"
		for _, test := range []struct {
			do, ask  string
			survives bool // LAST_INSERT_ID() of a sql.Conn
		}{
			{"SELECT 1", all, true},
			{"INSERT INTO ids (n) VALUES (1)", all, true},
			{"INSERT INTO ids (n) VALUES (1), (2), (3)", "SELECT LAST_INSERT_ID()", true},
			{"INSERT INTO ids (n) VALUES (1); SELECT 5; UPDATE ids SET n = 9", id, true},
			{"INSERT INTO ids (n) VALUES (1); INSERT INTO ids VALUES (5000, 2)", id, true},
			{"INSERT INTO ids VALUES (5000, 2)", id, true},
			{"INSERT INTO ids VALUES (5000, 2); INSERT INTO ids (n) VALUES (3)", id, true},
			{"INSERT INTO ids (n) VALUES (1); INSERT INTO ids (n) VALUES (1)", id, true},
			{"INSERT INTO ids (n) VALUES (1); INSERT IGNORE INTO ids (n) VALUES (1)", id, true},
			{"INSERT INTO ids (n) VALUES (1); INSERT INTO ids (n) VALUES (1) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)", id, true},
			{"REPLACE INTO ids (n) VALUES (1)", id, true},
			{"INSERT INTO ids (n) VALUES (1); SELECT 1; INSERT INTO ids (n) VALUES (2)", id, true},
			{"INSERT INTO ids (n) VALUES (1); INSERT INTO ids (n) VALUES (2); SELECT 1", id, true},
			{"UPDATE ids SET n = LAST_INSERT_ID(42)", id, true},
			{"INSERT INTO ids (n) VALUES (1); UPDATE ids SET n = LAST_INSERT_ID(n + 41)", id, true},
			{"SELECT LAST_INSERT_ID(43)", id, true},
			{"DO LAST_INSERT_ID(44)", id, true},
			{"SET LAST_INSERT_ID = 45", id, true},
			{"SET @@session.identity = 46", id, true},
			{"SELECT LAST_INSERT_ID(43); SELECT LAST_INSERT_ID(0)", id, true},
			{"INSERT INTO ids (n) VALUES (1); ROLLBACK", id, true},
			{"BEGIN; INSERT INTO ids (n) VALUES (1); COMMIT", id, true},
			{"CALL inserts()", id, true},
			{"INSERT INTO ids (n) VALUES (1); CALL inserts()", id, true},
			{"SELECT inserting()", id, true},
			{"INSERT INTO ids (n) VALUES (1); INSERT INTO ids (n) SELECT LAST_INSERT_ID() - 5", id, true},
			{"INSERT INTO ids (n) VALUES (1), (2)", "SELECT ROW_COUNT()", false},
			{"INSERT INTO ids (n) VALUES (1); UPDATE ids SET n = 5", "SELECT ROW_COUNT(), LAST_INSERT_ID()", false},
			{"INSERT INTO ids (n) VALUES (1), (2); SELECT SQL_CALC_FOUND_ROWS * FROM ids LIMIT 1", "SELECT FOUND_ROWS()", false},
			{"SELECT CAST('x' AS SIGNED)", "SHOW WARNINGS", false},
			{"SELECT CAST('x' AS SIGNED), CAST('y' AS SIGNED)", "SELECT @@warning_count", false},
			{"SELECT CAST('x' AS SIGNED)", "SHOW COUNT(*) WARNINGS", false},
			{"SELECT * FROM nosuch", "SHOW ERRORS", false},
			{"SELECT * FROM nosuch", "SELECT @@error_count", false},
			{"DROP TABLE IF EXISTS nosuch", "SHOW WARNINGS LIMIT 1", false},
			{"CALL selects()", "SELECT ROW_COUNT()", false},
		} {
			w.Run(test.do+", "+test.ask, func(t *testing.T) {
				w := *w
				w.T = t
				act := func(c *client, pressure func()) string {
					admin.must("TRUNCATE ids")
					for _, statement := range split(test.do) {
						c.run(statement)
						pressure()
					}
					return c.run(test.ask)
				}
				raw := w.raw("")
				want := act(raw, func() {})
				raw.close()
				s := w.pinStage("")
				c := s.session()
				// What cannot be told apart on a backend that others have used is refused.
				excused := strings.Contains(test.ask, ", LAST_INSERT_ID()") || s.server.Flavor == mysqld.FlavorMariaDB && strings.Contains(test.do, "CAST('x'")
				if got := act(c, func() {}); got != ErrAnswerGone.Error() || !excused {
					s.same("without pressure", got, want)
				}
				c.close()
				c = s.session()
				got := act(c, s.pressure)
				if test.survives || got != ErrAnswerGone.Error() {
					s.same("under pressure", got, want)
				}
				s.pressure()
				if got = c.run(test.ask); got != ErrAnswerGone.Error() && test.survives {
					s.same("after the others", got, want)
				} else if test.survives {
					t.Errorf("after the others: %s", got)
				}
			})
		}
	})
}

// TestAnswersOfAFailedPrepare: a prepared statement that a connection does not have yet is
// prepared as it was first, in the state of then. If that fails, its error is not asked for in vain.
func TestAnswersOfAFailedPrepare(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must("CREATE TABLE ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
		act := func(c *client, between func()) (answer string, failed error) {
			st, err := c.conn.PrepareContext(c.Context(), "INSERT INTO ids (n) VALUES (?)")
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			c.must("SET NAMES latin1", "SET SESSION TRANSACTION READ ONLY")
			between()
			_, failed = st.ExecContext(c.Context(), 1)
			return c.run("SHOW WARNINGS"), failed
		}
		want, failed := act(w.raw(""), func() {})
		if failed == nil {
			t.Fatal("a write in a READ ONLY transaction is executed")
		}
		s := w.pinStage("")
		if got, _ := act(s.session(), s.pressure); got != ErrAnswerGone.Error() {
			s.same("the error asked for", got, want)
		}
	})
}

// TestAnswersOfThePool: through *sql.DB with one session, and in a transaction.
func TestAnswersOfThePool(t *testing.T) {
	eachWorld(t, func(w *world) {
		s := w.pinStage("")
		s.raw("").must("CREATE TABLE ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
		db := sql.OpenDB(struct{ driver.Connector }{s.c})
		defer db.Close()
		db.SetMaxOpenConns(1)
		for i := range 5 {
			result, err := db.ExecContext(t.Context(), "INSERT INTO ids (n) VALUES (?)", i)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := result.LastInsertId()
			var id, rows int64
			if err := db.QueryRowContext(t.Context(), "SELECT LAST_INSERT_ID()").Scan(&id); err != nil || id != want {
				t.Errorf("LAST_INSERT_ID() is %d, want %d: %v", id, want, err)
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			result, err = tx.ExecContext(t.Context(), "INSERT INTO ids (n) VALUES (1), (2)")
			if err != nil {
				t.Fatal(err)
			}
			want, _ = result.LastInsertId()
			in := s.others[0]
			in.must("BEGIN", "ROLLBACK")
			if err := tx.QueryRowContext(t.Context(), "SELECT ROW_COUNT(), LAST_INSERT_ID()").Scan(&rows, &id); err != nil || rows != 2 || id != want {
				t.Errorf("in a transaction: %d rows, %d, want %d: %v", rows, id, want, err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			s.pressure()
			if err := db.QueryRowContext(t.Context(), "SELECT LAST_INSERT_ID()").Scan(&id); err == nil && id != want || err != nil && !errors.Is(err, ErrAnswerGone) {
				t.Errorf("after a rest under pressure: %d, want %d: %v", id, want, err)
			}
		}
	})
}

// TestAnswersOfMany: 500 sessions ask for what they left, over two backends.
func TestAnswersOfMany(t *testing.T) {
	eachWorld(t, func(w *world) {
		s := w.pinStage("fpBorrowTimeout=20s")
		s.raw("").must("CREATE TABLE ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT, b INT UNIQUE) AUTO_INCREMENT = 1000000", "INSERT INTO ids VALUES (1, 1, 1)")
		db := sql.OpenDB(struct{ driver.Connector }{s.c})
		defer db.Close()
		var right, gone atomic.Int64
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				conn, err := db.Conn(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				rows := i%3 + 1
				result, err := conn.ExecContext(t.Context(), "INSERT INTO ids (n) VALUES "+strings.Repeat("(1), ", rows-1)+"(1)")
				if err != nil {
					t.Error(err)
					return
				}
				id, _ := result.LastInsertId()
				if i%4 == 0 { // the trap: the OK packet carries this id
					if _, err := conn.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO ids VALUES (%d, 1, NULL)", 10+i)); err != nil {
						t.Error(err)
					}
					rows = 1
				}
				if i%2 == 0 {
					time.Sleep(time.Millisecond)
				}
				for _, ask := range []struct {
					query string
					want  int64
					sure  bool
				}{{"SELECT ROW_COUNT()", int64(rows), false}, {"SELECT LAST_INSERT_ID()", id, true}, {"SELECT @@identity", id, true}} {
					var got int64
					err := conn.QueryRowContext(t.Context(), ask.query).Scan(&got)
					switch {
					case err == nil && got == ask.want:
						right.Add(1)
					case errors.Is(err, ErrAnswerGone) && !ask.sure:
						gone.Add(1)
					default:
						t.Errorf("%s of session %d: %d, %v, want %d", ask.query, i, got, err, ask.want)
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%d right, %d gone; %+v", right.Load(), gone.Load(), s.c.Stats().Pool.Instances[0])
		if right.Load() < 1000 {
			t.Error("too few answers")
		}
	})
}

// TestPinModes: what changes the rules of pins.
func TestPinModes(t *testing.T) {
	const filtered = "fpPinFilter=excludeVariableSets"
	eachWorld(t, func(w *world) {
		w.sub("fpPinFilter", func(w *world) {
			s := w.pinStage(filtered)
			c := s.session()
			c.must("SET @x = 1 + 1", "SET insert_id = 7")
			s.same("pins", s.pins(), "")
			c.must("SELECT @y := 1")
			s.same("pins of no SET", s.pins(), "user variable: 1")
		})
		w.sub("fpPoolMode=session", func(w *world) {
			cfg, _ := ParseDSN(w.server.DSN(w.database) + "?fpTopology=static&fpPoolSize=2&fpBorrowTimeout=50ms&fpPoolMode=session")
			conn, _ := NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)))
			w.Cleanup(func() { conn.Close() })
			s := &pinStage{world: w, c: conn}
			one, two, three := s.session(), s.session(), s.session()
			first := one.value("SELECT CONNECTION_ID()")
			two.must("SELECT 1")
			if got := three.run("SELECT 1"); !strings.Contains(got, "fpBorrowTimeout") {
				w.Errorf("a third session over two backends: %s", got)
			}
			one.rest()
			w.same("the backend", one.value("SELECT CONNECTION_ID()"), first)
			two.close()
			three.must("SELECT 1")
		})
		w.sub("fpSessionReset", func(w *world) {
			s := w.pinStage("fpSessionReset=on")
			s.raw("").must("CREATE TABLE reset (n INT)")
			for _, do := range []string{"SET time_zone = '+01:00', @x = 1", "USE mysql", "CREATE TEMPORARY TABLE t (n INT)", "SELECT GET_LOCK('l', 0)", "SELECT @x := 1", "BEGIN; INSERT INTO reset VALUES (1)", "SET autocommit = 0; INSERT INTO reset VALUES (1)", "SELECT LAST_INSERT_ID(7)", "SET TRANSACTION READ ONLY", "LOCK TABLES reset WRITE"} {
				c := s.session()
				c.must(split(do)...)
				c.rest()
				w.same(do+": state", c.run(s.state), s.clean)
				w.same(do+": pins", s.pins(), "")
				w.same(do+": insert id", c.value("SELECT LAST_INSERT_ID()"), "0")
				c.must("INSERT INTO {db}.reset SELECT 1 FROM DUAL WHERE FALSE")
				w.same(do+": rows", c.value("SELECT COUNT(*) FROM {db}.reset"), "0")
				w.same(do+": lock", s.plain[0].value("SELECT IS_FREE_LOCK('l')"), "1")
				w.same(do+": table", c.run("SELECT * FROM t"), "error 1146")
				s.pressure()
				c.close()
			}
		})
		w.sub("GET_LOCK of somebody else's lock", func(w *world) {
			s := w.pinStage("")
			a, b := s.session(), s.session()
			a.must("SELECT GET_LOCK('l', 1)")
			s.same("refused", b.value("SELECT GET_LOCK('l', 0)"), "0")
			s.same("refused, prepared", b.value("SELECT GET_LOCK(?, ?)", "l", 0), "0")
			s.same("pins", s.pins(), "named lock: 1")
			s.same("released by nobody", b.value("SELECT RELEASE_LOCK('l')"), "0")
			a.must("SELECT RELEASE_LOCK('l')")
			s.same("pins", s.pins(), "")
			s.same("taken, prepared", b.value("SELECT GET_LOCK(?, ?)", "l", 0), "1")
			s.same("pins", s.pins(), "named lock: 1")
			s.pressure()
			s.same("held", a.value("SELECT GET_LOCK('l', 0)"), "0")
			s.same("released", b.value("SELECT RELEASE_LOCK(?)", "l"), "1")
			s.same("pins", s.pins(), "")
		})
		w.sub("names of locks that differ in case", func(w *world) {
			s := w.pinStage("")
			c := s.session()
			c.must("SELECT GET_LOCK('Ab', 1)")
			released := c.value("SELECT RELEASE_LOCK('aB')")
			s.same("pins", s.pins(), map[string]string{"1": ""}[released]+map[bool]string{true: "named lock: 1"}[released != "1"])
			s.pressure()
			c.must("SELECT RELEASE_LOCK('Ab')")
			s.same("free", s.plain[0].value("SELECT IS_FREE_LOCK('Ab')"), "1")
			s.same("pins", s.pins(), "")
		})
		w.sub("write of a session that is read-only", func(w *world) {
			s := w.pinStage("")
			s.raw("").must("CREATE TABLE IF NOT EXISTS refused (n INT)")
			c := s.session()
			c.must("SET SESSION TRANSACTION READ ONLY", "SELECT @x := 1")
			dials := s.c.Stats().Pool.Instances[0].Dials
			s.same("refused", c.run("INSERT INTO refused VALUES (1)"), "error 1792")
			s.same("pins", s.pins(), "user variable: 1")
			if n := s.c.Stats().Pool.Instances[0].Dials; n != dials {
				w.Errorf("%d new connections", n-dials)
			}
		})
		for _, fails := range []string{"CALL fails()"} {
			w.sub("variable of a statement that fails: "+fails, func(w *world) {
				w.raw("").run("CREATE TABLE triggers (n INT)")
				w.raw("").run("CREATE TRIGGER g BEFORE INSERT ON triggers FOR EACH ROW BEGIN SET @x = 5; SIGNAL SQLSTATE '45000'; END")
				w.raw("").run("CREATE PROCEDURE fails() BEGIN SET @x = 5; SIGNAL SQLSTATE '45000'; END")
				s := w.pinStage("")
				c := s.session()
				c.must("SELECT 1")
				s.same("fails", c.run(fails), "error 1644")
				s.pressure()
				s.same("its own", c.value("SELECT @x"), "5")
			})
		}
		w.sub("digest without literals", func(w *world) {
			s := w.pinStage("")
			c := s.session()
			c.must("SELECT @x := 'secret', 4711")
			list := s.c.cluster.pool.PinList()
			if len(list) != 1 || list[0].Reason != "user variable" || list[0].Statement != "SELECT @x := ?" && list[0].Statement != "SELECT @x := ?, ?" {
				w.Errorf("%+v", list)
			}
		})
		w.sub("one SET when a session moves", func(w *world) { w.roundTrips() })
		w.sub("GLOBAL goes on to the next variable of a list or not", func(w *world) {
			s := w.pinStage("")
			before := w.raw("").value("SELECT @@global.div_precision_increment")
			defer func() { _ = w.server.Exec(w.Context(), "SET GLOBAL div_precision_increment = "+before) }()
			raw, c := w.raw(""), s.session()
			const ask = "SELECT @@session.div_precision_increment"
			raw.must("SET GLOBAL sort_buffer_size = @@global.sort_buffer_size, div_precision_increment = 9")
			want := raw.run(ask)
			c.must("SET GLOBAL sort_buffer_size = @@global.sort_buffer_size, div_precision_increment = 9")
			s.same("at once", c.run(ask), want)
			for _, m := range s.others {
				m.must("BEGIN")
			}
			for _, m := range s.others {
				m.must("ROLLBACK")
			}
			s.same("after the others", c.run(ask), want)
		})
	})
}

// roundTrips counts what the server executes when two sessions take turns on a backend.
func (w *world) roundTrips() {
	cfg, _ := ParseDSN(w.server.DSN(w.database) + "?fpTopology=static&fpPoolSize=1")
	conn, err := NewConnector(cfg, WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close() })
	s := &pinStage{world: w, c: conn}
	a, b := s.session(), s.session()
	count := func(between func()) string {
		const sets, all = "SHOW SESSION STATUS LIKE 'Com_set_option'", "SHOW SESSION STATUS LIKE 'Questions'"
		number := func(query string) (n int) {
			_, answer, _ := strings.Cut(a.run(query), "Value VARCHAR=")
			if w.server.Flavor == mysqld.FlavorMySQL || answer == "" {
				_, answer, _ = strings.Cut(a.run(query), "\n")
				_, answer, _ = strings.Cut(answer, "=")
			}
			_, _ = fmt.Sscanf(strings.Trim(strings.TrimSpace(answer), `"`), "%d", &n)
			return n
		}
		before, asked := number(sets), number(all)
		between()
		asked = number(all) - asked
		return fmt.Sprintf("%d sets in %d statements", number(sets)-before, asked)
	}
	settle := func(c *client, statements ...string) { c.must(statements...) }
	turns := func() { b.must("SELECT 1"); a.must("SELECT 1") }
	quiet := count(turns)
	settle(a, "SET time_zone = '+01:00', @x = 1, sort_buffer_size = 300000")
	turns() // values are read back once
	if got := count(turns); !strings.HasPrefix(got, "2 sets") {
		w.Errorf("a differs from b: %s, want 2 sets", got)
	}
	settle(b, "SET time_zone = '+01:00', @x = 1, sort_buffer_size = 300000")
	turns()
	if got := count(turns); got != quiet {
		w.Errorf("a and b agree: %s, want %s", got, quiet)
	}
}

// TestFoundRowsOfOthers: most statements leave FOUND_ROWS() as it was, and on a backend of
// many sessions that was somebody else's.
func TestFoundRowsOfOthers(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.raw("").must("CREATE TABLE found (n INT)")
		for _, before := range []string{"INSERT INTO found VALUES (1)", "BEGIN", "SET @x = 1", "DELETE FROM found"} {
			st := newStage(w.T, w.server, w.database, "fpPoolSize=1")
			var conns [2]*sql.Conn
			for i := range conns {
				var err error
				if conns[i], err = st.db.Conn(w.Context()); err != nil {
					w.Fatal(err)
				}
				defer conns[i].Close()
				if _, err = conns[i].ExecContext(w.Context(), "DO 1"); err != nil {
					w.Fatal(err)
				}
			}
			other, own := conns[0], conns[1]
			if err := scanInto(w.Context(), other, "SELECT SQL_CALC_FOUND_ROWS 1 UNION SELECT 2 UNION SELECT 3 LIMIT 1", new(int)); err != nil {
				w.Fatal(err)
			}
			if _, err := own.ExecContext(w.Context(), before); err != nil {
				w.Fatal(err)
			}
			n := -1
			if err := scanInto(w.Context(), own, "SELECT FOUND_ROWS()", &n); !answerGone(err) {
				w.Errorf("after %s: %d, %v", before, n, err)
			}
			if err := scanInto(w.Context(), own, "SELECT 5 UNION SELECT 6", new(int)); err != nil {
				w.Fatal(err)
			}
			if err := scanInto(w.Context(), own, "SELECT FOUND_ROWS()", &n); err != nil || n != 2 {
				w.Errorf("after %s and a query: %d, %v", before, n, err)
			}
		}
	})
}

// TestInsertReturningAfterLoss: a session whose LAST_INSERT_ID() nobody knows has one again after
// INSERT … RETURNING, which says nothing of it, if that made one.
func TestInsertReturningAfterLoss(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		if s.Flavor != mysqld.FlavorMariaDB {
			t.SkipNow() // MySQL has no RETURNING
		}
		st := newStage(t, s, database, "fpPoolSize=1")
		st.asRoot("CREATE TABLE returning_ids (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT)")
		st.asRoot("CREATE TABLE plain_ids (id BIGINT PRIMARY KEY)")
		other, err := st.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if _, err := st.db.ExecContext(t.Context(), "INSERT INTO returning_ids (n) VALUES (1), (2)"); err != nil {
			t.Fatal(err)
		}
		if _, err := other.ExecContext(t.Context(), "INSERT INTO returning_ids (n) VALUES (9)"); err != nil { // over the same connection
			t.Fatal(err)
		}
		mine, err := st.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer mine.Close()
		var id int64
		for _, q := range []string{"SELECT LAST_INSERT_ID()", "INSERT INTO plain_ids VALUES (7) RETURNING id; SELECT LAST_INSERT_ID()"} {
			statement, question, two := strings.Cut(q, "; ")
			if two {
				if err := scan(t.Context(), mine, statement); err != nil {
					t.Fatal(err)
				}
				statement = question
			}
			if err := scanInto(t.Context(), mine, statement, &id); !errors.Is(err, ErrAnswerGone) {
				t.Errorf("%s: got %d, %v", q, id, err)
			}
		}
		if err := scan(t.Context(), mine, "INSERT INTO returning_ids (n) VALUES (3) RETURNING n"); err != nil {
			t.Fatal(err)
		}
		if err := scan(t.Context(), other, "SELECT 1"); err != nil { // and what is learned survives a move
			t.Fatal(err)
		}
		if err := scanInto(t.Context(), mine, "SELECT LAST_INSERT_ID()", &id); err != nil || id != 4 {
			t.Errorf("got %d, %v", id, err)
		}
	})
}
