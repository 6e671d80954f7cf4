//go:build !linux

package aurorasim

import (
	"context"
	"errors"
	"net"
	"strconv"
)

// reservePort finds a free port. Nothing keeps it while an instance refuses.
func reservePort(host string, port int) (address string, release func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() {}, l.Close()
}

// listenBacklog is not to be had: what a full backlog does differs.
func listenBacklog(string) (stop func(), err error) { return nil, errors.ErrUnsupported }
