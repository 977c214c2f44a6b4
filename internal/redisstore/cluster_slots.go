package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

// sendCalls sends all calls in one round trip.
func (s *Store) sendCalls(ctx context.Context, calls []*call) {
	sendCalls(ctx, s.client, calls)
	if !s.cluster {
		return
	}
	for _, c := range calls {
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
