package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/store"
)

func (r *harness) events(service string) []store.Event {
	r.Helper()
	events, err := r.store.Events(r.Context(), service)
	if err != nil {
		r.Fatal(err)
	}
	return events
}

func kindsOf(events []store.Event) (kinds []store.EventKind) {
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// A process of an older version logs its changes without events: they are left out, and
// those of 100 changes earlier do not take their place. What it ended has a tombstone.
func TestEventsWithAProcessOfAnOlderVersion(t *testing.T) {
	r := newHarness(t)
	key, leases := r.recordKey("g", "h"), r.recordKey("g", "z")
	for _, id := range []string{"a", "b", "c", "d"} {
		registeredAt := r.put(r.store, putOf("g", id, "x"))[0].RegisteredAt
		if id != "d" {
			r.deregister(r.store, "g", id, registeredAt)
		}
	}
	before := r.events("g")
	if len(before) != 7 {
		t.Fatalf("there are %+v", before)
	}
	// The first removal keeps its event, the second has one of 100 changes earlier, and the
	// third never had one. Neither of the last two has one of its own.
	rev, _, _ := strings.Cut(r.admin.HGet(t.Context(), key, "rev").Val(), ".")
	last, err := strconv.ParseInt(rev, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	second, third := last-3, last-1
	for _, number := range []int64{second, third} {
		field := fmt.Sprint("=", number%eventsLength)
		value := r.admin.HGet(t.Context(), key, field).Val()
		if number == second {
			r.admin.HSet(t.Context(), key, field, fmt.Sprintf("%03d", (number/eventsLength-1)%1000)+value[3:])
		} else {
			r.admin.HDel(t.Context(), key, field)
		}
		r.admin.HDel(t.Context(), key, fmt.Sprint("-\n", number))
		r.admin.ZRem(t.Context(), leases, fmt.Sprint("\n", number))
	}
	after := r.events("g")
	want := slices.Clone(before)
	want[3].By, want[5].By = "", ""
	if !slices.Equal(after, want) {
		t.Errorf("the events are\n%+v\nwant\n%+v", after, want)
	}
	// An older version removes tombstones that ended so: the field of the events goes too.
	for _, member := range r.admin.ZRange(t.Context(), leases, 0, -1).Val() {
		if number, ok := strings.CutPrefix(member, "\n"); ok && !r.admin.HExists(t.Context(), key, "-\n"+number).Val() {
			t.Errorf("the member %q has no field -%[1]q", member)
		}
	}
}

// The field and the member of a removal's events end with its tombstone's time.
func TestEventsOfRemovalsEnd(t *testing.T) {
	r := newHarness(t)
	registeredAt := r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt
	r.deregister(r.store, "g", "i", registeredAt)
	r.put(r.store, putOf("g", "other", "x"))
	for i := range 200 {
		r.put(r.store, putOf("g", "other", fmt.Sprint(i)))
	}
	if kinds := kindsOf(r.events("g")); !slices.Contains(kinds, store.EventDeregistered) {
		t.Fatalf("the removal is missing in %v", kinds)
	}
	leases := r.recordKey("g", "z")
	for _, m := range r.admin.ZRangeWithScores(t.Context(), leases, 0, -1).Val() {
		if m.Score < 0 {
			m.Score = -1 // it ended long ago
			r.admin.ZAdd(t.Context(), leases, m)
		}
	}
	r.put(r.store, putOf("g", "other", "y"))
	if kinds := kindsOf(r.events("g")); slices.Contains(kinds, store.EventDeregistered) {
		t.Errorf("the removal is still in %v", kinds)
	}
	for _, field := range r.admin.HKeys(t.Context(), r.recordKey("g", "h")).Val() {
		if field[0] == '-' {
			t.Errorf("the field %q is left", field)
		}
	}
}

// An owner's name is there once, for as long as the owner has a record.
func TestOwnersAreCounted(t *testing.T) {
	r := newHarness(t)
	b := r.open("beta")
	lists := func() (out []string) {
		for field, value := range r.admin.HGetAll(t.Context(), r.recordKey("g", "h")).Val() {
			if field[0] == '#' {
				out = append(out, field+value)
			}
		}
		slices.Sort(out)
		return out
	}
	for _, id := range []string{"a", "b", "c"} {
		r.put(r.store, putOf("g", id, "x"))
		r.put(r.store, putOf("g", id, "y"))
	}
	r.put(b, putOf("g", "b", "x"))
	r.put(b, putOf("other", "c", "x"))
	want := []string{
		"#a\nlpha" + storedName(r.store.cfg.Name, "g"), // one record, so no number
		"#b\neta " + storedName(b.cfg.Name, "g"),
	}
	if got := lists(); !slices.Equal(got, want) {
		t.Errorf("the lists are %q, want %q", got, want)
	}
	if _, err := b.Remove(t.Context(), store.Removal{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	expire(t, r.admin, r.store.keys, "g", "b")
	r.events("g")
	if got := lists(); len(got) > 0 {
		t.Errorf("%q are left", got)
	}
}

func TestNamesAreStoredShortened(t *testing.T) {
	for _, name := range []string{"", "api@web-7 pid 3121", "api@api-7f8 pid 1", "x pid 2 pid 3", "名前"} {
		for _, service := range []string{"", "a", "api", "web", " pid "} {
			stored := storedName(name, service)
			if got := fullName(stored, service); got != name {
				t.Errorf("in %q the name %q becomes %q", service, name, got)
			}
			if len(stored) > len(name) {
				t.Errorf("in %q the name %q is stored as %q", service, name, stored)
			}
		}
	}
}

// An ID that moves leaves its service with a name that does not depend on the new one's.
func TestEventsOfAMoveNameBothServices(t *testing.T) {
	r := newHarness(t)
	r.store.cfg.Name = "api@api-7 pid 3121"
	r.put(r.store, putOf("web", "i", "x"))
	r.put(r.store, putOf("api", "i", "x"))
	for _, service := range []string{"web", "api"} {
		for _, e := range r.events(service) {
			if e.By != r.store.cfg.Name {
				t.Errorf("an event of %s is %+v", service, e)
			}
		}
	}
}

// Heartbeats cost nothing for events: a renewal of what did not change runs these
// commands and no other.
func TestARenewalRunsNoCommandForEvents(t *testing.T) {
	r := newHarness(t)
	at := r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt
	for range 2 { // after the second the known revision is current
		r.renew("g", store.Lease{ID: "i", RegisteredAt: at})
	}
	if err := r.admin.ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.renew("g", store.Lease{ID: "i", RegisteredAt: at})
	got := map[string]string{}
	for line := range strings.Lines(r.admin.Info(t.Context(), "commandstats").Val()) {
		name, stats, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if calls, _, _ := strings.Cut(stats, ","); ok && !strings.HasPrefix(name, "config") {
			got[name] = calls
		}
	}
	want := map[string]string{"evalsha": "1", "time": "1", "zrange": "1", "zrangebyscore": "1", "hmget": "1", "pexpireat": "2", "zadd": "2", "hset": "1"}
	if !maps.Equal(got, want) {
		t.Errorf("a renewal runs %v, want %v", got, want)
	}
}
