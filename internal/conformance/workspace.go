package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	libraryPath = "github.com/failoverproxy/failoverproxy"
	// workspacePath is a module path that no proxy can ever serve.
	workspacePath = "conformance.invalid/workspace"
	// asMySQLPath is the package in a workspace that registers our driver as "mysql".
	asMySQLPath = workspacePath + "/asmysql"
)

// asMySQL is the text of the package. Two drivers of one name panic, so a binary whose
// wrapped driver was not renamed does not come up.
const asMySQL = `package asmysql

import (
	"database/sql"

	"` + libraryPath + `/driver"
)

func init() { sql.Register("mysql", driver.Driver{}) }
`

// workspace is a directory with a copy of a suite and a go.mod to build it with.
type workspace struct {
	suite  Suite
	dir    string
	copied string // directory of the suite's module
}

// newWorkspace fills the empty directory dir. The working directory is this package's.
func newWorkspace(ctx context.Context, s Suite, dir string) (*workspace, error) {
	w := &workspace{suite: s, dir: dir, copied: filepath.Join(dir, "suite")}
	source, err := download(ctx, s.Module)
	if err != nil {
		return nil, err
	}
	if err := copyTree(w.copied, source); err != nil {
		return nil, err
	}
	if err := w.writeModule(ctx); err != nil {
		return nil, err
	}
	return w, w.patch(s.Patches)
}

// download returns the directory of a module's pinned version in the module cache.
func download(ctx context.Context, module string) (string, error) {
	out, err := output(goCommand(ctx, ".", "mod", "download", "-json", module))
	if err != nil {
		return "", err
	}
	var m struct{ Dir, Error string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", fmt.Errorf("go mod download -json %s: %w", module, err)
	}
	if m.Error != "" || m.Dir == "" {
		return "", fmt.Errorf("go mod download %s: %q, %s", module, m.Dir, m.Error)
	}
	return m.Dir, nil
}

// copyTree copies files, which the module cache has read-only, to be patched.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// writeModule derives the workspace's go.mod and go.sum from ours: the same versions, and
// so the same sums, for every suite, which share the build cache by that.
func (w *workspace) writeModule(ctx context.Context) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o644); err != nil {
			return err
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	_, err = output(goCommand(ctx, w.dir, "mod", "edit", "-module="+workspacePath,
		"-replace="+libraryPath+"="+root, "-replace="+w.suite.Module+"="+w.copied))
	if err != nil {
		return err
	}
	dir := filepath.Join(w.dir, filepath.Base(asMySQLPath))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "asmysql.go"), []byte(asMySQL), 0o644)
}

// patch applies all patches or says which one does not fit.
func (w *workspace) patch(patches []Patch) error {
	for _, p := range patches {
		name := filepath.Join(w.copied, p.File)
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("%s: a patch does not fit: %w", w.suite.Name, err)
		}
		want := max(p.Count, 1)
		if n := bytes.Count(text, []byte(p.Old)); n != want {
			return fmt.Errorf("%s: a patch does not fit: %q is %d times in %s, not %d times", w.suite.Name, p.Old, n, p.File, want)
		}
		text = bytes.ReplaceAll(text, []byte(p.Old), []byte(p.New))
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// swap puts our driver into the suite's place of the plain one.
func (w *workspace) swap() error {
	if len(w.suite.Added) == 0 {
		return fmt.Errorf("%s: nothing imports our driver", w.suite.Name)
	}
	for name, text := range w.suite.Added {
		name = filepath.Join(w.copied, name)
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s: the suite has a file %s of its own", w.suite.Name, name)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return w.patch(w.suite.Swap)
}

// build builds the suite's test binary and returns its path.
func (w *workspace) build(ctx context.Context, d driverKind) (string, error) {
	binary := filepath.Join(w.dir, d.String()+".test")
	args := []string{"test", "-c", "-o", binary, "-tags", w.suite.Tags}
	if d == ours && w.suite.AsMySQL {
		args = append(args, "-ldflags=-X github.com/go-sql-driver/mysql.driverName=plain")
	}
	_, err := output(goCommand(ctx, w.dir, append(args, w.suite.path())...))
	return binary, err
}

// goCommand is a go command that works the same everywhere: no flags from the
// environment, no workspace of the user's, and no cgo, without which the suites' SQLite
// drivers, not used here, are stubs instead of minutes of compiling C.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	return cmd
}

func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		// With -json, go says what is wrong in its output.
		why := strings.TrimSpace(stderr.String() + "\n" + string(out))
		return nil, errors.Join(fmt.Errorf("%s: %w", cmd, err), errors.New(why))
	}
	return out, nil
}
