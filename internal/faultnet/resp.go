package faultnet

import (
	"bytes"
	"strconv"
)

// scanner finds the frames of a Redis connection, in RESP2 or RESP3, in bytes
// that come in pieces of any size. A frame is one request, reply or push. Once
// it meets something else (TLS, say) it is lost for good and reports no frames.
type scanner struct {
	begun bool
	kind  byte     // the first byte of the frame under way
	words []string // its leading bulk strings, at most maxWords
	lost  bool

	line []byte // of the element under way
	bulk int    // bytes of a bulk string yet to come, its line end included
	keep bool   // whether that bulk string becomes a word
	word []byte
	left []int // elements yet to come of each aggregate under way, innermost last
}

const (
	maxWords    = 2
	maxWordSize = 64
	maxLine     = 64 << 10
)

// scan takes bytes up to the end of the frame under way, which a first byte may
// begin. It returns how many it took and whether the frame ended with them.
func (s *scanner) scan(b []byte) (n int, ended bool) {
	if s.lost {
		return len(b), false
	}
	for n < len(b) {
		if !s.begun {
			*s = scanner{begun: true, kind: b[n], left: s.left[:0], line: s.line[:0]}
		}
		if s.bulk > 0 {
			take := min(s.bulk, len(b)-n)
			s.collect(b[n : n+take])
			n += take
			s.bulk -= take
			if s.bulk == 0 && s.elementEnds() {
				return n, true
			}
			continue
		}
		end := bytes.IndexByte(b[n:], '\n')
		if end < 0 {
			s.line = append(s.line, b[n:]...)
			s.lost = len(s.line) > maxLine
			return len(b), false
		}
		s.line = append(s.line, b[n:n+end]...)
		n += end + 1
		ended = s.lineEnds(bytes.TrimSuffix(s.line, []byte("\r")))
		s.line = s.line[:0]
		if s.lost {
			return len(b), false
		}
		if ended {
			return n, true
		}
	}
	return n, false
}

// lineEnds handles the line that an element begins with, or is.
func (s *scanner) lineEnds(line []byte) (frameEnded bool) {
	if len(line) == 0 {
		s.lost = true
		return false
	}
	switch kind := line[0]; kind {
	case '$', '=', '!':
		size, err := strconv.Atoi(string(line[1:]))
		if err != nil {
			s.lost = true
			return false
		}
		if size < 0 {
			return s.elementEnds()
		}
		s.bulk = size + 2
		s.keep = len(s.words) < maxWords
		s.word = nil
		return false
	case '*', '~', '>', '%', '|':
		size, err := strconv.Atoi(string(line[1:]))
		if err != nil {
			s.lost = true
			return false
		}
		switch kind {
		case '%':
			size *= 2
		case '|': // attributes precede the value that they belong to
			size = size*2 + 1
		}
		if size <= 0 {
			return s.elementEnds()
		}
		s.left = append(s.left, size)
		return false
	default:
		return s.elementEnds()
	}
}

// collect keeps the beginning of a bulk string that becomes a word.
func (s *scanner) collect(b []byte) {
	if !s.keep {
		return
	}
	room := maxWordSize - len(s.word)
	s.word = append(s.word, b[:min(room, len(b), max(0, s.bulk-2))]...)
	if len(b) == s.bulk {
		s.words = append(s.words, string(s.word))
	}
}

// elementEnds closes an element, and the aggregates that it completes.
func (s *scanner) elementEnds() (frameEnded bool) {
	for len(s.left) > 0 {
		last := len(s.left) - 1
		if s.left[last]--; s.left[last] > 0 {
			return false
		}
		s.left = s.left[:last]
	}
	s.begun = false
	return true
}
