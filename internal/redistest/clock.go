package redistest

import (
	"cmp"
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// clockSource is a library that shifts the wall clock of the server into which it is
// preloaded. libfaketime cannot be used: it allocates memory when it is first called,
// and the allocator of the server then reads the clock again.
//
//go:embed testdata/clock.c
var clockSource []byte

// clockLibrary compiles clockSource once per process and returns the library's content.
var clockLibrary = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", dirPattern)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		return nil, err
	}
	compiler := cmp.Or(os.Getenv("CC"), "gcc")
	out, err := exec.Command(compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("stepping a server's clock needs a C compiler: run `make setup`: %s: %w\n%s", compiler, err, out)
	}
	return os.ReadFile(library)
})

// clock is the file from which a server knows by how much its wall clock is off.
type clock struct {
	library string
	file    string
	mu      sync.Mutex
	offset  time.Duration
}

func newClock(dir string) (*clock, error) {
	c := &clock{library: filepath.Join(dir, "clock.so"), file: filepath.Join(dir, "clock")}
	library, err := clockLibrary()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.library, library, 0o700); err != nil {
		return nil, err
	}
	return c, c.write()
}

func (c *clock) env() []string {
	return []string{"LD_PRELOAD=" + c.library, "CLOCK_OFFSET_FILE=" + c.file}
}

// write changes the file in place, as the server has it mapped.
func (c *clock) write() error {
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var offset [8]byte
	binary.NativeEndian.PutUint64(offset[:], uint64(c.offset.Nanoseconds()))
	_, err = f.Write(offset[:])
	return err
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
		s.t.Fatalf("stepping the clock of server %s: %v", s.Addr(), err)
	}
}
