package demo

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func listOf(ids ...string) registry.Snapshot {
	s := registry.Snapshot{Service: service}
	for i, id := range ids {
		s.Instances = append(s.Instances, registry.ServiceInfo{ID: id, Address: "127.0.0.1", Port: 40001 + i})
	}
	return s
}

// Each change that the watch yields is shown once, with its cause.
func TestBoardShowsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := newBoard(&screen{w: &out})
		for _, id := range []string{"a", "b", "c"} {
			b.expect(id)
		}
		b.snapshot(listOf())
		b.snapshot(listOf("a", "b", "c"))
		b.snapshot(listOf("a", "b", "c"))
		b.end(kindKill, "a", "SIGKILL")
		b.end(kindLeave, "b", "asked to stop")
		if err := pause(t.Context(), 2*time.Second); err != nil {
			t.Fatal(err)
		}
		b.snapshot(listOf("b", "c"))
		b.snapshot(listOf("c"))
		stale := listOf("c")
		stale.Stale = errors.New("no answer")
		b.snapshot(stale)
		b.snapshot(stale)
		b.snapshot(listOf())
		want := `  0.00s  watch  a        added: 127.0.0.1:40001, 0s after its start
  0.00s  watch  b        added: 127.0.0.1:40002, 0s after its start
  0.00s  watch  c        added: 127.0.0.1:40003, 0s after its start
  0.00s  kill   a        SIGKILL
  0.00s  leave  b        asked to stop
  2.00s  watch  a        expired: off the list 2s after the kill
  2.00s  watch  b        left: off the list 2s after it was asked to stop
  2.00s  watch  stale, this is the last known list: no answer
  2.00s  watch  up to date again
  2.00s  watch  c        gone from the list
`
		if got := out.String(); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}

// Calls are counted one by one and shown when their result changes.
func TestBoardTellsTurns(t *testing.T) {
	var out bytes.Buffer
	b := newBoard(&screen{w: &out})
	b.expect("a")
	for _, err := range []error{nil, nil, errors.New("broken"), errors.New("broken"), nil} {
		b.call("a", "hello", err)
	}
	if r := b.get("a"); r.answered != 3 || r.failed != 2 {
		t.Errorf("%d answered, %d failed", r.answered, r.failed)
	}
	got := strings.Join(regexp.MustCompile(`answers|fails: broken`).FindAllString(out.String(), -1), " ")
	if want := "answers fails: broken answers"; got != want {
		t.Errorf("shown %q, want %q", got, want)
	}
}

func TestBoardAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(&screen{w: &bytes.Buffer{}})
		b.expect("a")
		listed := func(r row) bool { return r.state == stateListed }

		err := b.await(t.Context(), time.Second, "a", "listed", listed)
		if err == nil || err.Error() != "a was not listed within 1s" {
			t.Errorf("await: unexpected error: %v", err)
		}

		reason := errors.New("the server broke")
		ctx, fail := context.WithCancelCause(t.Context())
		fail(reason)
		if err := b.await(ctx, time.Second, "a", "listed", listed); !errors.Is(err, reason) {
			t.Errorf("awaiting without hope: %v", err)
		}

		done := make(chan error, 1)
		go func() { done <- b.await(t.Context(), time.Second, "a", "listed", listed) }()
		synctest.Wait()
		b.snapshot(listOf("a"))
		if err := <-done; err != nil {
			t.Errorf("awaiting what came true: %v", err)
		}
	})
}
