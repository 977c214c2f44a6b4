package registrytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

type list = []registry.ServiceInfo

// onRegister replaces Register; next is the correct one.
func onRegister(f func(o *mutated, ctx context.Context, s registry.ServiceInfo) error) func() Harness {
	return mutate(func(o *mutated) {
		o.register = func(ctx context.Context, s registry.ServiceInfo) error { return f(o, ctx, s) }
	})
}

// afterRefusal does something after a Register that failed.
func afterRefusal(f func(o *mutated, s registry.ServiceInfo)) func() Harness {
	return onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
		err := o.ref.Register(ctx, s)
		if err != nil {
			f(o, s)
		}
		return err
	})
}

// sharedWorld is h with one world for all universes of a check.
func sharedWorld(h Harness) func() Harness {
	return func() Harness {
		w := newWorld(h.TTL, h.Heartbeat, "")
		h.New = func(testing.TB) Universe { return w.universe() }
		return h
	}
}

var callMutants = []mutant{
	{"an unknown service gives an empty list that is not nil", "returned nil",
		mutateDiscover(func(_ *mutated, _ string, l list) list { return append(list(nil), l...) })},
	{"every field comes back as it was registered", "Extensions is",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			s.Extensions = nil
			return o.ref.Register(ctx, s)
		})},
	{"a registered value stays the caller's own", "changing the registered value", mutate(func(o *mutated) {
		given := map[string]registry.ServiceInfo{}
		o.register = func(ctx context.Context, s registry.ServiceInfo) error {
			given[s.ID] = s
			return o.ref.Register(ctx, s)
		}
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			l, err := o.ref.Discover(ctx, name)
			for i := range l {
				l[i].Metadata = given[l[i].ID].Metadata
			}
			return l, err
		}
	})},
	{"a returned value is the caller's own", "changing a discovered value", mutate(func(o *mutated) {
		kept := list{}
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			l, err := o.ref.Discover(ctx, name)
			if len(kept) == 0 {
				kept = l
			}
			return kept, err
		}
	})},
	{"instances come oldest first", "Discover(\"api\")", mutateDiscover(func(_ *mutated, _ string, l list) list {
		slices.SortFunc(l, func(a, b registry.ServiceInfo) int { return strings.Compare(a.ID, b.ID) })
		return l
	})},
	{"RegisteredAt is the backend's and unique within a service", "is not before",
		mutateDiscover(func(_ *mutated, _ string, l list) list {
			for i := range l {
				l[i].RegisteredAt = l[i].RegisteredAt.Truncate(time.Second)
			}
			return l
		})},
	{"RegisteredAt is the backend's and unique within a service", "not of the backend's clock",
		mutateDiscover(func(_ *mutated, _ string, l list) list {
			for i := range l {
				l[i].RegisteredAt = l[i].RegisteredAt.AddDate(-40, 0, 0)
			}
			return l
		})},
	{"critical and draining instances are not discovered", "is-critical", mutate(func(o *mutated) {
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			all, err := o.ref.Instances(ctx, name)
			l := list{}
			for _, in := range all {
				l = append(l, in.ServiceInfo)
			}
			return l, err
		}
	})},
	{"concurrent calls lose nothing", "does not show it", mutate(func(o *mutated) {
		var inside atomic.Int32
		o.register = func(ctx context.Context, s registry.ServiceInfo) error {
			defer inside.Add(-1)
			if inside.Add(1) > 1 {
				return nil
			}
			linger(time.Millisecond)
			return o.ref.Register(ctx, s)
		}
	})},
	{"an empty ID is replaced by a UUID", "is not a UUID", mutate(func(o *mutated) {
		n := 0
		o.register = func(ctx context.Context, s registry.ServiceInfo) error {
			if n++; s.ID == "" {
				s.ID = fmt.Sprint(s.Name, "-", n)
			}
			return o.ref.Register(ctx, s)
		}
	})},
	{"a UUID is an ID like any other", "does not replace its instance",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			if len(s.ID) == len(someUUID) {
				s.ID = "" // treated as an ID that it generated
			}
			return o.ref.Register(ctx, s)
		})},
	{"registering an ID again replaces the instance", "[a b]", mutate(func(o *mutated) {
		known := map[string]bool{}
		o.register = func(ctx context.Context, s registry.ServiceInfo) error {
			if known[s.ID] {
				return nil
			}
			known[s.ID] = true
			return o.ref.Register(ctx, s)
		}
	})},
	{"registering an ID under another name moves it", `Discover("old") = [b a]`, mutate(func(o *mutated) {
		offered := map[string][]string{}
		o.register = func(ctx context.Context, s registry.ServiceInfo) error {
			offered[s.Name] = append(offered[s.Name], s.ID)
			return o.ref.Register(ctx, s)
		}
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			l, err := o.ref.Discover(ctx, name)
			for _, id := range offered[name] {
				if !slices.Contains(ids(l), id) {
					l = append(l, instance(name, id))
				}
			}
			return l, err
		}
	})},
	{"an identical registration is a renewal", "an identical registration changed",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			if err := o.ref.Deregister(ctx, s.ID); err != nil {
				return err
			}
			return o.ref.Register(ctx, s)
		})},
	{"a deregistered instance is gone", `Discover("api") = [a b]`, mutate(func(o *mutated) {
		o.deregister = func(context.Context, string) error { return nil }
	})},
	{"a deregistered instance does not come back by itself", `Discover("api") = [a b]`, withFault("heartbeat resurrects")},
	{"deregistering an unknown ID is a no-op", "instance not found", mutate(func(o *mutated) {
		o.deregister = func(ctx context.Context, id string) error {
			if id == "unknown" {
				return registry.ErrNotFound
			}
			return o.ref.Deregister(ctx, id)
		}
	})},
	{"a service without its required fields is refused", "Port 0: not refused",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			s.Port = max(s.Port, 80)
			return o.ref.Register(ctx, s)
		})},
	{"a service without its required fields is refused", "does not name the field",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			if o.ref.Register(ctx, s) != nil {
				return registry.ErrInvalidService
			}
			return nil
		})},
	{"a service without its required fields is refused", "does not match ErrInvalidService",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			if err := o.ref.Register(ctx, s); err != nil {
				return errors.New(err.Error())
			}
			return nil
		})},
	{"an address that cannot be called is refused", "Address [::1]: not refused",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			s.Address = strings.Trim(s.Address, "[]")
			return o.ref.Register(ctx, s)
		})},
	{"control characters and invalid UTF-8 are refused", "Tags",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			s.Tags = nil
			return o.ref.Register(ctx, s)
		})},
	{"a value over its limit is refused", "Version",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			s.Version = s.Version[:min(len(s.Version), registry.MaxVersionBytes)]
			return o.ref.Register(ctx, s)
		})},
	{"a value at its limit is accepted", "Tags",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			if len(s.Tags) >= registry.MaxTags {
				return registry.ErrInvalidService
			}
			return o.ref.Register(ctx, s)
		})},
	{"a refused registration stores nothing", `Discover("api") = [a]`,
		afterRefusal(func(o *mutated, s registry.ServiceInfo) {
			_ = o.ref.Register(context.Background(), instance("api", "a"))
		})},
	{"a refused registration leaves an earlier one alone", "the earlier registration changed",
		afterRefusal(func(o *mutated, s registry.ServiceInfo) { _ = o.ref.Deregister(context.Background(), s.ID) })},
	{"a bad name or ID is refused by every call", "Discover(", mutate(func(o *mutated) {
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			l, err := o.ref.Discover(ctx, name)
			if errors.Is(err, registry.ErrInvalidService) {
				return list{}, nil
			}
			return l, err
		}
	})},
	{"a bad name or ID is refused by every call", "Deregister(", mutate(func(o *mutated) {
		o.deregister = func(ctx context.Context, id string) error {
			if err := o.ref.Deregister(ctx, id); !errors.Is(err, registry.ErrInvalidService) {
				return err
			}
			return nil
		}
	})},
	{"odd but legal names are accepted and never mix", "want one instance", withFault("mixes case")},

	{"a call whose context was cancelled fails at once", "Discover with an ended context", mutate(func(o *mutated) {
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			return o.ref.Discover(context.WithoutCancel(ctx), name)
		}
	})},
	{"a call whose context has expired fails at once", "Register with an ended context has not returned",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			if ctx.Err() != nil {
				linger(time.Minute)
			}
			return o.ref.Register(ctx, s)
		})},
	{"the context of Register bounds that call only", "the context of Register ended",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			context.AfterFunc(ctx, func() { _ = o.ref.Deregister(context.Background(), s.ID) })
			return o.ref.Register(ctx, s)
		})},
	{"a failed replacement leaves the registration running", "a replacement failed",
		afterRefusal(func(o *mutated, s registry.ServiceInfo) { _ = o.ref.Deregister(context.Background(), s.ID) })},

	{"after Close every call says that the registry is closed", "Discover after Close", mutate(func(o *mutated) {
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			l, err := o.ref.Discover(ctx, name)
			if errors.Is(err, registry.ErrClosed) {
				return list{}, nil
			}
			return l, err
		}
	})},
	{"a second Close returns nil", "Close: registry is closed", mutate(func(o *mutated) {
		o.close = func() error {
			defer o.ref.Close()
			return o.closedErr()
		}
	})},
	{"Close returns within 5 s", "Close has not returned", mutate(func(o *mutated) {
		o.close = func() error {
			linger(time.Minute)
			return o.ref.Close()
		}
	})},

	{"universes share nothing", `Discover("api") = [a]`, sharedWorld(refHarness(""))},
	{"every registry sees the same instances in the same order", `Discover("api")`,
		mutateDiscover(func(o *mutated, _ string, l list) list {
			if o.n == 1 {
				slices.Reverse(l)
			}
			return l
		})},
	{"of two owners of one ID the newest wins", "with port 2", withFault("heartbeat flips back")},
	{"an earlier owner's Deregister leaves the newest alone", "with port 3", withFault("earlier Deregister kills")},
	{"deregistering another's instance by its ID is final", `want [b]`, withFault("heartbeat resurrects")},
	{"another owner's registration under another name moves the ID", `want [b] or want [a ` + someUUID + `]`, withFault("heartbeat flips back")},
	{"a new Register brings a deregistered instance back", "want the one instance a", func() Harness {
		dead := map[string]bool{}
		return mutate(func(o *mutated) {
			o.deregister = func(ctx context.Context, id string) error {
				dead[id] = true
				return o.ref.Deregister(ctx, id)
			}
			o.register = func(ctx context.Context, s registry.ServiceInfo) error {
				if dead[s.ID] {
					return nil
				}
				return o.ref.Register(ctx, s)
			}
		})()
	}},

	{"an instance is gone within its TTL after a crash", `Discover("api") = [a b]`, withFault("never expires")},
	{"a running owner's instance stays whatever happens to others", "of a running owner", withFault("no heartbeat")},
	{"Close deregisters nothing and instances expire with their TTL", `Discover("api") = [], want [a]`, mutate(func(o *mutated) {
		o.close = func() error {
			_ = o.ref.Deregister(context.Background(), "a")
			return o.ref.Close()
		}
	})},
	{"Close deregisters nothing and instances expire with their TTL", `Discover("api") = [a], want []`, withFault("never expires")},
	{"the newest owner's death does not bring the earlier one back", `want []`, withFault("heartbeat resurrects")},
	{"a failed Deregister has stopped the heartbeat", `Discover("api") = [a b]`, withFault("failed Deregister keeps beating")},
	{"an expired instance registers again as a new one", "not after", func() Harness {
		first := map[string]time.Time{}
		return mutateDiscover(func(_ *mutated, _ string, l list) list {
			for i := range l {
				if _, ok := first[l[i].ID]; !ok {
					first[l[i].ID] = l[i].RegisteredAt
				}
				l[i].RegisteredAt = first[l[i].ID]
			}
			return l
		})()
	}},

	{"a call to a mute backend ends when cancelled by hand", "Register to a mute backend",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			return o.ref.Register(ctx, s)
		})},
	{"a call to a mute backend ends with its deadline", "Discover to a mute backend returned no error", mutate(func(o *mutated) {
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			l, err := o.ref.Discover(ctx, name)
			if errors.Is(err, registry.ErrUnavailable) {
				return list{}, nil
			}
			return l, err
		}
	})},
	{"Close returns within 5 s though the backend is mute", "Close has not returned", mutate(func(o *mutated) {
		o.close = func() error {
			if o.isMute() {
				linger(time.Minute)
			}
			return o.ref.Close()
		}
	})},
	{"a cache answers from memory while the backend is mute", `Discover("api"): `, func() Harness {
		h := refHarness("")
		h.Cached = true
		return h
	}},

	{"without Push it is no Watcher", "implements registry.Watcher: true", func() Harness {
		h := localHarness("")
		h.Backend = false
		return h
	}},
	{"without Backend it is no Backend", "implements registry.Backend: true", func() Harness {
		h := localHarness("")
		h.Backend, h.Push = false, true
		return h
	}},
	{"without Shared each registry is alone", `Discover("api") = [a]`, sharedWorld(localHarness(""))},
	{"without Expiry nothing is removed by itself", `Discover("api") = []`, func() Harness {
		h := localHarness("")
		h.New = func(testing.TB) Universe {
			return Universe{Open: func(testing.TB) registry.Registry { return newWorld(time.Hour, 2*time.Hour, "").open() }}
		}
		return h
	}},
}

func (r *ref) isMute() bool {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return r.w.muted
}
