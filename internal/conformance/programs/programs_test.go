package programs

import (
	"cmp"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the programs want a time zone, whatever the machine has

	"go.uber.org/goleak"

	_ "github.com/failoverproxy/failoverproxy"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

func TestMain(m *testing.M) {
	const (
		// golang-migrate reads ahead, and leaves the reader behind when a migration fails.
		readAhead = "github.com/golang-migrate/migrate/v4.(*Migration).Buffer"
		// GORM's cache of prepared statements looks for old ones for ever.
		statementCache = "gorm.io/gorm/internal/lru.NewLRU[...].func1"
	)
	tools := []goleak.Option{goleak.IgnoreAnyFunction(readAhead), goleak.IgnoreAnyFunction(statementCache)}
	goleak.VerifyTestMain(m, append(tools, goleak.IgnoreAnyFunction(mysqld.RunFunction), goleak.Cleanup(mysqld.Exit))...)
}

var programs = []Program{gormProgram, gormPreparedProgram, bunProgram, entProgram, sqlcProgram, migrateProgram, gooseProgram, sessionProgram, manyProgram}

// parameters are the ways to use the wrapped driver that the programs run in.
var parameters = map[string]url.Values{
	"prepared": {"parseTime": {"true"}, "loc": {"UTC"}},
	// Rows found instead of rows changed is what some frameworks ask for.
	"interpolated": {"parseTime": {"true"}, "loc": {"Europe/Berlin"}, "interpolateParams": {"true"}, "clientFoundRows": {"true"}, "collation": {"utf8mb4_bin"}},
}

var transcripts = flag.Bool("transcripts", false, "log what the programs write with the wrapped driver")

// timeLimit ends a program that waits for something that never comes.
const timeLimit = 30 * time.Second

func TestPrograms(t *testing.T) {
	for _, p := range programs {
		t.Run(p.Name, func(t *testing.T) {
			for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
				for name, params := range parameters {
					t.Run(flavor.String()+"/"+name, func(t *testing.T) {
						t.Parallel() // they wait for locks and deadlines a good part of the time
						compare(t, p, flavor, params)
					})
				}
			}
		})
	}
}

// compare runs a program with the wrapped driver and then with ours.
func compare(t *testing.T, p Program, flavor mysqld.Flavor, params url.Values) {
	want := run(t, p, flavor, "mysql", params)
	if failures := want.Failures(); len(failures) > 0 {
		t.Fatalf("the program fails with the wrapped driver:\n%s\n\nall that it wrote:\n%s",
			strings.Join(failures, "\n"), strings.Join(want.Lines(), "\n"))
	}
	if n := len(want.Lines()); n < p.Lines {
		t.Fatalf("the program wrote %d lines, at least %d were expected:\n%s", n, p.Lines, strings.Join(want.Lines(), "\n"))
	}
	if *transcripts {
		t.Logf("%s", strings.Join(want.Lines(), "\n"))
	}
	for _, size := range []int{25, max(2, p.Connections)} {
		t.Run(fmt.Sprintf("fpPoolSize=%d", size), func(t *testing.T) {
			ours := url.Values{
				"fpTopology": {"static"}, "fpPoolSize": {fmt.Sprint(size)}, "fpBorrowTimeout": {cmp.Or(p.Patience, 5*time.Second).String()},
			}
			maps.Copy(ours, params)
			got := run(t, p, flavor, "failoverproxy", ours)
			t.Logf("%d lines", len(got.Lines()))
			if d := diff(want.Lines(), got.Lines()); len(d) > 0 {
				t.Errorf("%d lines differ (- the wrapped driver, + ours):\n%s", len(d), strings.Join(d, "\n"))
			}
		})
	}
}

// run runs a program once, in a database of its own.
func run(t *testing.T, p Program, flavor mysqld.Flavor, driver string, params url.Values) *Transcript {
	s, database := mysqld.Shared(t, flavor)
	target := Target{Driver: driver, DSN: fmt.Sprintf("%s?%s", s.DSN(database), params.Encode()), Database: database}
	var err error
	if target.DB, err = sql.Open(target.Driver, target.DSN); err != nil {
		t.Fatal(err)
	}
	defer target.DB.Close()
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	defer cancel()
	out := NewTranscript(database)
	start := time.Now()
	p.Run(ctx, target, out)
	t.Logf("%s: %d lines in %s", driver, len(out.Lines()), time.Since(start).Round(time.Millisecond))
	if n := target.DB.Stats().InUse; n != 0 {
		out.fail("%d sessions were not given back", n)
	}
	return out
}

// diff returns the lines that are in only one of the two transcripts, each under the
// heading of its step.
func diff(want, got []string) []string {
	// common[i][j] is the length of the longest common subsequence of want[i:] and got[j:].
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i, w := range slices.Backward(want) {
		for j := len(got) - 1; j >= 0; j-- {
			if w == got[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var d []string
	heading := ""
	add := func(sign, line string) {
		if heading != "" {
			d = append(d, "  "+heading)
			heading = ""
		}
		d = append(d, sign+" "+line)
	}
	for i, j := 0, 0; i < len(want) || j < len(got); {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			if strings.HasPrefix(want[i], "== ") {
				heading = want[i]
			}
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && common[i+1][j] >= common[i][j+1]:
			add("-", want[i])
			i++
		default:
			add("+", got[j])
			j++
		}
	}
	return d
}

// A test that compares must be able to fail.
func TestDiff(t *testing.T) {
	want := []string{"== one", "a", "b", "== two", "c"}
	for _, c := range []struct{ got, diff []string }{
		{slices.Clone(want), nil},
		{[]string{"== one", "a", "b", "== two", "d"}, []string{"  == two", "- c", "+ d"}},
		{[]string{"== one", "b", "b", "== two", "c"}, []string{"  == one", "- a", "+ b"}},
		{[]string{"== one", "a", "b", "== two", "c", "e"}, []string{"  == two", "+ e"}},
		{[]string{"== one", "a", "b"}, []string{"  == one", "- == two", "- c"}},
	} {
		if d := diff(want, c.got); !slices.Equal(d, c.diff) {
			t.Errorf("%q: %q, want %q", c.got, d, c.diff)
		}
	}
}
