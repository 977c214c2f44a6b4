package deploytest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

const (
	// callers is how many requests a client has under way at a time, and pace
	// how often each sends one.
	callers = 2
	pace    = 20 * time.Millisecond
	// callTimeout is far more than a request may take.
	callTimeout = 15 * time.Second
	// maxErrors bounds how many errors a client describes.
	maxErrors = 5
)

// counts is what a client counted.
type counts struct {
	Requests, Failed int
	Errors           []string
}

// runClient sends requests until its standard input ends, and prints its counts.
func runClient(kind Kind, t task) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	backend, err := registry.Open(ctx, t.URL)
	if err != nil {
		return err
	}
	defer backend.Close()
	call, end, err := kind.Client(backend, t.Service)
	if err != nil {
		return err
	}
	defer end()
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(over)
	}()

	var sum counts
	var mu sync.Mutex
	var number atomic.Int64
	number.Store(int64(t.First))
	send := func() {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		begun := time.Now()
		err := call(ctx, int(number.Add(1)))
		mu.Lock()
		defer mu.Unlock()
		sum.Requests++
		if err == nil {
			return
		}
		sum.Failed++
		if len(sum.Errors) < maxErrors {
			sum.Errors = append(sum.Errors, fmt.Sprintf("%s, begun %s before: %v", time.Now().Format("05.000"), time.Since(begun).Round(time.Millisecond), err))
		}
	}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for {
				select {
				case <-over:
					return
				case <-tick.C:
					send()
				}
			}
		})
	}
	all.Wait()
	text, err := json.Marshal(sum)
	fmt.Println(lineResult + string(text))
	return err
}
