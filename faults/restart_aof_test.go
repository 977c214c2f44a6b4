package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

// Redis is killed and comes back from its append-only file, soon and after more
// than the TTL, when every lease in that file has ended.
//
// Promise 1, kept alive; promise 3, comes back; promise 4, final: what was
// deregistered does not come back with the file; promise 7, no false empty; promise
// 2: an instance whose owner died meanwhile goes in time.
func TestRedisRestartedFromItsAppendOnlyFile(t *testing.T) {
	t.Parallel()
	testRedisRestartedFromItsAppendOnlyFile(t)
}

func testRedisRestartedFromItsAppendOnlyFile(t *testing.T, opts ...redistest.Option) {
	for name, away := range map[string]time.Duration{"soon": 300 * time.Millisecond, "after the TTL": shortTTL + 500*time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, append(opts, redistest.WithAppendOnly())...)
			a, b, doomed, reader := openShort(t, server), openShort(t, server), openShort(t, server), openShort(t, server)
			register(t, a, "web", "a1", "left")
			register(t, b, "web", "b1")
			if err := a.Deregister(t.Context(), "left"); err != nil {
				t.Fatal(err)
			}
			want := present(t, reader, "web")
			register(t, doomed, "web", "d1")
			all := present(t, reader, "web")
			web := watch(t, reader, "web")
			web.await(t, time.Now(), backBy, "the start", is(all))

			server.Kill()
			killed := time.Now()
			if err := doomed.Close(); err != nil {
				t.Fatal(err)
			}
			pause(t, away, "the server is down for this long")
			server.Restart()
			back := time.Now()
			figure(t, "restart from AOF "+name+": all back", within(t, back, backBy, "the living in Discover", func() error {
				return same(without(present(t, reader, "web"), "d1"), want)
			}))
			// Its lease may have been renewed right before the kill.
			limit := max(retainedFor, killed.Add(goneBy).Sub(back))
			figure(t, "restart from AOF "+name+": the dead gone", web.await(t, back, limit, "the dead one's end", is(want)))
			within(t, back, limit, "Discover without the dead", discoversExactly(reader, "web", want))
			web.requireKept(t, killed, "a1", "b1")
		})
	}
}
