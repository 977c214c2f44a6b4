package daemon

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"

	"github.com/rollcall-sd/rollcall/registry"
)

// nodeID derives a UUID from the node's name, so that it is the same after a restart.
func nodeID(name string) string {
	sum := sha256.Sum256([]byte("rollcall node " + name))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: made by a rule of one's own
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

func nodeName(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("node: the host has no name; give one: %w", err)
	}
	return name, nil
}

// advertised returns the address of the node and the port of the listener.
func advertised(configured string, listener net.Addr) (host string, port int, err error) {
	host, port, err = registry.AdvertiseAddr(listener)
	if configured != "" {
		return configured, port, nil
	}
	return host, port, err
}
