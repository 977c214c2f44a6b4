package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

// One script reaches the keys of one slot only: on a Cluster, and where a proxy answers
// one address for a server that shards its data. There each script declares every key
// that it touches, and a call on keys of several slots takes several scripts (the files
// cluster_*.go). Elsewhere one script reaches all keys, in one step.
//
// The client's type shows a Cluster. A proxy shows itself by refusing a script with keys
// in two slots, which Open sends; or later, when the address leads to another server, by
// refusing a call. The way back is not taken: one slot per script works everywhere. Both
// ways use the same keys and records.

// twoSlotsScript touches nothing. Its keys are in the first and in the last slot, so they
// are in two shards wherever there are two.
const twoSlotsScript = "return 1"

func (k keyspace) inTwoSlots() []string {
	return []string{k.prefix + "probe:{1bz}", k.prefix + "probe:{hia}"}
}

// oneSlot reports whether a script reaches the keys of one slot only.
func (s *Store) oneSlot() bool { return s.slotwise.Load() }

// useOneSlot has all later calls use one slot per script.
func (s *Store) useOneSlot() {
	s.clock.splitByService()
	s.slotwise.Store(true)
}

// refusesTwoSlots reports whether err says that a script must reach the keys of one slot
// only, or only keys that it declares. Services have words of their own for it.
func refusesTwoSlots(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	text := reply.Error()
	return redis.HasErrorPrefix(reply, "CROSSSLOT") || strings.Contains(text, "same slot") ||
		strings.Contains(text, "undeclared key") || strings.Contains(text, "non local key")
}

// noteSlotRefusal uses one slot per script from now on, if that is what err demands.
func (s *Store) noteSlotRefusal(err error) {
	if s.oneSlot() || !refusesTwoSlots(err) {
		return
	}
	s.useOneSlot()
	s.cfg.Logger.Info("Redis refuses scripts over several slots now; using one slot per script", "error", err)
}

// inSlotMode runs f, and once more if f finds that scripts must use one slot only.
func inSlotMode[T any](s *Store, f func() (T, error)) (T, error) {
	before := s.oneSlot()
	v, err := f()
	if !before && s.oneSlot() && refusesTwoSlots(err) {
		return f()
	}
	return v, err
}

// checkSlotMode asks the server that the address leads to now.
func (s *Store) checkSlotMode(ctx context.Context) {
	if !s.oneSlot() {
		s.noteSlotRefusal(s.client.Eval(ctx, twoSlotsScript, s.keys.inTwoSlots()).Err())
	}
}

// sendCalls sends all calls in one round trip.
func (s *Store) sendCalls(ctx context.Context, calls []*call) {
	sendCalls(ctx, s.client, calls)
	for _, c := range calls {
		s.noteSlotRefusal(c.err)
		if s.reloadSlotsAfter(c.err) {
			return
		}
	}
}

// reloadSlotsAfter has the Cluster's slots read again if err says that a node does not
// answer, and reports whether it did. go-redis does that by itself only on a
// redirection, which a dead node does not send, or after ten seconds.
func (s *Store) reloadSlotsAfter(err error) bool {
	var reply redis.Error
	if err == nil || errors.As(err, &reply) || errors.Is(err, errReply) || s.ctx.Err() != nil {
		return false
	}
	return redisclient.ReloadSlots(s.ctx, s.client)
}
