package registry

import (
	"hash/maphash"
	"strings"
	"sync"
)

// recent remembers metadata decoded lately, by service: instances whose metadata
// is equal, as that of one deployment in one zone often is, then share one map,
// which is read only, and need not have it decoded. It is safe for concurrent use.
type recent struct{ services [64]recentPairs }

var recentSeed = maphash.MakeSeed()

// of returns what is remembered of a service, and of others that share its place.
func (r *recent) of(service string) *recentPairs {
	return &r.services[maphash.String(recentSeed, service)%uint64(len(r.services))]
}

// recentPairs are the last few different objects.
type recentPairs struct {
	mu    sync.Mutex
	known [8]struct {
		text  string // as JSON, to the closing brace
		pairs map[string]string
	}
	next int // to be replaced
}

// maxRecentBytes bounds the payloads whose metadata is remembered, as that keeps all of them.
const maxRecentBytes = 2048

// begins returns the pairs of the object that text begins with, and its length;
// nil when it is not remembered.
func (r *recentPairs) begins(text string) (pairs map[string]string, length int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.known {
		if k := &r.known[i]; k.pairs != nil && strings.HasPrefix(text, k.text) {
			return k.pairs, len(k.text)
		}
	}
	return nil, 0
}

func (r *recentPairs) add(text string, pairs map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[r.next].text, r.known[r.next].pairs = text, pairs
	r.next = (r.next + 1) % len(r.known)
}
