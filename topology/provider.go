package topology

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Conn is a connection of the wrapped driver to one instance.
type Conn interface {
	QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error)
	Close() error
}

// Provider knows how one kind of cluster is asked. Its methods may be called
// concurrently.
type Provider interface {
	// Name is the provider's name in fpTopology.
	Name() string
	// Members are the instances known before any was asked, nil if none are.
	Members() []Member
	// Probe asks the instance at addr, over conn, who it is and what it sees.
	Probe(ctx context.Context, conn Conn, addr string) (Report, error)
	// Identify asks the same for its id and role alone. An empty id means that the
	// provider cannot tell.
	Identify(ctx context.Context, conn Conn, addr string) (id string, role Role, err error)
}

// Report is what an instance says of itself and of the cluster.
type Report struct {
	ID      string   // who answered
	Role    Role     // what it claims to be; Unknown if it cannot tell
	Members []Member // whom it sees; nil if it has no view
}

// Member is an instance as another one sees it.
type Member struct {
	ID, Addr string
	Writer   bool      // seen as the writer; a hint whom to ask
	Updated  time.Time // the cluster's own time of the row; zero if it has none
	Lag      time.Duration
	LagKnown bool
	CPU      float64
}

// proof is the time at which the answering instance was the writer by its own view.
func (r Report) proof() time.Time {
	for _, m := range r.Members {
		if m.ID == r.ID && m.Writer {
			return m.Updated
		}
	}
	return time.Time{}
}

// stamp is the time of the view: that of its newest row about a writer.
func (r Report) stamp() time.Time {
	var newest time.Time
	for _, m := range r.Members {
		if m.Writer && m.Updated.After(newest) {
			newest = m.Updated
		}
	}
	return newest
}

// Problem is what a probe's error means, as far as providers must know.
type Problem uint8

// The problems.
const (
	ProblemOther       Problem = iota
	ProblemNoView              // the table or view that was asked for does not exist
	ProblemDenied              // the user may not read it
	ProblemCredentials         // user, password or database are refused
)

// ErrIdentity: a connection led to another instance than it should have, or to one
// in another role.
var ErrIdentity = errors.New("address leads to another instance")

// table is a small result: its cells as text.
type table [][]cell

type cell struct {
	text string
	time time.Time // with parseTime=true
	null bool
}

// ask reads a whole result. Values come as bytes or, with parseTime=true, as times.
func ask(ctx context.Context, conn Conn, query string) (t table, err error) {
	rows, err := conn.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	values := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return t, nil
		case err != nil:
			return nil, err
		}
		row := make([]cell, len(values))
		for i, v := range values {
			row[i] = toCell(v)
		}
		t = append(t, row)
	}
}

func toCell(v driver.Value) cell {
	switch v := v.(type) {
	case nil:
		return cell{null: true}
	case []byte:
		return cell{text: string(v)}
	case string:
		return cell{text: v}
	case time.Time:
		return cell{time: v, text: v.Format(timeLayout)}
	default:
		return cell{text: fmt.Sprint(v)}
	}
}

// timeLayout is DATETIME(6) in the text protocol; fewer or no decimals parse, too.
const timeLayout = "2006-01-02 15:04:05.999999"

func (c cell) timestamp() time.Time {
	if !c.time.IsZero() {
		return c.time
	}
	t, _ := time.Parse(timeLayout, c.text)
	return t
}

func (c cell) number() (float64, bool) {
	f, err := strconv.ParseFloat(c.text, 64)
	return f, err == nil && !c.null
}

// on reports whether a system variable is on: 1 by SELECT, ON by SHOW.
func (c cell) on() bool { return c.text == "1" || c.text == "ON" }
