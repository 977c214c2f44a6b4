package balance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"time"
)

// idlePerInstance is how many idle connections to an instance are kept.
const idlePerInstance = 100

// initialTransport is http.DefaultTransport from before main could replace it.
// What a program sets in it later is seen here as well.
var initialTransport = http.DefaultTransport

// useDefaultTransport sets the base for a Transport without WithTransport.
func (c *config) useDefaultTransport() {
	original := wrapped(http.DefaultTransport)
	if original == nil {
		used := "the http.DefaultTransport that the program began with"
		if original = wrapped(initialTransport); original == nil {
			original, used = likeDefault(), "the settings that net/http begins with"
		}
		c.logger.Warn("settings of http.DefaultTransport are not used: it is no *http.Transport, nor a wrapper in which one is found",
			"type", fmt.Sprintf("%T", http.DefaultTransport), "used", used)
	}
	base := original.Clone()
	if base.DialContext != nil {
		base.Dial = nil //lint:ignore SA1019 net/http does not use it either
		base.DialContext = within(dialTimeout, base.DialContext)
	}
	if base.DialTLSContext != nil {
		base.DialTLS = nil //lint:ignore SA1019 net/http does not use it either
	}
	if problem := transportProblem(base); problem != "" {
		c.refuse("http.DefaultTransport", problem)
	}
	base.MaxIdleConns, base.MaxIdleConnsPerHost = idlePerInstance, idlePerInstance
	c.base = base
}

// transportProblem says why a transport cannot be the base of ours, or "".
func transportProblem(base *http.Transport) string {
	switch {
	case base == nil:
		return "the transport is nil"
	case base.Dial != nil, base.DialTLS != nil: //lint:ignore SA1019 they are refused
		return "Dial and DialTLS are deprecated and not used: set DialContext or DialTLSContext"
	}
	return ""
}

// within bounds the time that a dialer may take.
func within(d time.Duration, dial dialer) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// likeDefault has the settings of net/http's own http.DefaultTransport.
func likeDefault() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// wrapped returns the *http.Transport that a RoundTripper is or wraps, as
// tracing libraries do: the only one in its fields, or in those of RoundTrippers
// there, exported or not. It returns nil if that is not clear.
func wrapped(rt http.RoundTripper) *http.Transport {
	found := map[*http.Transport]bool{}
	collect(reflect.ValueOf(rt), found, 0)
	if len(found) != 1 {
		return nil
	}
	for t := range found {
		return t
	}
	return nil
}

// maxWrappers bounds how deep a transport may be wrapped: a wrapper may hold itself.
const maxWrappers = 16

var roundTripper = reflect.TypeFor[http.RoundTripper]()

func collect(v reflect.Value, found map[*http.Transport]bool, depth int) {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() || !v.Type().Implements(roundTripper) || depth > maxWrappers {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		if v.Type() == reflect.TypeFor[*http.Transport]() {
			found[(*http.Transport)(v.UnsafePointer())] = true
			return
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		collect(v.Field(i), found, depth+1)
	}
}
