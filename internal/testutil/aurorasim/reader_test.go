package aurorasim

import (
	"database/sql"
	"testing"
)

// refusedByReaders are statements that an Aurora reader answers with 1290.
var refusedByReaders = []string{
	"INSERT INTO fp_ledger (worker, seq) VALUES (1, 2)",
	"UPDATE fp_accounts SET balance = balance + 1 WHERE id = 1",
	"DELETE FROM fp_ledger",
	"SELECT balance FROM fp_accounts WHERE id = 1 FOR UPDATE",
	"DROP TABLE fp_ledger",
	"START TRANSACTION READ WRITE",
	"/* reader? */ insert into fp_ledger (worker, seq) values (1, 2)",
}

func TestReaderRefusesWrites(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		reader := r.Instance("instance-2")
		c := r.conn(reader.Addr())
		for _, query := range refusedByReaders {
			wantErrno(t, try(t, c, query), 1290, query)
			tx, err := c.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			wantErrno(t, try(t, tx, query), 1290, "in a transaction: "+query)
			wantShow(t, tx, "100", "SELECT balance FROM fp_accounts WHERE id = 1")
			if err := tx.Commit(); err != nil {
				t.Errorf("COMMIT after a refusal: %v", err)
			}
			if n := r.Count(SQL(query)); n != 0 {
				t.Errorf("%q went to the upstream %d times", query, n)
			}
			for _, s := range r.Seen(query) {
				if s.Sent || !s.Answered || !s.Local || s.Err != 1290 || s.Instance != reader.ID {
					t.Errorf("%q: %+v", query, s)
				}
			}
		}
		wantErrno(t, try(t, c, "INSERT INTO fp_ledger (worker, seq) VALUES (?, ?)", 1, 2), 1290, "a prepared INSERT")
		wantErrno(t, try(t, c, "CREATE TEMPORARY TABLE x (a INT)"), 3161, "a temporary table")
		wantShow(t, c, "0", "SELECT COUNT(*) FROM fp_ledger")
		if s := reader.Stats(); s.Refused != int64(2*len(refusedByReaders)+2) {
			t.Errorf("%d refusals counted", s.Refused)
		}
	})
}

// TestReaderErrorText checks the text of Aurora's error, which differs from that of
// the servers behind.
func TestReaderErrorText(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		const want = "Error 1290 (HY000): The MySQL server is running with the --read-only option so it cannot execute this statement"
		if err := try(t, r.conn(r.ReaderEndpoint()), "DELETE FROM fp_ledger"); err == nil || err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	})
}

func TestReaderPreparesWrites(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		c := r.conn(r.Instance("instance-2").Addr())
		insert := stmtQueryer{prepare(t, c, "INSERT INTO fp_ledger (worker, seq) VALUES (?, ?)")}
		wantErrno(t, try(t, insert, "", 1, 1), 1290, "the INSERT on a reader")
		if err := r.Failover(t.Context(), Failover{To: "instance-2"}); err != nil {
			t.Fatal(err)
		}
		if err := try(t, insert, "", 1, 2); err != nil {
			t.Errorf("the INSERT after promotion: %v", err)
		}
		wantShow(t, c, "1 2", "SELECT worker, seq FROM fp_ledger")
		if err := insert.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestReaderRefusesHiddenWrites has a writing stored function, which no text shows.
func TestReaderRefusesHiddenWrites(t *testing.T) {
	eachServer(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		w := r.conn(r.Endpoint())
		exec(t, w, "DROP FUNCTION IF EXISTS fp_hidden")
		exec(t, w, "CREATE FUNCTION fp_hidden() RETURNS INT BEGIN INSERT INTO fp_ledger (worker, seq) VALUES (9, 9); RETURN 1; END")
		reader := r.conn(r.Instance("instance-2").Addr())
		for _, query := range []string{"SELECT fp_hidden()", "DO fp_hidden()"} {
			_, err := result(t.Context(), reader, query)
			wantErrno(t, err, 1290, query)
		}
		exec(t, reader, "SET SESSION TRANSACTION READ WRITE")
		_, err := result(t.Context(), reader, "SELECT fp_hidden()")
		wantErrno(t, err, 1290, "after the client made its session READ WRITE")
		wantShow(t, w, "1", "SELECT fp_hidden()")
		wantShow(t, w, "9 9", "SELECT worker, seq FROM fp_ledger")
		// After promotion the same connection writes.
		if err := r.Failover(t.Context(), Failover{To: "instance-2"}); err != nil {
			t.Fatal(err)
		}
		wantShow(t, reader, "1", "SELECT fp_hidden()")
		exec(t, reader, "DROP FUNCTION fp_hidden")
	})
}

func TestKillStaysOnItsInstance(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		a, b := r.conn(r.Instance("instance-1").Addr()), r.conn(r.Instance("instance-2").Addr())
		id := show(t, a, "SELECT CONNECTION_ID()")
		wantErrno(t, try(t, b, "KILL QUERY "+id), 1094, "KILL from another instance")
		same := r.conn(r.Instance("instance-1").Addr())
		if err := try(t, same, "KILL "+id); err != nil {
			t.Errorf("KILL from the same instance: %v", err)
		}
		if err := try(t, a, "DO 1"); err == nil {
			t.Error("the killed connection goes on")
		}
	})
}
