package redisstore

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	testTTL       = 30 * time.Second
	testHeartbeat = 10 * time.Second
)

// harness is a store of owner "alpha" on a server, and a plain client to inspect it.
type harness struct {
	*testing.T
	server *redistest.Server
	admin  *redis.Client
	store  *Store
}

func newHarness(t *testing.T, opts ...redistest.Option) *harness {
	t.Helper()
	server := redistest.Start(t, opts...)
	r := &harness{T: t, server: server, admin: server.Client(t)}
	r.store = r.open("alpha")
	return r
}

func mustDial(t *testing.T, cfg redisclient.Config) *redisclient.Client {
	t.Helper()
	c, err := redisclient.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (r *harness) open(owner string) *Store {
	r.Helper()
	s := openTest(r.T, redisclient.Config{Addr: r.server.Addr()}, "test", owner)
	r.Cleanup(func() {
		if err := s.Close(); err != nil {
			r.Errorf("Close: %v", err)
		}
	})
	return s
}

func (r *harness) put(s *Store, puts ...store.Put) []store.PutResult {
	r.Helper()
	results := s.Put(r.Context(), puts)
	for i, result := range results {
		if result.Err != nil {
			r.Fatalf("Put of %q: %v", puts[i].ID, result.Err)
		}
	}
	return results
}

func putOf(service, id, payload string) store.Put {
	return store.Put{Service: service, ID: id, TTL: testTTL, HeartbeatInterval: testHeartbeat, Payload: []byte(payload)}
}

func (r *harness) read(service, rev string) store.Reading {
	r.Helper()
	return r.readFrom(service, store.KnownState{Rev: rev})
}

func (r *harness) readFrom(service string, known store.KnownState) store.Reading {
	r.Helper()
	reading, err := r.tryRead(service, known)
	if err != nil {
		r.Fatalf("Read of %q: %v", service, err)
	}
	return reading
}

func (r *harness) tryRead(service string, known store.KnownState) (reading store.Reading, err error) {
	done := make(chan struct{})
	r.store.Read(service, known, func(a store.Reading, e error) {
		reading, err = a, e
		close(done)
	})
	select {
	case <-done:
		return reading, err
	case <-time.After(20 * time.Second):
		r.Fatalf("Read of %q has not answered within 20 s", service)
		return reading, nil
	}
}

func (r *harness) renew(service string, leases ...store.Lease) store.Renewal {
	r.Helper()
	return r.store.Renew(r.Context(), []store.ServiceLeases{{Service: service, TTL: testTTL, Leases: leases}})[0]
}

// recordKey is a key of a service: which is h, z or w.
func (r *harness) recordKey(service, which string) string {
	return r.store.keys.base(service) + ":" + which
}

// call runs a script as another process might have sent it.
func (r *harness) call(s *script, keys []string, args ...any) []any {
	r.Helper()
	c := &call{script: s, keys: keys, args: args}
	sendCalls(context.Background(), r.admin, []*call{c})
	if c.err != nil {
		r.Fatal(c.err)
	}
	return c.reply
}

// now is the server's clock.
func (r *harness) now() int64 {
	r.Helper()
	now, err := r.admin.Time(r.Context()).Result()
	if err != nil {
		r.Fatal(err)
	}
	return now.UnixMicro()
}

func (r *harness) score(service, id string) int64 {
	r.Helper()
	f, err := r.admin.ZScore(r.Context(), r.recordKey(service, "z"), id).Result()
	if err != nil {
		r.Fatal(err)
	}
	return int64(f)
}

// all returns every key of the server.
func (r *harness) all() []string {
	r.Helper()
	keys, err := r.admin.Keys(r.Context(), "*").Result()
	if err != nil {
		r.Fatal(err)
	}
	return keys
}

func (r *harness) do(args ...any) {
	r.Helper()
	if err := r.admin.Do(r.Context(), args...).Err(); err != nil {
		r.Fatalf("%v: %v", args, err)
	}
}

func micros(n int64) string { return strconv.FormatInt(n, 10) }
