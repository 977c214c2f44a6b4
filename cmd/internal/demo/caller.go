package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

const (
	callInterval = 80 * time.Millisecond
	callTimeout  = 500 * time.Millisecond
)

// watchService gives the board each state that the watch yields, until ctx ends.
func watchService(ctx context.Context, watcher registry.Watcher, b *board) {
	for s := range watcher.Watch(ctx, service) {
		b.snapshot(s)
	}
}

// callInTurn calls the instances that the watch lists, one after the other, until
// ctx ends.
func callInTurn(ctx context.Context, b *board) {
	// A connection per call, so that each call shows whether the server runs.
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: callTimeout}
	for turn := 0; pause(ctx, callInterval) == nil; turn++ {
		listed := b.listed()
		if len(listed) == 0 {
			continue
		}
		instance := listed[turn%len(listed)]
		answer, err := call(ctx, client, instance)
		if ctx.Err() == nil {
			b.call(instance.ID, answer, err)
		}
	}
}

// call makes one request and checks that the right server answers it.
func call(ctx context.Context, client *http.Client, instance registry.ServiceInfo) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+instance.HostPort()+"/", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return "", err
	}
	answer := strings.TrimSpace(string(body))
	if answer != greeting(instance.ID) {
		return "", fmt.Errorf("another server answers: %q", answer)
	}
	return answer, nil
}

// shortReason says in a few words why a call failed.
func shortReason(err error) string {
	var errno syscall.Errno
	var netErr net.Error
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &netErr) && netErr.Timeout():
		return "no answer within " + callTimeout.String()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	default:
		return err.Error()
	}
}
