//go:build !linux

package mysqld

import (
	"os"
	"syscall"
)

// attributes has nothing to offer where there is no parent-death signal; a root is
// refused by chroot's absence: MySQL is used with FAILOVERPROXY_MYSQL_ROOT=/ here.
func attributes(string) *syscall.SysProcAttr { return nil }

func signal(p *os.Process, s syscall.Signal) {
	if p.Signal(s) != nil { // Windows knows only Kill
		_ = p.Kill()
	}
}

// lock claims to have the lock only where that harms nobody: waiting for a template's
// turn. Whether a directory's owner is alive cannot be told, so none is ever removed.
func lock(_ *os.File, _, wait bool) (bool, error) { return wait, nil }
