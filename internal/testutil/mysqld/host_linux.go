package mysqld

import (
	"os"
	"syscall"
)

// attributes makes a child the leader of a process group that is killed when the thread
// that started it ends; root is what it sees as /, "" for the machine's own.
func attributes(root string) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Chroot: root}
}

// signal sends a signal to the child's whole process group. That it is gone already is
// no failure.
func signal(p *os.Process, s syscall.Signal) {
	_ = syscall.Kill(-p.Pid, s)
}

// lock takes the file's lock, which ends with the process or with the file. Without
// wait, false means that somebody else has it.
func lock(f *os.File, exclusive, wait bool) (bool, error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch err {
		case nil:
			return true, nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return false, nil
		default:
			return false, os.NewSyscallError("flock", err)
		}
	}
}
