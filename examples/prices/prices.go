// Package prices is a part of a program, a service and its client, to show how
// such a part is tested: see its tests. It knows the registry only through
// parameters, so that tests can hand it a backend in memory, or one that fails
// when they want it to.
package prices

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/rollcall-sd/rollcall/balance"
	"github.com/rollcall-sd/rollcall/registry"
)

// Service is the name that the service is registered under.
const Service = "prices"

// Serve offers a price list until ctx ends or another instance takes this ID.
func Serve(ctx context.Context, backend registry.Backend, id string, l net.Listener, list map[string]int) error {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		price, ok := list[r.URL.Path[1:]]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, price)
	})}
	return registry.Serve(ctx, backend, registry.ServiceInfo{ID: id, Name: Service}, l, server.Serve, server.Shutdown)
}

// Client asks the service.
type Client struct {
	transport *balance.Transport
	http      http.Client
}

// NewClient returns a client, to be closed before the registry.
func NewClient(watcher registry.Watcher) (*Client, error) {
	t, err := balance.NewTransport(watcher)
	if err != nil {
		return nil, err
	}
	return &Client{transport: t, http: http.Client{Transport: t}}, nil
}

// Price returns the price of an item.
func (c *Client) Price(ctx context.Context, item string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Service+"/"+item, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("price of %q: %w", item, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("price of %q: %s", item, resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("price of %q: %w", item, err)
	}
	return strconv.Atoi(string(text))
}

// Close ends the client.
func (c *Client) Close() error { return c.transport.Close() }
