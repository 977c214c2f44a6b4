package redistest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// clock is what libfaketime reads to know by how much a server's wall clock is off.
type clock struct {
	library string
	file    string
	mu      sync.Mutex
	offset  time.Duration
}

func newClock(dir string) (*clock, error) {
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("stepping Redis's clock needs libfaketime and found none: run `make setup`")
	}
	c := &clock{library: found[0], file: filepath.Join(dir, "clock")}
	return c, c.write()
}

func (c *clock) env() []string {
	return []string{
		// libc goes before the jemalloc that redis-server is linked with: jemalloc
		// reads the time in its first allocation, which libfaketime makes.
		"LD_PRELOAD=" + c.library + ":libc.so.6",
		"FAKETIME_TIMESTAMP_FILE=" + c.file,
		"FAKETIME_NO_CACHE=1",
		"DONT_FAKE_MONOTONIC=1",
	}
}

// forget removes the names of the shared memory that libfaketime leaves behind
// when its process is killed; the process goes on using it.
func (c *clock) forget(pid int) {
	for _, name := range []string{"faketime_shm_", "sem.faketime_sem_"} {
		_ = os.Remove("/dev/shm/" + name + strconv.Itoa(pid))
	}
}

// write replaces the file in one step, as the server may read it at any time.
func (c *clock) write() error {
	next := c.file + ".next"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+.6f\n", c.offset.Seconds()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, c.file)
}

// StepClock steps the server's wall clock by d, forwards or back, from where it
// stands; steps add up and outlive a Restart. It needs WithFakeTime.
func (s *Server) StepClock(d time.Duration) {
	s.t.Helper()
	if s.clock == nil {
		s.t.Fatal("StepClock needs a server started WithFakeTime")
	}
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	s.clock.offset += d
	if err := s.clock.write(); err != nil {
		s.t.Fatalf("stepping the clock of redis-server %s: %v", s.Addr(), err)
	}
}
