package redisstore

import "time"

// tidyAll has every service tidied after Redis's clock was set back: also those
// that nobody reads or writes, which the catalog would name for as long.
func (s *Store) collectAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.collecting {
		return
	}
	s.collecting = true
	s.loops.Add(1)
	go func() {
		defer s.loops.Done()
		names := s.allNames()
		s.mu.Lock()
		s.collecting = false
		s.mu.Unlock()
		for _, name := range names {
			s.collect(name)
		}
	}()
}

// allNames reads the catalog, what ended included, and tries for a while.
func (s *Store) allNames() []string {
	tryUntil := time.Now().Add(defaultCallTimeout)
	for try := 0; ; try++ {
		ctx, cancel := s.requestContext()
		names, err := s.client.ZRange(ctx, s.keys.catalog, 0, -1).Result()
		cancel()
		if err == nil || !s.pauseBeforeRetry(s.ctx, tryUntil, try) {
			return names
		}
	}
}
