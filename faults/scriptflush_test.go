package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/testredis"
)

// SCRIPT FLUSH again and again, so that the server never knows a script.
//
// Promise 1, kept alive; promise 7: nobody notices.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	a, reader := open(t, server.Addr()), open(t, server.Addr())
	admin := server.Client(t)
	register(t, a, "web", "a1", "a2")
	want := discover(t, reader, "web")
	watch := follow(t, reader, "web")
	watch.await(t, time.Now(), backBy, "the start", shows(want))

	began := time.Now()
	for i := 0; time.Since(began) < 2*ttl; i++ {
		if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			register(t, a, "other", "o")
			if got := discover(t, reader, "other"); !has(got, "o") {
				t.Fatalf("registered, and not there: %s", stamped(got))
			}
			if err := a.Deregister(t.Context(), "o"); err != nil {
				t.Fatal(err)
			}
		}
		if err := lists(reader, "web", want)(); err != nil {
			t.Fatal(err)
		}
		pause(t, 20*time.Millisecond)
	}
	if frames, _ := watch.seen(); len(frames) != 1 {
		t.Fatalf("the watch was woken:\n%s", watch.tell(began.Add(-time.Hour)))
	}
}
