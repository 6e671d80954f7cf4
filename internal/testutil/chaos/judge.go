package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// judge opens a way to the data that nothing of the plan can disturb.
func (r Rig) judge(up aurorasim.Upstream) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = r.User, r.Password, r.Database
	cfg.Net, cfg.Addr = "tcp", "upstream"
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return up.Dial(ctx) }
	cfg.Logger = &mysql.NopLogger{}
	cfg.InterpolateParams = true
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	return db, nil
}

// judgeData compares the database to what the load was told.
func (r *run) judgeData(db *sql.DB) ledger.Verdict {
	ctx := context.WithoutCancel(r.ctx)
	verdict, err := r.ledger.Judge(ctx, db)
	if err == nil {
		err = r.judgeMarks(ctx, db)
	}
	switch {
	case err != nil:
		r.violation("the database cannot be read: %v", err)
	case !verdict.OK():
		r.violation("ledger %s", verdict)
	}
	return verdict
}

// judgeRelays looks at what reached which instance.
func (r *run) judgeRelays() {
	inTx := make(map[uint32]bool) // by connection
	writes := make(map[string][]aurorasim.Relay)
	for _, relay := range r.sim.Relays(nil) {
		if !relay.Executes() {
			continue
		}
		first, rest, _ := strings.Cut(relay.SQL, " ")
		if AtWrite.takes(relay.Statement) {
			r.judgeRole(relay)
		}
		if !relay.Sent {
			continue
		}
		switch {
		case first == "START", first == "BEGIN":
			inTx[relay.Conn] = true
		case first == "COMMIT", first == "ROLLBACK" && !strings.HasPrefix(rest, "TO"), relay.Err == 1213:
			inTx[relay.Conn] = false
		case belongs(relay.SQL) && !inTx[relay.Conn]:
			r.violation("outside of its transaction, on %s: %s %v", relay.Instance, relay.SQL, relay.Args)
		}
		refused := relay.Answered && relay.Err == 1290 // in the READ ONLY transaction that a BEGIN is on a reader
		if unique(relay.SQL) && !refused {
			key := fmt.Sprint(relay.SQL, relay.Args)
			writes[key] = append(writes[key], relay)
		}
	}
	for _, list := range writes {
		if len(list) < 2 {
			continue
		}
		var b strings.Builder
		for _, relay := range list {
			fmt.Fprintf(&b, "; at %.4f on %s, connection %d, answered %t (%d)", relay.Time.Sub(r.start).Seconds(), relay.Instance, relay.Conn, relay.Answered, relay.Err)
		}
		r.violation("reached the server %d times: %s %v%s", len(list), list[0].SQL, list[0].Args, b.String())
	}
}

// inTransaction marks what belongs to a transaction by its text alone.
const inTransaction = "/* in a transaction */"

// belongs reports whether the statement must be one of a transaction.
func belongs(text string) bool {
	return strings.HasPrefix(text, "UPDATE fp_accounts") || strings.HasPrefix(text, "INSERT INTO fp_transfers") ||
		strings.Contains(text, inTransaction)
}

// mayRepeat marks writes that may be executed twice.
const mayRepeat = "/* may repeat */"

// unique reports whether no two statements of the load have this text with the same
// arguments.
func unique(text string) bool {
	return !strings.Contains(text, mayRepeat) &&
		(strings.HasPrefix(text, "INSERT INTO fp_ledger") || strings.HasPrefix(text, "INSERT INTO fp_transfers") || strings.HasPrefix(text, "INSERT INTO fp_marks"))
}

// judgeRole looks whether the driver knew, when the write came to the instance, that this
// was a reader: then it ran on a lease from before.
func (r *run) judgeRole(relay aurorasim.Relay) {
	var known view
	for _, v := range r.views {
		if !v.at.After(relay.Received.Add(-r.rig.simultaneous())) {
			known = v
		} else if !v.at.After(relay.Received.Add(r.rig.simultaneous())) && !slices.Contains(v.readers, relay.Instance) {
			return
		}
	}
	if slices.Contains(known.readers, relay.Instance) {
		r.violation("%.4f: a write to %s on a lease of before %.4f, when the driver learned that the writer is %q: %s %v",
			relay.Received.Sub(r.start).Seconds(), relay.Instance, known.at.Sub(r.start).Seconds(), known.writer, relay.SQL, relay.Args)
	}
}

// simultaneous is how far apart two things may be seen that happen together.
func (r Rig) simultaneous() time.Duration {
	if r.Virtual {
		return time.Millisecond
	}
	return 300 * time.Millisecond
}
