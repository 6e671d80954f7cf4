package programs

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Target is the database that a program works on.
type Target struct {
	Driver   string // as sql.Open knows it
	DSN      string
	Database string  // its name, empty of tables at the beginning
	DB       *sql.DB // opened from the above
}

// Program is one program to compare drivers with.
type Program struct {
	Name string
	// Connections is how many it holds at once: transactions, rows that are open,
	// sql.Conns with state. 2 or less is what the small pool has.
	Connections int
	// Lines is the least that it has to say, so that none passes by doing nothing.
	Lines int
	// Patience is the longest that a session of ours waits for a connection, fpBorrowTimeout;
	// 0 means 5s. One that never gets a connection is to be seen in the transcript.
	Patience time.Duration
	Run      func(ctx context.Context, target Target, out *Transcript)
}

// Transcript is what a program saw, line by line. It is used by one goroutine.
type Transcript struct {
	database string // its name, different in every run
	lines    []string
	failures []string
}

// NewTranscript returns an empty transcript of a run on the database named.
func NewTranscript(database string) *Transcript { return &Transcript{database: database} }

// Lines returns what was written.
func (o *Transcript) Lines() []string { return o.lines }

// Failures returns the lines about errors that the program had not asked for.
func (o *Transcript) Failures() []string { return o.failures }

// Printf writes one line.
func (o *Transcript) Printf(format string, args ...any) {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), o.database, "DATABASE")
	o.lines = append(o.lines, strings.ReplaceAll(line, "\n", `\n`))
}

// Error writes down an error that the program asked for.
func (o *Transcript) Error(what string, err error) { o.Printf("%s: %s", what, describe(err)) }

// Step runs a part of a program. An error that it returns was not expected: with the
// wrapped driver the program is wrong, with ours the line is a difference. The parts
// after it run all the same, to show as much as possible in one run.
func (o *Transcript) Step(name string, f func() error) {
	o.Printf("== %s", name)
	defer func() {
		if p := recover(); p != nil {
			o.fail("panic: %v", p)
		}
	}()
	if err := f(); err != nil {
		o.fail("failed: %s", describe(err))
	}
}

func (o *Transcript) fail(format string, args ...any) {
	o.Printf(format, args...)
	o.failures = append(o.failures, o.lines[len(o.lines)-1])
}

// describe says of an error what a program can find out about it: which of the well-known
// ones it is, the server's number and state, and its text.
func describe(err error) string {
	if err == nil {
		return "no error"
	}
	var facts []string
	for name, known := range map[string]error{
		"context.Canceled": context.Canceled, "context.DeadlineExceeded": context.DeadlineExceeded,
		"driver.ErrBadConn": driver.ErrBadConn, "mysql.ErrInvalidConn": mysql.ErrInvalidConn,
		"sql.ErrConnDone": sql.ErrConnDone, "sql.ErrNoRows": sql.ErrNoRows, "sql.ErrTxDone": sql.ErrTxDone,
	} {
		if errors.Is(err, known) {
			facts = append(facts, name)
		}
	}
	slices.Sort(facts) // the map has no order
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		facts = append(facts, fmt.Sprintf("%d (%s)", e.Number, e.SQLState[:]))
	}
	return fmt.Sprintf("error %s %q", strings.Join(facts, " "), err.Error())
}

// digest stands for a value that is too long to be printed.
func digest(b []byte) string {
	return fmt.Sprintf("%d bytes, sha256 %.8x", len(b), sha256.Sum256(b))
}

// pattern is a value of n bytes in which every byte of any charset occurs.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i/256)
	}
	return b
}

// null prints a pointer's value, or NULL.
func null[T any](p *T) string {
	if p == nil {
		return "NULL"
	}
	return fmt.Sprint(*p)
}
