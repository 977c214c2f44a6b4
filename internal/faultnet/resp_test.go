package faultnet

import (
	"slices"
	"strings"
	"testing"
)

func TestScannerFindsFrames(t *testing.T) {
	frames := []struct {
		bytes string
		kind  byte
		words []string
	}{
		{"PING\r\n", 'P', nil},
		{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", '*', []string{"GET", "k"}},
		{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\r\n\r\n", '*', []string{"SET", "k"}},
		{"+OK\r\n", '+', nil},
		{"-ERR no\r\n", '-', nil},
		{":12\r\n", ':', nil},
		{"$-1\r\n", '$', nil},
		{"$0\r\n\r\n", '$', []string{""}},
		{"*-1\r\n", '*', nil},
		{"*0\r\n", '*', nil},
		{"*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n$1\r\nx\r\n", '*', []string{"x"}},
		{"%1\r\n+a\r\n*2\r\n_\r\n#t\r\n", '%', nil},
		{"~1\r\n,1.5\r\n", '~', nil},
		{">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$2\r\nhi\r\n", '>', []string{"message", "ch"}},
		{"|1\r\n+a\r\n+b\r\n$1\r\nv\r\n", '|', []string{"v"}},
		{"=5\r\ntxt:x\r\n", '=', []string{"txt:x"}},
	}
	var all strings.Builder
	for _, f := range frames {
		all.WriteString(f.bytes)
	}
	for size := 1; size <= all.Len(); size++ {
		var s scanner
		found := 0
		for piece := range slices.Chunk([]byte(all.String()), size) {
			for len(piece) > 0 {
				n, ended := s.scan(piece)
				piece = piece[n:]
				if !ended {
					continue
				}
				if s.kind != frames[found].kind || !slices.Equal(s.words, frames[found].words) {
					t.Fatalf("pieces of %d: frame %q read as %c %q", size, frames[found].bytes, s.kind, s.words)
				}
				found++
			}
		}
		if found != len(frames) || s.begun || s.lost {
			t.Fatalf("pieces of %d: found %d of %d frames", size, found, len(frames))
		}
	}
}

func FuzzScannerTakesAnything(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"))
	f.Add([]byte("*1\r\n$-5\r\n\x16\x03\x01"))
	f.Add([]byte("*99999999999999999999\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s scanner
		for len(b) > 0 {
			n, _ := s.scan(b)
			if n <= 0 || n > len(b) {
				t.Fatalf("took %d of %d bytes", n, len(b))
			}
			b = b[n:]
		}
	})
}
