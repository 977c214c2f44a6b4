// Package freeport hands out TCP ports for tests that must listen again on the
// same port after they stopped. Linux only.
package freeport

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Ports lie below the range from which the kernel takes the local ports of
// outgoing connections, so that nothing takes one while its server is down.
// A Cluster node's bus listens BusOffset above its port, below that range too.
const (
	first     = 10240
	count     = 10000
	BusOffset = 10000
)

// Reserve returns a port that is free on 127.0.0.1 and that no other caller of
// Reserve on this machine is given until release is closed or this process ends.
func Reserve() (port int, release io.Closer, err error) {
	for range 200 {
		port := first + rand.IntN(count)
		// An abstract socket is a lock that the kernel drops with the process.
		lock, err := net.Listen("unix", fmt.Sprintf("@rollcall-test-port-%d", port))
		if err != nil {
			continue
		}
		if free(port) && free(port+BusOffset) {
			return port, lock, nil
		}
		lock.Close()
	}
	return 0, nil, errors.New("no free port found on 127.0.0.1; end what listens between " +
		strconv.Itoa(first) + " and " + strconv.Itoa(first+count))
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	StopListening(l.(*net.TCPListener))
	return true
}

// StopListening closes l so that the kernel refuses the next connection, and so that
// its port can be listened on again. Close alone does not: a process that is being
// started holds a copy of the descriptor, and with it the listening socket, until the
// kernel has closed the copy in its exec.
func StopListening(l *net.TCPListener) {
	if raw, err := l.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
	}
	l.Close()
}
