package redistest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// topologyTimeout bounds the waits for several servers to agree on something.
const topologyTimeout = 30 * time.Second

// NewReplica starts a replica of primary, with primary's options and those
// given, and waits until it is in sync.
func NewReplica(t testing.TB, primary *Server, opts ...Option) *Server {
	t.Helper()
	r, err := startReplica(primary, opts...)
	if err != nil {
		t.Fatal(err)
	}
	r.attach(t)
	return r
}

func startReplica(primary *Server, opts ...Option) (*Server, error) {
	same := func(o *options) { *o = primary.opts.clone() }
	opts = append([]Option{same, withConf(fmt.Sprintf("replicaof 127.0.0.1 %d", primary.port))}, opts...)
	r, err := start(opts...)
	if err != nil {
		return nil, err
	}
	if err := within(topologyTimeout, func(context.Context) error { return r.checkInSync() }); err != nil {
		r.close()
		return nil, fmt.Errorf("replica %s of %s: %w", r.Addr(), primary.Addr(), err)
	}
	return r, nil
}

// checkInSync fails unless the server is a replica whose link is up.
func (s *Server) checkInSync() error {
	info, err := s.info("replication")
	if err != nil {
		return err
	}
	if info["role"] != "slave" || info["master_link_status"] != "up" {
		return fmt.Errorf("%s has role %s and link %q", s.Addr(), info["role"], info["master_link_status"])
	}
	return nil
}

// info returns a section of INFO as a map.
func (s *Server) info(section string) (map[string]string, error) {
	answer, err := s.do("INFO", section)
	if err != nil {
		return nil, err
	}
	return fields(fmt.Sprint(answer)), nil
}

// fields parses lines of "name:value".
func fields(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out
}
