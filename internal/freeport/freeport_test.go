package freeport

import (
	"net"
	"strconv"
	"testing"
)

func TestReservedPortIsNotGivenTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, release, err := Reserve()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { release.Close() })
		if seen[port] {
			t.Fatalf("port %d given twice", port)
		}
		seen[port] = true
	}
}

func TestReservedPortCanBeListenedOn(t *testing.T) {
	port, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer release.Close()
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
