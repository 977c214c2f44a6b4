package registry

import "strings"

// scanPayload reads a payload of the shape that encodeService writes, several
// times faster than encoding/json: whoever starts decodes every instance once.
// ok is false for any other shape, which encoding/json must then judge.
// The text must be valid UTF-8. The result's strings are parts of it, but for
// metadata that known, if not nil, remembers; what it did not is added.
func scanPayload(text string, known *recentPairs) (p payload, ok bool) {
	s := scanner{rest: text}
	if len(text) <= maxRecentBytes {
		s.known = known
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

// scanner takes one value after the other off the front. After something
// unexpected it is bad, and stays so.
type scanner struct {
	rest  string
	bad   bool
	open  bool // inside the outermost object
	known *recentPairs
}

// next takes the byte that begins the outermost object or separates its fields.
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

// end takes the closing byte if it is there.
func (s *scanner) end(closing byte) bool {
	if s.bad || s.rest == "" || s.rest[0] != closing {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// string takes a string in which only " and \ are escaped.
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

// escaped takes the rest of a string whose first backslash is at i.
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

// number takes a whole number over 0 of at most nine digits.
func (s *scanner) number() int {
	n, i := 0, 0
	for ; i < len(s.rest) && i < 9 && '0' <= s.rest[i] && s.rest[i] <= '9'; i++ {
		n = 10*n + int(s.rest[i]-'0')
	}
	// What follows, be it a tenth digit, is left for the caller to refuse.
	if i == 0 || s.rest[0] == '0' {
		s.bad = true
	}
	s.rest = s.rest[i:]
	return n
}

// metadata takes an object of strings that is not empty, which others may have, too.
func (s *scanner) metadata() map[string]string {
	if s.bad || s.known == nil {
		return s.pairs()
	}
	text := s.rest
	pairs, length := s.known.begins(text)
	if pairs != nil {
		s.rest = text[length:]
		return pairs
	}
	if pairs = s.pairs(); !s.bad {
		s.known.add(text[:len(text)-len(s.rest)], pairs)
	}
	return pairs
}

// pairs takes an object of strings that is not empty.
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

// strings takes an array of strings that is not empty.
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
