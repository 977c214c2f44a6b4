package redisstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// The index entries of half of the IDs are on a node that does not answer. Those IDs are
// still registered and reregistered, since their service's node answers.
func TestClusterNodeWithoutAnswerHoldsUpNoOtherService(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0, redistest.WithArgs("--cluster-require-full-coverage", "no"))
	s := openTest(t, redisclient.Config{Addrs: cluster.Addrs()}, "mute", "alpha")
	defer s.Close()
	mute := cluster.NodeOf(s.keys.catalog)
	service := ""
	for i := 0; service == ""; i++ {
		if name := fmt.Sprint("web-", i); cluster.NodeOf(s.keys.records(name)) != mute {
			service = name
		}
	}
	var puts []store.Put
	onMute := 0
	for i := 0; onMute < 4 || len(puts)-onMute < 4; i++ {
		p := putOf(service, fmt.Sprint("chosen-", i), "1")
		if cluster.NodeOf(s.keys.idIndex(p.ID)) == mute {
			onMute++
		}
		puts = append(puts, p)
	}
	if r := s.Put(t.Context(), []store.Put{putOf(service, "before", "1")})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	mute.Freeze()
	defer mute.Thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, p := range puts[:6] {
		if r := s.Put(ctx, []store.Put{p})[0]; r.Err != nil || r.Outcome != store.Done {
			t.Errorf("registering %s: %v, %v", p.ID, r.Outcome, r.Err)
		}
	}
	for i := range puts {
		puts[i].Reregister, puts[i].RegisteredAt = true, 1
	}
	for i, r := range s.Put(ctx, puts[6:]) {
		if r.Err != nil || r.Outcome != store.Done {
			t.Errorf("reregistering %s: %v, %v", puts[6+i].ID, r.Outcome, r.Err)
		}
	}
	if got := readTest(t, s, service); len(got.Records) != len(puts)+1 {
		t.Errorf("%d of %d are listed", len(got.Records), len(puts)+1)
	}
}
