package redistest

import (
	"errors"
	"sync"
)

// inParallel calls work for 0 to n-1 at once, waits for all and returns their
// results in order. If one fails, the servers of the others are closed.
func inParallel(n int, work func(i int) (*Server, error)) ([]*Server, error) {
	servers, errs := make([]*Server, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { servers[i], errs[i] = work(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		closeAll(servers)
		return nil, err
	}
	return servers, nil
}

func closeAll(servers []*Server) {
	for _, s := range servers {
		if s != nil {
			s.close()
		}
	}
}
