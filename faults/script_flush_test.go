package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

// SCRIPT FLUSH is called repeatedly, so that the server never knows a script.
//
// Promise 1, kept alive; promise 7: watches notice nothing.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	testScriptFlush(t)
}

func testScriptFlush(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	a, reader := openShort(t, server), openShort(t, server)
	admin := server.Client(t)
	register(t, a, "web", "a1", "a2")
	want := present(t, reader, "web")
	web := watch(t, reader, "web")
	web.await(t, time.Now(), backBy, "the start", is(want))

	began := time.Now()
	for i := 0; time.Since(began) < 2*shortTTL; i++ {
		if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			register(t, a, "other", "o")
			must(t, retryStalled(t, shortHeartbeat, discovers(reader, "other", "o")))
			if err := a.Deregister(t.Context(), "o"); err != nil {
				t.Fatal(err)
			}
		}
		must(t, retryStalled(t, shortHeartbeat, discoversExactly(reader, "web", want)))
		pause(t, 20*time.Millisecond, "between looks")
	}
	if seen := web.since(began); len(seen) != 1 {
		t.Fatalf("the watch was woken:\n%s", web.describe(began))
	}
}
