package health

import (
	"context"
	"net"
)

// probeTCP makes a connection and closes it.
func probeTCP(ctx context.Context, target Target) Result {
	address := target.Endpoint
	if address == "" {
		address = target.Instance.HostPort()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return Critical("TCP: " + cause(err))
	}
	_ = conn.Close() // nothing was sent
	return Passing("TCP connection accepted")
}
