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
