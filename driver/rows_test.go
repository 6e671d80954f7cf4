package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"testing"

	"github.com/failoverproxy/failoverproxy/topology"
)

// TestRowsOpen: what becomes of rows that are open when their session is to do something else.
func TestRowsOpen(t *testing.T) {
	for name, test := range map[string]func(r *rig){
		"another statement": func(r *rig) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			rows, err := conn.QueryContext(r.Context(), selectRows)
			r.must(err)
			defer rows.Close()
			if !rows.Next() {
				r.Fatal(rows.Err())
			}
			if err := r.exec(conn, insert); !errors.Is(err, errRowsOpen) {
				r.Errorf("got %v", err)
			}
			n := 1
			for rows.Next() {
				n++
			}
			if r.must(rows.Err()); n != 3 {
				r.Errorf("%d rows", n)
			}
			r.must(r.exec(conn, insert))
			if n := r.reached(insert); n != 1 {
				r.Errorf("executed %d times", n)
			}
		},
		"another statement of the transaction": func(r *rig) {
			tx, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			rows, err := tx.QueryContext(r.Context(), selectRows)
			r.must(err)
			defer rows.Close()
			if !rows.Next() {
				r.Fatal(rows.Err())
			}
			if err := r.exec(tx, insert); !errors.Is(err, errRowsOpen) {
				r.Errorf("got %v", err)
			}
			r.must(rows.Close())
			r.must(r.exec(tx, insert))
			r.must(tx.Commit())
			if in := r.c.Snapshot().Writer(); in == nil || in.State != topology.StateUp || len(r.c.Stats().Incidents) > 0 {
				r.Error("the writer is suspected of the program's mistake")
			}
		},
		// database/sql closes the rows of a context that has ended, sooner or later.
		"closed late, by somebody else's goroutine": func(r *rig) {
			dc, err := r.c.Connect(r.Context())
			r.must(err)
			defer dc.Close()
			c := dc.(*conn)
			ctx, cancel := context.WithCancel(r.Context())
			_, err = c.BeginTx(ctx, driver.TxOptions{})
			r.must(err)
			late, err := c.QueryContext(ctx, selectRows, nil)
			r.must(err)
			cancel()
			next, err := c.BeginTx(r.Context(), driver.TxOptions{})
			r.must(err)
			rows, err := c.QueryContext(r.Context(), selectRows, nil)
			r.must(err)
			r.must(late.Close())
			n, dest := 0, make([]driver.Value, 1)
			for err = rows.Next(dest); err == nil; err = rows.Next(dest) {
				n++
			}
			if n != 3 || !errors.Is(err, io.EOF) {
				r.Errorf("%d rows, %v", n, err)
			}
			r.must(rows.Close())
			r.must(next.Commit())
		},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, "", test) })
	}
}
