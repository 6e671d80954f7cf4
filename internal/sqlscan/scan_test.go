package sqlscan

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// describe is a Facts in the words of testdata/statements.txt.
func describe(f Facts) string {
	words := []string{f.Kind.String()}
	if f.Read() {
		words[0] = "read"
	}
	short := strings.NewReplacer("unknown effects", "unknown", "session variable", "variable", "default schema", "schema",
		"prepared statement", "prepared", "XA transaction", "xa", ", ", ",", " ", "-")
	if f.Effects != 0 {
		words = append(words, short.Replace(f.Effects.String()))
	}
	if f.Ends != 0 {
		words = append(words, "!"+short.Replace(f.Ends.String()))
	}
	for word, is := range map[string]bool{"asks": f.AsksLastStatement() || f.AsksInsertID(), "commits": f.MayCommit(), "ends-tx": f.EndsTransaction()} {
		if is {
			words = append(words, word)
		}
	}
	if f.Statements != 1 {
		words = append(words, fmt.Sprintf("n=%d", f.Statements))
	}
	return normal(strings.Join(words, " "))
}

// normal brings a description's words into one order.
func normal(s string) string {
	words := strings.Fields(s)
	for i, w := range words {
		parts := strings.Split(w, ",")
		slices.Sort(parts)
		words[i] = strings.Join(parts, ",")
	}
	slices.Sort(words[1:])
	return strings.Join(words, " ")
}

// golden calls check for each line "text => want" of a file in testdata, of which there must
// be so many at least.
func golden(t *testing.T, file string, least int, check func(text, want string)) {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		text, want, ok := strings.Cut(line, " => ")
		if !ok {
			t.Fatalf("no => in %q", line)
		}
		n++
		check(text, want)
	}
	if n < least {
		t.Fatalf("only %d statements", n)
	}
}

func TestStatements(t *testing.T) {
	golden(t, "statements.txt", 100, func(text, want string) {
		want = strings.ReplaceAll(want, "n=*", "n=255")
		want = strings.ReplaceAll(want, "WRITE-OR-SET", "SET")
		if (strings.Contains(want, "unknown") || strings.Contains(want, "stored-routine")) && !strings.Contains(want, "commits") {
			want += " commits"
		}
		if strings.Contains(want, "n=") && !strings.Contains(want, "commits") {
			want += " commits"
		}
		if got := describe(Scan(text, AnyMode)); got != normal(want) {
			t.Errorf("%s\n got %s\nwant %s", text, got, normal(want))
		}
	})
}

func TestModes(t *testing.T) {
	for _, test := range []struct {
		text string
		mode Mode
		read bool
	}{
		{`SELECT "a'b"`, 0, true},
		{`SELECT "a'b", 'c'`, AnsiQuotes, true},
		{`SELECT 'a\' FOR UPDATE -- '`, 0, true},
		{`SELECT 'a\' FOR UPDATE -- '`, NoBackslashEscapes, false},
		{`SELECT "a\" FOR UPDATE -- "`, 0, true},
		{`SELECT "a\" FOR UPDATE -- "`, AnsiQuotes, false},
		{`SELECT @"a\"FOR UPDATE -- "`, 0, true},
		{`SELECT @"a\"FOR UPDATE -- "`, AnsiQuotes, false},
		{`SELECT @"a\"FOR UPDATE -- "`, NoBackslashEscapes, false},
		{`SELECT @'a\'FOR UPDATE -- '`, 0, true},
		{`SELECT @'a\'FOR UPDATE -- '`, NoBackslashEscapes, false},
		{`SELECT @@"sql_mode"FOR UPDATE`, AnsiQuotes, false},
		{`SELECT @@session."sql_mode"FOR UPDATE`, AnsiQuotes, false},
	} {
		if got := Scan(test.text, test.mode).Read(); got != test.read {
			t.Errorf("%s in mode %d: read %v", test.text, test.mode, got)
		}
	}
}

// In gbk, sjis and others, half a character can look like a quote or a backslash: none
// of these bytes is what it seems, or all are.
func TestNotUTF8(t *testing.T) {
	for _, text := range []string{"SELECT '\xbf\\', f() -- '", "SELECT '\x81\\'", "SELECT `\x81``, f() -- `", "SELECT '\xff'", "SELECT \xa0INTO @y", "SELECT 1 -- \xe4"} {
		if got := describe(Scan(text, AnyMode)); got != "WRITE commits n=255 unknown" {
			t.Errorf("%q is %s", text, got)
		}
		if got := Changes("SET @a = 1; "+text, 0); got != nil {
			t.Errorf("%q makes changes: %v", text, got)
		}
	}
	if !Scan("SELECT '日本語', `größe`", AnyMode).Read() {
		t.Error("UTF-8 is no read")
	}
	for text, want := range map[string]string{"SELECT '\xbf\\', 'secret' -- '": "SELECT …", "\xff 'secret'": "…"} {
		if got := Digest(text, 0); got != want {
			t.Errorf("digest of %q: %q", text, got)
		}
	}
}

func TestDigest(t *testing.T) {
	for text, want := range map[string]string{
		"select  *  from t where a = 'secret' and b in (1, 2, 3) -- c": "select * from t where a = ? and b in (?)",
		"INSERT INTO t (a, b) VALUES (?, 'x'), (1, NULL)":              "INSERT INTO t (a, b) VALUES (?), (?, NULL)",
		"SELECT 'open":        "SELECT …",
		`SELECT "a\", secret`: "SELECT …",
		"SELECT a.b, @x, @@y": "SELECT a.b, @x, @@y",
		"CREATE USER 'u'@'h'": "CREATE USER ? @?",
		"SELECT 1, x":         "SELECT ?, x",
		"":                    "",
	} {
		if got := Digest(text, AnyMode); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	if got := Digest(strings.Repeat("SELECT a, ", 1000), AnyMode); len(got) > longestDigest+len("…") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestCache(t *testing.T) {
	c := NewCache(128, 20)
	for i := range 1000 {
		if !c.Scan(fmt.Sprintf("SELECT %d", i), AnyMode).Read() {
			t.Fatal("not a read")
		}
	}
	c.Scan("SELECT 'longer than twenty bytes'", AnyMode)
	if n := len(c.facts); n == 0 || n > 128 {
		t.Errorf("%d entries", n)
	}
	if allocs := testing.AllocsPerRun(100, func() { c.Scan("SELECT 999", AnyMode) }); allocs != 0 {
		t.Errorf("%v allocations on a hit", allocs)
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	texts, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(texts)) {
		text, _, _ := strings.Cut(line, " => ")
		if allocs := testing.AllocsPerRun(3, func() { Scan(text, AnyMode) }); allocs != 0 {
			t.Errorf("%v allocations for %s", allocs, text)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"SELECT 1", "/*!50000 SELECT */ 'a\\'", "WITH a (b) AS (SELECT f(1)) UPDATE t SET @x := 1", "SET @@session.`a` = 1, b := 2;", "SELECT @'x",
		"SELECT 1.5e-3INTO @y, t.1e3f()", "SELECT /*!50000 a */ /*!50000 b */ \\N", "SET NAMES gbk, @@session . completion_type = 1, ROLE a", "SELECT @@`a`.b.\"c\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		facts := Scan(text, AnyMode)
		for _, m := range []Mode{0, AnsiQuotes, NoBackslashEscapes, AnsiQuotes | NoBackslashEscapes} {
			if facts.Read() && !Scan(text, m).Read() {
				t.Errorf("%q is a read, but not in mode %d", text, m)
			}
		}
		if facts.Read() && !strings.Contains(text, "/*!") && !strings.Contains(text, "/*M!") {
			if second := Scan(text+"; DELETE FROM t", AnyMode); second.Read() && !strings.ContainsAny(text, "#-") {
				t.Errorf("%q hides a statement behind it", text)
			}
		}
	})
}

// FuzzDigest plants a literal into any text.
func FuzzDigest(f *testing.F) {
	f.Add("SELECT * FROM t WHERE a = ", " AND b = 1")
	f.Add("SELECT \"\\", "'")
	f.Fuzz(func(t *testing.T, before, after string) {
		const canary = "cAnArY7"
		if strings.ContainsAny(before, "'\"`\\#@") || strings.Contains(before, "--") || strings.Contains(before, "/*") || strings.Contains(before+after, canary) {
			return
		}
		if d := Digest(before+" '"+canary+"' "+after, AnyMode); strings.Contains(d, canary) {
			t.Errorf("literal in %q", d)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	const text = "SELECT id, name, email FROM users WHERE id = ? AND deleted_at IS NULL"
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Scan(text, AnyMode)
		}
	})
	b.Run("cached", func(b *testing.B) {
		c := NewCache(4096, 4096)
		b.ReportAllocs()
		for b.Loop() {
			c.Scan(text, AnyMode)
		}
	})
}
