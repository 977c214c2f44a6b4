package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// The steps that deregister the last instance and register another, in every order in
// which the nodes may run them.
func TestClusterCatalogListsALiveServiceInEveryOrder(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	cfg := redisclient.Config{Addrs: cluster.Addrs()}
	const service = "web"
	// leaveCatalog and joinCatalog are the steps at the catalog, the others at the service.
	for _, order := range [][]string{
		{"left", "leaveCatalog", "joinCatalog", "joined"},
		{"left", "leaveCatalog", "joined", "joinCatalog"},
		{"left", "joinCatalog", "leaveCatalog", "joined"},
		{"left", "joinCatalog", "joined", "leaveCatalog"},
		{"left", "joined", "leaveCatalog", "joinCatalog"},
		{"left", "joined", "joinCatalog", "leaveCatalog"},
		{"joinCatalog", "left", "leaveCatalog", "joined"},
		{"joinCatalog", "left", "joined", "leaveCatalog"},
		{"joinCatalog", "joined", "left"},
		{"joined", "joinCatalog", "left"},
		{"joined", "left", "joinCatalog"},
	} {
		name := ""
		for _, step := range order {
			name += " " + step
		}
		t.Run(name, func(t *testing.T) {
			leaver := openTest(t, cfg, t.Name(), "alpha")
			joiner := openTest(t, cfg, t.Name(), "beta")
			reader := openTest(t, cfg, t.Name(), "gamma")
			for _, s := range []*Store{leaver, joiner, reader} {
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			if r := leaver.Put(t.Context(), []store.Put{putOf(service, "old", "1")})[0]; r.Err != nil {
				t.Fatal(r.Err)
			}
			tell := func(length int64) {
				c := &call{script: clusterIndexScript, keys: []string{leaver.keys.catalog}, args: []any{"catalog", int64(1) << 52, service, length}}
				sendCalls(t.Context(), leaver.client, []*call{c})
				if c.err != nil {
					t.Fatal(c.err)
				}
			}
			notices := make(chan store.Notice, 100)
			defer reader.Watch(store.Catalog, func(n store.Notice) { notices <- n })()
			awaitNotice(t, notices, "the subscription")
			joined := false
			for _, step := range order {
				for len(notices) > 0 {
					<-notices
				}
				switch step {
				case "left":
					c := &call{script: removeScript, keys: leaver.instanceKeys(service, "old"),
						args: []any{"alpha", leaver.nextSeq(), service, leaver.keys.prefix, "old", int64(1) << 52, "any", 0}}
					sendCalls(t.Context(), leaver.client, []*call{c})
					if c.err != nil {
						t.Fatal(c.err)
					}
				case "leaveCatalog":
					tell(0)
				case "joinCatalog":
					tell(testTTL.Milliseconds())
				case "joined":
					before := readTest(t, reader, store.Catalog)
					if r := joiner.put(t.Context(), []store.Put{putOf(service, "new", "1")}, true)[0]; r.Err != nil {
						t.Fatal(r.Err)
					}
					joined = true
					if len(before.Records) == 0 {
						awaitNotice(t, notices, "the service's return")
					}
				}
				if reading := readTest(t, reader, store.Catalog); joined && len(reading.Records) != 1 {
					t.Fatalf("after %q the catalog has %d services, and evidence %v, while an instance is live", step, len(reading.Records), reading.Tombstones)
				}
			}
		})
	}
}

// The catalog is no evidence about a service whose keys were lost.
func TestClusterCatalogIsNoEvidenceAfterALoss(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	s := openTest(t, redisclient.Config{Addrs: cluster.Addrs()}, "loss", "alpha")
	defer s.Close()
	if r := s.Put(t.Context(), []store.Put{putOf("web", "i", "1")})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	if err := s.client.Del(t.Context(), s.keys.ofService("web")...).Err(); err != nil {
		t.Fatal(err)
	}
	c := &call{script: clusterIndexScript, keys: []string{s.keys.catalog}, args: []any{"catalog", int64(1) << 52, "web", 0}}
	if sendCalls(t.Context(), s.client, []*call{c}); c.err != nil {
		t.Fatal(c.err)
	}
	if r := readTest(t, s, store.Catalog); len(r.Records) > 0 || len(r.Tombstones) > 0 {
		t.Errorf("lists %v with the evidence %v", r.Records, r.Tombstones)
	}
}

// The catalog's node accepts writes, whichever node it is and whatever ended.
func TestClusterCatalogAfterAServiceExpired(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	cfg := redisclient.Config{Addrs: cluster.Addrs()}
	for i := range 8 {
		namespace := fmt.Sprint("catalog", i)
		s := openTest(t, cfg, namespace, "alpha")
		defer closeTest(t, s)
		if r := s.Put(t.Context(), []store.Put{putOf("web", "i", "1")})[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
		for _, service := range []string{"web", store.Catalog} {
			id := "i"
			if service == store.Catalog {
				id = "web"
			}
			expire(t, mustDial(t, cfg), s.keys, service, id)
		}
		if r := readTest(t, s, store.Catalog); r.WritesRefused != nil || len(r.Records) > 0 {
			t.Errorf("%s: the catalog lists %v: %v", namespace, r.Records, r.WritesRefused)
		}
	}
}

func awaitNotice(t *testing.T, notices <-chan store.Notice, what string) {
	t.Helper()
	select {
	case <-notices:
	case <-time.After(20 * time.Second):
		t.Fatalf("no notice of %s within 20 s", what)
	}
}

func readTest(t *testing.T, s *Store, service string) (reading store.Reading) {
	t.Helper()
	done := make(chan error, 1)
	s.Read(service, store.KnownState{}, func(r store.Reading, err error) {
		reading = r
		done <- err
	})
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("reading %q: %v", service, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("Read of %q has not answered within 20 s", service)
	}
	return reading
}
