package aurorasim

import (
	"net"
	"os"
	"strconv"
	"syscall"
)

// reservePort binds host:port (0 = a free one) without listening: connects are
// refused, a listener may bind the same address beside it (both have SO_REUSEADDR),
// and while there is none nobody else gets the port. A connect from this machine
// could otherwise be given it as its own, local port.
func reservePort(host string, port int) (address string, release func(), err error) {
	fd, err := bind(host, port)
	if err != nil {
		return "", nil, err
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		_ = syscall.Close(fd)
		return "", nil, os.NewSyscallError("getsockname", err)
	}
	bound := sa.(*syscall.SockaddrInet4).Port
	return net.JoinHostPort(host, strconv.Itoa(bound)), func() { _ = syscall.Close(fd) }, nil
}

// listenBacklog listens with the shortest backlog and accepts nothing.
func listenBacklog(address string) (stop func(), err error) {
	tcp, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	fd, err := bind(tcp.IP.String(), tcp.Port)
	if err != nil {
		return nil, err
	}
	if err := syscall.Listen(fd, 0); err != nil {
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	return func() { _ = syscall.Close(fd) }, nil
}

func bind(host string, port int) (fd int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	sa := &syscall.SockaddrInet4{Port: port}
	copy(sa.Addr[:], net.ParseIP(host).To4())
	err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	if err == nil {
		err = os.NewSyscallError("bind "+net.JoinHostPort(host, strconv.Itoa(port)), syscall.Bind(fd, sa))
	}
	if err != nil {
		_ = syscall.Close(fd)
		return 0, err
	}
	return fd, nil
}
