package registry_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

// serveAndFollow is the code of README.md's first screen.
func serveAndFollow(ctx context.Context, url string, listener net.Listener, handler http.Handler, route func([]registry.ServiceInfo)) error {
	backend, err := registry.Open(ctx, url) // "redis://localhost:6379", or "local:" in a test
	if err != nil {
		return err
	}
	defer backend.Close()
	go func() {
		for api := range backend.Watch(ctx, "api") { // now, and after each change, until ctx ends
			route(api.Instances)
		}
	}()
	server := &http.Server{Handler: handler}
	return registry.Serve(ctx, backend, registry.ServiceInfo{Name: "api"}, listener, server.Serve, server.Shutdown)
}

// A server that registers, follows all instances of its service, and leaves
// before it stops.
func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		slog.Error("listen", "error", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = serveAndFollow(ctx, "local:", listener, http.NotFoundHandler(), func(instances []registry.ServiceInfo) {
		if len(instances) == 1 { // the state before it had joined is yielded, too
			fmt.Println("listed at the listener's address:", instances[0].HostPort() == listener.Addr().String())
			cancel()
		}
	})
	fmt.Println("left, then stopped:", err)
	// Output:
	// listed at the listener's address: true
	// left, then stopped: <nil>
}

// README.md shows code that compiles: serveAndFollow, line by line.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```go\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md has no block of Go")
	}
	source, err := os.ReadFile("example_readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	indented := "\t" + strings.ReplaceAll(strings.TrimSuffix(code, "\n"), "\n", "\n\t") + "\n}\n"
	if !strings.Contains(string(source), indented) {
		t.Errorf("README.md's first block of Go is not the body of serveAndFollow:\n%s", code)
	}
}
