package redisstore

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// idIndexBuckets is the number of keys over which the ID index is spread. Each is
// small enough that Redis stores it compactly up to tens of thousands of IDs.
const idIndexBuckets = 64

var (
	serviceEscapes   = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")
	namespaceEscapes = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D", ":", "%3A")
)

// keyspace makes the names of all keys and channels of a namespace. DESIGN.md
// says what each holds.
type keyspace struct {
	prefix  string // "rollcall:namespace:"
	catalog string // sorted set: the names of the services
}

func newKeyspace(namespace string) keyspace {
	prefix := "rollcall:" + namespaceEscapes.Replace(namespace) + ":"
	return keyspace{prefix: prefix, catalog: prefix + "names"}
}

// KeyPrefix returns what all keys and channels of a namespace begin with.
func KeyPrefix(namespace string) string { return newKeyspace(namespace).prefix }

// SharedKeys returns the keys of a namespace that are no service's: the list of names
// first, then the ID index.
func SharedKeys(namespace string) []string {
	k := newKeyspace(namespace)
	keys := []string{k.catalog}
	for bucket := range idIndexBuckets {
		keys = append(keys, k.prefix+"ids:"+strconv.Itoa(bucket))
	}
	return keys
}

// ServiceKeys returns the keys of a service.
func ServiceKeys(namespace, service string) []string {
	k := newKeyspace(namespace)
	return append(k.ofService(service), k.watchers(service))
}

// base is the common part of a service's keys, with its hash tag.
func (k keyspace) base(service string) string {
	return k.prefix + "{" + serviceEscapes.Replace(service) + "}"
}

// records is the hash of a service's records, overlays and tombstones, of its
// revision and its log.
func (k keyspace) records(service string) string {
	return k.prefix + "{" + serviceEscapes.Replace(service) + "}:h"
}

// leases is the sorted set of the ends of a service's leases and tombstones.
func (k keyspace) leases(service string) string {
	return k.prefix + "{" + serviceEscapes.Replace(service) + "}:z"
}

// ofService are the keys of records and leases, which exist together or not at all.
func (k keyspace) ofService(service string) []string {
	base := k.base(service)
	return []string{base + ":h", base + ":z"}
}

// watchers is the hash of the watcher leases of a service.
func (k keyspace) watchers(service string) string {
	return k.base(service) + ":w"
}

// channel is where changes of a service, or of the catalog, are published.
func (k keyspace) channel(service string) string {
	if service == "" {
		return k.catalog + ":c"
	}
	return k.base(service) + ":c"
}

// idIndex is the bucket of the ID index that says in which service an ID stands.
func (k keyspace) idIndex(id string) string {
	h := fnv.New32a()
	h.Write([]byte(id))
	return k.prefix + "ids:" + strconv.Itoa(int(h.Sum32()%idIndexBuckets))
}

// probe is a key that never exists. Scripts that check for write access use it.
func (k keyspace) probe() string { return k.prefix + "probe" }
