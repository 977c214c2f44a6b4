package faults

import (
	"slices"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// oddNames are legal, as names of services and as IDs.
var oddNames = []string{
	"a:b", "a", "b", "{a}", "{a", "a}", "a*", "a?", "[a]", "a b", " a", "名前", "%", "%25", "%7Ba%7D", "}{", "{}", "{}{a}",
	"a}:h", "a:h", "names", "ids:1", "-", "+a", "~a", `a"b`, `a\b`, "A", "é", "rollcall:{a}",
}

// Odd names never collide on a standalone server, and namespaces are separate.
//
// Promise 12: runs where Redis runs.
func TestOddNames(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var all []*registry.RedisRegistry
	// Namespaces that would be one another's if names were put together carelessly.
	for _, namespace := range []string{"prod", "prod:{a}", "{prod}", "prod%3A", "prod*", "名前"} {
		cfg := config(t, server, 3*time.Second, time.Second)
		cfg.Namespace = namespace
		all = append(all, open(t, cfg))
	}
	for i, r := range all {
		oddNamesApart(t, r, i)
	}
	for i, r := range all {
		checkOddNames(t, r, i, oddNames)
	}
	// The same IDs and names leave in one namespace, and stay in the others.
	for _, id := range oddNames {
		must(t, all[0].Deregister(t.Context(), id))
	}
	checkOddNames(t, all[0], 0, nil)
	checkOddNames(t, all[1], 1, oddNames)
}

// oddNamesApart registers under each name its own ID, with a port of the round.
func oddNamesApart(t *testing.T, r registry.Backend, round int) {
	t.Helper()
	for i, name := range oddNames {
		s := service(name, oddNames[len(oddNames)-1-i])
		s.Port = 1000 + round
		must(t, r.Register(t.Context(), s))
	}
}

// checkOddNames fails the test unless exactly these names have their ID.
func checkOddNames(t *testing.T, r registry.Backend, round int, names []string) {
	t.Helper()
	for i, name := range oddNames {
		got := present(t, r, name)
		if !slices.Contains(names, name) {
			if len(got) != 0 {
				t.Errorf("%q shows %s, want nothing", name, describeInstances(got))
			}
			continue
		}
		id := oddNames[len(oddNames)-1-i]
		if len(got) != 1 || got[0].ID != id || got[0].Name != name || got[0].Port != 1000+round {
			t.Errorf("%q shows %v, want only %q", name, got, id)
		}
		read := false
		for snap := range r.Watch(contextFor(t, 5*time.Second), name) {
			if snap.Stale != nil {
				continue // its first read failed, as it may on a stalled machine
			}
			if err := same(snap.Instances, got); err != nil {
				t.Errorf("the watch of %q: %v", name, err)
			}
			read = true
			break
		}
		if !read {
			t.Errorf("the watch of %q read nothing within 5 s", name)
		}
	}
	got, err := r.Services(t.Context())
	if want := slices.Sorted(slices.Values(names)); err != nil || !slices.Equal(got, want) {
		t.Errorf("services are %q, %v, want %q", got, err, want)
	}
}
