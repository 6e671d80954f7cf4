package driver

import (
	"cmp"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"math/bits"
	"time"
)

// result is what is kept of a result to compare it: no values. Its hashes are those of one
// process, so that nobody can find out small values by trying.
type result struct {
	hash    maphash.Hash
	columns uint64 // of their names
	rows    int
	ordered uint64 // of the rows as they came
	sum     uint64 // of the rows in any order
	ended   bool   // read to its end
}

var resultSeed = maphash.MakeSeed()

func newResult() *result {
	r := new(result)
	r.hash.SetSeed(resultSeed)
	return r
}

func (r *result) names(columns []string) {
	r.hash.Reset()
	for _, name := range columns {
		r.value(name)
	}
	r.columns = r.hash.Sum64()
}

func (r *result) row(values []driver.Value) {
	r.hash.Reset()
	for _, v := range values {
		r.value(v)
	}
	r.end()
}

// end takes up the row whose values were hashed.
func (r *result) end() {
	h := r.hash.Sum64()
	r.rows++
	r.sum += h
	r.ordered = bits.RotateLeft64(r.ordered, 1)*0x9E3779B97F4A7C15 ^ h
}

// value hashes a value, by its kind: drivers differ in types of one kind.
func (r *result) value(v any) {
	switch v := v.(type) {
	case nil:
		r.fixed('n', 0)
	case []byte:
		r.fixed('s', uint64(len(v)))
		_, _ = r.hash.Write(v)
	case string:
		r.fixed('s', uint64(len(v)))
		_, _ = r.hash.WriteString(v)
	case int64:
		r.fixed('i', uint64(v))
	case uint64:
		if v > math.MaxInt64 {
			r.fixed('u', v)
			return
		}
		r.fixed('i', v)
	case float32:
		r.fixed('f', math.Float64bits(float64(v)))
	case float64:
		r.fixed('f', math.Float64bits(v))
	case bool:
		if v {
			r.fixed('i', 1)
			return
		}
		r.fixed('i', 0)
	case time.Time: // the moment: locations may differ
		r.fixed('t', uint64(v.Unix()))
		r.fixed('t', uint64(v.Nanosecond()))
	default:
		s := fmt.Sprint(v)
		r.fixed('?', uint64(len(s)))
		_, _ = r.hash.WriteString(s)
	}
}

func (r *result) fixed(kind byte, v uint64) {
	var b [9]byte
	b[0] = kind
	binary.LittleEndian.PutUint64(b[1:], v)
	_, _ = r.hash.Write(b[:])
}

// Scan hashes the next value of a row without a copy: r is a destination of its own for
// [sql.Rows.Scan], which goes through the columns in order.
func (r *result) Scan(v any) error {
	r.value(v)
	return nil
}

var _ sql.Scanner = (*result)(nil)

// read hashes all rows.
func (r *result) read(rows *sql.Rows) error {
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	r.names(columns)
	into := make([]any, len(columns))
	for i := range into {
		into[i] = r
	}
	for rows.Next() {
		r.hash.Reset()
		if err := rows.Scan(into...); err != nil {
			return err
		}
		r.end()
	}
	r.ended = true
	return rows.Err()
}

// complete reports whether there is a result, read to its end.
func (r *result) complete() bool { return r != nil && r.ended }

// compare says how another result differs, "" if it does not.
func (r *result) compare(other *result) MirrorDifference {
	switch {
	case r.columns != other.columns:
		return DifferentColumns
	case r.rows != other.rows:
		return DifferentRows
	case r.ordered == other.ordered:
		return ""
	case r.sum == other.sum:
		return DifferentOrder
	}
	return DifferentValues
}

func (r *result) answer(latency time.Duration) MirrorAnswer {
	a := MirrorAnswer{Latency: latency}
	if r != nil {
		a.Rows, a.Hash = r.rows, r.ordered
	}
	return a
}

// watchedRows are the primary's rows, hashed as the program reads them.
type watchedRows struct {
	innerRows
	result *result
	failed bool
}

func (w *watchedRows) Next(dest []driver.Value) error {
	err := w.innerRows.Next(dest)
	switch {
	case err == nil:
		w.result.row(dest)
	case errors.Is(err, io.EOF):
		w.result.ended = true
	default:
		w.failed = true
	}
	return err
}

// Close looks whether the program has read all rows, though not the end: QueryRow does not. The
// wrapped driver would read over what comes anyway.
func (w *watchedRows) Close() error {
	var unseen error
	if !w.result.ended && !w.failed {
		err := w.innerRows.Next(make([]driver.Value, len(w.innerRows.Columns())))
		if w.result.ended = errors.Is(err, io.EOF); !w.result.ended {
			unseen = err
		}
	}
	return cmp.Or(w.innerRows.Close(), unseen)
}
