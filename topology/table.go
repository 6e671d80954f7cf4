package topology

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// table is a small result.
type table [][]cell

// cell is a value as text: the text protocol gives bytes, the binary one and
// parseTime=true give typed values.
type cell struct {
	text string
	time time.Time
	null bool
}

// maxRows bounds what is read of an answer. A cluster has far fewer instances.
const maxRows = 1000

// ask reads a whole result, whose rows must have width cells.
func ask(ctx context.Context, conn Conn, query string, width int) (table, error) {
	_, t, err := read(ctx, conn, query, width)
	return t, err
}

// askNamed is ask for a result whose columns depend on the server's version.
func askNamed(ctx context.Context, conn Conn, query string) ([]map[string]cell, error) {
	columns, t, err := read(ctx, conn, query, 0)
	rows := make([]map[string]cell, len(t))
	for i, row := range t {
		rows[i] = make(map[string]cell, len(columns))
		for j, name := range columns {
			rows[i][modern.Replace(name)] = row[j]
		}
	}
	return rows, err
}

// read reads a whole result of width columns, or however many if that is 0.
func read(ctx context.Context, conn Conn, query string, width int) (columns []string, t table, err error) {
	rows, err := conn.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	columns = rows.Columns()
	if n := len(columns); width != 0 && n != width {
		return nil, nil, fmt.Errorf("failoverproxy: an answer of %d columns where %d were asked for", n, width)
	}
	values := make([]driver.Value, len(columns))
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return columns, t, nil
		case err != nil:
			return nil, nil, err
		case len(t) == maxRows:
			return nil, nil, fmt.Errorf("failoverproxy: an answer of more than %d rows", maxRows)
		}
		row := make([]cell, len(values))
		for i, v := range values {
			row[i] = toCell(v)
		}
		t = append(t, row)
	}
}

// askOne is ask for a result of one row.
func askOne(ctx context.Context, conn Conn, query string, width int) ([]cell, error) {
	t, err := ask(ctx, conn, query, width)
	if err != nil {
		return nil, err
	}
	if len(t) != 1 {
		return nil, fmt.Errorf("failoverproxy: an answer of %d rows where 1 was asked for", len(t))
	}
	return t[0], nil
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
		return cell{time: v}
	case bool:
		if v {
			return cell{text: "1"}
		}
		return cell{text: "0"}
	default:
		return cell{text: fmt.Sprint(v)}
	}
}

// timeLayout is DATETIME(6) in the text protocol; fewer or no decimals parse, too.
const timeLayout = "2006-01-02 15:04:05.999999"

// timestamp is the cell as a time, zero if it is none. Such times are compared to
// each other only, so the time zone does not matter.
func (c cell) timestamp() time.Time {
	if !c.time.IsZero() {
		return c.time
	}
	t, err := time.Parse(timeLayout, c.text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// number is the cell as a number that is not negative.
func (c cell) number() (float64, bool) {
	f, err := strconv.ParseFloat(c.text, 64)
	return f, err == nil && f >= 0 && !math.IsInf(f, 0)
}

// duration is the cell as so many units. What no duration holds is the longest one.
func (c cell) duration(unit time.Duration) (time.Duration, bool) {
	f, ok := c.number()
	if !ok {
		return 0, false
	}
	if f *= float64(unit); f < math.MaxInt64 {
		return time.Duration(f), true
	}
	return math.MaxInt64, true
}

// on reads a switch: 1 by SELECT, ON by SHOW. Newer MariaDB has more values for
// read_only ("NO_LOCK" and so on), all of which are read-only.
func (c cell) on() bool {
	return !c.null && c.text != "" && c.text != "0" && c.text != "OFF" && c.text != "off"
}

// known reports whether the server has the variable at all.
func (c cell) known() bool { return !c.null && c.text != "" }
