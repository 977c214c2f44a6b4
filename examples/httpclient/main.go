// Command httpclient calls the service of httpserver by its name, on the
// current instances.
//
//	go run ./examples/httpclient -registry redis://localhost:6379 Ann Bob
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/rollcall-sd/rollcall/balance"
	"github.com/rollcall-sd/rollcall/registry"
)

func main() {
	url := flag.String("registry", "redis://localhost:6379", "the registry")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url, flag.Args()); err != nil {
		slog.Error("call the hello service", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, registryURL string, names []string) error {
	backend, err := registry.Open(ctx, registryURL)
	if err != nil {
		return err
	}
	defer backend.Close()
	// Without an instance, a call waits this long for one.
	transport, err := balance.NewTransport(backend, balance.WithWait(5*time.Second))
	if err != nil {
		return err
	}
	defer transport.Close()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for _, name := range names {
		answer, err := get(ctx, client, "http://hello/"+url.PathEscape(name))
		if err != nil {
			return err
		}
		fmt.Println(answer)
	}
	return nil
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", url, resp.Status, text)
	}
	return string(text), err
}
