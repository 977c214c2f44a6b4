package redisstore

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

func TestNumbersKeepAllDigits(t *testing.T) {
	r := newHarness(t)
	const most = 1<<53 - 1
	for _, stamp := range []int64{1, 999999999999999, 1234567890123457, most - 1} {
		p := putOf("g", fmt.Sprint("i", stamp), "x")
		p.Reregister, p.RegisteredAt = true, stamp
		if got := r.put(r.store, p)[0]; got.RegisteredAt != stamp {
			t.Errorf("registration time %d was answered as %d", stamp, got.RegisteredAt)
		}
	}
	if next := r.put(r.store, putOf("g", "next", "x"))[0].RegisteredAt; next != most {
		t.Errorf("the registration time after %d is %d", most-1, next)
	}
	for _, rec := range r.read("g", "").Records {
		if want := strings.TrimPrefix(rec.ID, "i"); want != "next" && micros(rec.RegisteredAt) != want {
			t.Errorf("registration time %s reads as %d", want, rec.RegisteredAt)
		}
		if rec.ExpiresAt != r.score("g", rec.ID) || rec.ExpiresAt < r.now() {
			t.Errorf("the expiry reads as %d", rec.ExpiresAt)
		}
	}
}

func TestTenThousandLeasesOfOneService(t *testing.T) {
	const n = 10_000
	r := newHarness(t)
	puts := make([]store.Put, n)
	for i := range puts {
		puts[i] = putOf("g", fmt.Sprint("instance-", i), "x")
	}
	leases := make([]store.Lease, n)
	for i, result := range r.put(r.store, puts...) {
		leases[i] = store.Lease{ID: puts[i].ID, RegisteredAt: result.RegisteredAt}
	}
	for range 2 { // each looked at, then none
		before := r.now()
		if answer := r.renew("g", leases...); answer.Err != nil || len(answer.Outcomes) != 0 {
			t.Fatalf("%v, %d outcomes", answer.Err, len(answer.Outcomes))
		}
		reading := r.read("g", "")
		if len(reading.Records) != n || reading.NextExpiry < before+testTTL.Microseconds() {
			t.Fatalf("%d records, the earliest expiring %d µs after the renewal", len(reading.Records), reading.NextExpiry-before)
		}
	}
}

// A script that is called after its deadline does nothing at all.
func TestLateCallsDoNothing(t *testing.T) {
	r := newHarness(t)
	keys := []string{r.recordKey("g", "h"), r.recordKey("g", "z"), r.store.keys.catalog}
	ids := r.store.keys.idIndex("i")
	past := micros(r.now() - 1)
	prefix := r.store.keys.prefix
	late := func(what string, reply []any, at int) {
		t.Helper()
		if got := text(reply, at); got != "late" {
			t.Errorf("%s: %v, want late", what, reply)
		}
	}
	calls := func() {
		t.Helper()
		late("put", r.call(putScript, append(keys, ids), "ghost", "g", prefix, 1, 1, "i", "n", 0, 1000, 100, "x", "", "", past, "?"), 2)
		late("renew", r.call(renewScript, keys, "ghost", 1, "g", "", 1000, past,
			packIDs([]store.Lease{{ID: "i"}}), packStamps([]store.Lease{{RegisteredAt: 1}})), 2)
		late("remove", r.call(removeScript, append(keys, ids), "ghost", 1, "g", prefix, "i", past, "any", 0), 2)
		late("patch_overlay", r.call(patchOverlayScript, append(keys, ids), "ghost", 1, "g", prefix, "i", past, "s", "operator", "", "a", "1"), 2)
		late("collect", r.call(collectScript, keys, "ghost", 1, "g", past), 1)
		late("watcher_lease", r.call(watcherLeaseScript, []string{r.recordKey("g", "w")}, "ghost", 1000, 1, past), 1)
		late("stop watching", r.call(watcherLeaseScript, []string{r.recordKey("g", "w")}, "alpha", 0, 0, past), 1)
		late("catalog", r.call(clusterIndexScript, keys[2:], "catalog", past, "g", 0), 1)
		late("ID index", r.call(clusterIndexScript, []string{ids}, "ids", past, "i", "elsewhere"), 1)
	}
	calls()
	if all := r.all(); len(all) != 0 {
		t.Errorf("they wrote %q", all)
	}
	r.put(r.store, putOf("g", "i", "x"))
	before := r.read("g", "").Rev
	if err := r.store.RenewWatcherLeases(t.Context(), []store.WatcherLease{{Service: "g", TTL: testTTL, Acknowledged: before}})[0].Err; err != nil {
		t.Fatal(err)
	}
	shared := func() []any {
		return []any{r.admin.HGetAll(t.Context(), r.recordKey("g", "w")).Val(), r.admin.HGetAll(t.Context(), ids).Val(),
			r.admin.ZRangeWithScores(t.Context(), r.store.keys.catalog, 0, -1).Val()}
	}
	was := shared()
	calls()
	if after := r.read("g", ""); after.Rev != before || len(after.Records) != 1 || after.Records[0].Owner != "alpha" {
		t.Errorf("they changed it: %+v", after)
	}
	if is := shared(); !reflect.DeepEqual(is, was) {
		t.Errorf("they changed watcher leases, ID index or catalog:\n%v\nwas\n%v", is, was)
	}
}

// Clients send calls again that were not answered, perhaps much later.
func TestRepeatedCallsTakeEffectOnce(t *testing.T) {
	r := newHarness(t)
	keys := []string{r.recordKey("g", "h"), r.recordKey("g", "z"), r.store.keys.catalog, r.store.keys.idIndex("i")}
	prefix, soon := r.store.keys.prefix, micros(r.now()+time.Hour.Microseconds())
	put := func() []any {
		return r.call(putScript, keys, "beta", "g", prefix, 1, 7, "i", "n", 0, 30000, 10000, "x", "", "", soon, "?")
	}
	first, second := put(), put()
	if text(first, 1) != text(second, 1) || text(first, 3) != text(second, 3) {
		t.Errorf("a put was answered with %v, and then with %v", first, second)
	}
	remove := func() []any {
		return r.call(removeScript, keys, "operator", 3, "g", prefix, "i", soon, "any", 0)
	}
	if reply := remove(); text(reply, 2) != "ok" {
		t.Errorf("remove: %v", reply)
	}
	put() // delivered late, it brings nothing back
	if got := r.read("g", "").Records; len(got) != 0 {
		t.Errorf("a repeated put brought back %+v", got[0])
	}
	r.put(r.store, putOf("g", "i", "new"))
	remove() // delivered late, it ends nothing newer
	if got := r.read("g", "").Records; len(got) != 1 {
		t.Error("a repeated remove ended a newer registration")
	}
	set := func() []any {
		return r.call(patchOverlayScript, keys, "operator", 4, "g", prefix, "i", soon, "s", "operator", "", "a", "1")
	}
	set()
	r.call(patchOverlayScript, keys, "operator", 5, "g", prefix, "i", soon, "s", "operator", "", "a", "2")
	set()
	if got := string(r.read("g", "").Records[0].Overlay); got != `{"a":2}` {
		t.Errorf("a repeated patch undid a newer one: %s", got)
	}
}

func TestEveryKeyHasATimeToLive(t *testing.T) {
	r := newHarness(t)
	b := r.open("beta")
	check := func(after string) {
		t.Helper()
		for _, key := range r.all() {
			left, err := r.admin.PTTL(t.Context(), key).Result()
			if err != nil || left <= 0 || left > 26*time.Hour {
				t.Errorf("after %s, %s lives for %v, %v", after, key, left, err)
			}
		}
	}
	check("open")
	stamp := r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt
	check("register")
	r.put(r.store, putOf("g", "i", "y"), putOf("g", "moves", "x"))
	check("replace")
	r.put(r.store, putOf("h", "moves", "x"))
	check("move")
	reregistration := putOf("reregistered", "j", "x")
	reregistration.Reregister, reregistration.RegisteredAt = true, stamp
	r.put(r.store, reregistration)
	check("reregister")
	r.put(b, putOf("g", "i", "z"))
	check("take over")
	r.renew("g", store.Lease{ID: "i", RegisteredAt: stamp}, store.Lease{ID: "never", RegisteredAt: 1})
	r.renew("never", store.Lease{ID: "i", RegisteredAt: stamp})
	check("renew")
	for _, removal := range []store.Removal{
		{ID: "i"}, {ID: "never"}, {Service: "new", ID: "k", Own: true, RegisteredAt: 1}, {Service: "h", ID: "moves", Own: true, RegisteredAt: stamp},
	} {
		if _, err := r.store.Remove(t.Context(), removal); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("remove %+v", removal))
	}
	if _, err := r.store.PatchOverlay(t.Context(), store.OverlayPatch{ID: "j", Set: map[string]string{"a": "1"}}); err != nil {
		t.Fatal(err)
	}
	check("patch")
	if err := r.store.RenewWatcherLeases(t.Context(), []store.WatcherLease{{Service: "g", TTL: testTTL, Acknowledged: r.read("g", "").Rev}})[0].Err; err != nil {
		t.Fatal(err)
	}
	check("watcher lease")
	expire(t, r.admin, r.store.keys, "reregistered", "j")
	r.store.collect("reregistered")
	r.store.collect("never")
	r.put(r.store, putOf("last", "l", "x"))
	check("expiry and collect")
	// A short lease added to a long one must not shorten the keys' life.
	long := putOf("g", "long", "x")
	long.TTL = 12 * time.Hour
	r.put(r.store, long)
	r.put(r.store, putOf("g", "short", "x"))
	if left := r.admin.PTTL(t.Context(), r.recordKey("g", "h")).Val(); left < 12*time.Hour {
		t.Errorf("the keys live for %v, less than their longest member", left)
	}
}

func TestHalfEvictedKeysCountAsLost(t *testing.T) {
	for _, which := range []string{"h", "z"} {
		t.Run(which, func(t *testing.T) {
			r := newHarness(t)
			stamp := r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt
			r.renew("g", store.Lease{ID: "i", RegisteredAt: stamp})
			rev := r.read("g", "").Rev
			r.do("DEL", r.recordKey("g", which))
			// A reader who knows the revision may see it in the hash, and then asks again
			// at the earliest expiry that it knows.
			for _, known := range []store.KnownState{{}, {Rev: rev, NextExpiry: 1}} {
				if got := r.readFrom("g", known); got.Kind != store.Full || got.Rev != "" || len(got.Records)+len(got.Tombstones) != 0 {
					t.Errorf("a reader of %+v was answered %+v", known, got)
				}
			}
			if answer := r.renew("g", store.Lease{ID: "i", RegisteredAt: stamp}); answer.Outcomes["i"] != store.Lost {
				t.Errorf("the renewal: %+v", answer)
			}
			p := putOf("g", "i", "x")
			p.Reregister, p.RegisteredAt = true, stamp
			if got := r.put(r.store, p)[0]; got.Outcome != store.Done || got.RegisteredAt != stamp {
				t.Errorf("the reregistration: %+v", got)
			}
			if got := r.read("g", "").Records; len(got) != 1 || got[0].RegisteredAt != stamp {
				t.Errorf("reregistered as %+v", got)
			}
			if n := r.admin.Exists(t.Context(), r.recordKey("g", "h"), r.recordKey("g", "z")).Val(); n != 2 {
				t.Errorf("%d of the 2 keys are there", n)
			}
		})
	}
}

// A lease that ends later than its TTL from now shows that the clock was set back.
func TestLeasesAreClampedAfterTheClockWentBack(t *testing.T) {
	ahead := func(r *harness) {
		r.put(r.store, putOf("g", "i", "x"), putOf("g", "j", "x"))
		far := r.now() + time.Hour.Microseconds()
		r.do("ZADD", r.recordKey("g", "z"), far, "i")
		r.do("HSET", r.recordKey("g", "h"), "seen", far-testTTL.Microseconds())
	}
	within := func(r *harness, what string) {
		r.Helper()
		if left := r.score("g", "i") - r.now(); left > testTTL.Microseconds() || left <= 0 {
			r.Errorf("after %s the lease has %d ms left, its TTL is %v", what, left/1000, testTTL)
		}
	}
	t.Run("by the next write", func(t *testing.T) {
		r := newHarness(t)
		ahead(r)
		r.put(r.store, putOf("g", "k", "x"))
		within(r, "a put")
	})
	t.Run("by a reader that sees it", func(t *testing.T) {
		r := newHarness(t)
		ahead(r)
		if got := r.read("g", ""); !got.ClockSetBack {
			t.Errorf("the reader did not see it: %+v", got)
		}
		r.put(r.store, putOf("other", "k", "x")) // travels after the tidying
		within(r, "a read")
		if got := r.read("g", ""); got.ClockSetBack || len(got.Records) != 2 {
			t.Errorf("after that: %+v", got)
		}
	})
}

func TestDeltasReachBackAsFarAsTheLog(t *testing.T) {
	r := newHarness(t)
	r.put(r.store, putOf("g", "first", "x"))
	start := r.read("g", "")
	for i := range 127 {
		r.put(r.store, putOf("g", fmt.Sprint("i", i), "x"))
	}
	delta := r.read("g", start.Rev)
	if delta.Kind != store.Delta || len(delta.Records) != 127 {
		t.Errorf("after 127 changes: kind %d with %d records, want a delta", delta.Kind, len(delta.Records))
	}
	for i := range 400 {
		r.put(r.store, putOf("g", fmt.Sprint("i", i), "y"))
	}
	if got := r.read("g", start.Rev); got.Kind != store.Full || len(got.Records) != 401 {
		t.Errorf("after 527 changes: kind %d with %d records, want all", got.Kind, len(got.Records))
	}
	fields := r.admin.HKeys(t.Context(), r.recordKey("g", "h")).Val()
	logged := slices.DeleteFunc(fields, func(f string) bool { return f[0] != '@' })
	if len(logged) != 128 {
		t.Errorf("the log has %d entries", len(logged))
	}
}

func TestAMessageTooLargeAsksForARead(t *testing.T) {
	r := newHarness(t)
	notices := make(chan store.Notice, 1000)
	defer r.store.Watch("g", func(n store.Notice) { notices <- n })()
	next := func() store.Notice {
		t.Helper()
		select {
		case n := <-notices:
			return n
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was pushed")
			panic("unreachable")
		}
	}
	if n := next(); n.Resync != store.ResyncConnected {
		t.Fatalf("it began with %+v", n)
	}
	r.put(r.store, putOf("g", "small", "x"))
	if n := next(); n.Resync != "" || len(n.Reading.Records) != 1 {
		t.Errorf("a small one: %+v", n)
	}
	// One script call for all of them, unless they do not wait for the line together.
	r.put(r.store, putOf("g", "large", strings.Repeat("x", 1<<20)))
	if n := next(); n.Resync != store.ResyncGap {
		t.Errorf("a large one: Lost %q, %d records", n.Resync, len(n.Reading.Records))
	}
	r.put(r.store, putOf("g", "small", "y"))
	if n := next(); n.Resync != "" || n.Reading.Rev != r.read("g", "").Rev {
		t.Errorf("the one after it: %+v", n)
	}
}

func TestKeysOfAnotherTypeAreAnError(t *testing.T) {
	r := newHarness(t)
	for _, which := range []string{"h", "z"} {
		service := "taken " + which
		r.do("SET", r.recordKey(service, which), "another program's")
		if res := r.store.Put(t.Context(), []store.Put{putOf(service, "i", "x"), putOf("fine", which, "x")}); !errors.Is(res[0].Err, store.ErrUnavailable) || res[1].Err != nil {
			t.Errorf("%s: Put: %v, and in another service: %v", service, res[0].Err, res[1].Err)
		}
		if answer := r.renew(service, store.Lease{ID: "i", RegisteredAt: 1}); !errors.Is(answer.Err, store.ErrUnavailable) {
			t.Errorf("%s: Renew: %v", service, answer.Err)
		}
		if _, err := r.store.Remove(t.Context(), store.Removal{Service: service, ID: "i", Own: true, RegisteredAt: 1}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: Remove: %v", service, err)
		}
		if _, err := r.tryRead(service, store.KnownState{}); which == "h" && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: Read: %v", service, err)
		}
		if got := r.admin.Get(t.Context(), r.recordKey(service, which)).Val(); got != "another program's" {
			t.Errorf("%s: the other program's value became %q", service, got)
		}
	}
	if got := r.read("fine", "").Records; len(got) != 2 {
		t.Errorf("the other service holds %d records", len(got))
	}
}

// Records that cannot be parsed are omitted, reported and not modified.
func TestBadRecordsAreLeftAlone(t *testing.T) {
	r := newHarness(t)
	r.put(r.store, putOf("g", "good", "x"))
	bad := map[string]string{
		"garbage":   "garbage",
		"truncated": `[1,17,"alpha",3,30000`,
		"future":    `[2,17,"alpha",3,30000,10000,0,{}]`,
		"empty":     "",
	}
	for id, value := range bad {
		r.do("HSET", r.recordKey("g", "h"), "+"+id, value)
		r.do("ZADD", r.recordKey("g", "z"), r.now()+time.Hour.Microseconds(), id)
	}
	for range 2 {
		got := r.read("g", "")
		slices.Sort(got.Malformed)
		if len(got.Records) != 1 || !slices.Equal(got.Malformed, []string{"empty", "future", "garbage", "truncated"}) {
			t.Errorf("read %d records, and bad ones %q", len(got.Records), got.Malformed)
		}
		r.put(r.store, putOf("g", "another", "x"))
		if _, err := r.store.Remove(t.Context(), store.Removal{ID: "another"}); err != nil {
			t.Fatal(err)
		}
	}
	for id := range bad {
		expire(t, r.admin, r.store.keys, "g", id)
	}
	r.put(r.store, putOf("g", "another", "x"))
	for id, value := range bad {
		if got, err := r.admin.HGet(t.Context(), r.recordKey("g", "h"), "+"+id).Result(); err != nil || got != value {
			t.Errorf("%s became %q, %v", id, got, err)
		}
	}
}

func TestScriptsComeBackAfterAFlush(t *testing.T) {
	r := newHarness(t)
	for range 3 {
		r.do("SCRIPT", "FLUSH")
		r.put(r.store, putOf("g", "i", "x"))
		r.do("SCRIPT", "FLUSH")
		if got := r.read("g", ""); len(got.Records) != 1 {
			t.Errorf("read %+v", got)
		}
	}
}

func TestTheIDIndexFollowsTheInstance(t *testing.T) {
	r := newHarness(t)
	indexEntry := func() string {
		v, err := r.admin.HGet(t.Context(), r.store.keys.idIndex("i"), "i").Result()
		if err != nil && err != redis.Nil {
			t.Fatal(err)
		}
		service, _ := parseIndexEntry(v)
		return service
	}
	r.put(r.store, putOf("one", "i", "x"))
	r.put(r.store, putOf("two", "i", "x"))
	if got := indexEntry(); got != "two" {
		t.Errorf("the index says %q", got)
	}
	// The ID is found although its index entry is lost or wrong.
	r.do("HSET", r.store.keys.idIndex("i"), "i", "99999999999 wrong")
	if removed, err := r.store.Remove(t.Context(), store.Removal{ID: "i"}); err != nil || removed.Service != "two" {
		t.Errorf("with a wrong index entry: %+v, %v", removed, err)
	}
	r.put(r.store, putOf("two", "i", "x"))
	r.do("DEL", r.store.keys.idIndex("i"))
	if removed, err := r.store.Remove(t.Context(), store.Removal{ID: "i"}); err != nil || removed.Service != "two" {
		t.Errorf("without an index entry: %+v, %v", removed, err)
	}
}

// After a loss of memory, the first registration of an owner must not hide from its next
// heartbeat that its others are lost.
func TestAPutAfterALossHidesNoneOfTheOthers(t *testing.T) {
	r := newHarness(t)
	lease := store.Lease{ID: "i", RegisteredAt: r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt}
	r.renew("g", lease)
	r.do("FLUSHALL")
	r.put(r.store, putOf("g", "new", "x"))
	if answer := r.renew("g", lease); answer.Outcomes["i"] != store.Lost {
		t.Errorf("the renewal: %+v, want Lost", answer)
	}
}
