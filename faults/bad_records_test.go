package faults

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Some of the records are such that this version cannot read them.
//
// They are left out, counted and logged once each. They affect no other record and
// are never deleted.
//
// Promise 11: atomic.
func TestBadRecords(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	keys := server.Client(t)
	a := openShort(t, server)
	register(t, a, "web", "good-1", "good-2")
	doomed := startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "dies"}))
	cfg := config(t, server, shortTTL, shortHeartbeat)
	now := time.Now().UnixMicro()
	header := fmt.Sprintf(`[1,%d,"abcdefghij",3,30000,400,0,`, now)
	bad := map[string]string{
		"garbage":   "hello",
		"empty":     "",
		"binary":    "\x00\xff\xfe[1,",
		"truncated": header[:20],
		"cut":       header + `{"address":"10.0`,
		"future":    `[2,{"stamp":"a new kind"}]`,
		"type":      header + `{"address":"10.0.0.1","port":"eighty"}]`,
		"invalid":   header + `{"address":"10.0.0.1","port":70000}]`,
		"list":      header + `[]]`,
	}
	for id, value := range bad {
		must(t, keys.HSet(t.Context(), keyOf(cfg, "web", "h"), "+"+id, value).Err())
		lease := int64(3_000_000)
		if strings.HasPrefix(value, header) {
			lease = 30_000_000 // with which any record ends
		}
		must(t, keys.ZAdd(t.Context(), keyOf(cfg, "web", "z"), z(id, now+lease)).Err())
	}

	said, counted := &logs{}, &counter{}
	cfg.Logger = said.logger()
	cfg.Observer = &registry.Observer{BadRecord: func(service, id string) { counted.add(service + "/" + id) }}
	reader := open(t, cfg)
	want := present(t, reader, "web")
	if err := includes(want, "good-1", "good-2", "dies"); err != nil || len(want) != 3 {
		t.Fatalf("Discover shows %s: %v", describeInstances(want), err)
	}
	web := watch(t, reader, "web")
	web.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	register(t, a, "web", "good-3")
	within(t, time.Now(), slack, "registering goes on", discovers(reader, "web", "good-1", "good-2", "good-3", "dies"))
	must(t, a.Deregister(t.Context(), "good-3"))
	doomed.kill()
	at := time.Now()
	web.await(t, at, goneBy, "expiring goes on", lacking("dies"))
	requireReason(t, reader, "web", "dies", expired(doomed.pid, shortTTL))
	// Also past the leases of those whose header cannot be read.
	throughout(t, at.Add(2*shortTTL), "heartbeats go on", func() error {
		return includes(present(t, reader, "web"), "good-1", "good-2")
	})
	web.requireKept(t, began, "good-1", "good-2")
	if left := idsOf(present(t, reader, "web")); len(left) != 2 {
		t.Fatalf("Discover shows %q", left)
	}
	for id, value := range bad {
		if stored, err := keys.HGet(t.Context(), keyOf(cfg, "web", "h"), "+"+id).Result(); err != nil || stored != value {
			t.Errorf("the bad record %q is now %q, %v", id, stored, err)
		}
		if n := counted.get("web/" + id); n != 1 {
			t.Errorf("the bad record %q was counted %d times", id, n)
		}
		if lines := said.lines("level=WARN", "id="+id+" "); len(lines) != 1 {
			t.Errorf("the bad record %q was logged %d times: %q", id, len(lines), lines)
		}
	}
	for _, id := range []string{"good-1", "good-2", "good-3", "dies"} {
		if n := counted.get("web/" + id); n != 0 {
			t.Errorf("the good record %q was counted as bad", id)
		}
	}
}

// Keys of the registry are of types that it does not use: a service's hash and
// another's sorted set, the catalog and the hints.
//
// Reads of these services fail, and never report an empty list. Other services are
// not affected, and these are back once the wrong keys are gone.
//
// Promise 11: atomic.
func TestKeysOfWrongType(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	keys := server.Client(t)
	cfg := config(t, server, shortTTL, shortHeartbeat)
	a := open(t, cfg)
	said, counted := &logs{}, &counter{}
	cfg.Logger = said.logger()
	cfg.Observer = &registry.Observer{BadRecord: func(service, id string) { counted.add(service + "/" + id) }}
	reader := open(t, cfg)
	register(t, a, "web", "w1", "w2")
	register(t, a, "hash", "h1")
	register(t, a, "set", "s1")
	want, wantHash := present(t, reader, "web"), present(t, reader, "hash")
	wantSet := present(t, reader, "set")
	web, hash := watch(t, reader, "web"), watch(t, reader, "hash")
	web.await(t, time.Now(), backBy, "the start", is(want))
	hash.await(t, time.Now(), backBy, "the start", is(wantHash))

	began := time.Now()
	odd := []string{keyOf(cfg, "hash", "h"), keyOf(cfg, "set", "z"), "rollcall:" + cfg.Namespace + ":names"}
	for bucket := range 64 {
		odd = append(odd, fmt.Sprintf("rollcall:%s:ids:%d", cfg.Namespace, bucket))
	}
	for _, key := range odd {
		must(t, keys.Set(t.Context(), key, "odd", 0).Err())
	}
	throughout(t, began.Add(2*shortTTL), "the other service goes on", discoversExactly(reader, "web", want))
	register(t, a, "web", "w3")
	within(t, time.Now(), slack, "registering goes on", discovers(reader, "web", "w1", "w2", "w3"))
	must(t, a.Deregister(t.Context(), "w3"))
	within(t, time.Now(), slack, "deregistering goes on", discoversExactly(reader, "web", want))
	for _, name := range []string{"hash", "set"} {
		if all, err := discover(reader, name); err == nil {
			t.Errorf("Discover(%q) shows %s and no error", name, describeInstances(all))
		}
	}
	if names, err := reader.Services(t.Context()); err == nil {
		t.Errorf("Services shows %q and no error", names)
	}
	for _, key := range odd {
		if value, err := keys.Get(t.Context(), key).Result(); err != nil || value != "odd" {
			t.Errorf("%q is %q, %v", key, value, err)
		}
	}

	for _, name := range []string{"hash", "set"} {
		if n := counted.get(name + "/"); n != 1 {
			t.Errorf("the keys of %q were counted %d times", name, n)
		}
		if lines := said.lines("level=WARN", "service="+name+" "); len(lines) != 1 {
			t.Errorf("the keys of %q were logged %d times: %q", name, len(lines), lines)
		}
	}
	if lines := said.lines("backend unavailable", "WRONGTYPE"); len(lines) > 0 {
		t.Errorf("the log says %q although Redis answers", lines)
	}

	must(t, keys.Del(t.Context(), odd...).Err())
	at := time.Now()
	within(t, at, backBy, "its service is back", discoversExactly(reader, "hash", wantHash))
	within(t, at, backBy, "its service is back", discoversExactly(reader, "set", wantSet))
	within(t, at, backBy, "the catalog is back", func() error {
		names, err := reader.Services(t.Context())
		if err == nil && strings.Join(names, " ") != "hash set web" {
			err = fmt.Errorf("it has %q", names)
		}
		return err
	})
	hash.await(t, at, 2*backBy, "a current state", is(wantHash))
	hash.requireKept(t, began, "h1")
	web.requireKept(t, began, "w1", "w2")
}

// counter counts by name.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[name]++
}

func (c *counter) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}
