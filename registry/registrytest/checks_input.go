package registrytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var inputChecks = []check{
	{name: "a service without its required fields is refused", run: func(e *env) { refused(e, incomplete()) }},
	{name: "an address that cannot be called is refused", run: func(e *env) { refused(e, uncallable()) }},
	{name: "control characters and invalid UTF-8 are refused", run: func(e *env) { refused(e, garbled()) }},
	{name: "a value over its limit is refused", run: func(e *env) { refused(e, sized(1)) }},
	{name: "a value at its limit is accepted", run: accepted},
	{name: "a refused registration stores nothing", run: refusedStoresNothing},
	{name: "a refused registration leaves an earlier one alone", run: refusedLeavesAlone},
	{name: "a bad name or ID is refused by every call", run: badNames},
	{name: "odd but legal names are accepted and never mix", run: oddNames},
}

// variant is a service that is special in one field.
type variant struct {
	field   string
	what    string
	service registry.ServiceInfo
}

func vary(field, what string, change func(*registry.ServiceInfo)) variant {
	s := instance("api", "a")
	change(&s)
	return variant{field, what, s}
}

func incomplete() []variant {
	v := []variant{
		vary("Name", "empty", func(s *registry.ServiceInfo) { s.Name = "" }),
		vary("Address", "empty", func(s *registry.ServiceInfo) { s.Address = "" }),
	}
	for _, port := range []int{0, -1, 65536, 1 << 40} {
		v = append(v, vary("Port", fmt.Sprint(port), func(s *registry.ServiceInfo) { s.Port = port }))
	}
	return v
}

// uncallable returns services at addresses that no client can connect to.
func uncallable() []variant {
	var v []variant
	for _, address := range []string{
		"0.0.0.0", "::", "[::1]", "[::1]:80", "web.example:80", "127.0.0.1:80", "http://web.example", "web.example/health",
		" 127.0.0.1", "127.0.0.1 ", "web example", "256.1.1.1", "user@web.example",
	} {
		v = append(v, vary("Address", address, func(s *registry.ServiceInfo) { s.Address = address }))
	}
	return v
}

// texts lists every field that holds text, with a way to set it.
var texts = []struct {
	field string
	set   func(*registry.ServiceInfo, string)
}{
	{"ID", func(s *registry.ServiceInfo, v string) { s.ID = v }},
	{"Name", func(s *registry.ServiceInfo, v string) { s.Name = v }},
	{"Version", func(s *registry.ServiceInfo, v string) { s.Version = v }},
	{"Address", func(s *registry.ServiceInfo, v string) { s.Address = v }},
	{"HealthEndpoint", func(s *registry.ServiceInfo, v string) { s.HealthEndpoint = v }},
	{"Metadata", func(s *registry.ServiceInfo, v string) { s.Metadata["key"] = v }},
	{"Metadata", func(s *registry.ServiceInfo, v string) { s.Metadata[v] = "value" }},
	{"Tags", func(s *registry.ServiceInfo, v string) { s.Tags = append(s.Tags, v) }},
	{"Extensions", func(s *registry.ServiceInfo, v string) { s.Extensions["key"] = v }},
	{"Extensions", func(s *registry.ServiceInfo, v string) { s.Extensions[v] = "value" }},
}

// bad holds what no text may contain.
var bad = []string{"/x\x00y", "/x\ny", "/x\x1fy", "/x\x7fy", "/x\u0085y", "/x\xffy", "/\xc3"}

func garbled() []variant {
	var v []variant
	for _, t := range texts {
		for _, b := range bad {
			v = append(v, vary(t.field, fmt.Sprintf("%q", b), func(s *registry.ServiceInfo) { t.set(s, b) }))
		}
	}
	return v
}

// sized returns services with one field over by so much above its limit.
func sized(over int) []variant {
	text := func(limit int) string { return "/" + strings.Repeat("a", limit-1+over) }
	pairs := func() map[string]string {
		m := map[string]string{}
		for i := range registry.MaxMetadataPairs + over {
			m[fmt.Sprint(i)] = ""
		}
		return m
	}
	bytes := func() map[string]string {
		return map[string]string{"key": strings.Repeat("v", registry.MaxMetadataBytes-len("key")+over)}
	}
	what := fmt.Sprintf("%d over its limit", over)
	return []variant{
		vary("ID", what, func(s *registry.ServiceInfo) { s.ID = text(registry.MaxIDBytes) }),
		vary("Name", what, func(s *registry.ServiceInfo) { s.Name = text(registry.MaxNameBytes) }),
		vary("Version", what, func(s *registry.ServiceInfo) { s.Version = text(registry.MaxVersionBytes) }),
		vary("Address", what, func(s *registry.ServiceInfo) { s.Address = text(registry.MaxAddressBytes)[1:] + "a" }),
		vary("Port", what, func(s *registry.ServiceInfo) { s.Port = 65535 + over }),
		vary("HealthEndpoint", what, func(s *registry.ServiceInfo) { s.HealthEndpoint = text(registry.MaxHealthEndpointBytes) }),
		vary("Metadata", what+" (pairs)", func(s *registry.ServiceInfo) { s.Metadata = pairs() }),
		vary("Metadata", what+" (bytes)", func(s *registry.ServiceInfo) { s.Metadata = bytes() }),
		vary("Tags", what+" (tags)", func(s *registry.ServiceInfo) { s.Tags = make([]string, registry.MaxTags+over); number(s.Tags) }),
		vary("Tags", what+" (bytes)", func(s *registry.ServiceInfo) { s.Tags = []string{text(registry.MaxTagBytes)} }),
		vary("Weight", what, func(s *registry.ServiceInfo) { s.Weight = registry.MaxWeight + over }),
		vary("Extensions", what+" (pairs)", func(s *registry.ServiceInfo) { s.Extensions = pairs() }),
		vary("Extensions", what+" (bytes)", func(s *registry.ServiceInfo) { s.Extensions = bytes() }),
	}
}

func number(tags []string) {
	for i := range tags {
		tags[i] = fmt.Sprint(i)
	}
}

// refused requires that each is refused, for its field, as ErrInvalidService.
func refused(e *env, variants []variant) {
	r := e.open()
	for _, v := range variants {
		ctx, cancel := e.call()
		err := r.Register(ctx, v.service)
		cancel()
		switch {
		case err == nil:
			e.Errorf("%s %s: not refused", v.field, v.what)
		case !errors.Is(err, registry.ErrInvalidService):
			e.Errorf("%s %s: the error does not match ErrInvalidService: %v", v.field, v.what, err)
		case !names(err, v.field):
			e.Errorf("%s %s: the error does not name the field: %v", v.field, v.what, err)
		}
	}
}

// names reports whether the text of err, that of the sentinel aside, has field.
func names(err error, field string) bool {
	text := strings.ReplaceAll(err.Error(), registry.ErrInvalidService.Error(), "")
	return strings.Contains(strings.ToLower(text), strings.ToLower(field))
}

func accepted(e *env) {
	r := e.open()
	for _, v := range sized(0) {
		ctx, cancel := e.call()
		err := r.Register(ctx, v.service)
		cancel()
		if err != nil {
			e.Errorf("%s %s: refused: %v", v.field, v.what, err)
			continue
		}
		if err := differs(e.one(r, v.service.Name), v.service); err != nil {
			e.Errorf("%s %s: does not come back: %v", v.field, v.what, err)
		}
		e.deregister(r, v.service.ID)
	}
}

func refusals() []variant { return slices.Concat(incomplete(), uncallable(), garbled(), sized(1)) }

// tryRefused registers what must be refused; others judge the refusal.
func tryRefused(e *env, r registry.Registry, v variant) {
	ctx, cancel := e.call()
	defer cancel()
	if r.Register(ctx, v.service) == nil {
		e.Fatalf("%s %s: not refused", v.field, v.what)
	}
}

func refusedStoresNothing(e *env) {
	r := e.open()
	for _, v := range refusals() {
		tryRefused(e, r, v)
		e.lists(r, "api")
	}
}

func refusedLeavesAlone(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	before := e.discover(r, "api")
	for _, v := range refusals() {
		tryRefused(e, r, v)
		if err := sameLists(e.discover(r, "api"), before); err != nil {
			e.Fatalf("%s %s was refused, yet the earlier registration changed: %v", v.field, v.what, err)
		}
	}
}

func badNames(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	names := append([]string{"", strings.Repeat("a", registry.MaxNameBytes+1)}, bad...)
	refuses := func(call string, value string, err error) {
		e.Helper()
		if !errors.Is(err, registry.ErrInvalidService) {
			e.Errorf("%s(%.20q): the error does not match ErrInvalidService: %v", call, value, err)
		}
	}
	ctx, cancel := e.call()
	defer cancel()
	for _, name := range names {
		_, err := r.Discover(ctx, name)
		refuses("Discover", name, err)
		if b, ok := r.(registry.Backend); ok {
			_, err = b.Snapshot(ctx, name)
			refuses("Snapshot", name, err)
			_, err = b.Instances(ctx, name)
			refuses("Instances", name, err)
		}
	}
	for _, id := range append([]string{strings.Repeat("a", registry.MaxIDBytes+1)}, bad...) {
		refuses("Deregister", id, r.Deregister(ctx, id))
	}
}

// oddities are names that careless escaping, patterns or joined keys would confuse.
var oddities = []string{
	"a", "A", "a:b", "a:b:c", "a::b", ":", "{a}", "{a}b", "a{b}", "}{", "{}", "a*", "*", "a?", "[a]", "[^a]", "a b", "a ", " a",
	"名前", "名", "é", "e\u0301", "a/b", "a//b", "/", "..", ".", "a.b", "a,b", "a;b", "a|b", `a\b`, `"a"`, "'a'", "`a`", "a%3Ab", "a%b",
	"a+b", "a=b", "a&b", "#a", "$a", "${a}", "<a>", "@a", "~", "-", "--", "nil", "null", "true", "0", "00", "1e3", "__proto__", "\U0001F600",
}

func oddNames(e *env) {
	r := e.open()
	start := time.Now()
	for i, odd := range oddities {
		e.register(r, at(odd, odd, i+1))
	}
	gone := map[string]bool{}
	confirm := func() {
		e.Helper()
		for i, odd := range oddities {
			if e.h.Cached && e.stood(start) { // a cache waits for its own change, but has a limit
				want := []string{odd}
				if gone[odd] {
					want = nil
				}
				e.peerLists(r, odd, want...)
			}
			if gone[odd] {
				e.lists(r, odd)
			} else if err := differs(e.one(r, odd), at(odd, odd, i+1)); err != nil {
				e.Fatalf("service %q: %v", odd, err)
			}
		}
	}
	confirm()
	for i, odd := range oddities {
		if i%2 == 0 {
			e.deregister(r, odd)
			gone[odd] = true
		}
	}
	confirm()
}
