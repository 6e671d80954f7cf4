package sqlscan

import (
	"database/sql"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// observer executes texts and sees what they did, however they failed.
type observer struct {
	t       *testing.T
	c       *sql.Conn // executes
	other   *sql.Conn // meets the locks
	mariaDB bool
	modes   []string
}

func newObserver(t *testing.T, s *mysqld.Server, database string) *observer {
	o := &observer{t: t, c: session(t, s, database+"?multiStatements=true"), other: session(t, s, database), mariaDB: s.Flavor == mysqld.FlavorMariaDB}
	o.modes = []string{
		"SET sql_mode = ''", "SET sql_mode = 'ANSI_QUOTES'", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET sql_mode = 'IGNORE_SPACE'",
		"SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "SET sql_mode = '', NAMES latin1",
	}
	o.exec("CREATE TABLE log (i INT)")
	o.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT)")
	o.exec("INSERT INTO t VALUES (1, 1), (2, 2)")
	for _, name := range []string{"f", "abs", "1f", "1e3f", "1abs", "now", "àabs"} {
		o.exec("CREATE FUNCTION `" + name + "`() RETURNS INT BEGIN INSERT INTO log VALUES (1); RETURN 1; END")
	}
	o.exec("CREATE PROCEDURE p() BEGIN INSERT INTO log VALUES (1); END")
	if o.mariaDB {
		o.modes = append(o.modes, "SET sql_mode = 'ORACLE', NAMES utf8mb4")
		o.exec("CREATE SEQUENCE s")
	}
	return o
}

func (o *observer) exec(query string) {
	o.t.Helper()
	if _, err := o.c.ExecContext(o.t.Context(), query); err != nil {
		o.t.Fatalf("%s: %v", query, err)
	}
}

// did says what text did, "" for nothing; and the error that it ended with.
func (o *observer) did(text string) (done string, err error) {
	o.t.Helper()
	ctx := o.t.Context()
	o.exec("SET autocommit = 1, @y = NULL; DO LAST_INSERT_ID(7); START TRANSACTION")
	rows, err := o.c.QueryContext(ctx, text)
	if err == nil {
		for more := true; more; more = rows.NextResultSet() {
			for rows.Next() {
			}
		}
		err = rows.Err()
		rows.Close()
	}
	var assigned, called, insertID, autocommit bool
	if err := o.c.QueryRowContext(ctx, "SELECT @y IS NOT NULL, EXISTS (SELECT 1 FROM log), LAST_INSERT_ID() <> 7, @@autocommit = 0").Scan(&assigned, &called, &insertID, &autocommit); err != nil {
		o.t.Fatalf("after %q: %v", text, err)
	}
	if number(ctx, o.t, o.other, "SELECT 1 FROM t FOR UPDATE NOWAIT") != 0 {
		done += "locked "
	}
	o.exec("ROLLBACK; DELETE FROM log")
	for what, is := range map[string]bool{"assigned ": assigned, "called ": called, "insert-id ": insertID, "autocommit ": autocommit} {
		if is {
			done += what
		}
	}
	return done, err
}

// texts is how many TestReadsDoNothing makes. With -texts 1000000 it searches.
var texts = flag.Int("texts", 1500, "texts of TestReadsDoNothing in each mode of each server")

// soup makes texts out of what lexers read in ways of their own: pieces of a query that
// does something, and what could hide it.
type soup struct{ *rand.Rand }

func (s soup) one(of []string) string { return of[s.IntN(len(of))] }

var (
	heads = []string{
		"SELECT $", "SELECT $", "SELECT 1,$", "SELECT id FROM t WHERE a>$", "SELECT id FROM t WHERE a=$", "SELECT id FROM t x WHERE $", "SELECT id FROM t LIMIT $",
		"(SELECT $)", "WITH c AS (SELECT $) SELECT * FROM c", "SELECT * FROM (SELECT $) x", "SELECT 1 WHERE $", "SELECT id FROM t ORDER BY $", "VALUES(1,$)", "VALUES ROW(1,$)",
		"EXPLAIN SELECT * FROM (SELECT $) x", "EXPLAIN UPDATE t SET a=$", "EXPLAIN DELETE FROM t WHERE id=$", "SHOW TABLES WHERE $", "TABLE t LIMIT $", "SELECT id FROM t FORCE INDEX($)",
		"SELECT id FROM t UNION SELECT $", "SELECT CASE $ WHEN 1 THEN 2 END", "EXPLAIN UPDATE t x JOIN t z SET x.a=$", "SELECT IF($,1,1)", "SELECT {fn abs($)}", "SELECT id AS $", "SELECT $.$",
	}
	atoms = []string{
		"1", "1.5", ".5", "1.", "1e3", "1e+3", "1.e-3", ".5E1", "1e", "1.5e", "1e+", "0x41", "0b1", "0X1", "1a", "1e3a", "'a'", `"a"`, "`id`", "id", "a", "x", "@x", "@'x'", "@`x`", `@"x"`, "@", "@x.y", "@$",
		"@@sql_mode", "@@`sql_mode`", "@@session.sql_mode", "@@session.`sql_mode`", "@@session . sql_mode", `@@"sql_mode"`, "@@SESSION", `\N`, "NULL", "N'a'", "n'a'", "x'41'", "X'41'", "b'1'", "_utf8'a'",
		"_utf8mb4", "abs(1)", "abs (1)", "t.id", "t.`id`", "`t`.id", "t . id", "à", "aà", "é", "日", "1à", "@à", "@@à", "$$", "$a$", "$", "DATE'2020-01-01'", "{d'2020-01-01'}", "TRUE", "(1)", "(SELECT 1)",
		"DEFAULT", "COUNT(*)", "COUNT(1)", "now()", "''", "'a''b'", `'a\'b'`, `"a\"b"`, `'\\'`, "'a' 'b'", "``", "INTERVAL 1 DAY", "CAST(1 AS CHAR)", "?", "1 AS x", "'a' x", "fp_1.t.id", "LAST_INSERT_ID(9)",
	}
	tails = []string{
		"INTO @y", "INTO @y", "FOR UPDATE", "FOR UPDATE", "FOR SHARE", "LOCK IN SHARE MODE", "f()", ",f()", "+f()", "+f ()", "f/**/()", ",`f`()", ",1f()", ",1e3f()", ",$.1abs()", ",$.1e3f()", ",$ . f()", ",now ()", ",àabs()", ".f()",
		";DELETE FROM t", ";CALL p()", ":=1", ",@y:=1", ",LAST_INSERT_ID(8)", "AND f()", "=f()", "->f()", "OR f()", "IS NULL INTO @y", "|f()", ",abs()", "", "", ",LAST_INSERT_ID(id+90) FROM t", "INTO/**/@y", "INTO@y",
	}
	hides = []string{
		" ", "\n", "\t", "/**/", "/* ' */", "/*'*/", "/*/", "*/", "/*!50000 ", "/*!50000", "/*!99999 ", "/*!999999 ", "/*!080000", "/*!0800001", "/*M!100100 ", "/*M!999999 ", "/*!", "/*", "/*+ ", "-- \n", "-- ", "--\n", "--", "#", "#\n",
		"'", `"`, "`", "\\", "\\'", "\\N", ",", ".", "@", "@@", "(", ")", "+", "-", "=", ":=", "1", "e", "é", "à", "$", "\x00", "\u00a0", "{", "}", ";", "0", "x", "*", "/", "!", "' '", "/* /* */", "-- '\n", "/*! */", "/*!50000 */", "/*!99999 */", "/*!50000 + */",
	}
)

func (s soup) text(database string) string {
	pieces := []string{s.one(atoms), "", s.one(tails), ""}
	if s.IntN(2) == 0 {
		pieces[1] = " "
	}
	head := strings.SplitAfter(s.one(heads), " ")
	var all []string
	for _, h := range head {
		before, after, ok := strings.Cut(h, "$")
		all = append(all, before)
		if ok {
			all = append(all, pieces...)
			all = append(all, after)
			pieces[0] = s.one(atoms)
		}
	}
	for range s.IntN(1 + s.IntN(5)) {
		i := s.IntN(len(all))
		all = slices.Insert(all, len(all)-s.IntN(i+1), s.one(hides))
	}
	return strings.ReplaceAll(strings.Join(all, ""), "$.", database+".")
}

// A text that is called a read changes, locks, assigns and calls nothing on a real server,
// whatever else is wrong with it.
func TestReadsDoNothing(t *testing.T) {
	seed := uint64(1)
	if *texts > 10_000 {
		seed = rand.Uint64()
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		o := newObserver(t, s, database)
		for i, mode := range o.modes {
			o.exec(mode)
			known := AnyQuotes
			if strings.Contains(mode, "NO_BACKSLASH") {
				known |= NoBackslashEscapes
			}
			soup := soup{rand.New(rand.NewPCG(seed, uint64(i)))}
			reads, valid := 0, 0
			for range *texts {
				text := soup.text(database)
				if !Scan(text, AnyMode).Read() && !Scan(text, known).Read() {
					continue
				}
				reads++
				done, err := o.did(text)
				if done != "" {
					t.Errorf("after %s, %q is called a read, but: %s", mode, text, done)
				}
				if err == nil {
					valid++
				}
			}
			if valid < *texts/200 {
				t.Errorf("after %s, only %d of %d reads were valid", mode, valid, reads)
			}
			t.Logf("%s: %d reads, %d valid", mode, reads, valid)
		}
	})
}

// TestSetsAreSeen does the same for what SET may assign, in whatever order and spelling.
func TestSetsAreSeen(t *testing.T) {
	items := []string{
		"@y = 1", "@y := 1", "@`y`=1", "@'y'=1", "autocommit = 0", "`autocommit`=0", "@@autocommit=0", "@@session.autocommit = 0", "@@session . autocommit=0", "@@local./**/`autocommit` := 0", "SESSION autocommit = 0", "@@ session.autocommit = 0",
		"LOCAL autocommit=OFF", "@y = f()", "@z = (SELECT f())", "@z = 1 + f()", "NAMES utf8mb4", "NAMES 'utf8mb4' COLLATE utf8mb4_bin", "NAMES DEFAULT", "CHARACTER SET utf8mb4", "CHAR SET utf8mb4", "CHARSET utf8mb4", "CHARACTER SET DEFAULT",
		"ROLE NONE", "DEFAULT ROLE NONE", "GLOBAL max_connections = 200", "@@global.max_connections = 200", "sql_mode = ''", "@@sql_mode = CONCAT('', '')", "SESSION TRANSACTION READ WRITE", "TRANSACTION READ WRITE", "GLOBAL TRANSACTION READ WRITE",
		"last_insert_id = 7", "PASSWORD FOR nobody = 'x'", "max_sort_length = 1.5e3", "@x = 1.5e0", "@x=-1", "character_set_client = utf8mb4", "completion_type = 0", "@z = (1, 2)", "RESOURCE GROUP x", "STATEMENT max_statement_time=1 FOR SELECT f()",
	}
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, database string) {
		o := newObserver(t, s, database)
		soup := soup{rand.New(rand.NewPCG(2, 2))}
		did := 0
		for range *texts {
			text := "SET " + soup.one(items)
			for range soup.IntN(4) {
				text += soup.one([]string{",", ", ", " , "}) + soup.one(items)
			}
			facts := Scan(text, AnyMode)
			done, _ := o.did(text)
			if done != "" {
				did++
			}
			unknown := facts.Effects&EffectUnknown != 0
			named := slices.ContainsFunc(Changes(text, AnyQuotes), func(c Change) bool { return c.Name == "autocommit" })
			for what, seen := range map[string]bool{
				"assigned": facts.Effects&EffectUserVariable != 0, "called": facts.Effects&EffectRoutine != 0, "autocommit": facts.MayCommit() && named,
			} {
				if strings.Contains(done, what) && !seen && !unknown {
					t.Errorf("%q %s, but is %s", text, done, describe(facts))
				}
			}
		}
		if did < *texts/10 {
			t.Errorf("only %d did something", did)
		}
	})
}
