package balance

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// What follows tells failures of an instance from what the caller, or this
// process, brought about: only the former may eject an instance.

// callerEnd is how a caller ended a request.
type callerEnd int

const (
	open      callerEnd = iota
	cancelled           // it no longer needs the answer
	late                // its deadline has passed
)

// endOf returns how a request's caller ended it. An http.Client with a Timeout
// closes Cancel as well.
func endOf(req *http.Request) callerEnd {
	ctx := req.Context()
	switch err := ctx.Err(); {
	case errors.Is(err, context.DeadlineExceeded):
		return late
	case err != nil:
		return cancelled
	}
	select {
	case <-req.Cancel: //lint:ignore SA1019 http.Client uses it
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
			return late
		}
		return cancelled
	default:
		return open
	}
}

// isDial reports whether no connection could be made. A failed TLS handshake is
// no failed dial.
func isDial(err error) bool {
	if err == nil {
		return false // without an allocation
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// isLocal reports whether a dial failed for lack of something in this process
// or on its machine: descriptors, ports, memory.
func isLocal(err error) bool {
	if !isDial(err) {
		return false
	}
	// The resolver of package net keeps only the text of what it lacks.
	lookup := ""
	var dns *net.DNSError
	if errors.As(err, &dns) {
		lookup = dns.Err
	}
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) || strings.HasSuffix(lookup, ": "+e.Error()) {
			return true
		}
	}
	return false
}

// sendable reports whether a request that failed with an error could be written
// at all. net/http finds out only once it has a connection, with errors of no
// type. Those of HTTP/2 are known by their text: that of an instance's begins
// otherwise.
func sendable(req *http.Request, err error) bool {
	if text := err.Error(); strings.HasPrefix(text, "http2: invalid ") || strings.HasPrefix(text, "http2: request ") {
		return false
	}
	r := req.WithContext(context.Background()) // without the caller's trace
	if r.Body != nil {
		// Of no length, as there are trailers only then.
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1
	}
	return r.Write(io.Discard) == nil
}
