package main

import (
	"os"
	"testing"
	"time"
)

// TestDrill is a short drill: the ledgers are kept and our reads have no error.
func TestDrill(t *testing.T) {
	stdout := os.Stdout
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	os.Stdout = out
	defer func() { os.Stdout = stdout }()
	ok, err := run(t.Context(), options{workers: 2, baseline: 200 * time.Millisecond, phase: 1500 * time.Millisecond, outage: 300 * time.Millisecond, timeout: 10 * time.Second})
	shown, _ := os.ReadFile(out.Name())
	if err != nil || !ok {
		t.Errorf("%v\n%s", err, shown)
	}
	t.Logf("%s", shown)
}

func TestBadFlags(t *testing.T) {
	for _, o := range []options{{server: "oracle"}, {dsn: "nonsense"}} {
		if _, err := run(t.Context(), o); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
}
