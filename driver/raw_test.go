package driver

import (
	"database/sql/driver"
	"testing"
)

// TestRawPanics: what a function left on a connection in which it panicked is no other session's.
func TestRawPanics(t *testing.T) {
	bubble(t, "fpPoolSize=1", func(r *rig) {
		raw := func(f func(inner driver.Conn)) {
			conn, err := r.db.Conn(r.Context())
			r.must(err)
			defer conn.Close()
			defer func() { _ = recover() }()
			r.must(conn.Raw(func(session any) error {
				return session.(interface{ Raw(func(any) error) error }).Raw(func(inner any) error {
					f(inner.(driver.Conn))
					return nil
				})
			}))
		}
		var left driver.Conn
		raw(func(inner driver.Conn) {
			left = inner
			_, err := inner.(driver.ExecerContext).ExecContext(r.Context(), "CREATE TEMPORARY TABLE x (n INT)", nil)
			r.must(err)
			panic("a bug of the program's")
		})
		raw(func(inner driver.Conn) {
			if inner == left {
				r.Error("another session has its connection")
			}
		})
		r.must(r.exec(r.db, update))
	})
}
