package failoverproxy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/failoverproxy/failoverproxy/driver"
)

// TestReadme holds the README to the code: each of its Go blocks stands, to the letter,
// in a file that is compiled and run, each of its commands is run by a test or by CI,
// and its keys and addresses are understood.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source := goSource(t)
	blocks := codeBlock.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 4 {
		t.Fatalf("only %d blocks", len(blocks))
	}
	// What a command of the README is run by.
	run := map[string]string{
		"go run ./examples/drill":     "examples/drill/main_test.go",
		"make test":                   ".ci/run",
		"go run ./examples/aurorasim": "examples/aurorasim/main_test.go",
		"go run ./examples/topology":  "examples/topology/main_test.go",
		"go run ./examples/doctor":    "examples/doctor/main_test.go",
	}
	for _, block := range blocks {
		switch block[1] {
		case "go":
			if !strings.Contains(source, block[2]) {
				t.Errorf("this stands in no Go file:\n%s", block[2])
			}
		case "sh":
			for line := range strings.Lines(block[2]) {
				known := false
				for command, test := range run {
					if _, err := os.Stat(test); err == nil && strings.HasPrefix(line, command) {
						known = true
					}
				}
				if !known {
					t.Errorf("run by no test: %s", line)
				}
			}
		default:
			t.Errorf("a block of %q, which nobody checks", block[1])
		}
	}
	for _, dsn := range regexp.MustCompile("`(user:password@[^`]*)`").FindAllStringSubmatch(string(readme), -1) {
		if _, err := driver.ParseDSN(dsn[1]); err != nil {
			t.Errorf("%s: %v", dsn[1], err)
		}
	}
	defaults := driver.NewConfig()
	for _, row := range regexp.MustCompile("(?m)^\\| `(fp\\w+)`[^|]*\\| `?([^|`]*)`? \\|").FindAllStringSubmatch(string(readme), -1) {
		key, value := row[1], strings.TrimSpace(strings.Split(row[2], ",")[0])
		if value == "derived" {
			continue
		}
		if value == "none" {
			value = ""
		}
		cfg, err := driver.ParseDSN("user:password@tcp(host)/?" + key + "=" + value)
		if err != nil {
			t.Errorf("%s=%s: %v", key, value, err)
			continue
		}
		if strings.Contains(cfg.FormatDSN(), key) {
			t.Errorf("%s: %s is not the default (%v)", key, value, defaults)
		}
	}
}

// TestDocs holds the pages below docs to the code as well: their Go blocks stand in files that
// are run, the keys that they name exist, and so do the pages that they refer to.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	source := goSource(t)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range codeBlock.FindAllStringSubmatch(string(text), -1) {
			if block[1] == "go" && !strings.Contains(source, block[2]) {
				t.Errorf("%s: this stands in no Go file:\n%s", page, block[2])
			}
		}
		for _, key := range regexp.MustCompile(`\bfp[A-Z]\w*`).FindAllString(string(text), -1) {
			if _, err := driver.ParseDSN("user:password@tcp(host)/?" + key + "=?"); err != nil && strings.Contains(err.Error(), "unknown parameter") {
				t.Errorf("%s: there is no %s (%v)", page, key, err)
			}
		}
		for _, link := range regexp.MustCompile(`\]\(([^):#]+)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("docs", link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// codeBlock has language and content of a block.
var codeBlock = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")

// goSource is the text of all Go files.
func goSource(t *testing.T) string {
	var source strings.Builder
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return source.String()
}
