package program

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"time"
)

// Target is a driver that runs programs.
type Target struct {
	// Open opens the target for one run. Its default database is [Program.Database], and
	// it lets a text have several statements. Run closes it.
	Open func(p Program) (*sql.DB, error)

	// Gone reports whether an error says that an answer is no longer there. nil knows no
	// such error.
	Gone func(error) bool

	// Timeout is how long a step may take until the run is given up. 0 means 20 s.
	Timeout time.Duration
}

// cancelAfter is when ActCancel cancels what sleeps for much longer. It must have begun
// by then.
const cancelAfter = 20 * time.Millisecond

// Run executes a program, and stops after the first difference to expected, if that is
// not nil, or when a step has taken too long. Its error is not the program's: that is in
// the transcript.
func (t Target) Run(ctx context.Context, p Program, expected Transcript) (transcript Transcript, err error) {
	db, err := t.Open(p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxIdleConns(0) // a session that is closed ends
	if t.Timeout == 0 {
		t.Timeout = 20 * time.Second
	}
	sessions := make(map[int]*running)
	defer func() {
		for _, s := range sessions {
			s.close(ActClose)
		}
	}()
	for i, step := range p.Steps {
		s := sessions[step.Session]
		if s == nil {
			s = &running{target: t, stmts: make(map[int]*sql.Stmt)}
			if s.conn, err = db.Conn(ctx); err != nil {
				return transcript, err
			}
			sessions[step.Session] = s
		}
		limited, cancel := context.WithTimeout(ctx, t.Timeout)
		record := s.do(limited, step)
		over := limited.Err() != nil
		cancel()
		if step.Act == ActClose || step.Act == ActAbandon {
			delete(sessions, step.Session)
		}
		transcript = append(transcript, record)
		if over || expected != nil && (i >= len(expected) || expected[i] != record && !p.mayDiffer(i, expected, transcript)) {
			return transcript, ctx.Err()
		}
	}
	return transcript, nil
}

// running is a session that runs.
type running struct {
	target Target
	conn   *sql.Conn
	stmts  map[int]*sql.Stmt

	tx       *sql.Tx // nil if none is open
	cancelTx context.CancelFunc
}

// runner is what statements go through: a transaction if one is open, or the session.
type runner interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

func (s *running) do(ctx context.Context, step Step) string {
	var through runner = s.conn
	if s.tx != nil {
		through = s.tx
	}
	t := s.target
	switch step.Act {
	case ActExec:
		return t.result(through.ExecContext(ctx, step.Text, step.Args...))
	case ActQuery, ActGlance:
		rows, err := through.QueryContext(ctx, step.Text, step.Args...)
		return t.rows(rows, err, step.Act == ActGlance)
	case ActCancel, ActCancelled:
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if step.Act == ActCancelled {
			cancel()
		} else {
			defer time.AfterFunc(cancelAfter, cancel).Stop()
		}
		rows, err := through.QueryContext(ctx, step.Text)
		return t.rows(rows, err, false)
	case ActPrepare, ActStmtExec, ActStmtQuery, ActStmtClose:
		return s.doStmt(ctx, step)
	case ActBegin, ActCommit, ActRollback:
		return s.doTx(ctx, step)
	case ActPing:
		return t.outcome(s.conn.PingContext(ctx))
	default:
		s.close(step.Act)
		return "closed"
	}
}

func (s *running) doStmt(ctx context.Context, step Step) string {
	t, st := s.target, s.stmts[step.Handle]
	if step.Act == ActPrepare {
		fresh, err := s.conn.PrepareContext(ctx, step.Text) //nolint:sqlclosecheck // kept by the session, which closes it
		if err != nil {
			return t.errorText(err)
		}
		if st != nil { // a shrunk program lacks the step that closed it
			st.Close()
		}
		s.stmts[step.Handle] = fresh
		return "prepared"
	}
	if st == nil {
		return "no such statement"
	}
	switch step.Act {
	case ActStmtExec:
		return t.result(st.ExecContext(ctx, step.Args...))
	case ActStmtQuery:
		rows, err := st.QueryContext(ctx, step.Args...)
		// MariaDB sends the columns again only if it thinks that they have changed, and a change of
		// character_set_results does not make it think so: what the wrapped driver says is out of date.
		return strings.ReplaceAll(t.rows(rows, err, false), "VARBINARY|", "VARCHAR|")
	default:
		delete(s.stmts, step.Handle)
		return t.outcome(st.Close())
	}
}

func (s *running) doTx(ctx context.Context, step Step) string {
	t := s.target
	if step.Act == ActBegin {
		if s.tx != nil {
			return "in a transaction already"
		}
		// The transaction outlives the step's context.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		tx, err := s.conn.BeginTx(own, &step.Options)
		if err != nil {
			cancel()
			return t.errorText(err)
		}
		s.tx, s.cancelTx = tx, cancel
		return "begun"
	}
	if s.tx == nil {
		// It did not begin; whatever else is open must end here, for the program relies
		// on it.
		return t.result(s.conn.ExecContext(ctx, map[Act]string{ActCommit: "COMMIT", ActRollback: "ROLLBACK"}[step.Act]))
	}
	defer s.cancelTx()
	tx := s.tx
	s.tx = nil
	if step.Act == ActCommit {
		return t.outcome(tx.Commit())
	}
	return t.outcome(tx.Rollback())
}

func (t Target) outcome(err error) string {
	if err != nil {
		return t.errorText(err)
	}
	return "ok"
}

// close ends the session, whatever state it is in.
func (s *running) close(act Act) {
	for _, st := range s.stmts {
		_ = st.Close()
	}
	if s.tx != nil {
		_ = s.tx.Rollback()
		s.cancelTx()
	}
	if act == ActAbandon {
		_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	_ = s.conn.Close() // ErrConnDone after Raw
}
