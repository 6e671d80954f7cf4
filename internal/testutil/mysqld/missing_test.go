package mysqld

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// witness is a test that notes how it ended.
type witness struct {
	testing.TB
	skipped, failed bool
}

func (*witness) Helper()        {}
func (w *witness) Skip(...any)  { w.skipped = true }
func (w *witness) Fatal(...any) { w.failed = true }

func TestMissingServer(t *testing.T) {
	t.Setenv(EnvMySQLRoot, t.TempDir())
	t.Setenv(EnvMariaDB, filepath.Join(t.TempDir(), "mariadbd"))
	for _, f := range flavors {
		_, err := Find(f)
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "scripts/install-servers") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", f, err)
		}
		if _, err := Start(t.Context(), f, Options{}); !errors.Is(err, ErrMissing) {
			t.Errorf("start %s: %v", f, err)
		}
		for ci, want := range map[string]witness{"": {skipped: true}, "false": {skipped: true}, "true": {failed: true}, "1": {failed: true}} {
			t.Setenv("CI", ci)
			var w witness
			require(&w, err)
			if w != want {
				t.Errorf("CI=%q: skipped %v, failed %v", ci, w.skipped, w.failed)
			}
		}
	}
	var w witness
	require(&w, errors.New("did not start"))
	if w.skipped || !w.failed {
		t.Error("a server that does not start must never be a reason to skip")
	}
	if _, err := Find(0); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("no flavor at all: %v", err)
	}
}

// On Debian mysqld is another name of mariadbd.
func TestMariaDBIsNoMySQL(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mariadbd"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mariadbd", filepath.Join(dir, "mysqld")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv(EnvMySQLRoot, "/")
	if path, err := Find(FlavorMySQL); !errors.Is(err, ErrMissing) {
		t.Errorf("found %s, %v", path, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "mysqld")), os.Rename(filepath.Join(dir, "mariadbd"), filepath.Join(dir, "mysqld"))); err != nil {
		t.Fatal(err)
	}
	if path, err := Find(FlavorMySQL); err != nil || path != filepath.Join(dir, "mysqld") {
		t.Errorf("found %s, %v", path, err)
	}
}
