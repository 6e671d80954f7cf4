package aurorasim

import (
	"net"
	"testing"
)

// LoopbackPort returns a port that nobody has on 127.0.0.11, for a cluster with Loopback. Where
// that address is not local the test is skipped.
func LoopbackPort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.11:0")
	if err != nil {
		tb.Skipf("127.0.0.11 cannot be used here: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
