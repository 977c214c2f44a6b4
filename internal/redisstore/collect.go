package redisstore

import "time"

// collectAll collects every service after Redis's clock was set back. Services that
// are neither read nor written would otherwise stay in the catalog for as long.
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

// allNames reads the names in the catalog, also those of services whose instances
// ended. It retries until defaultCallTimeout.
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

// collect sends the script that removes what has expired from a service, and clamps its
// leases. It does not wait for the answer.
func (s *Store) collect(service string) {
	c := &call{script: collectScript, keys: s.keys.ofService(service), args: []any{s.cfg.Owner, s.nextSeq(), service, 0},
		deadlineArg: 3, service: service}
	if !s.oneSlot() {
		c.keys = append(c.keys, s.keys.catalog)
	}
	s.sendWithoutWaiting(c)
}
