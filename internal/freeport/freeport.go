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
	return l.Close() == nil
}
