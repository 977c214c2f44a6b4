package redistest

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Client returns a plain client of the server itself, for looking at what it holds. It
// is closed when the test ends.
func (s *Server) Client(t testing.TB) *redis.Client {
	client := s.newClient()
	t.Cleanup(func() { client.Close() })
	return client
}

func (s *Server) newClient() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     s.ownAddr(),
		Password:                 s.opts.password,
		TLSConfig:                s.ClientTLS(),
		DisableIdentity:          true,
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// do sends one command on a connection of its own.
func (s *Server) do(args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	client := s.newClient()
	defer client.Close()
	return client.Do(ctx, args...).Result()
}

func (s *Server) must(args ...any) any {
	s.t.Helper()
	answer, err := s.do(args...)
	if err != nil {
		s.t.Fatalf("%v on redis-server %s: %v", args[0], s.Addr(), err)
	}
	return answer
}

// ConfigSet changes a setting of the running server, until it restarts.
func (s *Server) ConfigSet(name, value string) {
	s.t.Helper()
	s.must("CONFIG", "SET", name, value)
}

// CutAll ends every client's connection, subscriptions included, but not those of replicas.
func (s *Server) CutAll() {
	s.t.Helper()
	s.must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	s.CutSubscriptions()
}

// CutSubscriptions ends the connections that are subscribed to something.
func (s *Server) CutSubscriptions() {
	s.t.Helper()
	s.must("CLIENT", "KILL", "TYPE", "pubsub")
}
