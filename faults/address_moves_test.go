package faults

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// movedAddress is an address that starts to lead to another server, the promoted
// replica. The connections to the old server stay open.
type movedAddress struct {
	old, promoted       *redistest.Server
	oldAdmin            *redis.Client
	readers, owners     *faultnet.Proxy
	reader, owner, peer *registry.RedisRegistry
}

// newMovedAddress starts a primary with a replica, an owner of "x" in "web", and a reader.
func newMovedAddress(t *testing.T) *movedAddress {
	t.Helper()
	m := &movedAddress{old: redistest.Start(t), promoted: redistest.Start(t)}
	m.oldAdmin = m.old.Client(t)
	replicate(t, m.promoted.Client(t), m.old.Addr())
	m.readers, m.owners = faultnet.New(t, m.old.Addr()), faultnet.New(t, m.old.Addr())
	m.owner = openShort(t, m.old, throughAddr(m.owners.Addr()))
	m.reader = openShort(t, m.old, throughAddr(m.readers.Addr()))
	register(t, m.owner, "web", "x")
	return m
}

// move promotes the replica and has both addresses lead to it. Only the owner's connections end.
func (m *movedAddress) move(t *testing.T) {
	t.Helper()
	admin := m.promoted.Client(t)
	if err := admin.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatalf("promote the replica: %v", err)
	}
	m.readers.Retarget(m.promoted.Addr())
	m.owners.Retarget(m.promoted.Addr())
	m.owners.Cut()
	m.peer = openShort(t, m.promoted)
	register(t, m.peer, "web", "y")
}

// replicate makes a server a replica and waits until it has the primary's data.
func replicate(t *testing.T, admin *redis.Client, primary string) {
	t.Helper()
	host, port, err := net.SplitHostPort(primary)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Do(t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		t.Fatalf("REPLICAOF %s: %v", primary, err)
	}
	within(t, time.Now(), 20*time.Second, "the replica is in sync", func() error {
		info, err := admin.Info(t.Context(), "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			return fmt.Errorf("INFO replication says %q", info)
		}
		return err
	})
}

// The old primary becomes a replica of a server that it cannot reach, and the
// reader's connections to it stay open. A process that only calls Discover notices.
//
// Promise 12: during a failover a process may talk to the old primary until it is demoted.
func TestDiscoverLeavesADemotedServer(t *testing.T) {
	t.Parallel()
	m := newMovedAddress(t)
	within(t, time.Now(), slack, "the reader sees the instance", discovers(m.reader, "web", "x"))
	m.move(t)
	if err := m.oldAdmin.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatalf("demote: %v", err)
	}
	took := within(t, time.Now(), shortHeartbeat+slack, "both are in Discover", discovers(m.reader, "web", "x", "y"))
	figure(t, "single address, old primary demoted: Discover right", took)
}

// The same for a service that the old server never had.
func TestDiscoverOfAnUnknownServiceLeavesADemotedServer(t *testing.T) {
	t.Parallel()
	m := newMovedAddress(t)
	within(t, time.Now(), slack, "nothing is there yet", discovers(m.reader, "api"))
	m.move(t)
	register(t, m.peer, "api", "z")
	if err := m.oldAdmin.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatalf("demote: %v", err)
	}
	within(t, time.Now(), shortHeartbeat+slack, "the instance is in Discover", discovers(m.reader, "api", "z"))
}

// The old primary is cut off from the others but not demoted, so it accepts
// writes, and the reader's connections to it stay. When the leases there end, the
// reader makes a new connection, which reaches the promoted server.
//
// Promise 8: a watch never dies silently.
func TestWatchLeavesAServerThatWasCutOff(t *testing.T) {
	t.Parallel()
	m := newMovedAddress(t)
	seen := watch(t, m.reader, "web")
	seen.await(t, time.Now(), backBy, "the start", with("x"))
	m.move(t)
	took := within(t, time.Now(), shortTTL+shortHeartbeat+slack, "the watch shows both", seen.shows("x", "y"))
	figure(t, "single address, old primary cut off: watch right, TTL included", took)
	throughout(t, time.Now().Add(2*shortTTL), "the watch goes on showing both", seen.shows("x", "y"))
}

// The same where the old primary refuses writes without its replica, as the
// operating guide recommends: no lease there ends for sure.
func TestWatchLeavesACutOffServerThatRefusesWrites(t *testing.T) {
	t.Parallel()
	m := newMovedAddress(t)
	m.old.ConfigSet("min-replicas-to-write", "1")
	m.old.ConfigSet("min-replicas-max-lag", "1")
	seen := watch(t, m.reader, "web")
	seen.await(t, time.Now(), backBy, "the start", with("x"))
	began := time.Now()
	m.move(t)
	// Until a lease ends the reader cannot know; meanwhile some of its connections may be new.
	pause(t, shortTTL+shortHeartbeat, "every lease that was not renewed ends")
	took := within(t, time.Now(), slack, "the watch shows both", func() error {
		if list, err := discover(m.reader, "web"); err != nil || len(list) != 2 {
			return fmt.Errorf("Discover shows %s, %w", describeInstances(list), err)
		}
		return seen.shows("x", "y")()
	})
	figure(t, "single address, old primary refuses writes: watch right, after TTL and heartbeat", took)
	pause(t, slack-took, "until the bound has passed")
	throughout(t, time.Now().Add(2*shortTTL), "the watch goes on showing both", seen.shows("x", "y"))
	seen.requireKept(t, began, "x")
}
