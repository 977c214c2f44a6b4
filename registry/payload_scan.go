package registry

import "strings"

// scanPayload decodes a payload of the form that encodeService writes, several times
// faster than encoding/json: a process decodes every instance once when it starts.
// For any other form, which encoding/json must decode, ok is false. The text must be
// valid UTF-8. The result's strings are substrings of it, except for metadata
// found in cache, which may be nil; new metadata is added to it.
func scanPayload(text string, cache *metadataShard) (p payload, ok bool) {
	s := scanner{rest: text}
	if len(text) <= maxCachedPayloadBytes {
		s.cache = cache
	}
	var seen uint16
	for s.next('{', ',') {
		field := s.string()
		s.byte(':')
		var bit uint16
		switch field {
		case "version":
			bit, p.Version = 1, s.string()
		case "address":
			bit, p.Address = 2, s.string()
		case "port":
			bit, p.Port = 4, s.number()
		case "health":
			bit, p.Health = 8, s.string()
		case "metadata":
			bit, p.Metadata = 16, s.metadata()
		case "tags":
			bit, p.Tags = 32, s.strings()
		case "weight":
			bit, p.Weight = 64, s.number()
		case "status":
			bit, p.Status = 128, Status(s.string())
		case "extensions":
			bit, p.Extensions = 256, s.pairs()
		}
		if s.bad || bit == 0 || seen&bit != 0 {
			return payload{}, false
		}
		seen |= bit
		if s.end('}') {
			return p, !s.bad && s.rest == ""
		}
	}
	return payload{}, false
}

// scanner consumes a text value by value. After an unexpected byte it is bad, and
// stays so.
type scanner struct {
	rest  string
	bad   bool
	open  bool // inside the outermost object
	cache *metadataShard
}

// next consumes the byte that begins the outermost object or separates its fields.
func (s *scanner) next(first, separator byte) bool {
	if s.open {
		first = separator
	}
	s.open = true
	s.byte(first)
	return !s.bad
}

func (s *scanner) byte(want byte) {
	if s.bad || s.rest == "" || s.rest[0] != want {
		s.bad = true
		return
	}
	s.rest = s.rest[1:]
}

// end consumes the closing byte if it comes next.
func (s *scanner) end(closing byte) bool {
	if s.bad || s.rest == "" || s.rest[0] != closing {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// string consumes a string in which only " and \ are escaped.
func (s *scanner) string() string {
	s.byte('"')
	if s.bad {
		return ""
	}
	for i := range len(s.rest) {
		switch c := s.rest[i]; {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text
		case c == '\\':
			return s.escaped(i)
		case c < ' ':
			s.bad = true
			return ""
		}
	}
	s.bad = true
	return ""
}

// escaped consumes the rest of a string whose first backslash is at i.
func (s *scanner) escaped(i int) string {
	var b strings.Builder
	for start := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			b.WriteString(s.rest[start:i])
			s.rest = s.rest[i+1:]
			return b.String()
		case c == '\\':
			b.WriteString(s.rest[start:i])
			start = i + 1
			i++
			if i == len(s.rest) || s.rest[i] != '"' && s.rest[i] != '\\' {
				s.bad = true
				return ""
			}
		case c < ' ':
			s.bad = true
			return ""
		}
	}
	s.bad = true
	return ""
}

// number consumes a positive integer of at most nine digits.
func (s *scanner) number() int {
	n, i := 0, 0
	for ; i < len(s.rest) && i < 9 && '0' <= s.rest[i] && s.rest[i] <= '9'; i++ {
		n = 10*n + int(s.rest[i]-'0')
	}
	// The caller refuses what follows, a tenth digit too.
	if i == 0 || s.rest[0] == '0' {
		s.bad = true
	}
	s.rest = s.rest[i:]
	return n
}

// metadata is pairs with the cache.
func (s *scanner) metadata() map[string]string {
	if s.bad || s.cache == nil {
		return s.pairs()
	}
	text := s.rest
	pairs, length := s.cache.find(text)
	if pairs != nil {
		s.rest = text[length:]
		return pairs
	}
	if pairs = s.pairs(); !s.bad {
		s.cache.add(text[:len(text)-len(s.rest)], pairs)
	}
	return pairs
}

// pairs consumes an object of strings that is not empty.
func (s *scanner) pairs() map[string]string {
	pairs := make(map[string]string)
	s.byte('{')
	for !s.bad {
		key := s.string()
		s.byte(':')
		pairs[key] = s.string()
		if s.end('}') {
			return pairs
		}
		s.byte(',')
	}
	return nil
}

// strings consumes an array of strings that is not empty.
func (s *scanner) strings() []string {
	var all []string
	s.byte('[')
	for !s.bad {
		all = append(all, s.string())
		if s.end(']') {
			return all
		}
		s.byte(',')
	}
	return nil
}
