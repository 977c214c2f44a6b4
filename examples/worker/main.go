// Command worker does the work of one shard while it is the oldest of the
// shard's workers. The others stand by, and the next oldest takes over when it
// leaves or dies.
//
//	go run ./examples/worker -registry redis://localhost:6379 -shard 7
//
// This is not a lock. Two workers may lead for a short time, for example when a
// leader was frozen for longer than its TTL and then continues. So the work must be
// safe to do twice, or its target must compare the leaders' RegisteredAt, which
// grows from one leader to the next, and refuse an older one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func main() {
	url := flag.String("registry", "redis://localhost:6379", "the registry")
	shard := flag.String("shard", "1", "whose work to do")
	id := flag.String("id", "", "ID of this worker; generated if empty")
	address := flag.String("address", "127.0.0.1", "where this worker runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url, *shard, *id, *address); err != nil {
		slog.Error("worker", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, shard, id, address string) error {
	backend, err := registry.Open(ctx, url)
	if err != nil {
		return err
	}
	defer backend.Close()
	// A worker is not called; the port is there because every instance has one.
	worker := registry.ServiceInfo{ID: id, Name: "worker-of-shard-" + shard, Address: address, Port: 1}
	m, err := registry.Join(ctx, backend, worker)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-m.Lost(): // superseded or deregistered by another
			cancel(m.Err())
		case <-ctx.Done():
		}
	}()

	var leading leadership
	for workers := range backend.Watch(ctx, worker.Name) {
		switch {
		case workers.Stale != nil:
			// Disconnected: others take over when this lease has ended.
			leading.end("cannot see the registry")
		case len(workers.Instances) > 0 && workers.Instances[0].ID == m.ID():
			leading.begin(ctx, shard)
		case len(workers.Instances) > 0:
			leading.end(workers.Instances[0].ID + " leads")
		}
	}
	leading.end("asked to stop")
	// The work has ended: let the next one begin.
	leaving, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	err = m.Leave(leaving)
	if cause := context.Cause(ctx); errors.Is(cause, registry.ErrSuperseded) || errors.Is(cause, registry.ErrDeregistered) {
		err = errors.Join(cause, err)
	}
	return err
}

// leadership runs the work while this worker leads.
type leadership struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	said   string
}

func (l *leadership) begin(ctx context.Context, shard string) {
	if l.cancel != nil {
		return
	}
	l.say("leads shard " + shard)
	ctx, l.cancel = context.WithCancel(ctx)
	l.work.Go(func() { work(ctx) })
}

// end returns once all work has ended.
func (l *leadership) end(why string) {
	if l.cancel != nil {
		l.cancel()
		l.work.Wait()
		l.cancel = nil
	}
	l.say("stands by: " + why)
}

func (l *leadership) say(text string) {
	if text != l.said {
		l.said = text
		fmt.Println(text)
	}
}

// work stands for what is done for the shard, until ctx ends.
func work(ctx context.Context) {
	fmt.Println("at work")
	<-ctx.Done()
}
