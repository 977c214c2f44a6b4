package measure

import (
	"sync"
	"time"
)

// Together does an operation n times with workers goroutines, each of which
// goes on with the next as soon as it is done with one. worker is 0 to workers-1.
func Together(n, workers int, op func(worker, i int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				op(w, i)
			}
		})
	}
	wg.Wait()
}

// Concurrent makes a Variant of an operation done by workers goroutines at a
// time. Its time of one operation is the elapsed time by the number of operations.
func Concurrent(name string, workers int, op func(worker, i int)) Variant {
	return Variant{Name: name, Operations: workers, Run: func(n int) time.Duration {
		start := time.Now()
		Together(n*workers, workers, op)
		return time.Since(start)
	}}
}
