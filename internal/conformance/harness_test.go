package conformance

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A patch that does not fit any more, because the text is gone or is in more places, is
// an error and changes nothing.
func TestPatchThatDoesNotFit(t *testing.T) {
	w := &workspace{suite: Suite{Name: "a suite"}, copied: t.TempDir()}
	name := filepath.Join(w.copied, "a_test.go")
	const text = `Open("mysql"); Open("mysql")`
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Patch{
		{File: "a_test.go", Old: `Open("mysql")`},
		{File: "a_test.go", Old: `Open("mysql")`, Count: 3},
		{File: "a_test.go", Old: `Open("postgres")`},
		{File: "b_test.go", Old: `Open("mysql")`},
	} {
		if err := w.patch([]Patch{p}); err == nil || !strings.Contains(err.Error(), "does not fit") {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
	if err := w.patch([]Patch{{File: "a_test.go", Old: "mysql", New: "ours", Count: 2}}); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != `Open("ours"); Open("ours")` {
		t.Errorf("%q, %v", got, err)
	}
}

// Every suite says how it is swapped and how many tests it has at least.
func TestCatalog(t *testing.T) {
	names := make(map[string]bool)
	for _, s := range suites {
		if names[s.Name] || s.Least <= 0 || s.Timeout <= 0 || len(s.Databases) == 0 || len(s.Added) == 0 {
			t.Errorf("%+v", s)
		}
		names[s.Name] = true
		linked := slices.ContainsFunc(slices.Collect(maps.Values(s.Added)), func(text string) bool { return strings.Contains(text, importAsMySQL) })
		if linked != s.AsMySQL || s.AsMySQL == (len(s.Swap) > 0) {
			t.Errorf("%s: our driver takes another's name (%v), or patches put in its own (%d)", s.Name, s.AsMySQL, len(s.Swap))
		}
	}
}

const someRun = `{"Action":"start"}
{"Action":"run","Test":"TestA"}
{"Action":"run","Test":"TestA/one"}
{"Action":"output","Test":"TestA/one","Output":"=== RUN   TestA/one\n"}
{"Action":"output","Test":"TestA/one","Output":"    a_test.go:7: wrong\n"}
{"Action":"OUTCOME","Test":"TestA/one"}
{"Action":"pass","Test":"TestA/two"}
{"Action":"OUTCOME","Test":"TestA"}
{"Action":"pass","Test":"TestB"}
{"Action":"output","Output":"PASS\n"}
`

func TestCompare(t *testing.T) {
	parsed := func(text string) Results {
		r, err := parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	good := parsed(strings.ReplaceAll(someRun, "OUTCOME", "pass"))
	if got := good.Passed(); got != 4 || len(compare("s", "mysql", good, good)) > 0 {
		t.Errorf("%d passed, %v", got, compare("s", "mysql", good, good))
	}
	bad := parsed(strings.ReplaceAll(someRun, "OUTCOME", "fail"))
	delete(bad.Tests, "TestB")
	want := []Difference{
		{Suite: "s", Server: "mysql", Test: "TestA/one", Ours: "fail", Why: "a_test.go:7: wrong"},
		{Suite: "s", Server: "mysql", Test: "TestB"},
	}
	if got := compare("s", "mysql", good, bad); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	// What fails with the plain driver says nothing about ours.
	if got := compare("s", "mysql", bad, bad); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

func TestPanicNamesItsTest(t *testing.T) {
	r, err := parse(strings.NewReader(`{"Action":"output","Test":"TestA/one","Output":"panic: oh\n"}`))
	if err != nil || r.panicked() != "TestA/one" {
		t.Errorf("%q, %v", r.panicked(), err)
	}
}

func TestAcceptances(t *testing.T) {
	all, err := parseAcceptances("# a comment\n\ns * TestA because\ns mysql TestB/x because\ns mariadb TestC because\n")
	if err != nil {
		t.Fatal(err)
	}
	differences := []Difference{
		{Suite: "s", Server: "mysql", Test: "TestA"}, {Suite: "s", Server: "mariadb", Test: "TestB/x"}, {Suite: "r", Server: "mysql", Test: "TestA"},
	}
	if got := all.unaccepted(differences); !slices.Equal(got, differences[1:]) {
		t.Errorf("%v", got)
	}
	if got, want := all.stale(map[string]bool{"s mysql": true}), []string{"s mysql TestB/x"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if _, err := parseAcceptances("s mysql TestA"); err == nil {
		t.Error("a difference without a reason was accepted")
	}
}
