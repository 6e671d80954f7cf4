package mysqld

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A workspace is the directory of one instance. Its file ownerName is locked for as
// long as the process that made it lives, which is how other processes know what they
// may remove.
type workspace struct {
	dir   string
	owner *os.File
}

const ownerName = "owner"

func workspacePattern() string { return fmt.Sprintf("failoverproxy-%d-", os.Getuid()) }

// swept holds the directories that this process has cleared of what others left.
var swept sync.Map

func (i installation) newWorkspace() (*workspace, error) {
	if _, done := swept.LoadOrStore(i.work, true); !done {
		sweep(i.work)
	}
	dir, err := os.MkdirTemp(i.work, workspacePattern())
	if err != nil {
		return nil, fmt.Errorf("mysqld: %w", err)
	}
	w := &workspace{dir: dir}
	if err := w.own(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("mysqld: %w", err)
	}
	return w, nil
}

// own makes the locked file. It gets its name only once it is locked: somebody who
// sweeps meanwhile must not take the directory for one without an owner.
func (w *workspace) own() error {
	f, err := os.CreateTemp(w.dir, ownerName)
	if err != nil {
		return err
	}
	if _, err = lock(f, true, false); err == nil {
		err = os.Rename(f.Name(), filepath.Join(w.dir, ownerName))
	}
	if err != nil {
		f.Close()
		return err
	}
	w.owner = f
	return nil
}

func (w *workspace) remove() error {
	err := os.RemoveAll(w.dir)
	w.owner.Close()
	return err
}

// sweep removes the workspaces of processes that have died without doing so.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, workspacePattern()+"*"))
	for _, dir := range dirs {
		if orphaned(dir) {
			os.RemoveAll(dir)
		}
	}
}

func orphaned(dir string) bool {
	f, err := os.Open(filepath.Join(dir, ownerName))
	if err != nil {
		// Its maker died before it owned it, or is just about to.
		info, err := os.Stat(dir)
		return err == nil && info.IsDir() && time.Since(info.ModTime()) > time.Hour
	}
	defer f.Close()
	free, err := lock(f, true, false)
	return err == nil && free
}
