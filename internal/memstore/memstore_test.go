package memstore_test

import (
	"testing"

	"github.com/rollcall-sd/rollcall/internal/memstore"
	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) storetest.Backend {
			return storetest.Backend{Open: func(owner string) store.Store { return memstore.New(owner, storetest.NameOf(owner)) }}
		},
		Atomic: true,
		Events: true,
	})
}

// Stores that share a memory have leases and owners.
func TestConformanceOfSharedMemory(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) storetest.Backend {
			local := memstore.New("local", storetest.NameOf("local"))
			return storetest.Backend{
				Open: func(owner string) store.Store {
					s, err := local.Share(owner, storetest.NameOf(owner))
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
				Expire: local.Expire,
			}
		},
		Leases: true, SharedBackend: true, Deltas: true, Atomic: true, Events: true,
	})
}
