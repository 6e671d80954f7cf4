package sqlscan

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// What SET assigns to, and what. The first fifteen names are told apart in the test's state.
var (
	setNames = []string{
		"time_zone", "sql_mode", "sort_buffer_size", "lc_time_names", "group_concat_max_len", "autocommit", "foreign_key_checks", "collation_connection", "character_set_results", "character_set_connection",
		"sql_select_limit", "long_query_time", "sql_notes", "max_join_size", "div_precision_increment", "TIME_ZONE", "Sql_Mode", "unique_checks", "default_week_format", "lock_wait_timeout",
	}
	setValues = []string{
		"1", "0", "-1", "+5", "-  5", "1.50", "1e3", ".5", "0x41", "x'41'", "b'101'", "TRUE", "false", "ON", "off", "NULL", "DEFAULT", "18446744073709551615", "99999999999999999999", "'text'", "'it''s'", `'a\'b'`, `'a\\b'`, "''", "'a' 'b'",
		`"double"`, `"dou""ble"`, "'+01:00'", "'SYSTEM'", "system", "'ansi'", "ANSI_QUOTES", "'STRICT_TRANS_TABLES,ansi'", "'de_DE'", "de_DE", "latin1", "'latin1_bin'", "utf8mb4_bin", "_latin1'x'", "_utf8mb4 'é'", "N'n'", "n'n'", "'é'", "'€😀'",
		"DATE '2024-01-02'", "TIMESTAMP'2024-01-02 03:04:05'", "TIME '10:00:00'", "'x' COLLATE utf8mb4_bin", "_latin1'x' COLLATE latin1_bin", "(1)", "1 + 1", "- -1", "@u1", "@@sql_notes", "CONCAT('a', 'b')", "1 /* c */", "/*! 1 */", "'a' -- c\n", "# c\n'b'",
		"_binary'x'", "_binary 'x' COLLATE binary", "`1`", "'ANSI' 'x'", `'\0'`, `'%\_'`, `'\Z'`, "'\x00'", "'a\tb'", "'-- no'", "'/* no */'", "'a;b'", "1.e1", "1e", "TRUE OR FALSE", "NOT 1", "'1' + 0", "INTERVAL 1 DAY", "{d '2020-01-01'}",
	}
)

// assignment is one of a SET's.
func assignment(r *rand.Rand) string {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	value := one(setValues...)
	if r.IntN(3) == 0 {
		name := one("u1", "u2", "U1")
		return one("@"+name, "@`"+name+"`", "@'"+name+"'", `@"`+name+`"`) + one(" = ", "=", ":=", " := ", "/**/=") + value
	}
	name := one(setNames...)
	name = one(name, name, "`"+name+"`", strings.ToUpper(name))
	return one("", "", "SESSION ", "LOCAL ", "@@", "@@session.", "@@local.", "@@ session . ", "session\n") + name + one(" = ", "=", ":=", " := ") + value
}

// TestSetsAreReplayed: a variable's value as Changes tells it, set on another connection,
// makes the same variable there as the statement did here, in whatever spelling. -texts
// 1000000 searches.
func TestSetsAreReplayed(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		ctx := t.Context()
		state := "SELECT @u1, @u2"
		for _, n := range []string{"u1", "u2"} {
			state += fmt.Sprintf(", IF(@%[1]s IS NULL, NULL, CONCAT(CHARSET(@%[1]s), COLLATION(@%[1]s), HEX(@%[1]s)))", n)
		}
		for _, n := range setNames[:15] {
			state += ", @@" + n
		}
		state += ", @@unique_checks, @@default_week_format, @@lock_wait_timeout, @@character_set_client"
		const first = "SET NAMES utf8mb4, sql_mode = DEFAULT, @u1 = NULL, @u2 = NULL"
		here, there := session(t, s, database), session(t, s, database)
		// Both begin with the values that the server gives.
		fresh := []string{"SET sql_mode = ''"}
		for _, n := range setNames[:15] {
			fresh = append(fresh, "SET @@session."+n+" = DEFAULT")
		}
		fresh = append(fresh, "SET unique_checks = DEFAULT, default_week_format = DEFAULT, lock_wait_timeout = DEFAULT", first)
		begin := func(c *sql.Conn) {
			for _, q := range fresh {
				if _, err := c.ExecContext(ctx, q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
		}
		r := rand.New(rand.NewPCG(3, 3))
		replayed := 0
		for range *texts {
			begin(here)
			begin(there)
			text := "SET " + assignment(r)
			for r.IntN(3) == 0 {
				text += ", " + assignment(r)
			}
			if _, err := here.ExecContext(ctx, text); err != nil {
				continue
			}
			changes := Changes(text, AnyQuotes)
			if Scan(text, AnyQuotes).Effects&EffectUnknown != 0 || !literals(changes) {
				continue
			}
			replayed++
			for _, c := range changes {
				replay := "SET @@session." + c.Name + " = " + c.Value
				switch {
				case c.Effect == EffectUserVariable:
					replay = "SET @`" + c.Name + "` = " + c.Value
				case c.Name == "names":
					replay = "SET " + c.Value
				}
				if _, err := there.ExecContext(ctx, replay); err != nil {
					t.Errorf("%q sets %+v, but %q: %v", text, c, replay, err)
				}
			}
			if want, got := row(ctx, t, here, state), row(ctx, t, there, state); got != want {
				t.Errorf("%q and then %+v:\n got %s\nwant %s", text, changes, got, want)
			}
		}
		t.Logf("%d of %d were literals throughout", replayed, *texts)
		if replayed < *texts/10 {
			t.Error("too few")
		}
	})
}

// literals reports whether every change has a value, in a session whose character sets stay
// what they are: where they change, so does the meaning of what comes after.
func literals(changes []Change) bool {
	for i, c := range changes {
		if c.Value == "" || i > 0 && (strings.HasPrefix(changes[i-1].Name, "c") || changes[i-1].Name == "sql_mode") {
			return false
		}
	}
	return len(changes) > 0
}

// row is the only row of a query, as text.
func row(ctx context.Context, t *testing.T, c *sql.Conn, query string) string {
	t.Helper()
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	values, to := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%+v", values)
}
