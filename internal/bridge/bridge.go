// Package bridge lets the module's other packages reach what package registry
// keeps private, without making it public.
package bridge

import (
	"context"
	"io"
	"net"
)

// Supersede tells the membership of id, held through backend (a
// registry.Backend or anything that embeds one), that a newer owner took over
// its ID: its heartbeat stops, Lost is closed and Err matches ErrSuperseded,
// just as if another process had registered the ID. What the backend holds
// stays as it is. It reports whether backend held a live registration of id.
//
// Package registry sets it when it is initialized.
var Supersede func(backend any, id string) bool

// Dial returns a client (a *redisclient.Client) of the server that config (a
// registry.RedisRegistryConfig without a Client) names, on the connections that a
// registry would make. It connects when first used. The caller closes it.
//
// Package registry sets it when it is initialized.
var Dial func(config any) (client io.Closer, err error)

// Open opens the registry.Backend of config, a registry.RedisRegistryConfig without a
// Client, on connections that dial makes.
//
// Package registry sets it when it is initialized.
var Open func(ctx context.Context, config any, dial func(ctx context.Context, addr string) (*net.TCPConn, error)) (backend any, err error)

// Conform runs the conformance suite in a program, not under go test, and calls done
// with the failures of each check. The harness is a registrytest.Harness.
//
// Package registrytest sets it when it is initialized.
var Conform func(ctx context.Context, harness any, done func(check string, failures []string)) error
