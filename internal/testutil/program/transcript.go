package program

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Transcript is what a program's steps answered, in their order: one text for each.
type Transcript []string

// gone is the record of a question whose answer was reclaimed.
const gone = "answer gone"

// Difference is the first step of a program that two drivers answer differently.
type Difference struct {
	Step      int
	What      Step
	Want, Got string
}

func (d *Difference) String() string {
	return fmt.Sprintf("step %d, %s\n  want %s\n  got  %s", d.Step, d.What, d.Want, d.Got)
}

// class is what a smaller program's difference must have in common with this one, or
// the shrinker would come back with another bug, or with an answer that is gone because
// the step that left it is.
func (d *Difference) class() [2]string { return [2]string{classOf(d.Want), classOf(d.Got)} }

func classOf(record string) string {
	words := strings.Fields(record)
	switch {
	case record == gone || len(words) == 0:
		return record
	case words[0] == "error":
		return strings.Join(words[:min(3, len(words))], " ")
	case words[0] == "ok," || words[0] == "nothing:" || words[0] == "connection":
		return words[0]
	}
	return "rows"
}

// Compare returns the first difference that is not excused, nil if there is none.
func (p Program) Compare(want, got Transcript) *Difference {
	for i := range p.Steps {
		switch {
		case i >= len(got) || i >= len(want):
			return &Difference{i, p.Steps[i], at(want, i), at(got, i)}
		case want[i] != got[i] && !p.mayDiffer(i, want, got):
			return &Difference{i, p.Steps[i], want[i], got[i]}
		}
	}
	return nil
}

func (p Program) mayDiffer(i int, want, got Transcript) bool {
	return got[i] == gone && p.excused(i, want) || p.afterGone(i, got)
}

// afterGone reports whether step i asks for what the step before left, which was a question that
// got no answer: so it was not executed, and left nothing.
func (p Program) afterGone(i int, got Transcript) bool {
	if p.Steps[i].Asks == AsksNothing {
		return false
	}
	for j := i - 1; j >= 0; j-- {
		if p.Steps[j].Session == p.Steps[i].Session {
			return got[j] == gone
		}
	}
	return false
}

func at(t Transcript, i int) string {
	if i < len(t) {
		return t[i]
	}
	return "nothing: the run was ended before"
}

var noRow = regexp.MustCompile("(column ``.``.`[^`]*`) at row \\d+")

// errorText is an error as the transcript has it.
func (t Target) errorText(err error) string {
	var m *mysql.MySQLError
	switch {
	case t.Gone != nil && t.Gone(err):
		return gone
	case errors.As(err, &m):
		// Where no table is concerned, MariaDB counts the rows of an earlier statement.
		return fmt.Sprintf("error %d (%s) %s", m.Number, m.SQLState[:], noRow.ReplaceAllString(m.Message, "$1"))
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, sql.ErrConnDone):
		return "connection lost"
	}
	return "error " + err.Error()
}

// result records what was executed for its result.
func (t Target) result(r sql.Result, err error) string {
	if err != nil {
		return t.errorText(err)
	}
	id, err := r.LastInsertId()
	if err != nil {
		return t.errorText(err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return t.errorText(err)
	}
	return fmt.Sprintf("ok, %d rows, id %d", n, id)
}

// rows records what was executed for its rows: all results of it, or one row.
func (t Target) rows(r *sql.Rows, err error, one bool) string {
	if err != nil {
		return t.errorText(err)
	}
	defer r.Close()
	var b strings.Builder
	for {
		if text := t.set(&b, r, one); text != "" {
			b.WriteString(text)
			break
		}
		if one {
			if err := r.Close(); err != nil {
				b.WriteString(t.errorText(err))
			}
			break
		}
		if !r.NextResultSet() {
			if err := r.Err(); err != nil {
				b.WriteString(t.errorText(err))
			}
			break
		}
		b.WriteString("; ")
	}
	if text := b.String(); text != "" {
		return text
	}
	return "no columns"
}

// A user variable that was never set and one that was set to NULL have different types on
// MySQL, and a connection cannot forget a variable.
var userVariable = regexp.MustCompile("@[`'\"]?\\w")

// set records one set of rows. It returns the error that ended it.
func (t Target) set(b *strings.Builder, r *sql.Rows, one bool) string {
	types, err := r.ColumnTypes()
	if err != nil {
		return t.errorText(err)
	}
	for _, c := range types {
		name := c.DatabaseTypeName()
		if userVariable.MatchString(c.Name()) {
			name = "" // of NULL, that is
		}
		fmt.Fprintf(b, "%s %s|", c.Name(), name)
	}
	values := make([]any, len(types))
	into := make([]any, len(types))
	for i := range values {
		into[i] = &values[i]
	}
	for r.Next() {
		if err := r.Scan(into...); err != nil {
			return t.errorText(err)
		}
		b.WriteString(" (")
		for i, v := range values {
			if i > 0 {
				b.WriteByte(' ')
			}
			if text, ok := v.([]byte); ok {
				fmt.Fprintf(b, "%q", text)
			} else {
				fmt.Fprintf(b, "%T %v", v, v)
			}
		}
		b.WriteByte(')')
		if one {
			return ""
		}
	}
	if err := r.Err(); err != nil {
		return " " + t.errorText(err)
	}
	return ""
}
