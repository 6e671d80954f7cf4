package fakemysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// eachProtocol runs f over both kinds of end-of-rows.
func eachProtocol(t *testing.T, config fakemysql.Config, f func(t *testing.T, cfg *mysql.Config)) {
	for _, caps := range []wire.Capability{wire.DefaultCapabilities, wire.DefaultCapabilities &^ wire.ClientDeprecateEOF} {
		t.Run(fmt.Sprintf("deprecate EOF %v", caps.Has(wire.ClientDeprecateEOF)), func(t *testing.T) {
			config.Capabilities = caps
			f(t, piped(serve(t, config)))
		})
	}
}

var moment = time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)

// types is a row of all usual types.
var types = []struct {
	column fakemysql.Column
	value  any
	text   any // as the driver gives it, text protocol
	binary any // binary protocol
}{
	{fakemysql.Column{Name: "tiny", Type: wire.TypeTiny}, -5, int64(-5), int64(-5)},
	{fakemysql.Column{Name: "utiny", Type: wire.TypeTiny, Flags: wire.FlagUnsigned}, 200, int64(200), int64(200)},
	{fakemysql.Column{Name: "short", Type: wire.TypeShort}, -3000, int64(-3000), int64(-3000)},
	{fakemysql.Column{Name: "medium", Type: wire.TypeInt24}, 1 << 22, int64(1 << 22), int64(1 << 22)},
	{fakemysql.Column{Name: "long", Type: wire.TypeLong}, -1 << 31, int64(-1 << 31), int64(-1 << 31)},
	{fakemysql.Column{Name: "big", Type: wire.TypeLongLong}, int64(-1 << 63), int64(-1 << 63), int64(-1 << 63)},
	{fakemysql.Column{Name: "ubig", Type: wire.TypeLongLong, Flags: wire.FlagUnsigned}, uint64(7), uint64(7), int64(7)},
	{fakemysql.Column{Name: "year", Type: wire.TypeYear}, 2024, int64(2024), int64(2024)},
	{fakemysql.Column{Name: "float", Type: wire.TypeFloat, Decimals: 31}, float32(0.5), float32(0.5), float32(0.5)},
	{fakemysql.Column{Name: "double", Type: wire.TypeDouble, Decimals: 31}, 0.1, 0.1, 0.1},
	{fakemysql.Column{Name: "decimal", Type: wire.TypeNewDecimal, Decimals: 2}, "12.30", []byte("12.30"), []byte("12.30")},
	{fakemysql.Column{Name: "text", Type: wire.TypeVarString}, "naïve", []byte("naïve"), []byte("naïve")},
	{fakemysql.Column{Name: "char", Type: wire.TypeString}, "", []byte(""), []byte("")},
	{fakemysql.Column{Name: "blob", Type: wire.TypeBlob}, []byte{0, 0xfb, 0xff}, []byte{0, 0xfb, 0xff}, []byte{0, 0xfb, 0xff}},
	{fakemysql.Column{Name: "json", Type: wire.TypeJSON}, `{"a":1}`, []byte(`{"a":1}`), []byte(`{"a":1}`)},
	{fakemysql.Column{Name: "datetime", Type: wire.TypeDateTime, Decimals: 6}, moment, moment, moment},
	{fakemysql.Column{Name: "timestamp", Type: wire.TypeTimestamp}, "2024-02-29 23:59:58", moment.Truncate(time.Second), moment.Truncate(time.Second)},
	{fakemysql.Column{Name: "date", Type: wire.TypeDate}, moment, moment.Truncate(24 * time.Hour), moment.Truncate(24 * time.Hour)},
	{fakemysql.Column{Name: "time", Type: wire.TypeTime, Decimals: 1}, -(26*time.Hour + 100*time.Millisecond), []byte("-26:00:00.1"), []byte("-26:00:00.1")},
	{fakemysql.Column{Name: "null", Type: wire.TypeVarString}, nil, nil, nil},
	{fakemysql.Column{Name: "nulltype", Type: wire.TypeNull}, nil, nil, nil},
}

func TestTypes(t *testing.T) {
	var columns []fakemysql.Column
	var row, text, binary, nulls []any
	for _, c := range types {
		columns = append(columns, c.column)
		row = append(row, c.value)
		text = append(text, c.text)
		binary = append(binary, c.binary)
		nulls = append(nulls, nil)
	}
	result := fakemysql.Result{Columns: columns, Rows: [][]any{row, nulls, row}}
	script := fakemysql.NewScript().On("SELECT * FROM types", result).On("SELECT * FROM types WHERE id = ?", result)
	eachProtocol(t, fakemysql.Config{Handler: script}, func(t *testing.T, cfg *mysql.Config) {
		cfg.ParseTime = true
		db := open(t, cfg)
		if got := readAll(t, db, "SELECT * FROM types"); !reflect.DeepEqual(got, [][]any{text, nulls, text}) {
			t.Errorf("text protocol:\n got %v\nwant %v", got, text)
		}
		if got := readAll(t, db, "SELECT * FROM types WHERE id = ?", 1); !reflect.DeepEqual(got, [][]any{binary, nulls, binary}) {
			t.Errorf("binary protocol:\n got %v\nwant %v", got, binary)
		}
	})
}

// readAll is all rows of a query.
func readAll(t *testing.T, db *sql.DB, query string, args ...any) [][]any {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]any
	for rows.Next() {
		row := make([]any, len(names))
		into := make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestArguments(t *testing.T) {
	script := fakemysql.NewScript()
	long := strings.Repeat("x", 1<<20)
	script.On("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)")
	cfg := piped(serve(t, fakemysql.Config{Handler: script, MaxPacket: 4 << 20}))
	cfg.MaxAllowedPacket = 0 // the driver asks
	db := open(t, cfg)
	stmt, err := db.PrepareContext(t.Context(), "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stmt.Close() }()
	// The long ones come ahead of the EXECUTE, in COM_STMT_SEND_LONG_DATA.
	for _, s := range []string{long, "short"} {
		if _, err := stmt.ExecContext(t.Context(), int64(-1), uint64(1<<63), 1.5, s, []byte(s), nil, moment); err != nil {
			t.Fatal(err)
		}
	}
	calls := script.Calls()
	for i, s := range []string{long, "short"} {
		want := []any{int64(-1), uint64(1 << 63), 1.5, s, s, nil, "2024-02-29 23:59:58.123456"}
		if got := calls[len(calls)-2+i].Args; !reflect.DeepEqual(got, want) {
			t.Errorf("call %d: %.200v", i, got)
		}
	}
	if calls[0].SQL != "SELECT @@max_allowed_packet" || calls[0].Args != nil {
		t.Errorf("the first statement: %.100s with %d arguments", calls[0].SQL, len(calls[0].Args))
	}
}

func TestExecResult(t *testing.T) {
	script := fakemysql.NewScript().
		On("UPDATE t SET a = 1", fakemysql.Result{Affected: 3, Info: "Rows matched: 3", Warnings: 1}).
		On("INSERT INTO t VALUES (?)", fakemysql.Result{Affected: 1, InsertID: 1 << 40})
	db := open(t, piped(serve(t, fakemysql.Config{Handler: script})))
	for _, tc := range []struct {
		sql          string
		args         []any
		affected, id int64
	}{
		{"UPDATE t SET a = 1", nil, 3, 0},
		{"INSERT INTO t VALUES (?)", []any{5}, 1, 1 << 40},
		{"DO 0", nil, 0, 0},
	} {
		res, err := db.ExecContext(t.Context(), tc.sql, tc.args...)
		if err != nil {
			t.Fatal(err)
		}
		affected, err1 := res.RowsAffected()
		id, err2 := res.LastInsertId()
		if affected != tc.affected || id != tc.id || err1 != nil || err2 != nil {
			t.Errorf("%s: %d rows, id %d, %v, %v", tc.sql, affected, id, err1, err2)
		}
	}
}

func TestErrors(t *testing.T) {
	script := fakemysql.NewScript().
		On("INSERT INTO t VALUES (1)", fakemysql.Result{Err: &fakemysql.Error{Number: 1062, State: "23000", Message: "Duplicate entry"}}).
		OnFunc("SELECT bad", func(context.Context, fakemysql.Call) fakemysql.Reply {
			return fakemysql.Rows([]fakemysql.Column{fakemysql.Int("n")}, []any{struct{}{}})
		}).
		On("SELECT half", fakemysql.Result{
			Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{1}, {2}}, Err: &fakemysql.Error{Number: 1053, State: "08S01"},
		})
	eachProtocol(t, fakemysql.Config{Handler: script}, func(t *testing.T, cfg *mysql.Config) {
		db := open(t, cfg)
		_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
		wantError(t, err, 1062)
		if me, ok := errors.AsType[*mysql.MySQLError](err); ok && (string(me.SQLState[:]) != "23000" || me.Message != "Duplicate entry") {
			t.Errorf("%s %q", me.SQLState, me.Message)
		}
		_, err = db.ExecContext(t.Context(), "no such thing")
		wantError(t, err, 1064)
		wantError(t, db.QueryRowContext(t.Context(), "SELECT bad").Scan(new(int)), 1105)

		rows, err := db.QueryContext(t.Context(), "SELECT half")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		n := 0
		for rows.Next() {
			n++
		}
		if n != 2 {
			t.Errorf("%d rows before the error, want 2", n)
		}
		wantError(t, rows.Err(), 1053)
	})
}

func TestMultiResults(t *testing.T) {
	ints := func(rows ...[]any) fakemysql.Result {
		return fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: rows}
	}
	results := []fakemysql.Result{ints([]any{1}, []any{2}), ints(), {Affected: 1}, ints([]any{3})}
	script := fakemysql.NewScript().On("CALL p()", results...).On("CALL p(?)", results...).
		On("DO 1; SELECT nothing", fakemysql.Result{}, fakemysql.Result{Err: &fakemysql.Error{Number: 1146, State: "42S02"}})
	eachProtocol(t, fakemysql.Config{Handler: script}, func(t *testing.T, cfg *mysql.Config) {
		cfg.MultiStatements = true
		db := open(t, cfg)
		for _, args := range [][]any{nil, {1}} {
			call := "CALL p()"
			if args != nil {
				call = "CALL p(?)"
			}
			rows, err := db.QueryContext(t.Context(), call, args...)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for more := true; more; more = rows.NextResultSet() {
				for rows.Next() {
					var n int
					if err := rows.Scan(&n); err != nil {
						t.Fatal(err)
					}
					got = append(got, n)
				}
				got = append(got, -1)
			}
			if err := rows.Err(); err != nil {
				t.Error(err)
			}
			_ = rows.Close()
			if !reflect.DeepEqual(got, []int{1, 2, -1, -1, 3, -1}) {
				t.Errorf("%s: %v", call, got)
			}
		}
		_, err := db.ExecContext(t.Context(), "DO 1; SELECT nothing")
		wantError(t, err, 1146)
		if err := db.PingContext(t.Context()); err != nil {
			t.Errorf("the connection after it: %v", err)
		}
	})
}

func TestPrepared(t *testing.T) {
	script := fakemysql.NewScript().
		OnPrefix("SELECT ?", func(_ context.Context, c fakemysql.Call) fakemysql.Reply {
			return fakemysql.Rows([]fakemysql.Column{fakemysql.Text("v")}, c.Args)
		})
	eachProtocol(t, fakemysql.Config{Handler: script}, func(t *testing.T, cfg *mysql.Config) {
		db := open(t, cfg)
		c := take(t, db)
		a, err := c.PrepareContext(t.Context(), "SELECT ? /* ? */ -- ?")
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.PrepareContext(t.Context(), "SELECT ?, '?', \"\\\"?\", `?` # ?")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			for _, stmt := range []*sql.Stmt{a, b} {
				var got string
				if err := stmt.QueryRowContext(t.Context(), fmt.Sprint("v", i)).Scan(&got); err != nil || got != fmt.Sprint("v", i) {
					t.Errorf("%q, %v", got, err)
				}
			}
		}
		none, err := c.PrepareContext(t.Context(), "DO 1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := none.ExecContext(t.Context()); err != nil {
			t.Error(err)
		}
		calls := script.Calls()
		if last := calls[len(calls)-1]; last.Args == nil || len(last.Args) != 0 {
			t.Errorf("a prepared statement without parameters has the arguments %#v", last.Args)
		}
		if err := errors.Join(none.Close(), a.Close()); err != nil {
			t.Fatal(err)
		}
		if got := one[string](t.Context(), t, c, "SELECT ?", "x"); got != "x" {
			t.Errorf("%q", got)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A result larger than 16 MiB in one value goes in several frames.
func TestHugeValue(t *testing.T) {
	huge := strings.Repeat("z", 17<<20)
	script := fakemysql.NewScript().OnPrefix("SELECT ?", func(_ context.Context, c fakemysql.Call) fakemysql.Reply {
		return fakemysql.Rows([]fakemysql.Column{{Name: "v", Type: wire.TypeLongBlob}}, c.Args)
	})
	db := open(t, piped(serve(t, fakemysql.Config{Handler: script})))
	if got := one[string](t.Context(), t, db, "SELECT ?", huge); got != huge {
		t.Errorf("%d bytes came back", len(got))
	}
}

func TestTooLargePacket(t *testing.T) {
	cfg := piped(serve(t, fakemysql.Config{MaxPacket: 1000}))
	cfg.MaxAllowedPacket = 1 << 20 // the driver believes the configuration
	_, err := open(t, cfg).ExecContext(t.Context(), "DO '"+strings.Repeat("x", 2000)+"'")
	wantError(t, err, 1153)
}
