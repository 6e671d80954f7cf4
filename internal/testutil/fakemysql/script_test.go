package fakemysql_test

import (
	"context"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

func TestScript(t *testing.T) {
	answer := func(n int) fakemysql.Result {
		return fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{n}}}
	}
	whole := func(n int) fakemysql.Reply { return fakemysql.Reply{Results: []fakemysql.Result{answer(n)}} }
	reply := func(n int) func(context.Context, fakemysql.Call) fakemysql.Reply {
		return func(context.Context, fakemysql.Call) fakemysql.Reply { return whole(n) }
	}
	script := fakemysql.NewScript().
		On("SELECT a\nFROM t", answer(1)).
		OnFunc("SELECT b FROM t", reply(2)).
		OnPrefix("SELECT", reply(3)).
		OnPrefix("select c", reply(4)).
		OnFunc("SELECT @@version", func(context.Context, fakemysql.Call) fakemysql.Reply { return fakemysql.Reply{} }).
		Default(func(_ context.Context, c fakemysql.Call) fakemysql.Reply {
			if c.SQL == "SHOW n" {
				return whole(5)
			}
			return fakemysql.Reply{}
		})
	db := open(t, piped(serve(t, fakemysql.Config{Handler: script, Version: "9.7.0"})))
	for sql, want := range map[string]int{
		"select  A from\tT ;": 1, "SELECT b FROM t": 2, "SELECT 1": 3, "SELECT c, d": 4, "SHOW n": 5,
	} {
		if got := one[int](t.Context(), t, db, sql); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
	if got := one[string](t.Context(), t, db, "SELECT @@version"); got != "9.7.0" {
		t.Errorf("a function without an answer leaves it to the standard: %q", got)
	}
	if script.Count("SELECT A FROM T") != 1 || len(script.Calls()) != 6 {
		t.Errorf("%d calls", len(script.Calls()))
	}
	script.On("SELECT b FROM t", answer(20))
	if got := one[int](t.Context(), t, db, "SELECT b FROM t"); got != 20 {
		t.Errorf("after a change: %d", got)
	}
}

func TestCallTransaction(t *testing.T) {
	script := fakemysql.NewScript().
		OnFunc("CALL begins()", func(_ context.Context, c fakemysql.Call) fakemysql.Reply { c.Begin(); return fakemysql.OK(0, 0) }).
		OnFunc("CALL ends()", func(_ context.Context, c fakemysql.Call) fakemysql.Reply { c.End(); return fakemysql.OK(0, 0) })
	c := dialRaw(t, serve(t, fakemysql.Config{Handler: script}), wire.DefaultCapabilities)
	for _, tc := range []struct {
		sql  string
		want uint16
	}{
		{"CALL begins()", wire.StatusAutocommit | wire.StatusInTrans},
		{"CALL ends()", wire.StatusAutocommit},
	} {
		if got := c.last(wire.ComQuery, tc.sql).Status; got != tc.want {
			t.Errorf("%s: status %#x, want %#x", tc.sql, got, tc.want)
		}
	}
}
