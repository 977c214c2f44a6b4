package redisstore

import "time"

// tidyAll has every service tidied after Redis's clock was set back: also those
// that nobody reads or writes, which the catalog would name for as long.
func (s *Store) tidyAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.tidies {
		return
	}
	s.tidies = true
	s.loops.Add(1)
	go func() {
		defer s.loops.Done()
		names := s.allNames()
		s.mu.Lock()
		s.tidies = false
		s.mu.Unlock()
		for _, name := range names {
			s.tidy(name)
		}
	}()
}

// allNames reads the catalog, what ended included, and tries for a while.
func (s *Store) allNames() []string {
	give := time.Now().Add(patience)
	for try := 0; ; try++ {
		ctx, cancel := s.request()
		names, err := s.client.ZRange(ctx, s.keys.names, 0, -1).Result()
		cancel()
		if err == nil || !s.pause(s.ctx, give, try) {
			return names
		}
	}
}
