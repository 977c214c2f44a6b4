package redisstore

import (
	"net/url"
	"strings"
	"testing"
)

func TestKeysAreReadable(t *testing.T) {
	k := newKeyspace("default")
	for name, want := range map[string]string{
		"api": "rollcall:default:{api}", "a:b": "rollcall:default:{a:b}", "名前": "rollcall:default:{名前}",
		"{a}": "rollcall:default:{%7Ba%7D}", "%7Ba%7D": "rollcall:default:{%257Ba%257D}", "": "rollcall:default:{}",
	} {
		if got := k.ofService(name); got[0] != k.records(name) || got[1] != k.leases(name) {
			t.Errorf("the keys of %q are %q, not those of its records and leases", name, got)
		}
		if got := k.base(name); got != want {
			t.Errorf("the keys of %q begin with %s, want %s", name, got, want)
		}
	}
	if k.channel("") != k.catalog+":c" || k.channel("names") == k.channel("") {
		t.Error("the catalog's channel is not its own")
	}
}

// hashTag is the part of a key that a Cluster hashes.
func hashTag(key string) string {
	_, rest, ok := strings.Cut(key, "{")
	if !ok {
		return key
	}
	tag, _, ok := strings.Cut(rest, "}")
	if !ok || tag == "" {
		return key
	}
	return tag
}

// FuzzKeys shows that two services, in one namespace or two, never share a key
// or a channel, and that a service's keys share a slot.
func FuzzKeys(f *testing.F) {
	f.Add("default", "a", "default", "{a}")
	f.Add("a:{b", "c", "a", "{b:c")
	f.Add("a", "names", "a:names", "")
	f.Add("a", "%7B", "a", "{")
	f.Add("a%3Ab", "x", "a:b", "x")
	f.Add("x", "ids:3", "x:ids", "3")
	f.Fuzz(func(t *testing.T, space1, group1, space2, group2 string) {
		if group1 == "" || group2 == "" {
			return // no service has an empty name
		}
		all := func(space, service string) []string {
			k := newKeyspace(space)
			return append(k.ofService(service), k.watchers(service), k.channel(service))
		}
		shared := func(space string) []string {
			k := newKeyspace(space)
			return []string{k.catalog, k.channel(""), k.idIndex("x"), k.idIndex(group1), k.probe()}
		}
		one, two := all(space1, group1), all(space2, group2)
		for i, a := range one {
			want := strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(group1)
			if tag := hashTag(a); tag != want {
				t.Errorf("%q has the hash tag %q, want %q", a, tag, want)
			}
			if back, err := url.PathUnescape(hashTag(a)); err != nil || back != group1 {
				t.Errorf("%q does not lead back to %q: %q, %v", a, group1, back, err)
			}
			for j, b := range two {
				if (a == b) != (i == j && space1 == space2 && group1 == group2) {
					t.Errorf("%q of %q in %q and %q of %q in %q", a, group1, space1, b, group2, space2)
				}
			}
			for _, b := range append(shared(space1), shared(space2)...) {
				if a == b {
					t.Errorf("%q of the service %q is also a shared key", a, group1)
				}
			}
		}
		if space1 != space2 {
			for _, a := range shared(space1) {
				for _, b := range shared(space2) {
					if a == b {
						t.Errorf("namespaces %q and %q share %q", space1, space2, a)
					}
				}
			}
		}
		if !strings.HasPrefix(one[0], "rollcall:") {
			t.Errorf("%q is not covered by the ACL rule", one[0])
		}
	})
}
