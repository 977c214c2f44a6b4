package redisstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// On a Cluster as well, another program's data in the place of one service, or of one
// bucket of the ID index, fails only what needs that.
func TestClusterForeignDataFailsOnlyWhatNeedsIt(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	s := openTest(t, redisclient.Config{Addrs: cluster.Addrs()}, t.Name(), "alpha")
	t.Cleanup(func() { closeTest(t, s) })
	if r := s.Put(t.Context(), []store.Put{putOf("bad", "moving", "x")})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	for _, key := range []string{s.keys.records("bad"), s.keys.idIndex("i7")} {
		if err := s.client.Set(t.Context(), key, "another program's", 0).Err(); err != nil {
			t.Fatalf("SET %s: %v", key, err)
		}
	}
	puts := []store.Put{putOf("bad", "stays", "x"), putOf("good", "moving", "x")}
	for i := range 20 {
		puts = append(puts, putOf("good", fmt.Sprint("i", i), "x"))
	}
	for i, r := range s.Put(t.Context(), puts) {
		switch {
		case i == 0 && !errors.Is(r.Err, store.ErrForeignData):
			t.Errorf("a registration in the place of another program's data: %+v", r)
		case i > 0 && r.Err != nil:
			t.Errorf("%s failed, too: %v", puts[i].ID, r.Err)
		}
	}
	if got := readTest(t, s, "good").Records; len(got) != len(puts)-1 {
		t.Errorf("%d records, want %d", len(got), len(puts)-1)
	}
}
