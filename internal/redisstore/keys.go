package redisstore

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// Keys are described in DESIGN.md.

// hintBuckets spreads the hints of IDs over so many keys, small enough each to
// be stored compactly for tens of thousands of IDs.
const hintBuckets = 64

var (
	groupEscapes     = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")
	namespaceEscapes = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D", ":", "%3A")
)

// keyspace makes the names of keys and channels.
type keyspace struct {
	prefix string // "rollcall:namespace:"
	names  string
}

func newKeyspace(namespace string) keyspace {
	prefix := "rollcall:" + namespaceEscapes.Replace(namespace) + ":"
	return keyspace{prefix: prefix, names: prefix + "names"}
}

// base is what the keys and the channel of a group begin with.
func (k keyspace) base(group string) string {
	return k.prefix + "{" + groupEscapes.Replace(group) + "}"
}

// channel is where changes of a group are published.
func (k keyspace) channel(group string) string {
	if group == "" {
		return k.names + ":c"
	}
	return k.base(group) + ":c"
}

// hints is the bucket that says where an ID stands.
func (k keyspace) hints(id string) string {
	h := fnv.New32a()
	h.Write([]byte(id))
	return k.prefix + "ids:" + strconv.Itoa(int(h.Sum32()%hintBuckets))
}
