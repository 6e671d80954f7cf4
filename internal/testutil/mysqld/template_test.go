package mysqld

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A template is made once, whoever asks at the same time, and whatever the environment
// says; what other versions left is removed.
func TestTemplateIsMadeOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // which is not there in MySQL's root
	for _, f := range flavors {
		t.Run(f.String(), func(t *testing.T) {
			i, err := locate(f)
			require(t, err)
			space, err := i.newWorkspace()
			if err != nil {
				t.Fatal(err)
			}
			defer space.remove()
			i.cache = filepath.Join(space.dir, "cache")
			old := filepath.Join(i.cache, f.String()+"-old")
			if err := os.MkdirAll(old, 0o700); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			dirs := [...]string{filepath.Join(space.dir, "a"), filepath.Join(space.dir, "b")}
			for _, dir := range dirs {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					if err := i.populate(t.Context(), dir); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, dir := range dirs {
				if _, err := os.Stat(filepath.Join(dir, dataName, "mysql")); err != nil {
					t.Error(err)
				}
				// Every copy must make up a server_uuid of its own.
				if _, err := os.Stat(filepath.Join(dir, dataName, "auto.cnf")); !os.IsNotExist(err) {
					t.Errorf("the template has an identity: %v", err)
				}
			}
			name, err := i.templateName()
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(i.cache)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Name() != name && e.Name() != f.String()+".lock" {
					t.Errorf("%s is left in the cache", e.Name())
				}
			}
		})
	}
}
