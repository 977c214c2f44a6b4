package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxPayloadBytes bounds what is decoded; no valid ServiceInfo encodes to as much.
const maxPayloadBytes = 1 << 20

// payload is what a backend stores of an instance, as compact JSON: what its
// owner says of it. ID, Name and RegisteredAt stand in the record's key and
// header. Empty fields are left out, unknown ones are ignored.
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

// encodeService writes the payload. Equal values give equal bytes: map keys
// are sorted, and nil and empty are the same. It fails on invalid UTF-8,
// which JSON cannot carry; validateService refuses that earlier.
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
		return nil, badService("ServiceInfo", "has invalid UTF-8")
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

// string escapes no more than JSON asks for, so that payloads stay readable.
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

// decodeService reads a record found in a backend. The result is valid as
// validateRecord has it; anything else is an error, which names the record. Its
// Metadata may be what known, if not nil, remembers.
func decodeService(name, id string, stampMicros int64, data []byte, known *recentPairs) (ServiceInfo, error) {
	s, err := decodePayload(data, known)
	if err == nil {
		s.Name, s.ID, s.RegisteredAt = name, id, time.UnixMicro(stampMicros).UTC()
		if err = validateID(id); err == nil {
			err = validateRecord(s)
		}
	}
	if err != nil {
		return ServiceInfo{}, fmt.Errorf("record of instance %q of service %q: %w", id, name, err)
	}
	return s, nil
}

func decodePayload(data []byte, known *recentPairs) (ServiceInfo, error) {
	if len(data) > maxPayloadBytes {
		return ServiceInfo{}, fmt.Errorf("%d bytes are over the limit of %d", len(data), maxPayloadBytes)
	}
	if !utf8.Valid(data) {
		return ServiceInfo{}, errors.New("is not valid UTF-8")
	}
	p, ok := scanPayload(string(data), known)
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
