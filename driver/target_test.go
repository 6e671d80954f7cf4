package driver

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/topology"
)

// TestTargets: what directing statements means to sessions that are bound, or by others' doing
// not what they seem.
func TestTargets(t *testing.T) {
	onReader := func(r *rig) context.Context { return WithTarget(r.Context(), topology.Reader) }
	for name, test := range map[string]struct {
		params string
		f      func(r *rig)
	}{
		"Raw gets a reader's connection": {"fpTarget=reader", func(r *rig) {
			session := r.session()
			r.must(session.Raw(func(dc any) error {
				c := dc.(*conn)
				if err := c.Raw(func(any) error { return nil }); err != nil {
					return err
				}
				if got := c.session.Instance().Role; got != readerRole {
					r.Errorf("got a %s's", got)
				}
				return nil
			}))
		}},
		"a reader refuses what looked like a read": {"fpTarget=reader", func(r *rig) {
			conn := r.session()
			for _, in := range r.sim.Readers() {
				defer in.ErrorThenClose(1290, "a view's function writes", aurorasim.SQL(selectOne)).Clear()
			}
			_, err := r.rows(r.Context(), conn, selectOne)
			r.wants(err, failover.ErrReadOnlyTarget, failover.NotExecuted)
			if !failover.ReadOnly(err) {
				r.Errorf("the server's answer is lost: %v", err)
			}
			if n := len(r.sim.Seen(selectOne)); n != 1 {
				r.Errorf("sent %d times", n)
			}
		}},
		"a transaction by text": {"", func(r *rig) {
			conn := r.session()
			_, err := conn.ExecContext(onReader(r), "BEGIN")
			r.must(err)
			r.readsOn(r.Context(), conn, readerRole)
			r.refused(conn, insert, "begun for readers")
			r.must(r.exec(conn, "COMMIT"))
			r.readsOn(r.Context(), conn, writerRole)
			r.must(r.exec(conn, insert)) // that transaction is over
		}},
		"a transaction by text that lost its reader": {"fpWriterIsReader=never", func(r *rig) {
			conn := r.session()
			_, err := conn.ExecContext(onReader(r), "BEGIN")
			r.must(err)
			r.must(r.sim.Instance(r.instanceOf("BEGIN")).Crash(r.Context()))
			r.must(r.exec(conn, "SET @x = 1")) // begins it again
			r.refused(conn, insert, "begun for readers")
			r.must(r.exec(conn, "ROLLBACK"))
			_, err = conn.ExecContext(onReader(r), "BEGIN")
			r.must(err)
			r.must(r.sim.Instance(r.instanceOf("BEGIN")).Crash(r.Context()))
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			if _, err := r.rows(ctx, conn, selectOne); !errors.Is(err, context.DeadlineExceeded) {
				r.Errorf("got %v", err)
			}
			r.refused(conn, insert, "begun for readers") // it is to begin again
		}},
		"a transaction begun for the writer": {"fpTarget=reader", func(r *rig) {
			ctx, conn := WithTarget(r.Context(), topology.Writer), r.session()
			tx, err := conn.BeginTx(ctx, nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			r.readsOn(r.Context(), tx, writerRole)
			r.must(tx.Commit())
			time.Sleep(time.Second)
			r.readsOn(r.Context(), conn, readerRole)
			r.refused(conn, insert, "fpTarget is reader")
			_, err = conn.ExecContext(ctx, "BEGIN")
			r.must(err)
			r.must(r.exec(conn, update))
			r.must(r.exec(conn, "COMMIT"))
			r.refused(conn, insert, "fpTarget is reader")
			// One that has lost its connection before it did anything is that still, until its end.
			tx, err = conn.BeginTx(ctx, nil)
			r.must(err)
			r.sim.Writer().ResetConnections()
			r.must(r.exec(tx, "SET @x = 1"))
			r.must(r.exec(tx, insert))
			r.sim.Writer().ResetConnections()
			r.wants(r.exec(tx, insert), failover.ErrTransactionLost, failover.NotExecuted)
			r.must(tx.Rollback())
			r.refused(conn, insert, "fpTarget is reader")
		}},
		"locks and global variables are the writer's": {"fpTarget=auto", func(r *rig) {
			const getLock, setLock, global, noLock = "SELECT GET_LOCK('a', 0)", "SET @x = GET_LOCK('a', 0)", "SET GLOBAL max_connections = 5", "SET @x = 5"
			for _, text := range []string{getLock, setLock, global} {
				r.script.On(text)
			}
			conn := r.session()
			tx, err := conn.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
			r.must(err)
			r.readsOn(r.Context(), tx, readerRole)
			for _, text := range []string{selectLock, getLock, setLock, global, "LOCK TABLES t READ", "FLUSH TABLES WITH READ LOCK"} {
				r.refused(tx, text, "READ ONLY transaction is on a reader")
				r.refusedWith(onReader(r), r.db, text, "driver.WithTarget")
			}
			r.must(r.exec(tx, noLock))
			r.readsOn(r.Context(), tx, readerRole) // it goes on
			r.must(tx.Commit())
			tx, err = conn.BeginTx(WithTarget(r.Context(), topology.Writer), &sql.TxOptions{ReadOnly: true})
			r.must(err)
			r.must(r.exec(tx, getLock))
			r.must(tx.Commit())
			r.went(getLock, writerRole)
			r.must(r.exec(r.db, global))
			r.went(global, writerRole)
		}},
		"what is about the server itself": {"fpTarget=auto", func(r *rig) {
			for _, text := range []string{"XA RECOVER", "SHOW PROCESSLIST", "SHOW MASTER STATUS", "EXPLAIN FOR CONNECTION 5"} {
				r.script.On(text)
				for range 5 {
					_, err := r.rows(r.Context(), r.db, text)
					r.must(err)
					r.went(text, writerRole)
				}
				st, err := r.db.PrepareContext(r.Context(), text)
				r.must(err)
				_, err = st.ExecContext(r.Context())
				r.must(err)
				r.went(text, writerRole)
				r.must(st.Close())
				_, err = r.rows(onReader(r), r.db, text)
				r.must(err)
				r.went(text, readerRole)
			}
			const ids = "SHOW PROCESSLIST"
			r.without(func() { r.takes(promotion, func() error { _, err := r.rows(r.Context(), r.db, ids); return err }) })
		}},
		"BEGIN in a transaction on a reader": {"fpTarget=auto", func(r *rig) {
			conn := r.session()
			for range 2 {
				r.must(r.exec(conn, readOnlyBegin))
				r.must(r.exec(conn, "SET @x = 'mine'"))
				r.readsOn(r.Context(), conn, readerRole)
				where := r.instanceOf(selectOne)
				r.must(r.exec(conn, readOnlyBegin)) // goes on where it is
				r.readsOn(r.Context(), conn, readerRole)
				if got := r.instanceOf(selectOne); got != where {
					r.Errorf("went to %s from %s", got, where)
				}
				open := r.c.Stats().Pool.Instances
				r.must(r.exec(conn, "BEGIN"))
				r.went("BEGIN", writerRole)
				for i, in := range r.c.Stats().Pool.Instances {
					if in.Open < open[i].Open {
						r.Errorf("%s has lost a connection", in.ID)
					}
				}
				r.must(r.exec(conn, insert))
				r.readsOn(r.Context(), conn, writerRole)
				r.must(r.exec(conn, "COMMIT"))
				time.Sleep(time.Second)
				_, err := conn.ExecContext(onReader(r), "BEGIN")
				r.must(err)
				_, err = conn.ExecContext(onReader(r), "BEGIN")
				r.must(err)
				r.went("BEGIN", readerRole)
				r.must(r.exec(conn, "BEGIN"))
				r.must(r.exec(conn, insert))
				r.must(r.exec(conn, "ROLLBACK"))
				time.Sleep(time.Second)
			}
		}},
		"connections without autocommit": {"fpTarget=auto&autocommit=0", func(r *rig) {
			for range 3 {
				conn := r.session()
				r.readsOn(r.Context(), conn, writerRole)
				r.must(r.exec(conn, "COMMIT"))
			}
			time.Sleep(time.Second)
			conn := r.session()
			tx, err := conn.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
			r.must(err)
			r.readsOn(r.Context(), tx, writerRole)
			r.must(tx.Rollback())
		}},
		"a session for each connection": {"fpPoolMode=session", func(r *rig) {
			r.script.On("SELECT FOUND_ROWS()")
			r.session() // has the connection that is there
			conn := r.session()
			r.readsOn(onReader(r), conn, readerRole)
			_, err := r.rows(r.Context(), conn, "SELECT FOUND_ROWS()")
			r.must(err)
			if r.instanceOf("SELECT FOUND_ROWS()") != r.instanceOf(selectOne) {
				r.Error("asked elsewhere")
			}
			r.must(r.exec(conn, insert))
			r.went(insert, writerRole)
			r.readsOn(onReader(r), conn, writerRole) // it stays there
		}},
		"a session for each connection to readers": {"fpPoolMode=session&fpTarget=reader", func(r *rig) {
			conn := r.session()
			r.readsOn(r.Context(), conn, readerRole)
			where := r.instanceOf(selectOne)
			for range 10 {
				r.readsOn(r.Context(), conn, readerRole)
				if got := r.instanceOf(selectOne); got != where {
					r.Errorf("went to %s from %s", got, where)
				}
			}
			r.refused(conn, insert, "fpTarget is reader")
		}},
		"a session for each connection, and readers fall behind": {"fpPoolMode=session&fpTarget=reader", func(r *rig) {
			conn, late, ctx := r.session(), r.session(), WithReadYourWrites(r.Context())
			r.readsOn(r.Context(), conn, readerRole)
			r.readsOn(r.Context(), late, readerRole)
			where := r.instanceOf(selectOne)
			_, err := r.db.ExecContext(WithTarget(ctx, topology.Writer), insert)
			r.must(err)
			r.readsOn(ctx, conn, writerRole)
			r.sim.Instance(where).Lag(time.Hour)
			time.Sleep(6 * time.Second)
			for range 3 {
				r.readsOn(r.Context(), late, readerRole)
				if r.instanceOf(selectOne) == where {
					r.Error("reads what is an hour old")
				}
			}
		}},
		"a refused write is no incident": {"fpTarget=reader", func(r *rig) {
			r.without(func() { r.refused(r.db, insert, "fpTarget is reader") })
			time.Sleep(5 * time.Second)
			incidents := r.c.Stats().Incidents
			if len(incidents) != 1 || incidents[0].Statements != (failover.Fates{}) {
				r.Errorf("%+v", incidents)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.params, test.f) })
	}
}

// TestRoutingOnServers: what real servers say, and what a session is goes with it from the
// writer to readers and back.
func TestRoutingOnServers(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		sim := simulate(t, s, database, aurorasim.Config{})
		defer sim.Close()
		cfg := simConfig(sim, s, database)
		cfg.Target, cfg.ReadYourWrites = "auto", 0
		st := stageOf(t, s, database, cfg, WithDialer(sim.DialContext))
		st.asRoot("CREATE FUNCTION counted() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO n VALUES (4711); RETURN 1; END")
		st.asRoot("CREATE VIEW writing AS SELECT counted() AS n")
		conn, err := st.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx := t.Context()
		onReader, onWriter := WithTarget(ctx, topology.Reader), WithTarget(ctx, topology.Writer)
		do := func(ctx context.Context, query string) {
			t.Helper()
			if _, err := conn.ExecContext(ctx, query); err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
		ask := func(ctx context.Context, query, prefix, suffix string) {
			t.Helper()
			var answer string
			if err := scanInto(ctx, conn, query, &answer); err != nil || strings.HasPrefix(answer, "instance-1") != (prefix == writerRole) || !strings.HasSuffix(answer, suffix) {
				t.Errorf("%s on a %s: %s, %v", query, prefix, answer, err)
			}
		}
		const who = "SELECT CONCAT_WS(' ', @@aurora_server_id, @@time_zone, @x, DATABASE(), @@autocommit + 0)"
		do(ctx, "SET time_zone = '+03:00', @x = 'mine'")
		do(ctx, "USE information_schema")
		ask(ctx, who, readerRole, " +03:00 mine information_schema 1")
		do(onReader, "SET time_zone = '+04:00'")
		ask(onWriter, who, writerRole, " +04:00 mine information_schema 1")
		do(ctx, "USE "+database)

		// A transaction that begins by itself.
		do(ctx, "SET autocommit = 0")
		ask(ctx, who, writerRole, " 0")
		do(ctx, "COMMIT")
		if err := scan(onReader, conn, "SELECT n FROM n LIMIT 1"); err != nil {
			t.Error(err)
		}
		if _, err := conn.ExecContext(ctx, "INSERT INTO n VALUES (4712)"); !errors.Is(err, failover.ErrReadOnlyTarget) {
			t.Errorf("in a transaction on a reader: %v", err)
		}
		do(ctx, "COMMIT")
		do(ctx, "INSERT INTO n VALUES (4712)")
		do(ctx, "COMMIT")
		do(onReader, "BEGIN")
		do(ctx, "COMMIT")
		do(ctx, "DELETE FROM n WHERE n = 2")
		do(ctx, "DELETE FROM n WHERE n = 1") // in a transaction that began by itself, on the writer
		do(ctx, "ROLLBACK")
		do(ctx, "SET autocommit = 1")

		// A READ ONLY one.
		do(ctx, "START TRANSACTION READ ONLY")
		ask(ctx, who, readerRole, " 1")
		if _, err := conn.ExecContext(ctx, "INSERT INTO n VALUES (4712)"); !failover.ReadOnly(err) || errors.Is(err, failover.ErrTransactionLost) {
			t.Errorf("in a READ ONLY transaction: %v", err)
		}
		ask(ctx, who, readerRole, " 1")
		do(ctx, "ROLLBACK")

		// A read that is none.
		if err := scan(ctx, conn, "SELECT n FROM writing"); err != nil {
			t.Error(err)
		}
		if err := scan(onReader, conn, "SELECT n FROM writing"); !errors.Is(err, failover.ErrReadOnlyTarget) || !failover.ReadOnly(err) {
			t.Errorf("directed to a reader: %v", err)
		}
		if n := st.number(st.root, "SELECT COUNT(*) FROM n WHERE n = 4711"); n != 1 {
			t.Errorf("executed %d times", n)
		}
		if n := st.number(st.root, "SELECT COUNT(*) FROM n WHERE n = 4712"); n != 1 {
			t.Errorf("%d writes of one", n)
		}
	})
}

// TestReaderEndpoint: who dials a reader endpoint is connected to readers.
func TestReaderEndpoint(t *testing.T) {
	const ro, rw = "prod.cluster-ro-abc123.us-east-1.rds.amazonaws.com", "prod.cluster-abc123.us-east-1.rds.amazonaws.com"
	for dsn, want := range map[string]string{
		"tcp(" + ro + ")/": forReader,
		"tcp(PROD.Cluster-RO-abc123.us-east-1.rds.amazonaws.com:3307)/": forReader,
		"tcp(" + ro + ",b" + ro + ":1)/":                                forReader,
		"tcp(" + ro + ")/?fpTarget=writer":                              "writer",
		"tcp(" + ro + ")/?fpTarget=auto":                                forAuto,
		"tcp(" + ro + "," + rw + ")/":                                   "writer",
		"tcp(" + rw + ")/":                                              "writer",
		"tcp(" + rw + ")/?fpTarget=reader":                              forReader,
		"tcp(prod.cluster-ro-abc123.example.com)/":                      "writer",
		"/": "writer",
	} {
		c, err := ParseDSN(dsn)
		if err != nil || c.Target != want {
			t.Errorf("%s: fpTarget is %s, want %s: %v", dsn, c.Target, want, err)
			continue
		}
		again, err := ParseDSN(c.FormatDSN())
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s comes back from %s as %s: %v", dsn, c.FormatDSN(), again, err)
		}
	}
	bubble(t, "", func(r *rig) {
		cfg, err := ParseDSN("u:secret@tcp(" + r.sim.ReaderEndpoint() + ")/shop")
		r.must(err)
		db, err := OpenDB(cfg, WithDialer(r.sim.DialContext), WithLogger(slog.New(slog.DiscardHandler)))
		r.must(err)
		defer db.Close()
		r.readsOn(r.Context(), db, readerRole)
		r.refused(db, insert, "all hosts of the DSN are reader endpoints")
		r.must(db.PingContext(r.Context()))
	})
}
