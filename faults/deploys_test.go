package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/balance"
	"github.com/rollcall-sd/rollcall/internal/deploytest"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Two HTTP servers are restarted in turn repeatedly while eight client processes call them: by GET and by POST, on kept-alive
// connections and on new ones.
//
// Leave and Serve drain, deregister, then stop: no request fails, although no client
// sleeps. The test also reports the failures when servers end in other ways.
func TestDeploysOverHTTP(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for _, plan := range deploytest.Ways(server.URL()) {
		r, err := deploytest.Run(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("count: HTTP deploys, %s: %d of %d requests failed in %d restarts", plan.Way, r.Failed, r.Requests, r.Restarts)
		figure(t, fmt.Sprintf("HTTP deploys, %s: a server's end on average", plan.Way), r.Stop)
		if plan.Way == deploytest.Leave && r.Failed > 0 {
			t.Errorf("%d of %d requests failed, for one:\n%s", r.Failed, r.Requests, strings.Join(r.Errors, "\n"))
		}
	}
}

// deployed is the protocol of these deploys.
var deployed = deploytest.Kind{Server: httpServer, Client: httpClient}

func httpServer(work func(n int)) deploytest.Server {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, err := io.ReadAll(req.Body)
		if req.Method == http.MethodGet {
			text = []byte(strings.TrimPrefix(req.URL.Path, "/"))
		}
		n, bad := strconv.Atoi(string(text))
		if err := errors.Join(err, bad); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		work(n)
		fmt.Fprint(w, n)
	})}
	serve := func(l net.Listener) error { return server.Serve(l) }
	return deploytest.Server{Serve: serve, Shutdown: server.Shutdown}
}

func httpClient(watcher registry.Watcher, service string) (func(context.Context, int) error, func(), error) {
	transport, err := balance.NewTransport(watcher)
	if err != nil {
		return nil, nil, err
	}
	client := &http.Client{Transport: transport}
	call := func(ctx context.Context, n int) error {
		number := strconv.Itoa(n)
		method, path, body := http.MethodGet, number, io.Reader(nil)
		if n%2 == 0 { // may not be repeated
			method, path, body = http.MethodPost, "", strings.NewReader(number)
		}
		req, err := http.NewRequestWithContext(ctx, method, "http://"+service+"/"+path, body)
		if err != nil {
			return err
		}
		req.Close = n%7 == 0
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || string(answer) != number) {
			err = fmt.Errorf("%s: %q, want %q", resp.Status, answer, number)
		}
		return err
	}
	return call, func() { transport.Close() }, nil
}
