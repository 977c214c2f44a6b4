package redisstore

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// Keys are described in DESIGN.md.

// hintBuckets spreads the hints of IDs over so many keys, small enough each to
// be stored compactly for tens of thousands of IDs.
const idIndexBuckets = 64

var (
	serviceEscapes   = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")
	namespaceEscapes = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D", ":", "%3A")
)

// keyspace makes the names of keys and channels.
type keyspace struct {
	prefix  string // "rollcall:namespace:"
	catalog string
}

func newKeyspace(namespace string) keyspace {
	prefix := "rollcall:" + namespaceEscapes.Replace(namespace) + ":"
	return keyspace{prefix: prefix, catalog: prefix + "names"}
}

// base is what the keys and the channel of a service begin with.
func (k keyspace) base(service string) string {
	return k.prefix + "{" + serviceEscapes.Replace(service) + "}"
}

// channel is where changes of a service are published.
func (k keyspace) channel(service string) string {
	if service == "" {
		return k.catalog + ":c"
	}
	return k.base(service) + ":c"
}

// hints is the bucket that says where an ID stands.
func (k keyspace) idIndex(id string) string {
	h := fnv.New32a()
	h.Write([]byte(id))
	return k.prefix + "ids:" + strconv.Itoa(int(h.Sum32()%idIndexBuckets))
}
