package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxPayloadBytes bounds what is decoded. Every valid ServiceInfo is shorter.
const maxPayloadBytes = 1 << 20

// payload is what its owner stores of an instance, as compact JSON. ID, Name and
// RegisteredAt are in the record's key and header. Empty fields are left out,
// unknown ones are ignored.
type payload struct {
	Version    string            `json:"version"`
	Address    string            `json:"address"`
	Port       int               `json:"port"`
	Health     string            `json:"health"`
	Metadata   map[string]string `json:"metadata"`
	Tags       []string          `json:"tags"`
	Weight     int               `json:"weight"`
	Status     Status            `json:"status"`
	Extensions map[string]string `json:"extensions"`
}

// encodeService returns the payload of s. Equal values give equal bytes: map keys are
// sorted, and nil and empty are the same. It fails on invalid UTF-8, which JSON
// cannot represent and validateService refuses earlier.
func encodeService(s ServiceInfo) ([]byte, error) {
	e := encoder{buf: make([]byte, 0, 128)}
	e.text("version", s.Version)
	e.text("address", s.Address)
	e.number("port", s.Port)
	e.text("health", s.HealthEndpoint)
	e.pairs("metadata", s.Metadata)
	if len(s.Tags) > 0 {
		e.key("tags")
		open := byte('[')
		for _, tag := range s.Tags {
			e.buf = append(e.buf, open)
			open = ','
			e.string(tag)
		}
		e.buf = append(e.buf, ']')
	}
	e.number("weight", s.Weight)
	e.text("status", string(s.Status))
	e.pairs("extensions", s.Extensions)
	if e.invalid {
		return nil, invalidService("ServiceInfo", "has invalid UTF-8")
	}
	if len(e.buf) == 0 {
		return []byte("{}"), nil
	}
	return append(e.buf, '}'), nil
}

// encoder appends the fields of one JSON object.
type encoder struct {
	buf     []byte
	invalid bool
}

func (e *encoder) key(name string) {
	if len(e.buf) == 0 {
		e.buf = append(e.buf, '{')
	} else {
		e.buf = append(e.buf, ',')
	}
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) text(name, value string) {
	if value != "" {
		e.key(name)
		e.string(value)
	}
}

func (e *encoder) number(name string, value int) {
	if value != 0 {
		e.key(name)
		e.buf = strconv.AppendInt(e.buf, int64(value), 10)
	}
}

func (e *encoder) pairs(name string, pairs map[string]string) {
	if len(pairs) == 0 {
		return
	}
	e.key(name)
	open := byte('{')
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		e.buf = append(e.buf, open)
		open = ','
		e.string(key)
		e.buf = append(e.buf, ':')
		e.string(pairs[key])
	}
	e.buf = append(e.buf, '}')
}

// string escapes only what JSON requires, so that payloads stay readable.
func (e *encoder) string(s string) {
	const hex = "0123456789abcdef"
	e.invalid = e.invalid || !utf8.ValidString(s)
	e.buf = append(e.buf, '"')
	start := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			e.buf = append(append(e.buf, s[start:i]...), '\\', c)
		case c < ' ':
			e.buf = append(append(e.buf, s[start:i]...), '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			continue
		}
		start = i + 1
	}
	e.buf = append(append(e.buf, s[start:]...), '"')
}

// decodeRecord decodes the payload of a record for package core. In the catalog a
// record has none: its value is its ID.
func (c *metadataCache) decodeRecord(service string, r *store.Record) (any, error) {
	if service == store.Catalog {
		return r.ID, nil
	}
	s, err := decodeService(service, r.ID, r.RegisteredAt, r.Payload, c.shard(service))
	if err != nil {
		return nil, err
	}
	r.Payload = nil // its decoded value replaces it
	return newDecodedService(&s), nil
}

// decodeService decodes a payload found in a backend. The result is valid by
// validateRecord; an error names the record. Metadata may be shared with cache,
// which may be nil.
func decodeService(name, id string, registeredAtMicros int64, data []byte, cache *metadataShard) (ServiceInfo, error) {
	s, err := decodePayload(data, cache)
	if err == nil {
		s.Name, s.ID, s.RegisteredAt = name, id, time.UnixMicro(registeredAtMicros).UTC()
		if err = validateID(id); err == nil {
			err = validateRecord(s)
		}
	}
	if err != nil {
		return ServiceInfo{}, fmt.Errorf("record of instance %q of service %q: %w", id, name, err)
	}
	return s, nil
}

func decodePayload(data []byte, cache *metadataShard) (ServiceInfo, error) {
	if len(data) > maxPayloadBytes {
		return ServiceInfo{}, fmt.Errorf("%d bytes are over the limit of %d", len(data), maxPayloadBytes)
	}
	if !utf8.Valid(data) {
		return ServiceInfo{}, errors.New("is not valid UTF-8")
	}
	p, ok := scanPayload(string(data), cache)
	if !ok {
		p = payload{}
		if err := json.Unmarshal(data, &p); err != nil {
			return ServiceInfo{}, err
		}
	}
	return ServiceInfo{
		Version:        p.Version,
		Address:        p.Address,
		Port:           p.Port,
		HealthEndpoint: p.Health,
		Metadata:       p.Metadata,
		Tags:           p.Tags,
		Weight:         p.Weight,
		Status:         p.Status,
		Extensions:     p.Extensions,
	}, nil
}

// metadataCache holds metadata decoded recently, by service. Instances of one
// deployment in one zone often have equal metadata: they share one read-only map,
// and only the first has it decoded. It is safe for concurrent use.
type metadataCache struct{ shards [64]metadataShard }

var metadataSeed = maphash.MakeSeed()

// shard returns the part of the cache that a service shares with some others.
func (c *metadataCache) shard(service string) *metadataShard {
	return &c.shards[maphash.String(metadataSeed, service)%uint64(len(c.shards))]
}

// metadataShard holds the last few different objects.
type metadataShard struct {
	mu      sync.Mutex
	entries [8]struct {
		text  string // JSON, up to and including the closing brace
		pairs map[string]string
	}
	next int // the index of the entry to replace
}

// maxCachedPayloadBytes bounds the payloads whose metadata is cached: an entry's text
// keeps its whole payload in memory.
const maxCachedPayloadBytes = 2048

// find returns the pairs of the object that text begins with, and its length, or nil
// if it is not cached.
func (s *metadataShard) find(text string) (pairs map[string]string, length int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entries {
		if e := &s.entries[i]; e.pairs != nil && strings.HasPrefix(text, e.text) {
			return e.pairs, len(e.text)
		}
	}
	return nil, 0
}

func (s *metadataShard) add(text string, pairs map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[s.next].text, s.entries[s.next].pairs = text, pairs
	s.next = (s.next + 1) % len(s.entries)
}
