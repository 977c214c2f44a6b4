package redisstore

import (
	"log/slog"
	"strings"
)

// warnOfEviction logs a warning if the server may evict registrations. memory is the
// reply to INFO memory; it is empty if the user has no right to that.
func warnOfEviction(logger *slog.Logger, memory string) {
	for line := range strings.Lines(memory) {
		policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
		if ok && policy != "noeviction" {
			logger.Warn("Redis may evict registrations when its memory is full; set maxmemory-policy to noeviction",
				"maxmemory-policy", policy)
		}
	}
}
