package balance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/rollcall-sd/rollcall/balance"
	"github.com/rollcall-sd/rollcall/registry"
)

// startServer starts an HTTP server that says hello, and registers it.
func startServer(backend registry.Backend, service string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s", r.Host)
	}))
	addr := netip.MustParseAddrPort(server.Listener.Addr().String())
	err := backend.Register(context.Background(), registry.ServiceInfo{
		Name: service, Address: addr.Addr().String(), Port: int(addr.Port()),
	})
	if err != nil {
		slog.Error("register", "error", err)
	}
	return server
}

// An HTTP client that calls services by name.
func Example() {
	backend := registry.NewLocalRegistry() // or registry.Open(ctx, "redis://localhost:6379")
	defer backend.Close()
	defer startServer(backend, "api-service").Close()

	transport, err := balance.NewTransport(backend)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer transport.Close()
	client := &http.Client{Transport: transport}

	resp, err := client.Get("http://api-service/users/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	fmt.Println(string(text), err)
	// Output: hello from api-service <nil>
}

// For anything but HTTP: pick, call, say how it went.
func ExampleBalancer() {
	ctx := context.Background()
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	for _, s := range []registry.ServiceInfo{
		{ID: "db-1", Name: "db", Version: "1.4.2", Address: "10.0.0.5", Port: 5432},
		{ID: "db-2", Name: "db", Version: "2.0.0", Address: "10.0.0.6", Port: 5432},
	} {
		if err := backend.Register(ctx, s); err != nil {
			fmt.Println(err)
			return
		}
	}

	db, err := balance.New(backend, "db", balance.WithVersion("^1.2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	call := func(address string) error {
		fmt.Println("calling", address)
		return nil
	}
	picked, err := db.Pick(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	picked.Done(call(picked.HostPort()))
	// Output: calling 10.0.0.5:5432
}

// A further try goes to another instance.
func ExampleBalancer_PickExcept() {
	ctx := context.Background()
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	for _, address := range []string{"10.0.0.5", "10.0.0.6"} {
		if err := backend.Register(ctx, registry.ServiceInfo{Name: "db", Address: address, Port: 5432}); err != nil {
			fmt.Println(err)
			return
		}
	}
	db, err := balance.New(backend, "db")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	call := func(string) error { return errors.New("connection lost") }
	var tried []balance.Picked
	for {
		picked, err := db.PickExcept(ctx, tried...)
		if err != nil {
			fmt.Println(len(tried), "tried; none is left:", errors.Is(err, balance.ErrNoInstances))
			return
		}
		err = call(picked.HostPort())
		picked.Done(err)
		if err == nil {
			return
		}
		tried = append(tried, picked)
	}
	// Output: 2 tried; none is left: true
}

// What cannot be right fails at once, not at the first call.
func ExampleNew_badSelector() {
	_, err := balance.New(registry.NewLocalRegistry(), "api", balance.WithVersion("^one"))
	fmt.Println(errors.Is(err, registry.ErrInvalidConfig))
	// Output: true
}
