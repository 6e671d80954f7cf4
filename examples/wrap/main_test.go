package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrap(t *testing.T) {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "secret"}, Databases: []string{"shop"}, Handler: minidb.New()})
	defer server.Close()
	addr, err := server.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), "app:secret@tcp("+addr.String()+")/shop", &out); err != nil {
		t.Fatal(err)
	}
	want := "wrapped pool answers\nat most 20 at once, as before\nwrapped connector answers\ntokens were asked for: true\n" +
		"the cluster: epoch 1: " + addr.String() + " writer up\nthe program's own pool answers\n"
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", &out, want)
	}
	if err := run(t.Context(), "app:wrong@tcp("+addr.String()+")/shop", &out); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
}

// TestDocs: the guide's code is compiled and run, here or as an example of package driver.
func TestDocs(t *testing.T) {
	var sources string
	for _, file := range []string{"main.go", "../../driver/wrap_example_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources += string(text)
	}
	guide, err := os.ReadFile("../../docs/wrapping.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) < 4 {
		t.Errorf("%d blocks", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(sources, block[1]) {
			t.Errorf("this is in no file:\n%s", block[1])
		}
	}
}
