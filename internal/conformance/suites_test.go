package conformance

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// What passes with the plain driver passes with ours.
func TestForeignSuites(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the suites of others, which takes minutes")
	}
	text, err := os.ReadFile("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := parseAcceptances(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for _, s := range suites {
		t.Run(s.Name, func(t *testing.T) {
			requireServer(t)
			builds := build(t, s)
			var mu sync.Mutex
			mysqld.Each(t, func(t *testing.T, server *mysqld.Server) {
				// Some suites sleep more than they work: the servers take part at once.
				t.Parallel()
				r := runBoth(t, builds, server)
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, r)
			}, mysqld.WithPerformanceSchema(), mysqld.WithArgs("--local-infile=ON"))
		})
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(strings.Compare(a.suite, b.suite), strings.Compare(a.server, b.server))
	})
	ran := make(map[string]bool)
	for i, r := range rows {
		ran[r.suite+" "+r.server] = true
		rows[i].differences = accepted.unaccepted(r.differences)
		for _, d := range rows[i].differences {
			t.Errorf("%s on %s passes with the plain driver, but not with ours: %v", r.suite, r.server, d)
		}
	}
	for _, line := range accepted.stale(ran) {
		t.Errorf("testdata/differences.txt: nothing needs %q any more", line)
	}
	t.Logf("\n%s", table(rows))
}

// requireServer spares a machine without any server the builds.
func requireServer(t *testing.T) {
	t.Helper()
	for _, f := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		if _, err := mysqld.Find(f); err == nil {
			return
		}
	}
	mysqld.MariaDB(t) // skips the test, or fails it where that may not be
}

// built is a suite's two test binaries.
type built struct {
	suite    Suite
	binaries map[driverKind]string
	dir      string // of the package with the tests
}

func build(t *testing.T, s Suite) built {
	t.Helper()
	w, err := newWorkspace(t.Context(), s, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := built{suite: s, binaries: make(map[driverKind]string), dir: filepath.Join(w.copied, s.Package)}
	if b.binaries[plain], err = w.build(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	if err = w.swap(); err != nil {
		t.Fatal(err)
	}
	if b.binaries[ours], err = w.build(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	return b
}

// runBoth runs the suite with either driver.
func runBoth(t *testing.T, b built, server *mysqld.Server) row {
	r := row{suite: b.suite.Name, server: server.Flavor.String()}
	results := make(map[driverKind]Results)
	took := make(map[driverKind]time.Duration)
	for _, d := range []driverKind{plain, ours} {
		begin := time.Now()
		one := run{suite: b.suite, driver: d, server: server, binary: b.binaries[d], dir: b.dir}
		var err error
		if results[d], err = one.execute(t.Context()); err != nil {
			t.Fatal(err)
		}
		took[d] = time.Since(begin)
	}
	r.plain, r.ours, r.ran = results[plain].Passed(), results[ours].Passed(), len(results[plain].Tests)
	r.plainTook, r.oursTook = took[plain], took[ours]
	for _, test := range slices.Sorted(maps.Keys(results[plain].Tests)) {
		if o := results[plain].Tests[test]; o.Outcome == "fail" {
			r.failed++
			t.Logf("fails with the plain driver: %s: %s", test, firstLine(o.Output))
		}
	}
	if r.plain < b.suite.Least {
		t.Errorf("%d tests passed with the plain driver, that is less than %d:\n%s", r.plain, b.suite.Least, strings.Join(results[plain].Tail, "\n"))
	}
	r.differences = compare(r.suite, r.server, results[plain], results[ours])
	if len(results[ours].Tests) < len(results[plain].Tests) {
		t.Logf("the last run with ours, of fewer tests, ended with\n%s", strings.Join(results[ours].Tail, "\n"))
	}
	return r
}
