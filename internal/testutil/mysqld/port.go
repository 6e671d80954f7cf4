package mysqld

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
)

// lowestPort is well above the ports that services are known by.
const lowestPort = 15000

// ports are those that this process has handed out: a stopped server's port is not
// listened on, and yet it is taken.
var ports struct {
	sync.Mutex
	taken map[int]bool
}

// freePort finds a TCP port of 127.0.0.1 that nobody listens on. It stays below the
// range that the kernel takes the ports of outgoing connections from: those would be
// taken at any time while the server is down, and a client that keeps dialing such a
// port of its own machine even ends up connected to itself.
func freePort() (int, error) {
	highest := ephemeral()
	for range 200 {
		port := lowestPort + rand.IntN(highest-lowestPort)
		if reserve(port) {
			if available(port) {
				return port, nil
			}
			release(port)
		}
	}
	return 0, fmt.Errorf("mysqld: no free port between %d and %d", lowestPort, highest)
}

// ephemeral is the lower end of the range of outgoing connections' ports.
func ephemeral() int {
	var low int
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(text), &low); err == nil && low > lowestPort+1000 {
			return low
		}
	}
	return 32768 // Linux's default; others begin at 49152
}

func reserve(port int) bool {
	ports.Lock()
	defer ports.Unlock()
	if ports.taken[port] {
		return false
	}
	if ports.taken == nil {
		ports.taken = make(map[int]bool)
	}
	ports.taken[port] = true
	return true
}

func release(port int) {
	ports.Lock()
	defer ports.Unlock()
	delete(ports.taken, port)
}

// available reports whether nobody listens on the port.
func available(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(localhost, strconv.Itoa(port))) //nolint:noctx // ends at once
	if err != nil {
		return false
	}
	return l.Close() == nil
}
